"""The curve of a phase fraction over time or dose, and the problem of fitting a law of growth to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr

from bravaismap.conventions import Floats, counted
from bravaismap.errors import InputError
from bravaismap.kinetics.fit import Baseline, Problem
from bravaismap.kinetics.laws import GrowthLaw

__all__ = ["Curve", "curve_of", "frame_scatter", "growth_problem"]

_FEWEST_FRAMES: Final = 5  # after the baseline; by judgement
_SMALLEST_SIGMA: Final = 0.1  # of a frame, over that of the frame at the 90th percentile; by judgement


@dataclass(frozen=True)
class Curve:
    """The mapped frames of a phase fraction.

    Attributes
    ----------
    time, fraction, sigma : arrays, shape (frame,)
        Time or dose, the fraction, and its standard deviation.
    """

    time: Floats
    fraction: Floats
    sigma: Floats


def curve_of(fraction: xr.DataArray, std: xr.DataArray | None) -> Curve:
    """Return the mapped frames of a fraction (time,), with the scatter from frame to frame in their σ.

    Raises
    ------
    InputError
        If the fraction is not over time alone, or there is not one standard deviation for each frame.
    """
    if fraction.dims != ("time",):
        raise InputError(
            f"a fraction over {tuple(fraction.dims)} was given; expected (time,): choose a class with .sel(lattice=…)"
        )
    if std is not None and std.shape != fraction.shape:
        raise InputError(f"{std.size} standard deviations were given for {fraction.size} frames; expected one for each")
    values = np.asarray(fraction.values, float)
    time = np.asarray(fraction["time"].values if "time" in fraction.coords else np.arange(values.size), float)
    given = np.zeros_like(values) if std is None else np.nan_to_num(np.asarray(std.values, float))
    mapped = np.isfinite(values)
    sigma = np.hypot(given[mapped], frame_scatter(values[mapped]))
    if sigma.size:  # σ is 0 where a fraction is 0 or 1: such a frame must not outweigh all others
        sigma = np.maximum(sigma, _SMALLEST_SIGMA * np.quantile(sigma, 0.9))
    return Curve(time[mapped], values[mapped], sigma if sigma.min(initial=1) > 0 else np.ones(int(mapped.sum())))


def growth_problem(law: GrowthLaw, curve: Curve, baseline: tuple[float, float] | None) -> Problem:
    """Return the problem of fitting a law to a curve.

    Parameters
    ----------
    law : GrowthLaw
    curve : Curve
    baseline : (float, float), optional
        Begin and end (excluded) of the time of the baseline.

    Raises
    ------
    InputError
        If too few frames lie in the baseline or after it.
    """
    time, late, early_mean = curve.time, np.ones(len(curve.time), bool), None
    if baseline is not None:
        early, late = (time >= baseline[0]) & (time < baseline[1]), time >= baseline[1]
        if early.sum() < 2:
            raise InputError(
                f"{counted(early.sum(), 'frame')} in the baseline from {baseline[0]:g} to {baseline[1]:g}; expected at "
                "least 2"
            )
        values = curve.fraction[early]
        error = max(float(values.std(ddof=1)), float(curve.sigma[early].mean()) * 1e-3) / np.sqrt(early.sum())
        early_mean = Baseline(time[early], values, float(values.mean()), error)
    fewest = max(_FEWEST_FRAMES, len(law.parameters) + 2)
    if late.sum() < fewest:
        end = f"{float(time[-1]):g}"
        after = "" if baseline is None else f" after the baseline ends at {baseline[1]:g} (the last frame is at {end})"
        raise InputError(f"{counted(late.sum(), 'frame')} left{after}; expected at least {fewest} to fit growth to")
    return Problem(law, time[late], curve.fraction[late], curve.sigma[late], early_mean, float(time[late][-1]))


def frame_scatter(values: Floats) -> float:
    """Return the standard deviation from frame to frame of a slow curve, from its second differences."""
    if len(values) < 3:
        return 0.0
    return float(1.4826 * np.median(np.abs(np.diff(values, 2))) / np.sqrt(6))
