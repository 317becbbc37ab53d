"""Kinetics: growth laws fitted to a phase fraction over time or dose, with intervals, and the choice between them.

The law of the paper is A(t) = A₀ exp(ρ t) + C. A₀ is the value at t = 0, long before there is anything to see, so A₀
and ρ correlate at −0.999 and a fit of the two finds nonsense in silence. The amplitude is therefore fitted as the
logarithm of what it is at the end of the curve, where the data are, and A₀ follows from it; its interval comes from a
second fit, started at the solution, of the logarithm of A₀ itself. The other laws are fitted in the same way.

A baseline interval, where growth is still hidden, gives C: its frames enter as one datum, their mean. The frames after
it are fitted one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import lmfit
import numpy as np
import xarray as xr
from scipy.stats import f as f_distribution

from bravaismap.conventions import Floats
from bravaismap.errors import InputError, warn
from bravaismap.kinetics.fit import LEVELS, Problem, bootstrap_fits, final_rate, profile_intervals
from bravaismap.kinetics.laws import LAWS, LOG_LARGEST, GrowthLaw, growth_law

__all__ = ["LAWS", "Growth", "GrowthLaw", "compare_laws", "fit_growth", "frame_scatter"]


_FEWEST = 5  # frames after the baseline
_LEAST = 0.1  # smallest σ of a frame, over that of the frame at the 90th percentile
_CHANCE = 0.01  # of a constant fraction that looks as if it grew, above which the law is not determined
_VAGUE: Final = 1.5  # standard error of a logarithm above which a parameter is not determined: a factor of 4.5
_TAILS: Final = np.array([[(1 - level) / 2, (1 + level) / 2] for level in LEVELS])


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


def fit_growth(
    fraction: xr.DataArray,
    *,
    law: str = "exponential",
    baseline: tuple[float, float] | None = None,
    std: xr.DataArray | None = None,
    onset: bool = False,
    bootstrap: int = 0,
    seed: int = 0,
) -> Growth:
    """Fit a law of growth to a phase fraction over time, or over dose.

    Parameters
    ----------
    fraction : DataArray (time,)
        For example ``result.fraction.sel(lattice="none")``. NaN, a frame not mapped yet, is left out. Over dose: of
        :func:`bravaismap.kinetics.dose.over_dose`.
    law : str
        ``"exponential"``: A₀ exp(ρ t) + C, the paper's; ``"linear"``, ``"power"``, ``"logistic"`` or ``"avrami"``
        (Johnson–Mehl–Avrami–Kolmogorov). See :data:`bravaismap.kinetics.laws.LAWS`.
    baseline : (float, float), optional
        Begin and end of the time, end excluded, whose mean gives C; frames before the end are not fitted one by one.
        When not given C is fitted from all frames.
    std : DataArray (time,), optional
        Standard deviation of each fraction, such as ``fraction_std``. The scatter from frame to frame is added to it
        (in quadrature) for the weights; the intervals follow from the misfit.
    onset : bool
        Fit the time ``t0`` before which nothing grows too.
    bootstrap : int
        Also fit so many curves whose frames are drawn from this one with replacement; 0 for none.
    seed : int
        Of the frames drawn.

    Returns
    -------
    Growth
        ``value``, ``std`` (parameter) and ``interval`` (parameter, level, bound), by profile likelihood;
        ``correlation`` (parameter, other); ``fraction``, ``curve``, ``residual`` and ``sigma`` (time); with `bootstrap`
        also ``bootstrap`` (draw, parameter) and ``bootstrap_interval``, its percentiles. The attributes say the law,
        the baseline, the reduced χ², AICc, how the residuals of neighbouring frames correlate (were they to, the
        intervals would be too short), what grows per unit of time at the end with its relative standard error, and how
        the intervals were found.

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
    chosen = growth_law(law, onset)
    if bootstrap < 0 or bootstrap in range(1, 20):
        raise InputError(f"a bootstrap of {bootstrap} draws was asked for; expected at least 20, or 0 for none")
    time, values, spread = _curve(fraction, std)
    problem = _problem(chosen, time, values, spread, baseline)
    fitted = _fit(problem)
    growth = _dataset(problem, fitted, fraction, (time, values, spread), baseline)
    if bootstrap:
        early = values[(time >= baseline[0]) & (time < baseline[1])] if baseline else values[:0]
        draws = problem.at_zero(bootstrap_fits(problem, _vector(fitted), early, bootstrap, seed))
        growth["bootstrap"] = ("draw", "parameter"), problem.moved().physical(draws)
        bounds = np.moveaxis(np.quantile(growth["bootstrap"].values, _TAILS, axis=0), -1, 0)
        growth["bootstrap_interval"] = ("parameter", "level", "bound"), bounds
    return growth


def compare_laws(
    fraction: xr.DataArray,
    *,
    laws: Iterable[str] = tuple(LAWS),
    baseline: tuple[float, float] | None = None,
    std: xr.DataArray | None = None,
) -> xr.Dataset:
    """Compare growth laws, each with and without an onset, by the corrected information criterion of Akaike.

    Parameters
    ----------
    fraction, baseline, std
        As :func:`fit_growth` takes them.
    laws : iterable of str

    Returns
    -------
    Dataset
        Over ``law`` (``"linear"``, ``"linear with onset"``, and so on), from the best to the worst: ``aicc``,
        ``difference`` from the best, ``weight`` (Akaike's), ``parameters``, ``reduced_chi_square``, ``refused`` (why it
        is not determined, or empty). A law that is refused comes last with NaN.

    Raises
    ------
    InputError
        If no law is determined: the reason of the first.
    """
    time, values, spread = _curve(fraction, std)
    rows: list[tuple[str, float, int, float, str]] = []
    for name in laws:
        for onset in (False, True):
            problem = _problem(growth_law(name, onset), time, values, spread, baseline)
            label, size = f"{name} with onset" if onset else name, len(problem.law.parameters)
            try:
                fitted = _fit(problem)
                rows.append((label, _aicc(problem, fitted), size, float(fitted.redchi), ""))
            except InputError as error:
                rows.append((label, np.nan, size, np.nan, str(error)))
    if all(row[4] for row in rows):
        raise InputError(rows[0][4])
    rows.sort(key=lambda row: (bool(row[4]), row[1]))
    aicc = np.array([row[1] for row in rows])
    weight = np.nan_to_num(np.exp(-(aicc - np.nanmin(aicc)) / 2))
    return xr.Dataset(
        {
            "aicc": ("law", aicc),
            "difference": ("law", aicc - np.nanmin(aicc)),
            "weight": ("law", weight / weight.sum()),
            "parameters": ("law", [row[2] for row in rows]),
            "reduced_chi_square": ("law", [row[3] for row in rows]),
            "refused": ("law", [row[4] for row in rows]),
        },
        coords={"law": [row[0] for row in rows]},
    )


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
) -> Problem:
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
    fewest = max(_FEWEST, len(law.parameters) + 2)
    if late.sum() < fewest:
        after = "" if baseline is None else f" after the baseline ends at {baseline[1]:g}"
        raise InputError(f"{late.sum()} frames are left{after}; expected at least {fewest} to fit growth to")
    return Problem(law, time[late], values[late], spread[late], time[early], mean, float(time[late][-1]))


def _fit(problem: Problem) -> Any:
    """Return the fit of lmfit, or raise `InputError` where the curve does not determine the law."""
    start = problem.start()
    if start is None:
        raise InputError("the fraction falls where growth was to be fitted; give other times or another class")
    _refuse_undetermined(problem, start)
    fitted = _minimise(problem, start)
    if problem.law is not LAWS["exponential"]:  # whose rate is determined once the curve leaves its baseline
        _refuse_vague(problem, fitted)
    return fitted


def _minimise(problem: Problem, start: Floats) -> Any:
    parameters = lmfit.Parameters()
    for name, value in zip(("amplitude", *problem.law.parameters[1:]), start, strict=True):
        parameters.add(name, value=float(value))
    return lmfit.Minimizer(lambda p: problem.misfit(np.array([p[n].value for n in p])), parameters).minimize("leastsq")


def _vector(fitted: Any) -> Floats:
    return np.array([parameter.value for parameter in fitted.params.values()])


def _errors(fitted: Any) -> Floats:
    """Return the standard errors of the parameters as they are fitted."""
    return np.array([float(parameter.stderr or np.nan) for parameter in fitted.params.values()])


def _refuse_undetermined(problem: Problem, start: Floats) -> None:
    """Raise `InputError` unless growth explains the curve significantly better than a constant does."""
    data, weight = problem.fraction, 1 / problem.sigma
    if problem.baseline is not None:
        data, weight = np.append(data, problem.baseline[0]), np.append(weight, 1 / problem.baseline[1])
    constant = (data * weight**2).sum() / (weight**2).sum()
    flat = float((((data - constant) * weight) ** 2).sum())
    left = float((problem.misfit(start) ** 2).sum())
    extra = len(problem.law.parameters) - 1
    free = max(len(data) - extra - 1, 1)
    gain = (flat - left) / extra / max(left / free, 1e-300)
    if not np.isfinite(gain) or f_distribution.sf(gain, extra, free) > _CHANCE:
        rate = next((name for name in problem.law.parameters if name in ("rho", "k")), problem.law.parameters[0])
        raise InputError(
            f"{rate} is not determined: the fraction never leaves its baseline of {constant:.3g} by more than its "
            "scatter; give a longer movie, or the class that grows"
        )


def _refuse_vague(problem: Problem, fitted: Any) -> None:
    """Raise `InputError` if the curve leaves a parameter of the law open."""
    law, span = problem.law, float(np.ptp(problem.time))
    extrapolated = law.parameters[0] if law.name == "power" else None  # k, as A0, is that of the first second
    errors, found = _errors(_minimise(problem.moved(), problem.at_zero(_vector(fitted)))), _vector(fitted)
    for name, positive, error, value in zip(law.parameters, law.positive, errors, found, strict=True):
        limit = _VAGUE if positive else (span if name in ("t0", "tm") else np.inf)
        outside = name == "t0" and value < problem.time[0] - span
        if error == error and (error <= limit or name == extrapolated) and not outside:
            continue
        if name == law.parameters[0] and law.name in ("logistic", "avrami"):
            why = "the curve does not come near an end of growth"
        else:
            why = "the curve is described as well by very different values"
        simpler = "leave the onset out, or " if "t0" in law.parameters else ""
        raise InputError(f"{name} of the law {law.name!r} is not determined: {why}; {simpler}fit a simpler law")


def _aicc(problem: Problem, fitted: Any) -> float:
    """Return AIC corrected for few data, σ being known up to a factor, which counts as a parameter."""
    count, size = problem.count, len(problem.law.parameters) + 1
    correction = 2 * size * (size + 1) / max(count - size - 1, 1)
    return float(count * np.log(max(fitted.chisqr, 1e-300) / count) + 2 * size + correction)


def _dataset(
    problem: Problem,
    fitted: Any,
    fraction: xr.DataArray,
    curve: tuple[Floats, Floats, Floats],
    baseline: tuple[float, float] | None,
) -> Growth:
    time, values, spread = curve
    moved, law = problem.moved(), problem.law
    at_zero = _minimise(moved, problem.at_zero(_vector(fitted)))
    unit = str(fraction["time"].attrs.get("units", "frame")) if "time" in fraction.coords else "frame"
    found = moved.physical(_vector(at_zero))
    errors = _errors(at_zero) * np.where(law.positive, found, 1.0)
    intervals, method = _intervals(problem, fitted, at_zero)
    fit = found[0] * law.relative(time, None, tuple(found[1:-1])) + found[-1]
    axis = {"time": ("time", time, dict(fraction["time"].attrs) if "time" in fraction.coords else {"units": "frame"})}
    rate = f"1/({unit})" if "/" in unit else f"1/{unit}"
    residual = (values - fit) / spread
    final = final_rate(problem, _vector(fitted), getattr(fitted, "covar", None))
    fitted_frames = residual[np.isin(time, problem.time)]
    return Growth(
        {
            "value": ("parameter", found),
            "std": ("parameter", errors),
            "unit": ("parameter", [text.format(time=unit, rate=rate) for text in law.units]),
            "interval": (("parameter", "level", "bound"), intervals),
            "correlation": (("parameter", "other"), _correlation(at_zero)),
            "fraction": ("time", values),
            "curve": ("time", fit),
            "residual": ("time", values - fit),
            "sigma": ("time", spread),
        },
        coords=axis
        | {
            "parameter": list(law.parameters),
            "other": list(law.parameters),
            "level": list(LEVELS),
            "bound": ["low", "high"],
        },
        attrs={
            "law": law.name,
            "onset": "fitted" if "t0" in law.parameters else "none",
            "formula": law.formula,
            "time_unit": unit,
            "baseline": list(baseline) if baseline is not None else "fitted",
            "frames_fitted": len(problem.time),
            "reduced_chi_square": float(fitted.redchi),
            "aicc": _aicc(problem, fitted),
            "residual_autocorrelation": _neighbours(fitted_frames),
            "final_rate": final[0],
            "final_rate_relative_std": final[1],
            "interval_method": method,
        },
    )


def _neighbours(residual: Floats) -> float:
    """Return the correlation of the residuals of neighbouring frames."""
    apart = residual - residual.mean()
    return float((apart[1:] * apart[:-1]).sum() / max(float((apart**2).sum()), 1e-300))


def _intervals(problem: Problem, fitted: Any, at_zero: Any) -> tuple[Floats, str]:
    """Return the intervals (parameter, level, bound): by profile likelihood, or from the covariance where that fails.

    The amplitude is profiled as itself, everything else with the amplitude at the pivot.
    """
    intervals = profile_intervals(problem, _vector(fitted), _errors(fitted))
    intervals[0] = profile_intervals(problem.moved(), _vector(at_zero), _errors(at_zero))[0]
    names, failed = problem.law.parameters, []
    for i, positive in enumerate(problem.law.positive):
        if not np.isfinite(intervals[i]).all():
            failed.append(names[i])
            value, error = _vector(at_zero)[i], _errors(at_zero)[i]
            intervals[i] = [(value - n * error, value + n * error) for n in (1.0, 2.0)]
        if positive:
            intervals[i] = np.exp(np.clip(intervals[i], -LOG_LARGEST, LOG_LARGEST))
    if not failed:
        return intervals, "profile likelihood"
    text = f"covariance for {', '.join(failed)}, whose profile has no end"
    warn(f"intervals from the {text}; they may be too short")
    return intervals, text


def _correlation(fitted: Any) -> Floats:
    if getattr(fitted, "covar", None) is None:
        return np.full((len(fitted.params),) * 2, np.nan)
    sigma = np.sqrt(np.diag(fitted.covar))
    return np.asarray(fitted.covar / sigma[:, None] / sigma)
