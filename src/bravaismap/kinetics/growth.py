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

from bravaismap.conventions import NONE, Floats
from bravaismap.errors import InputError, UndeterminedError, warn
from bravaismap.kinetics.curve import Curve, curve_of, growth_problem
from bravaismap.kinetics.determination import LawFit, corrected_aic, determined_fit, least_squares
from bravaismap.kinetics.dose import fraction_curve
from bravaismap.kinetics.fit import LEVELS, Problem, bootstrap_fits, final_rate, profile_intervals
from bravaismap.kinetics.laws import LAWS, LOG_LARGEST, GrowthLaw, growth_law, printed
from bravaismap.result.shares import quantity_of_curve

__all__ = ["LAWS", "Growth", "GrowthLaw", "best_law", "compare_laws", "fit_growth", "refusal"]


_TAILS: Final = np.array([[(1 - level) / 2, (1 + level) / 2] for level in LEVELS])


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
    fit = determined_fit(problem)
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
        fit = determined_fit(problem)
    except UndeterminedError as error:
        return _Comparison(label, size, refused=str(error), undetermined=error.parameter)
    return _Comparison(label, size, corrected_aic(problem, fit), fit.reduced_chi_square)


def _dataset(
    problem: Problem, fit: LawFit, curve: Curve, fraction: xr.DataArray, baseline: tuple[float, float] | None
) -> Growth:
    """Return a fit as `fit_growth` gives it, but for the bootstrap."""
    law, known_time = problem.law, "time" in fraction.coords
    at_zero = least_squares(problem.moved(), problem.at_zero(fit.values))
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


def _quality(problem: Problem, fit: LawFit, residual: Floats, time: Floats) -> dict[str, float]:
    """Return the attributes that tell how well a fit describes the curve, and the rate at its end."""
    final = final_rate(problem, fit.values, fit.covariance)
    return {
        "frames_fitted": len(problem.time),
        "reduced_chi_square": fit.reduced_chi_square,
        "aicc": corrected_aic(problem, fit),
        "residual_autocorrelation": _neighbour_correlation(residual[np.isin(time, problem.time)]),
        "final_rate": final.value,
        "final_rate_relative_std": final.relative_std,
    }


def _neighbour_correlation(residual: Floats) -> float:
    """Return the correlation of the residuals of neighbouring frames."""
    centred = residual - residual.mean()
    return float((centred[1:] * centred[:-1]).sum() / max(float((centred**2).sum()), 1e-300))


def _intervals(problem: Problem, fit: LawFit, at_zero: LawFit) -> _Intervals:
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


def _correlation(fit: LawFit) -> Floats:
    if fit.covariance is None:
        return np.full((len(fit.values),) * 2, np.nan)
    sigma = np.sqrt(np.diag(fit.covariance))
    return np.asarray(fit.covariance / sigma[:, None] / sigma)
