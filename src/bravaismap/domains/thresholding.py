"""Voids by intensity: what is dark after smoothing is a void. A cross-check of the classifier that knows no lattice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu

from bravaismap.conventions import NONE
from bravaismap.errors import InputError

__all__ = ["SMOOTHING", "Agreement", "agreement", "relative_difference", "spacing_of", "threshold_voids"]

#: Standard deviation, over the lattice parameter, of the Gaussian that the intensity is smoothed with.
SMOOTHING: Final = 0.36
_SMALLEST: Final = 0.02  # fraction below which a ratio says nothing


@dataclass(frozen=True)
class Agreement:
    """How two fractions over time agree.

    Attributes
    ----------
    mean, rms : float
        Of found − expected.
    correlation : float
        NaN where one of them does not vary.
    relative : float or None
        See :func:`relative_difference`.
    """

    mean: float
    rms: float
    correlation: float
    relative: float | None


def threshold_voids(
    images: NDArray[Any], spacing: float, level: float | None = None, *, smoothing: float = SMOOTHING
) -> tuple[NDArray[np.bool_], float]:
    """Segment voids by intensity: the movie smoothed over a third of the lattice parameter, one threshold for all.

    Parameters
    ----------
    images : array, shape (time, y, x)
    spacing : float
        Lattice parameter in px.
    level : float, optional
        Intensity below which it is void; by Otsu's method, from all frames together, when not given.
    smoothing : float
        Standard deviation of the Gaussian, over the lattice parameter. About 0.8 where single sites are much darker
        than others (light dopants) and there is no diffuse intensity between atoms.

    Returns
    -------
    bool array (time, y, x), true where it is dark, and the threshold
    """
    if not (np.isfinite(spacing) and spacing > 0):
        raise InputError(f"a lattice parameter of {spacing:g} px was given; expected a positive number")
    smooth = np.stack([gaussian_filter(image.astype(np.float32), smoothing * spacing) for image in images])
    threshold = float(threshold_otsu(smooth)) if level is None else level  # type: ignore[no-untyped-call]
    return smooth < threshold, threshold


def spacing_of(result: xr.Dataset) -> float:
    """Return the median lattice parameter a in px over the windows of a result that have a lattice.

    Raises
    ------
    InputError
        If the model that made the result measures no cells, or no window has a lattice.
    """
    if "a" not in result:
        raise InputError("this result holds no lattice parameters; map the movie with a model that measures cells")
    names = [str(name) for name in result["lattice"].values]
    label = result["label"].values
    measured = result["a"].values[(label >= 0) & (label != (names.index(NONE) if NONE in names else -1))]
    size = float(np.nanmedian(measured)) if np.isfinite(measured).any() else np.nan
    if not np.isfinite(size):
        raise InputError("no window of this result has a lattice, so there is no lattice parameter to smooth over")
    return size / float(result.attrs["pixel_size_nm"]) if result["a"].attrs.get("units") == "nm" else size


def agreement(found: NDArray[np.floating], expected: NDArray[np.floating]) -> Agreement:
    """Return how two fractions over time agree.

    Parameters
    ----------
    found, expected : arrays, shape (time,)
        NaN, a frame not mapped yet, is left out.

    Returns
    -------
    Agreement
    """
    known = np.isfinite(found) & np.isfinite(expected)
    apart = (found - expected)[known]
    if not known.any():
        raise InputError("no frame has both fractions; map the movie first")
    varies = min(float(np.ptp(found[known])), float(np.ptp(expected[known]))) > 0
    return Agreement(
        float(apart.mean()),
        float(np.sqrt((apart**2).mean())),
        float(np.corrcoef(found[known], expected[known])[0, 1]) if varies else float("nan"),
        relative_difference(found[known], expected[known]),
    )


def relative_difference(found: NDArray[np.floating], expected: NDArray[np.floating]) -> float | None:
    """Return the mean of |found − expected| / expected, over frames where more than 2 % are expected; None without."""
    some = expected > _SMALLEST
    return float((np.abs(found - expected)[some] / expected[some]).mean()) if some.any() else None
