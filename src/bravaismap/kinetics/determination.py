"""Determination: a growth law fitted to a curve, or the reason why the curve does not determine the law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import fdtrc

from bravaismap.conventions import Floats
from bravaismap.errors import UndeterminedError
from bravaismap.kinetics.fit import Problem
from bravaismap.kinetics.laws import LAWS

__all__ = ["LawFit", "corrected_aic", "determined_fit", "least_squares"]

_SIGNIFICANCE: Final = 0.01  # probability that a constant fraction looks as grown, above which growth is not determined
_LARGEST_LOG_STD: Final = 1.5  # of a parameter that is determined: a factor of 4.5; by judgement
#: Fall of an exponential, in its time constants, over which it is a straight line, of which A₀ and C say nothing.
_STRAIGHT: Final = 0.01
_FALLS: Final = "the fraction falls where growth was to be fitted; give other times or another class"


@dataclass(frozen=True)
class LawFit:
    """A law fitted to a problem: the parameters as they are fitted, their standard errors and covariance, and χ²."""

    values: Floats
    errors: Floats
    covariance: Floats | None
    chi_square: float
    reduced_chi_square: float


def determined_fit(problem: Problem) -> LawFit:
    """Return the fit of a law, or raise `UndeterminedError` where the curve does not determine it."""
    start = problem.start()
    if start is None:
        raise UndeterminedError(_FALLS)
    _refuse_undetermined(problem, start)
    fit = least_squares(problem, start)
    rate = problem.physical(fit.values)[1] * np.ptp(problem.time) if problem.law is LAWS["exponential"] else 1.0
    if -_STRAIGHT < rate < 0:
        raise UndeterminedError(_FALLS)
    if problem.law is not LAWS["exponential"]:  # whose rate is determined once the curve leaves its baseline
        _refuse_vague(problem, fit)
    return fit


def least_squares(problem: Problem, start: Floats) -> LawFit:
    """Return the least-squares fit of lmfit."""
    import lmfit

    parameters = lmfit.Parameters()
    for name, value in zip(("amplitude", *problem.law.parameters[1:]), start, strict=True):
        parameters.add(name, value=float(value))
    minimizer = lmfit.Minimizer(lambda p: problem.misfit(np.array([p[n].value for n in p])), parameters)
    result = minimizer.minimize("leastsq")
    fitted = list(result.params.values())
    return LawFit(
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


def _refuse_vague(problem: Problem, fit: LawFit) -> None:
    """Raise `UndeterminedError` if the curve does not determine a parameter of the law."""
    law, span = problem.law, float(np.ptp(problem.time))
    extrapolated = law.parameters[0] if law.name == "power" else None  # k, like A0, is the amplitude near t = 0
    errors = least_squares(problem.moved(), problem.at_zero(fit.values)).errors
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


def corrected_aic(problem: Problem, fit: LawFit) -> float:
    """Return AIC corrected for few data; σ is known up to a factor, which counts as a parameter."""
    count, size = problem.count, len(problem.law.parameters) + 1
    correction = 2 * size * (size + 1) / max(count - size - 1, 1)
    return float(count * np.log(max(fit.chi_square, 1e-300) / count) + 2 * size + correction)
