"""The mean lattice of a pattern whose phase was followed, with the scatter of its cell over the image.

The fractional coordinates of the pixels are c = G r + c₀ in the mean, with the reciprocal vectors as the rows of G. A
lattice is never quite straight: the cells of the four quarters of the image differ by strain, drift and distortions of
the scan, which is why the mean over the image has an error besides that of noise: a half of their standard deviation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bravaismap.motif.structure_factors import PatternFit

__all__ = ["with_mean_lattice"]

Floats = NDArray[np.floating]

_QUARTERS = 4
#: Variance of the cell of a quarter by noise, in units of that of the whole: a fourth of the pixels, with a fourth of
#: the mean square distance.
_NOISE_OF_QUARTER = 16.0
#: Pixels that are in use, of a quarter, from which it has a cell of its own.
_ENOUGH = 0.2


def with_mean_lattice(fit: PatternFit, covariance: Floats) -> tuple[PatternFit, Floats]:
    """Return a fit on the mean lattice of its coordinates, and the covariance of that.

    Parameters
    ----------
    fit : PatternFit
    covariance : array, shape (4, 4)
        Of its flattened basis by noise alone, px².

    Returns
    -------
    fit : PatternFit
        As it is where the phase was not followed.
    covariance : array, shape (4, 4)
    """
    if not fit.phase.followed:
        return fit, covariance
    mean = _basis(fit, slice(None), slice(None))
    if mean is None:
        return fit, covariance
    height, width = fit.weight.shape
    halves = [(slice(None, side // 2), slice(side // 2, None)) for side in (height, width)]
    quarters = [_basis(fit, rows, columns) for rows in halves[0] for columns in halves[1]]
    if any(quarter is None for quarter in quarters):
        return replace(fit, basis=mean), covariance
    apart = np.array(quarters, float).reshape(_QUARTERS, 4)
    scatter = np.cov(apart, rowvar=False) / _QUARTERS
    noise = _NOISE_OF_QUARTER / _QUARTERS * np.trace(np.nan_to_num(covariance))
    beyond = max(1 - noise / max(float(np.trace(scatter)), 1e-300), 0.0)
    return replace(fit, basis=mean), covariance + beyond * scatter


def _basis(fit: PatternFit, rows: slice, columns: slice) -> Floats | None:
    """Return the mean basis of a part of an image, None where few of its pixels are in use."""
    weight = fit.weight[rows, columns]
    if weight.sum() < _ENOUGH * weight.size:
        return None
    y, x = (np.arange(side, dtype=float) - (side - 1) / 2 for side in weight.shape)
    terms = [np.ones(weight.shape), np.broadcast_to(y[:, None], weight.shape), np.broadcast_to(x, weight.shape)]
    design = np.array([[float((weight * a * b).sum()) for b in terms] for a in terms])
    right = np.array([[float((weight * a * c[rows, columns]).sum()) for c in fit.phase.coordinates] for a in terms])
    reciprocal = np.linalg.solve(design, right)[1:].T
    return np.asarray(np.linalg.inv(reciprocal).T)
