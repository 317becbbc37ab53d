"""Grains of small turns: whether the orientations of many measured cells lie about two values or scatter about one.

A boundary turns a lattice at once: of the cells on both sides few lie between. In a bent crystal most do. How small a
turn shows is a matter of how well a cell is measured, a tenth of a degree in windows of ten cells; two lattices in one
window are two only if their spots part, |k| θ > 2 / window for a Hann taper, with the third order of ten cells 4°.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bravaismap.conventions import Floats
from bravaismap.lattice.deformation import turns

__all__ = ["TwoGrains", "two_grains"]

#: Share of the variance of orientations that lies between two groups (N. Otsu, IEEE Trans. Syst. Man Cybern. 9, 62
#: (1979), η) from which on they are two: of an evenly bent crystal it is 3/4, of one that is bent as a wave 0.81, of
#: normal scatter 2/π, and of grains in whose windows a fifth hold both 0.9 and more.
_PARTED = 0.87
#: Least turn, in radians, and in standard errors of a cell; the strain between the groups, over their turn, from which
#: on they are one crystal sheared by the scan (1 in simple shear); fewest cells of a group, and its least weight over
#: that of the other: a few cells that were badly measured are no grain.
_LEAST_TURN, _TURN_ERRORS, _SHEARED = float(np.deg2rad(1.5)), 5.0, 0.5
_FEWEST, _LEAST_RATIO = 6, 0.2


@dataclass(frozen=True)
class TwoGrains:
    """Two groups of orientations.

    Attributes
    ----------
    larger, smaller : float
        Mean turn of the group of more weight, and of the other, in radians.
    """

    larger: float
    smaller: float

    def nearer(self, turn: Floats) -> NDArray[np.bool_]:
        """Return which turns (n,) are nearer to the larger group than to the other."""
        return np.asarray(np.abs(turn - self.larger) <= np.abs(turn - self.smaller))


def two_grains(deformation: Floats, error: Floats, weight: Floats) -> TwoGrains | None:
    """Return the two groups of orientations of measured cells, or None where they are one.

    Parameters
    ----------
    deformation : array, shape (n, 2, 2)
        F of each cell against one cell B, B F, rows = vectors (y, x).
    error : array, shape (n,)
        Standard error of each, as a strain; cells that are known no better than the least turn do not count.
    weight : array, shape (n,)
    """
    turn = turns(deformation)
    told = np.flatnonzero(error < _LEAST_TURN)
    if len(told) < 2 * _FEWEST:
        return None
    told = told[np.argsort(turn[told], kind="stable")]
    angle, counts = turn[told], np.cumsum(weight[told])
    sums, total = np.cumsum(weight[told] * angle), counts[-1]
    left, right = counts[:-1], total - counts[:-1]
    below, above = sums[:-1] / left, (sums[-1] - sums[:-1]) / right
    between = left * right / total**2 * (above - below) ** 2
    cut = int(between.argmax())
    variance = float(weight[told] @ (angle - sums[-1] / total) ** 2 / total)
    apart = float(above[cut] - below[cut])
    ratio = min(left[cut], right[cut]) / max(left[cut], right[cut])
    enough = min(cut + 1, len(told) - cut - 1) >= _FEWEST and ratio >= _LEAST_RATIO
    parted = between[cut] > _PARTED * variance
    if not (enough and parted) or apart <= max(_LEAST_TURN, _TURN_ERRORS * float(np.median(error[told]))):
        return None
    first, second = (np.average(deformation[own], axis=0, weights=weight[own]) for own in np.split(told, [cut + 1]))
    strain = np.abs(np.linalg.svd(np.linalg.inv(first) @ second, compute_uv=False) - 1).max()
    if strain > _SHEARED * apart:
        return None
    means = float(below[cut]), float(above[cut])
    return TwoGrains(*(means if left[cut] >= right[cut] else means[::-1]))
