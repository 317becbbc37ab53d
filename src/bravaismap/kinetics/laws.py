"""Laws of growth above a constant: f(t) = A s(t) + C, with or without an onset before which nothing grows.

Each law is given by the logarithm of its growing part s, which stays finite where s itself overflows. Times are counted
from the onset, or from t = 0 of the axis without one; before it s = 0, except for laws that grow at all times (the
exponential and the logistic without an onset).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np

from bravaismap.conventions import Floats
from bravaismap.errors import InputError

__all__ = ["LAWS", "LOG_LARGEST", "GrowthLaw", "growth_law", "printed"]


#: Largest exponent that is taken: the product of two powers exp(300) is still a finite number.
LOG_LARGEST: Final = 300.0
_ONSETS: Final = 14  # onsets in the grid of starting values


@dataclass(frozen=True)
class GrowthLaw:
    """A law of growth above a constant.

    Attributes
    ----------
    name : str
    formula : str
    parameters : tuple of str
        Names of the parameters as reported: the amplitude A first, the constant ``C`` last; an onset is ``t0``.
    units : tuple of str
        Unit of each parameter; ``{time}`` stands for the unit of time and ``{rate}`` for its inverse.
    positive : tuple of bool
        Whether each parameter is positive and so fitted as its logarithm: the amplitude always, C never.
    log_shape : callable
        ``log_shape(t, *shape_parameters)``: ln s, −inf before growth; broadcasts. The shape parameters are all but the
        amplitude and C.
    starts : callable
        ``starts(first, last)``: starting values of each shape parameter for a curve between two times.
    """

    name: str
    formula: str
    parameters: tuple[str, ...]
    units: tuple[str, ...]
    positive: tuple[bool, ...]
    log_shape: Callable[..., Floats]
    starts: Callable[[float, float], tuple[Floats, ...]]

    def relative(self, t: Any, pivot: float | None, others: tuple[Any, ...]) -> Floats:
        """Return s(t) / s(pivot), or s(t) where `pivot` is None."""
        shape = self.log_shape(np.asarray(t, float), *others)
        if pivot is not None:
            shape = shape - np.maximum(self.log_shape(np.asarray(pivot, float), *others), -LOG_LARGEST)
        return np.asarray(np.exp(np.minimum(shape, LOG_LARGEST)))

    def grid(self, first: float, last: float) -> Floats:
        """Return all combinations of the starting values, one a row."""
        rows = list(product(*self.starts(first, last)))
        return np.array(rows, float).reshape(len(rows), len(self.parameters) - 2)


def growth_law(name: str, onset: bool = False) -> GrowthLaw:
    """Return a law by its name.

    Parameters
    ----------
    name : str
        One of :data:`LAWS`.
    onset : bool
        Whether the law has an onset: a free time ``t0`` before which nothing grows.

    Raises
    ------
    InputError
        If no law has that name.
    """
    if name not in LAWS:
        raise InputError(f"no growth law is called {name!r}; the laws are {', '.join(LAWS)}")
    return _WITH_ONSET[name] if onset else LAWS[name]


#: Symbols of the formulas as they are printed, by how they are written in ASCII.
_SYMBOLS: Final = {"A0": "A₀", "rho": "ρ", "t0": "t₀", "tm": "t_m"}


def printed(formula: str) -> str:
    """Return a formula, a parameter or a number with Greek letters, subscripts, powers and a true minus sign.

    Parameters
    ----------
    formula : str
        Of a :class:`GrowthLaw`, or one of its parameters, perhaps with its value.
    """
    words = re.sub(r"\b(A0|rho|t0|tm)\b", lambda name: _SYMBOLS[name.group()], formula)
    return words.replace("^n", "ⁿ").replace("-", "−")


def _log(values: Any) -> Floats:
    """Return the logarithm, −inf where a value is not positive."""
    values = np.asarray(values, float)
    return np.where(values > 0, np.log(np.where(values > 0, values, 1.0)), -np.inf)


def _log_expm1(values: Any) -> Floats:
    """Return ln(exp(x) − 1), −inf for x ≤ 0."""
    values = np.asarray(values, float)
    safe = np.where(values > 0, values, 1.0)
    return np.where(values > 0, safe + np.log(-np.expm1(-safe)), -np.inf)


def _exponential(t: Any, rho: Any) -> Floats:
    return np.asarray(rho * t)


def _exponential_onset(t: Any, rho: Any, t0: Any) -> Floats:
    return _log_expm1(rho * (t - t0))


def _linear(t: Any, t0: Any = 0.0) -> Floats:
    return _log(t - t0)


def _power(t: Any, n: Any, t0: Any = 0.0) -> Floats:
    return np.asarray(n * _log(t - t0))


def _logistic(t: Any, rho: Any, tm: Any) -> Floats:
    return np.asarray(-np.logaddexp(0.0, -rho * (t - tm)))


def _logistic_onset(t: Any, rho: Any, tm: Any, t0: Any) -> Floats:
    # (L(t) − L(t0)) / (1 − L(t0)) = (1 − exp(−ρ(t − t0))) / (1 + exp(−ρ(t − tm)))
    started = np.maximum(rho * (t - t0), 0.0)
    return np.asarray(_log(-np.expm1(-started)) - np.logaddexp(0.0, -rho * (t - tm)))


def _avrami(t: Any, k: Any, n: Any, t0: Any = 0.0) -> Floats:
    power = n * (_log(t - t0) + np.log(k))
    return _log(-np.expm1(-np.exp(np.minimum(power, 50.0))))


def _rates(first: float, last: float, count: int = 20) -> Floats:
    return np.asarray(np.geomspace(0.3, 100, count) / (last - first))


def _rates_of_either_sign(first: float, last: float) -> Floats:
    rates = np.geomspace(0.1, 100, 60) / (last - first)
    return np.concatenate([rates, -rates])


def _onsets(first: float, last: float) -> Floats:
    return np.asarray(first + np.linspace(0, 0.9, _ONSETS) * (last - first))


def _midpoints(first: float, last: float) -> Floats:
    return np.asarray(first + np.linspace(0.2, 1.1, 10) * (last - first))


def _avrami_rates(first: float, last: float) -> Floats:
    return np.asarray(np.geomspace(0.3, 20, 10) / (last - first))


_POWERS: Final = np.array([0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0])

#: Growth laws by name, without an onset: they grow from t = 0 of the axis, or at all times.
LAWS: Final = {
    law.name: law
    for law in (
        GrowthLaw(
            name="exponential",
            formula="A0 exp(rho t) + C",
            parameters=("A0", "rho", "C"),
            units=("1", "{rate}", "1"),
            positive=(True, False, False),
            log_shape=_exponential,
            starts=lambda first, last: (_rates_of_either_sign(first, last),),
        ),
        GrowthLaw(
            name="linear",
            formula="k t + C",
            parameters=("k", "C"),
            units=("{rate}", "1"),
            positive=(True, False),
            log_shape=_linear,
            starts=lambda *_: (),
        ),
        GrowthLaw(
            name="power",
            formula="k t^n + C",
            parameters=("k", "n", "C"),
            units=("{rate}^n", "1", "1"),
            positive=(True, True, False),
            log_shape=_power,
            starts=lambda *_: (_POWERS,),
        ),
        GrowthLaw(
            name="logistic",
            formula="A / (1 + exp(-rho (t - tm))) + C",
            parameters=("A", "rho", "tm", "C"),
            units=("1", "{rate}", "{time}", "1"),
            positive=(True, True, False, False),
            log_shape=_logistic,
            starts=lambda first, last: (_rates(first, last), _midpoints(first, last)),
        ),
        GrowthLaw(
            name="avrami",
            formula="A (1 - exp(-(k t)^n)) + C",
            parameters=("A", "k", "n", "C"),
            units=("1", "{rate}", "1", "1"),
            positive=(True, True, True, False),
            log_shape=_avrami,
            starts=lambda first, last: (_avrami_rates(first, last), _POWERS),
        ),
    )
}

_WITH_ONSET: Final = {
    law.name: law
    for law in (
        GrowthLaw(
            name="exponential",
            formula="A0 (exp(rho (t - t0)) - 1) + C from t0",
            parameters=("A0", "rho", "t0", "C"),
            units=("1", "{rate}", "{time}", "1"),
            positive=(True, True, False, False),
            log_shape=_exponential_onset,
            starts=lambda first, last: (_rates(first, last), _onsets(first, last)),
        ),
        GrowthLaw(
            name="linear",
            formula="k (t - t0) + C from t0",
            parameters=("k", "t0", "C"),
            units=("{rate}", "{time}", "1"),
            positive=(True, False, False),
            log_shape=_linear,
            starts=lambda first, last: (_onsets(first, last),),
        ),
        GrowthLaw(
            name="power",
            formula="k (t - t0)^n + C from t0",
            parameters=("k", "n", "t0", "C"),
            units=("{rate}^n", "1", "{time}", "1"),
            positive=(True, True, False, False),
            log_shape=_power,
            starts=lambda first, last: (_POWERS, _onsets(first, last)),
        ),
        GrowthLaw(
            name="logistic",
            formula="A (1 - exp(-rho (t - t0))) / (1 + exp(-rho (t - tm))) + C from t0",
            parameters=("A", "rho", "tm", "t0", "C"),
            units=("1", "{rate}", "{time}", "{time}", "1"),
            positive=(True, True, False, False, False),
            log_shape=_logistic_onset,
            starts=lambda first, last: (_rates(first, last, 10), _midpoints(first, last)[::2], _onsets(first, last)),
        ),
        GrowthLaw(
            name="avrami",
            formula="A (1 - exp(-(k (t - t0))^n)) + C from t0",
            parameters=("A", "k", "n", "t0", "C"),
            units=("1", "{rate}", "1", "{time}", "1"),
            positive=(True, True, True, False, False),
            log_shape=_avrami,
            starts=lambda first, last: (_avrami_rates(first, last), _POWERS, _onsets(first, last)),
        ),
    )
}
