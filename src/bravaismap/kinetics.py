"""Kinetics: growth laws fitted to a phase fraction over time, with intervals.

The law of the paper is A(t) = A₀ exp(ρ t) + C. A₀ is the value at t = 0, long before there is anything to see, so A₀
and ρ correlate at −0.999 and a fit of the two finds nonsense in silence. The amplitude is therefore fitted as the
logarithm of what it is at the end of the curve, where the data are, and A₀ follows from it; its interval comes from a
second fit, started at the solution, of the logarithm of A₀ itself.

A baseline interval, where growth is still hidden, gives C: its frames enter as one datum, their mean. The frames after
it are fitted one by one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import lmfit
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import f as f_distribution

from bravaismap.conventions import nearest_names
from bravaismap.errors import InputError

__all__ = ["LAWS", "Growth", "GrowthLaw", "fit_growth", "frame_scatter"]

Floats = NDArray[np.floating]

#: Probabilities of the intervals: those of 1 σ and 2 σ of a normal distribution.
LEVELS: Final = (0.6827, 0.9545)
_FEWEST = 5  # frames after the baseline
_LARGEST = 300.0  # exponent; the product of two powers is still a number
_LEAST = 0.1  # smallest σ of a frame, over that of the frame at the 90th percentile
_CHANCE = 0.01  # of a constant fraction that looks as if it grew, above which the law is not determined


@dataclass(frozen=True)
class GrowthLaw:
    """A law of growth above a constant.

    Attributes
    ----------
    formula : str
    parameters : tuple of str
        As they are reported; the last is always the constant ``C``. The first is an amplitude.
    units : tuple of str
        Unit of each parameter; ``{time}`` stands for that of time.
    shape : callable
        ``shape(t, pivot, *others)``: the growing part in units of its value at the pivot.
    starts : callable
        ``starts(duration)``: values of the parameters but the amplitude and C to start from, rows.
    """

    formula: str
    parameters: tuple[str, ...]
    units: tuple[str, ...]
    shape: Callable[..., Floats]
    starts: Callable[[float], Floats]


def _exponential(t: Floats, pivot: float, rho: float) -> Floats:
    return np.asarray(np.exp(np.clip(rho * (t - pivot), -_LARGEST, _LARGEST)))


def _exponential_starts(duration: float) -> Floats:
    rates = np.geomspace(0.1, 100, 60) / duration
    return np.concatenate([rates, -rates])[:, None]


#: Growth laws by name.
LAWS: Final = {
    "exponential": GrowthLaw(
        "A0 exp(rho t) + C", ("A0", "rho", "C"), ("1", "1/{time}", "1"), _exponential, _exponential_starts
    )
}


class Growth(xr.Dataset):  # type: ignore[no-untyped-call]
    """A Dataset of fitted growth that prints its parameters first."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not {"value", "interval"} <= set(self.variables) or self["value"].dims != ("parameter",):
            return super().__repr__()
        lines = [f"{self.attrs['formula']}, t in {self.attrs['time_unit']}"]
        for name in self["parameter"].values:
            low, high = (float(v) for v in self["interval"].sel(parameter=name).isel(level=0))
            value, unit = float(self["value"].sel(parameter=name)), str(self["unit"].sel(parameter=name).values)
            lines.append(f"  {name:<4} {value:.4g}  ({low:.4g} to {high:.4g}) {'' if unit == '1' else unit}".rstrip())
        return "\n".join([*lines, "", super().__repr__()])


@dataclass(frozen=True)
class _Problem:
    """What is fitted: the frames one by one, and the mean of the baseline's."""

    law: GrowthLaw
    time: Floats
    fraction: Floats
    sigma: Floats
    baseline_time: Floats
    baseline: tuple[float, float] | None  # mean and its standard error
    pivot: float

    def residual(self, parameters: lmfit.Parameters) -> Floats:
        """Return the misfit of every datum over its σ."""
        values = [parameters[name].value for name in ("amplitude", *self.law.parameters[1:])]
        amplitude, others, constant = np.exp(np.clip(values[0], -_LARGEST, _LARGEST)), values[1:-1], values[-1]
        curve = amplitude * self.law.shape(self.time, self.pivot, *others) + constant
        misfit = (self.fraction - curve) / self.sigma
        if self.baseline is None:
            return np.asarray(misfit)
        early = constant + (amplitude * self.law.shape(self.baseline_time, self.pivot, *others)).mean()
        return np.append(misfit, (self.baseline[0] - early) / self.baseline[1])

    def start(self) -> lmfit.Parameters:
        """Return the best of many starts, the amplitude and C of each solved for."""
        data, weight = self.fraction, 1 / self.sigma
        best, least = None, np.inf
        for others in self.law.starts(float(np.ptp(self.time))):
            shape = self.law.shape(self.time, self.pivot, *others)
            columns, wanted = np.column_stack([shape, np.ones_like(shape)]) * weight[:, None], data * weight
            if self.baseline is not None:
                early = self.law.shape(self.baseline_time, self.pivot, *others).mean()
                columns = np.vstack([columns, np.array([early, 1.0]) / self.baseline[1]])
                wanted = np.append(wanted, self.baseline[0] / self.baseline[1])
            solved, *_ = np.linalg.lstsq(columns, wanted, rcond=None)
            misfit = float(((columns @ solved - wanted) ** 2).sum())
            if solved[0] > 0 and misfit < least:
                best, least = (np.log(solved[0]), *others, solved[1]), misfit
        if best is None:
            raise InputError("the fraction falls where growth was to be fitted; give other times or another class")
        return self.parameters(best)

    def parameters(self, values: Any) -> lmfit.Parameters:
        """Return parameters of the fit by their values."""
        made = lmfit.Parameters()
        for name, value in zip(("amplitude", *self.law.parameters[1:]), values, strict=True):
            made.add(name, value=float(value))
        return made


def fit_growth(
    fraction: xr.DataArray,
    *,
    law: str = "exponential",
    baseline: tuple[float, float] | None = None,
    std: xr.DataArray | None = None,
) -> Growth:
    """Fit a law of growth to a phase fraction over time.

    Parameters
    ----------
    fraction : DataArray (time,)
        For example ``result.fraction.sel(lattice="none")``. NaN, a frame not mapped yet, is left out.
    law : str
        ``"exponential"``: A₀ exp(ρ t) + C, the paper's.
    baseline : (float, float), optional
        Begin and end of the time, end excluded, whose mean gives C; frames before the end are not fitted one by one.
        When not given C is fitted from all frames.
    std : DataArray (time,), optional
        Standard deviation of each fraction, such as ``fraction_std``. The scatter from frame to frame is added to it
        (in quadrature) for the weights; the intervals follow from the misfit.

    Returns
    -------
    Growth
        ``value``, ``std`` (parameter) and ``interval`` (parameter, level, bound), by profile likelihood;
        ``correlation`` (parameter, other); ``fraction``, ``curve``, ``residual`` and ``sigma`` (time). The attributes
        say the law, the baseline, the reduced χ², and how the intervals were found.

    Raises
    ------
    InputError
        If there are too few frames, or they do not determine the law; the message says which and why.

    References
    ----------
    R. K. Vasudevan et al., npj Comput. Mater. 4, 30 (2018), doi:10.1038/s41524-018-0086-7, Fig. 6.

    Examples
    --------
    >>> growth = fit_growth(result.fraction.sel(lattice="none"), baseline=(0, 100), std=...)
    >>> growth["value"].sel(parameter="rho")
    """
    if law not in LAWS:
        raise InputError(f"no growth law is called {law!r}; the nearest names are {nearest_names(law, LAWS)}")
    time, values, spread = _curve(fraction, std)
    problem = _problem(LAWS[law], time, values, spread, baseline)
    start = problem.start()
    _refuse_undetermined(problem, start)
    fitted = lmfit.Minimizer(problem.residual, start).minimize(method="leastsq")
    return _dataset(problem, fitted, fraction, (time, values, spread), law, baseline)


def frame_scatter(values: Floats) -> float:
    """Return the standard deviation from frame to frame of a slow curve, from its second differences."""
    if len(values) < 3:
        return 0.0
    return float(1.4826 * np.median(np.abs(np.diff(values, 2))) / np.sqrt(6))


def _curve(fraction: xr.DataArray, std: xr.DataArray | None) -> tuple[Floats, Floats, Floats]:
    """Return time, fraction and σ of the frames that are known."""
    if fraction.dims != ("time",):
        raise InputError(
            f"a fraction over {tuple(fraction.dims)} was given; expected (time,): choose a class with .sel(lattice=…)"
        )
    if std is not None and std.shape != fraction.shape:
        raise InputError(f"{std.size} standard deviations were given for {fraction.size} frames; expected one for each")
    values = np.asarray(fraction.values, float)
    time = np.asarray(fraction["time"].values if "time" in fraction.coords else np.arange(values.size), float)
    given = np.zeros_like(values) if std is None else np.nan_to_num(np.asarray(std.values, float))
    known = np.isfinite(values)
    spread = np.hypot(given[known], frame_scatter(values[known]))
    if spread.size:  # where a fraction is 0 or 1, σ is 0: such a frame does not outweigh all the others
        spread = np.maximum(spread, _LEAST * np.quantile(spread, 0.9))
    return time[known], values[known], spread if spread.min(initial=1) > 0 else np.ones(int(known.sum()))


def _problem(
    law: GrowthLaw, time: Floats, values: Floats, spread: Floats, baseline: tuple[float, float] | None
) -> _Problem:
    early, late = np.zeros(len(time), bool), np.ones(len(time), bool)
    mean = None
    if baseline is not None:
        early, late = (time >= baseline[0]) & (time < baseline[1]), time >= baseline[1]
        if early.sum() < 2:
            raise InputError(
                f"{early.sum()} frames lie in the baseline from {baseline[0]:g} to {baseline[1]:g}; expected at least 2"
            )
        error = max(float(values[early].std(ddof=1)), float(spread[early].mean()) * 1e-3) / np.sqrt(early.sum())
        mean = float(values[early].mean()), error
    if late.sum() < _FEWEST:
        after = "" if baseline is None else f" after the baseline ends at {baseline[1]:g}"
        raise InputError(f"{late.sum()} frames are left{after}; expected at least {_FEWEST} to fit growth to")
    return _Problem(law, time[late], values[late], spread[late], time[early], mean, float(time[late][-1]))


def _refuse_undetermined(problem: _Problem, start: lmfit.Parameters) -> None:
    """Raise `InputError` unless growth explains the curve significantly better than a constant does."""
    data, weight = problem.fraction, 1 / problem.sigma
    if problem.baseline is not None:
        data, weight = np.append(data, problem.baseline[0]), np.append(weight, 1 / problem.baseline[1])
    constant = (data * weight**2).sum() / (weight**2).sum()
    flat = float((((data - constant) * weight) ** 2).sum())
    left = float((problem.residual(start) ** 2).sum())
    extra = len(problem.law.parameters) - 1
    free = max(len(data) - extra - 1, 1)
    gain = (flat - left) / extra / max(left / free, 1e-300)
    if not np.isfinite(gain) or f_distribution.sf(gain, extra, free) > _CHANCE:
        rate = problem.law.parameters[1]
        raise InputError(
            f"{rate} is not determined: the fraction never leaves its baseline of {constant:.3g} by more than its "
            "scatter; give a longer movie, or the class that grows"
        )


def _dataset(
    problem: _Problem,
    fitted: Any,
    fraction: xr.DataArray,
    curve: tuple[Floats, Floats, Floats],
    law: str,
    baseline: tuple[float, float] | None,
) -> Growth:
    time, values, spread = curve
    at_zero = _at_zero(problem, fitted)
    names = problem.law.parameters
    unit = str(fraction["time"].attrs.get("units", "frame")) if "time" in fraction.coords else "frame"
    internal = {"amplitude": names[0]}
    reported = {internal.get(name, name): parameter for name, parameter in at_zero.params.items()}
    found = {name: parameter.value for name, parameter in reported.items()}
    errors = {name: float(parameter.stderr or np.nan) for name, parameter in reported.items()}
    found[names[0]] = float(np.exp(found[names[0]]))
    errors[names[0]] *= found[names[0]]
    intervals, method = _intervals(problem, fitted, at_zero)
    others = [found[name] for name in names[1:-1]]
    fit = found[names[0]] * problem.law.shape(time, 0.0, *others) + found[names[-1]]
    correlation = _correlation(at_zero)
    axis = {"time": ("time", time, dict(fraction["time"].attrs) if "time" in fraction.coords else {"units": "frame"})}
    return Growth(
        {
            "value": ("parameter", [found[name] for name in names]),
            "std": ("parameter", [errors[name] for name in names]),
            "unit": ("parameter", [text.format(time=unit) for text in problem.law.units]),
            "interval": (("parameter", "level", "bound"), intervals),
            "correlation": (("parameter", "other"), correlation),
            "fraction": ("time", values),
            "curve": ("time", fit),
            "residual": ("time", values - fit),
            "sigma": ("time", spread),
        },
        coords=axis | {"parameter": list(names), "other": list(names), "level": list(LEVELS), "bound": ["low", "high"]},
        attrs={
            "law": law,
            "formula": problem.law.formula,
            "time_unit": unit,
            "baseline": list(baseline) if baseline is not None else "fitted",
            "frames_fitted": len(problem.time),
            "reduced_chi_square": float(fitted.redchi),
            "interval_method": method,
        },
    )


def _at_zero(problem: _Problem, fitted: Any) -> Any:
    """Fit again from the solution with the amplitude at t = 0, for its error, interval and correlations."""
    values = [parameter.value for parameter in fitted.params.values()]
    shape = problem.law.shape(np.zeros(1), problem.pivot, *values[1:-1])
    start = _moved(problem, 0.0).parameters([values[0] + np.log(shape[0]), *values[1:]])
    return lmfit.Minimizer(_moved(problem, 0.0).residual, start).minimize(method="leastsq")


def _moved(problem: _Problem, pivot: float) -> _Problem:
    return _Problem(
        problem.law, problem.time, problem.fraction, problem.sigma, problem.baseline_time, problem.baseline, pivot
    )


def _intervals(problem: _Problem, fitted: Any, at_zero: Any) -> tuple[Floats, str]:
    """Return the intervals (parameter, level, bound): by profile likelihood, or from the covariance where that fails.

    The amplitude is profiled at t = 0, everything else at the pivot.
    """
    intervals = np.full((len(problem.law.parameters), len(LEVELS), 2), np.nan)
    failed = []
    for i, name in enumerate(("amplitude", *problem.law.parameters[1:])):
        one, result = (_moved(problem, 0.0), at_zero) if i == 0 else (problem, fitted)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                minimizer = lmfit.Minimizer(one.residual, result.params)
                bounds = lmfit.conf_interval(minimizer, result, p_names=[name], sigmas=list(LEVELS))[name]
            points = [value for _, value in bounds]
            pairs = [(points[len(LEVELS) - 1 - level], points[len(LEVELS) + 1 + level]) for level in range(len(LEVELS))]
            if not np.isfinite(pairs).all():
                raise ValueError("no end of the interval was found")
        except (lmfit.MinimizerException, ValueError, Warning, ArithmeticError):
            failed.append(problem.law.parameters[i])
            value, error = result.params[name].value, result.params[name].stderr or np.nan
            pairs = [(value - n * error, value + n * error) for n in (1.0, 2.0)]
        intervals[i] = np.exp(np.clip(pairs, -_LARGEST, _LARGEST)) if i == 0 else pairs
    if not failed:
        return intervals, "profile likelihood"
    text = f"covariance for {', '.join(failed)}, whose profile has no end"
    warnings.warn(f"intervals from the {text}; they may be too short", stacklevel=4)
    return intervals, text


def _correlation(fitted: Any) -> Floats:
    if getattr(fitted, "covar", None) is None:
        return np.full((len(fitted.params),) * 2, np.nan)
    sigma = np.sqrt(np.diag(fitted.covar))
    return np.asarray(fitted.covar / sigma[:, None] / sigma)
