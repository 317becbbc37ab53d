"""Laws of growth above a constant: f(t) = A s(t) + C, with or without a time before which nothing grows.

Each law is given by the logarithm of its growing part s, which stays finite where s itself would not. Times are
counted from the onset, or from t = 0 of the axis where no onset is fitted; before it s = 0, except for laws that grow
at all times (the exponential and the logistic without an onset).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np

from bravaismap.conventions import Floats, nearest_names
from bravaismap.errors import InputError

__all__ = ["LAWS", "LOG_LARGEST", "GrowthLaw", "growth_law"]


#: Largest exponent; the product of two powers is still a number.
LOG_LARGEST: Final = 300.0
_ONSETS: Final = 14  # of the grid that a fit starts from


@dataclass(frozen=True)
class GrowthLaw:
    """A law of growth above a constant.

    Attributes
    ----------
    name : str
    formula : str
    parameters : tuple of str
        As they are reported. The first is the amplitude A, the last the constant ``C``; an onset is ``t0``.
    units : tuple of str
        Unit of each parameter; ``{time}`` stands for that of time and ``{rate}`` for its inverse.
    positive : tuple of bool
        Which parameters are fitted by their logarithm. The amplitude always is, C never.
    log_shape : callable
        ``log_shape(t, *others)``: ln s, −inf where there is no growth yet; broadcasts.
    starts : callable
        ``starts(first, last)``: a tuple for each of `others`, the values to start from between two times.
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
        """Return all combinations of the values to start from, rows."""
        rows = list(product(*self.starts(first, last)))
        return np.array(rows, float).reshape(len(rows), len(self.parameters) - 2)


def growth_law(name: str, onset: bool = False) -> GrowthLaw:
    """Return a law by its name.

    Parameters
    ----------
    name : str
        One of :data:`LAWS`.
    onset : bool
        With a free time ``t0`` before which nothing grows.

    Raises
    ------
    InputError
        If no law has that name.
    """
    if name not in LAWS:
        raise InputError(f"no growth law is called {name!r}; the nearest names are {nearest_names(name, LAWS)}")
    return _WITH_ONSET[name] if onset else LAWS[name]


def _log(values: Any) -> Floats:
    """Return the logarithm, −inf for what is not positive."""
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


def _both_ways(first: float, last: float) -> Floats:
    rates = np.geomspace(0.1, 100, 60) / (last - first)
    return np.concatenate([rates, -rates])


def _onsets(first: float, last: float) -> Floats:
    return np.asarray(first + np.linspace(0, 0.9, _ONSETS) * (last - first))


def _midpoints(first: float, last: float) -> Floats:
    return np.asarray(first + np.linspace(0.2, 1.1, 10) * (last - first))


def _avrami_rates(first: float, last: float) -> Floats:
    return np.asarray(np.geomspace(0.3, 20, 10) / (last - first))


_POWERS: Final = np.array([0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 4.5, 7.0])

#: Growth laws by name, growing from t = 0 of the axis, or always.
LAWS: Final = {
    law.name: law
    for law in (
        GrowthLaw(
            "exponential", "A0 exp(rho t) + C", ("A0", "rho", "C"), ("1", "{rate}", "1"), (True, False, False),
            _exponential, lambda first, last: (_both_ways(first, last),),
        ),
        GrowthLaw("linear", "k t + C", ("k", "C"), ("{rate}", "1"), (True, False), _linear, lambda *_: ()),
        GrowthLaw(
            "power", "k t^n + C", ("k", "n", "C"), ("{rate}^n", "1", "1"), (True, True, False), _power,
            lambda *_: (_POWERS,),
        ),
        GrowthLaw(
            "logistic", "A / (1 + exp(-rho (t - tm))) + C", ("A", "rho", "tm", "C"), ("1", "{rate}", "{time}", "1"),
            (True, True, False, False), _logistic,
            lambda first, last: (_rates(first, last), _midpoints(first, last)),
        ),
        GrowthLaw(
            "avrami", "A (1 - exp(-(k t)^n)) + C", ("A", "k", "n", "C"), ("1", "{rate}", "1", "1"),
            (True, True, True, False), _avrami, lambda first, last: (_avrami_rates(first, last), _POWERS),
        ),
    )
}  # fmt: skip

_WITH_ONSET: Final = {
    law.name: law
    for law in (
        GrowthLaw(
            "exponential", "A0 (exp(rho (t - t0)) - 1) + C from t0", ("A0", "rho", "t0", "C"),
            ("1", "{rate}", "{time}", "1"), (True, True, False, False), _exponential_onset,
            lambda first, last: (_rates(first, last), _onsets(first, last)),
        ),
        GrowthLaw(
            "linear", "k (t - t0) + C from t0", ("k", "t0", "C"), ("{rate}", "{time}", "1"), (True, False, False),
            _linear, lambda first, last: (_onsets(first, last),),
        ),
        GrowthLaw(
            "power", "k (t - t0)^n + C from t0", ("k", "n", "t0", "C"), ("{rate}^n", "1", "{time}", "1"),
            (True, True, False, False), _power, lambda first, last: (_POWERS, _onsets(first, last)),
        ),
        GrowthLaw(
            "logistic", "A (1 - exp(-rho (t - t0))) / (1 + exp(-rho (t - tm))) + C from t0",
            ("A", "rho", "tm", "t0", "C"), ("1", "{rate}", "{time}", "{time}", "1"), (True, True, False, False, False),
            _logistic_onset, lambda first, last: (_rates(first, last, 10), _midpoints(first, last)[::2],
                                                  _onsets(first, last)),
        ),
        GrowthLaw(
            "avrami", "A (1 - exp(-(k (t - t0))^n)) + C from t0", ("A", "k", "n", "t0", "C"),
            ("1", "{rate}", "1", "{time}", "1"), (True, True, True, False, False), _avrami,
            lambda first, last: (_avrami_rates(first, last), _POWERS, _onsets(first, last)),
        ),
    )
}  # fmt: skip
