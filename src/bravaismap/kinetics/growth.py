"""Kinetics: growth laws fitted to a phase fraction over time or dose, with intervals, and the choice between them.

The law of the paper is A(t) = A₀ exp(ρ t) + C. A₀ is the amplitude at t = 0, long before growth shows, so A₀ and ρ
correlate at −0.999 and a fit of these two converges to nonsense without a warning. The amplitude is therefore fitted as
the logarithm of its value at the end of the curve, where the data are, and A₀ follows from it; the interval of A₀ comes
from a second fit, started at the solution, of the logarithm of A₀ itself. The other laws are fitted in the same way.

A baseline interval, where growth is still hidden, gives C: its frames enter as one datum, their mean. The frames after
it are fitted one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from scipy.special import fdtrc

from bravaismap.conventions import NONE, Floats
from bravaismap.errors import InputError, UndeterminedError, warn
from bravaismap.kinetics.curve import Curve, curve_of, growth_problem
from bravaismap.kinetics.dose import fraction_curve
from bravaismap.kinetics.fit import LEVELS, Problem, bootstrap_fits, final_rate, profile_intervals
from bravaismap.kinetics.laws import LAWS, LOG_LARGEST, GrowthLaw, growth_law, printed
from bravaismap.result.shares import quantity_of_curve

__all__ = ["LAWS", "Growth", "GrowthLaw", "best_law", "compare_laws", "fit_growth", "refusal"]


_SIGNIFICANCE: Final = 0.01  # probability that a constant fraction looks as grown, above which growth is not determined
_LARGEST_LOG_STD: Final = 1.5  # of a parameter that is determined: a factor of 4.5; by judgement
#: Fall of an exponential, in its time constants, over which it is a straight line, of which A₀ and C say nothing.
_STRAIGHT: Final = 0.01
_FALLS: Final = "the fraction falls where growth was to be fitted; give other times or another class"
_TAILS: Final = np.array([[(1 - level) / 2, (1 + level) / 2] for level in LEVELS])


@dataclass(frozen=True)
class _Fit:
    """A law fitted to a problem: the parameters as they are fitted, their standard errors and covariance, and χ²."""

    values: Floats
    errors: Floats
    covariance: Floats | None
    chi_square: float
    reduced_chi_square: float


@dataclass(frozen=True)
class _Intervals:
    """Intervals (parameter, level, bound) of the parameters of a law, and in words how they were found."""

    ends: Floats
    method: str


@dataclass(frozen=True)
class _Comparison:
    """A law in a comparison of laws: NaN and a reason where the curve does not determine it."""

    name: str
    parameters: int
    aicc: float = np.nan
    reduced_chi_square: float = np.nan
    refused: str = ""
    undetermined: str = ""


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
    fraction: xr.DataArray | xr.Dataset,
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
    fraction : DataArray (time,) or Dataset
        For example ``result.area_fraction.sel(lattice="none")``; of a result of :func:`~bravaismap.map_phases`, the
        share of none (:func:`bravaismap.result.shares.class_shares`), weighed as
        ``bravaismap.kinetics.dose.FractionCurve.weighing_std`` says. NaN, a frame not mapped yet, is left
        out. Over dose: of :func:`bravaismap.kinetics.dose.over_dose`.
    law : str
        ``"exponential"``, the paper's A₀ exp(ρ t) + C; ``"linear"``, ``"power"``, ``"logistic"`` or ``"avrami"``
        (Johnson–Mehl–Avrami–Kolmogorov). See :data:`bravaismap.kinetics.laws.LAWS`.
    baseline : (float, float), optional
        Begin and end (excluded) of the time whose mean fraction gives C; frames before the end are not fitted one by
        one. Without it C is fitted from all frames.
    std : DataArray (time,), optional
        Standard deviation of each fraction by itself, such as ``fraction_std``; not that of areas, which mostly is the
        same in all frames (``bravaismap.kinetics.dose.FractionCurve.weighing_std``). The scatter from frame to
        frame is added in quadrature for the weights; the intervals follow from the misfit.
    onset : bool
        Whether to fit the time ``t0`` before which nothing grows, too.
    bootstrap : int
        Number of fits to frames drawn with replacement; 0 for none.
    seed : int
        Seed of the frames drawn.

    Returns
    -------
    Growth
        ``value``, ``std`` (parameter) and ``interval`` (parameter, level, bound), by profile likelihood;
        ``correlation`` (parameter, other); ``fraction``, ``curve``, ``residual`` and ``sigma`` (time); with `bootstrap`
        also ``bootstrap`` (draw, parameter) and ``bootstrap_interval``, its percentiles. The attributes give the law,
        the baseline, the reduced χ², AICc, the correlation of the residuals of neighbouring frames (the intervals are
        too short if it is large), the rate of growth at the last frame with its relative standard error, and the method
        of the intervals.

    Raises
    ------
    InputError
        If there are too few frames, or they do not determine the law; the message says which and why.

    References
    ----------
    R. K. Vasudevan et al., npj Comput. Mater. 4, 30 (2018), doi:10.1038/s41524-018-0086-7, Fig. 6.

    Examples
    --------
    >>> growth = fit_growth(result, baseline=(0, 100))
    >>> growth["value"].sel(parameter="rho")
    """
    formula = growth_law(law, onset)
    if bootstrap < 0 or bootstrap in range(1, 20):
        raise InputError(f"a bootstrap of {bootstrap} draws was asked for; expected at least 20, or 0 for none")
    if isinstance(fraction, xr.Dataset):
        share = fraction_curve(fraction, NONE)
        fraction, std = share.fraction, share.weighing_std if std is None else std
    curve = curve_of(fraction, std)
    problem = growth_problem(formula, curve, baseline)
    fit = _fit(problem)
    growth = _dataset(problem, fit, curve, fraction, baseline)
    if bootstrap:
        draws = problem.at_zero(bootstrap_fits(problem, fit.values, bootstrap, seed))
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
    """Return a comparison of growth laws, each with and without an onset, by Akaike's corrected information criterion.

    Parameters
    ----------
    fraction, baseline, std
        As :func:`fit_growth` takes them.
    laws : iterable of str
        Names of laws.

    Returns
    -------
    Dataset
        Over ``law`` (``"linear"``, ``"linear with onset"``, and so on), from the best to the worst: ``aicc``,
        ``difference`` from the best, ``weight`` (Akaike's), ``parameters``, ``reduced_chi_square``, ``refused`` (the
        reason why the law cannot be fitted to the curve, or empty), ``undetermined`` (the parameter that the curve does
        not determine, or empty). A law that is refused comes last with NaN.

    Raises
    ------
    InputError
        If no law is determined, with the reason of the first.
    """
    curve = curve_of(fraction, std)
    rows = [_compared(name, onset, curve, baseline) for name in laws for onset in (False, True)]
    if all(row.refused for row in rows):
        raise InputError(rows[0].refused)
    rows.sort(key=lambda row: (bool(row.refused), row.aicc))
    aicc = np.array([row.aicc for row in rows])
    weight = np.nan_to_num(np.exp(-(aicc - np.nanmin(aicc)) / 2))
    return xr.Dataset(
        {
            "aicc": ("law", aicc),
            "difference": ("law", aicc - np.nanmin(aicc)),
            "weight": ("law", weight / weight.sum()),
            "parameters": ("law", [row.parameters for row in rows]),
            "reduced_chi_square": ("law", [row.reduced_chi_square for row in rows]),
            "refused": ("law", [row.refused for row in rows]),
            "undetermined": ("law", [row.undetermined for row in rows]),
        },
        coords={"law": [row.name for row in rows]},
    )


def best_law(laws: xr.Dataset) -> tuple[str, bool]:
    """Return the name of the best law of :func:`compare_laws`, and whether it has an onset."""
    name, _, onset = str(laws["law"].values[0]).partition(" ")
    return name, bool(onset)


def refusal(law: xr.Dataset) -> str:
    """Return in a few words why a law of :func:`compare_laws` cannot be fitted, or an empty text if it is."""
    parameter = str(law["undetermined"].values)
    if parameter:
        return f"{printed(parameter)} not determined"
    return "curve falls" if str(law["refused"].values) else ""


def _compared(name: str, onset: bool, curve: Curve, baseline: tuple[float, float] | None) -> _Comparison:
    """Return how well a law describes a curve."""
    problem = growth_problem(growth_law(name, onset), curve, baseline)
    label, size = f"{name} with onset" if onset else name, len(problem.law.parameters)
    try:
        fit = _fit(problem)
    except UndeterminedError as error:
        return _Comparison(label, size, refused=str(error), undetermined=error.parameter)
    return _Comparison(label, size, _aicc(problem, fit), fit.reduced_chi_square)


def _fit(problem: Problem) -> _Fit:
    """Return the fit of a law, or raise `UndeterminedError` where the curve does not determine it."""
    start = problem.start()
    if start is None:
        raise UndeterminedError(_FALLS)
    _refuse_undetermined(problem, start)
    fit = _minimise(problem, start)
    rate = problem.physical(fit.values)[1] * np.ptp(problem.time) if problem.law is LAWS["exponential"] else 1.0
    if -_STRAIGHT < rate < 0:
        raise UndeterminedError(_FALLS)
    if problem.law is not LAWS["exponential"]:  # whose rate is determined once the curve leaves its baseline
        _refuse_vague(problem, fit)
    return fit


def _minimise(problem: Problem, start: Floats) -> _Fit:
    """Return the least-squares fit of lmfit."""
    import lmfit

    parameters = lmfit.Parameters()
    for name, value in zip(("amplitude", *problem.law.parameters[1:]), start, strict=True):
        parameters.add(name, value=float(value))
    minimizer = lmfit.Minimizer(lambda p: problem.misfit(np.array([p[n].value for n in p])), parameters)
    result = minimizer.minimize("leastsq")
    fitted = list(result.params.values())
    return _Fit(
        values=np.array([parameter.value for parameter in fitted]),
        errors=np.array([float(parameter.stderr or np.nan) for parameter in fitted]),
        covariance=getattr(result, "covar", None),
        chi_square=float(result.chisqr),
        reduced_chi_square=float(result.redchi),
    )


def _refuse_undetermined(problem: Problem, start: Floats) -> None:
    """Raise `UndeterminedError` unless growth explains the curve significantly better than a constant does."""
    data, weight = problem.fraction, 1 / problem.sigma
    if problem.baseline is not None:
        data, weight = np.append(data, problem.baseline.mean), np.append(weight, 1 / problem.baseline.mean_std)
    constant = (data * weight**2).sum() / (weight**2).sum()
    flat = float((((data - constant) * weight) ** 2).sum())
    remaining = float((problem.misfit(start) ** 2).sum())
    extra = len(problem.law.parameters) - 1
    freedom = max(len(data) - extra - 1, 1)
    gain = (flat - remaining) / extra / max(remaining / freedom, 1e-300)
    if not np.isfinite(gain) or fdtrc(extra, freedom, max(gain, 0.0)) > _SIGNIFICANCE:
        rate = next((name for name in problem.law.parameters if name in ("rho", "k")), problem.law.parameters[0])
        raise UndeterminedError(
            f"{rate} is not determined: the fraction never leaves its baseline of {constant:.3g} by more than its "
            "scatter; give a longer movie, or the class that grows",
            rate,
        )


def _refuse_vague(problem: Problem, fit: _Fit) -> None:
    """Raise `UndeterminedError` if the curve does not determine a parameter of the law."""
    law, span = problem.law, float(np.ptp(problem.time))
    extrapolated = law.parameters[0] if law.name == "power" else None  # k, like A0, is the amplitude near t = 0
    errors = _minimise(problem.moved(), problem.at_zero(fit.values)).errors
    for name, positive, error, value in zip(law.parameters, law.positive, errors, fit.values, strict=True):
        limit = _LARGEST_LOG_STD if positive else (span if name in ("t0", "tm") else np.inf)
        outside = name == "t0" and value < problem.time[0] - span
        if error == error and (error <= limit or name == extrapolated) and not outside:
            continue
        if name == law.parameters[0] and law.name in ("logistic", "avrami"):
            why = "the curve does not come near an end of growth"
        else:
            why = "very different values describe the curve equally well"
        simpler = "leave the onset out, or " if "t0" in law.parameters else ""
        text = f"{name} of the law {law.name!r} is not determined: {why}; {simpler}fit a simpler law"
        raise UndeterminedError(text, name)


def _aicc(problem: Problem, fit: _Fit) -> float:
    """Return AIC corrected for few data; σ is known up to a factor, which counts as a parameter."""
    count, size = problem.count, len(problem.law.parameters) + 1
    correction = 2 * size * (size + 1) / max(count - size - 1, 1)
    return float(count * np.log(max(fit.chi_square, 1e-300) / count) + 2 * size + correction)


def _dataset(
    problem: Problem, fit: _Fit, curve: Curve, fraction: xr.DataArray, baseline: tuple[float, float] | None
) -> Growth:
    """Return a fit as `fit_growth` gives it, but for the bootstrap."""
    law, known_time = problem.law, "time" in fraction.coords
    at_zero = _minimise(problem.moved(), problem.at_zero(fit.values))
    unit = str(fraction["time"].attrs.get("units", "frame")) if known_time else "frame"
    rate = f"1/({unit})" if "/" in unit else f"1/{unit}"
    values = problem.moved().physical(at_zero.values)
    intervals = _intervals(problem, fit, at_zero)
    fitted = values[0] * law.relative(curve.time, None, tuple(values[1:-1])) + values[-1]
    names = list(law.parameters)
    return Growth(
        {
            "value": ("parameter", values),
            "std": ("parameter", at_zero.errors * np.where(law.positive, values, 1.0)),
            "unit": ("parameter", [text.format(time=unit, rate=rate) for text in law.units]),
            "interval": (("parameter", "level", "bound"), intervals.ends),
            "correlation": (("parameter", "other"), _correlation(at_zero)),
            "fraction": ("time", curve.fraction, {"long_name": quantity_of_curve(fraction) or "fraction"}),
            "curve": ("time", fitted),
            "residual": ("time", curve.fraction - fitted),
            "sigma": ("time", curve.sigma),
        },
        coords={
            "time": ("time", curve.time, dict(fraction["time"].attrs) if known_time else {"units": "frame"}),
            "parameter": names,
            "other": names,
            "level": list(LEVELS),
            "bound": ["low", "high"],
        },
        attrs={
            "law": law.name,
            "onset": "fitted" if "t0" in law.parameters else "none",
            "formula": law.formula,
            "time_unit": unit,
            "baseline": list(baseline) if baseline is not None else "fitted",
            **_quality(problem, fit, (curve.fraction - fitted) / curve.sigma, curve.time),
            "interval_method": intervals.method,
        },
    )


def _quality(problem: Problem, fit: _Fit, residual: Floats, time: Floats) -> dict[str, float]:
    """Return the attributes that tell how well a fit describes the curve, and the rate at its end."""
    final = final_rate(problem, fit.values, fit.covariance)
    return {
        "frames_fitted": len(problem.time),
        "reduced_chi_square": fit.reduced_chi_square,
        "aicc": _aicc(problem, fit),
        "residual_autocorrelation": _neighbour_correlation(residual[np.isin(time, problem.time)]),
        "final_rate": final.value,
        "final_rate_relative_std": final.relative_std,
    }


def _neighbour_correlation(residual: Floats) -> float:
    """Return the correlation of the residuals of neighbouring frames."""
    centred = residual - residual.mean()
    return float((centred[1:] * centred[:-1]).sum() / max(float((centred**2).sum()), 1e-300))


def _intervals(problem: Problem, fit: _Fit, at_zero: _Fit) -> _Intervals:
    """Return the intervals of the parameters: by profile likelihood, or from the covariance where that fails.

    The amplitude is profiled as itself, every other parameter with the amplitude at the pivot.
    """
    ends = profile_intervals(problem, fit.values, fit.errors)
    ends[0] = profile_intervals(problem.moved(), at_zero.values, at_zero.errors)[0]
    names, failed = problem.law.parameters, []
    for i, positive in enumerate(problem.law.positive):
        if not np.isfinite(ends[i]).all():
            failed.append(names[i])
            value, error = at_zero.values[i], at_zero.errors[i]
            ends[i] = [(value - n * error, value + n * error) for n in (1.0, 2.0)]
        if positive:
            ends[i] = np.exp(np.clip(ends[i], -LOG_LARGEST, LOG_LARGEST))
    if not failed:
        return _Intervals(ends, "profile likelihood")
    method = f"covariance for {', '.join(failed)}, whose profile has no end"
    warn(f"intervals from the {method}; they may be too short")
    return _Intervals(ends, method)


def _correlation(fit: _Fit) -> Floats:
    if fit.covariance is None:
        return np.full((len(fit.values),) * 2, np.nan)
    sigma = np.sqrt(np.diag(fit.covariance))
    return np.asarray(fit.covariance / sigma[:, None] / sigma)
