"""Scatter of the cell over an image: how far the mean cell is known, beside what noise allows.

A lattice is never quite straight: the cells of the four quarters of an image differ by strain, drift and distortions of
the scan. The error of their mean is half of their standard deviation. The cell of a quarter is the median over its
pixels of the gradient of the fractional coordinates c, whose rows are the reciprocal vectors: the few pixels that lie
in an antiphase boundary, where the coordinates jump, do not count.
"""

from __future__ import annotations

import numpy as np

from bravaismap.conventions import Floats
from bravaismap.motif.structure_factors import PatternFit

__all__ = ["covariance_with_scatter"]

_QUARTERS = 4
#: Variance of the cell of a quarter by noise, in units of that of the whole: a fourth of the pixels, with a fourth of
#: the mean square distance.
_NOISE_OF_QUARTER = 16.0
#: Share of the pixels of a quarter that must be in use for it to have a cell of its own.
_ENOUGH = 0.2


def covariance_with_scatter(fit: PatternFit, covariance: Floats) -> Floats:
    """Return the covariance of the flattened mean basis, the scatter of the cell over the image included.

    Parameters
    ----------
    fit : PatternFit
    covariance : array, shape (4, 4)
        Of its flattened basis by noise alone, px².

    Returns
    -------
    array, shape (4, 4)
        As it was given where the phase was not followed, or a quarter of the image is empty.
    """
    if not fit.phase.followed:
        return covariance
    height, width = fit.weight.shape
    halves = [(slice(None, side // 2), slice(side // 2, None)) for side in (height, width)]
    quarters = [_basis(fit, rows, columns) for rows in halves[0] for columns in halves[1]]
    if any(quarter is None for quarter in quarters):
        return covariance
    apart = np.array(quarters, float).reshape(_QUARTERS, 4)
    scatter = np.cov(apart, rowvar=False) / _QUARTERS
    noise = _NOISE_OF_QUARTER / _QUARTERS * np.trace(np.nan_to_num(covariance))
    beyond = max(1 - noise / max(float(np.trace(scatter)), 1e-300), 0.0)
    return np.asarray(covariance + beyond * scatter)


def _basis(fit: PatternFit, rows: slice, columns: slice) -> Floats | None:
    """Return the typical basis of a part of an image, None where few of its pixels are in use."""
    used = fit.weight[rows, columns] > 0
    if used.mean() < _ENOUGH:
        return None
    slopes = [np.gradient(part[rows, columns]) for part in fit.phase.coordinates]
    reciprocal = np.array([[np.median(slope[used]) for slope in pair] for pair in slopes])
    return np.asarray(np.linalg.inv(reciprocal).T)
