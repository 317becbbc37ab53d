"""Voids by intensity: the dark regions of a smoothed movie, a cross-check of the classifier without any lattice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu

from bravaismap.conventions import NONE, Floats, counted
from bravaismap.errors import InputError
from bravaismap.movie import finite_pixels, missing_pixels

__all__ = [
    "SMOOTHING",
    "Agreement",
    "ThresholdedFraction",
    "agreement",
    "relative_difference",
    "spacing_of",
    "threshold_voids",
    "thresholded_fraction",
]

#: Standard deviation, over the lattice parameter, of the Gaussian by which the intensity is smoothed; by judgement.
SMOOTHING: Final = 0.36
_SMALLEST_FRACTION: Final = 0.02  # below which a relative difference means nothing; by judgement


@dataclass(frozen=True)
class Agreement:
    """The agreement of two fractions over time.

    Attributes
    ----------
    mean, rms : float
        Mean and root mean square of found − expected.
    correlation : float
        NaN where one of the fractions is constant.
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
    """Return the voids of a movie by intensity: what is dark after smoothing, by a single threshold for all frames.

    Parameters
    ----------
    images : array, shape (time, y, x)
    spacing : float
        Lattice parameter in px.
    level : float, optional
        Intensity below which a pixel is void; by Otsu's method, from all frames together, when not given.
    smoothing : float
        Standard deviation of the Gaussian over the lattice parameter. About 0.8 where single sites are much darker than
        others (light dopants) and there is no diffuse intensity between atoms.

    Returns
    -------
    dark : bool array, shape (time, y, x)
        False for what was never measured (NaN).
    threshold : float
    """
    if not (np.isfinite(spacing) and spacing > 0):
        raise InputError(f"a lattice parameter of {spacing:g} px was given; expected a positive number")
    measured = ~missing_pixels(images)
    if not measured.any():
        raise InputError("a movie of which nothing was measured was given; expected one with finite pixels")
    frames = finite_pixels(images, nan="missing")
    smooth = np.stack([gaussian_filter(image.astype(np.float32), smoothing * spacing) for image in frames])
    threshold = float(threshold_otsu(smooth[measured])) if level is None else level  # type: ignore[no-untyped-call]
    return (smooth < threshold) & measured, threshold


def dark_fraction(voids: NDArray[np.bool_], images: NDArray[Any]) -> NDArray[np.float64]:
    """Return which share of the measured pixels of each frame is dark, NaN where none was measured.

    Parameters
    ----------
    voids : bool array, shape (time, y, x)
        As :func:`threshold_voids` returns it.
    images : array, shape (time, y, x)
    """
    count = (~missing_pixels(images)).sum(axis=(1, 2))
    return np.where(count > 0, voids.sum(axis=(1, 2)) / np.maximum(count, 1), np.nan)


@dataclass(frozen=True)
class ThresholdedFraction:
    """The share of each frame that is dark, beside the fraction that the classifier gives.

    Attributes
    ----------
    fraction : DataArray (time,)
        Share of the pixels below the threshold.
    level : float
        The threshold.
    agreement : Agreement
        Of the classifier's fraction with it.
    """

    fraction: xr.DataArray
    level: float
    agreement: Agreement


def thresholded_fraction(
    result: xr.Dataset, movie: xr.DataArray, fraction: xr.DataArray, level: float | None = None
) -> ThresholdedFraction:
    """Return the share of each frame below a threshold of intensity, and how a fraction of the result agrees with it.

    Parameters
    ----------
    result : Dataset
        Of :func:`~bravaismap.map_phases`; its median lattice parameter sets the smoothing.
    movie : DataArray (time, y, x)
        The movie that was mapped.
    fraction : DataArray (time,)
        The fraction that is compared.
    level : float, optional
        The threshold; Otsu's when not given.

    Raises
    ------
    InputError
        If the movie has another number of frames than the result, or the result holds no lattice.
    """
    if len(movie) != fraction.size:
        raise InputError(
            f"the movie has {counted(len(movie), 'frame')}, the result {fraction.size}; give the movie that was mapped"
        )
    pixels = movie.values
    voids, threshold = threshold_voids(pixels, spacing_of(result), level)
    dark = fraction.copy(data=dark_fraction(voids, pixels))
    return ThresholdedFraction(dark, threshold, agreement(fraction.values, dark.values))


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
    spacing = float(np.nanmedian(measured)) if np.isfinite(measured).any() else np.nan
    if not np.isfinite(spacing):
        raise InputError("no window of this result has a lattice, so there is no lattice parameter to smooth over")
    return spacing / float(result.attrs["pixel_size_nm"]) if result["a"].attrs.get("units") == "nm" else spacing


def agreement(found: Floats, expected: Floats) -> Agreement:
    """Return the agreement of two fractions over time.

    Parameters
    ----------
    found, expected : arrays, shape (time,)
        Frames with NaN, which are not mapped yet, are left out.

    Returns
    -------
    Agreement
    """
    mapped = np.isfinite(found) & np.isfinite(expected)
    if not mapped.any():
        raise InputError("no frame has both fractions; map the movie first")
    found, expected = found[mapped], expected[mapped]
    difference = found - expected
    varies = min(float(np.ptp(found)), float(np.ptp(expected))) > 0
    return Agreement(
        float(difference.mean()),
        float(np.sqrt((difference**2).mean())),
        float(np.corrcoef(found, expected)[0, 1]) if varies else float("nan"),
        relative_difference(found, expected),
    )


def relative_difference(found: Floats, expected: Floats) -> float | None:
    """Return the mean of |found − expected| / expected, over frames where more than 2 % are expected; None without."""
    frames = expected > _SMALLEST_FRACTION
    return float((np.abs(found - expected)[frames] / expected[frames]).mean()) if frames.any() else None
