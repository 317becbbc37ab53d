"""Belonging: which pixels of an image the periodic pattern passes through.

Voids, other phases, dirt and single missing atoms are no part of an average. At each pixel the strength of the fitted
pattern is fitted again in a Gaussian of half a cell: 1 in the crystal, 0 where the image has none of the pattern. A
pixel is left out where the strength is below one half and the noise does not explain it.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from bravaismap.conventions import Floats
from bravaismap.motif.structure_factors import PatternFit

__all__ = ["belonging", "local_strength"]

_REACH = 0.5  # cells, σ of the Gaussian
_PRESENT = 0.5
_CERTAIN = 5.0  # σ below the whole strength, from which a pixel is left out
_MEDIAN_SQUARE = 0.4549  # of a normal deviate: median of its square


def local_strength(fit: PatternFit) -> tuple[Floats, Floats]:
    """Return the strength of the pattern at each pixel, 1 in the mean over the crystal, and its σ.

    Returns
    -------
    strength, std : arrays, shape (y, x)
    """
    sigma = _REACH * float(np.sqrt(abs(np.linalg.det(fit.basis))))
    seen = (fit.residual + fit.pattern) * fit.weight
    power = gaussian_filter(fit.weight * fit.pattern**2, sigma)
    typical = float(np.median(power[fit.weight > 0]))
    power = np.maximum(power, 0.2 * typical + 1e-300)
    strength = gaussian_filter(seen * fit.pattern, sigma) / power
    noise = float(np.median(fit.residual[fit.weight > 0] ** 2)) / _MEDIAN_SQUARE
    return np.asarray(strength), np.asarray(np.sqrt(noise / (4 * np.pi * sigma**2 * power)))


def belonging(fit: PatternFit) -> Floats:
    """Return the weight of each pixel, 1 or 0, in the next fit.

    Pixels that had weight 0 keep it.
    """
    strength, std = local_strength(fit)
    absent = (strength < _PRESENT) & (1 - strength > _CERTAIN * std)
    return np.where(absent, 0.0, fit.weight)
