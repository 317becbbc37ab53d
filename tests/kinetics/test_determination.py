"""Determination: a fit of a law is that of linear algebra, and what a curve does not say is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.errors import UndeterminedError
from bravaismap.kinetics.determination import corrected_aic, determined_fit
from bravaismap.kinetics.fit import Problem
from bravaismap.kinetics.laws import growth_law

TIME = np.linspace(0.0, 100.0, 60)
SIGMA = np.full(60, 0.01)


def problem_of(law: str, fraction: np.ndarray) -> Problem:
    return Problem(growth_law(law), TIME, fraction, SIGMA, baseline=None, pivot=None)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, 60)


def test_the_fit_of_a_line_is_that_of_a_polynomial() -> None:
    data = 0.004 * TIME + 0.05 + noise(0)
    problem = problem_of("linear", data)
    fit = determined_fit(problem)
    (slope, offset), squares, *_ = np.polyfit(TIME, data, 1, full=True)
    np.testing.assert_allclose(problem.physical(fit.values), [slope, offset], rtol=1e-4)
    assert fit.chi_square == pytest.approx(float(squares[0]) / 0.01**2, rel=1e-6)
    assert fit.reduced_chi_square == pytest.approx(fit.chi_square / 58)
    # two parameters and the scale of σ, for 60 data
    assert corrected_aic(problem, fit) == pytest.approx(60 * np.log(fit.chi_square / 60) + 6 + 2 * 3 * 4 / 56)


def test_a_constant_determines_no_rate() -> None:
    constant = 0.05 + noise(1) - noise(1).mean()
    constant -= 0.9 * np.polyfit(TIME, constant, 1)[0] * (TIME - TIME.mean()) - 1e-5 * TIME
    with pytest.raises(UndeterminedError, match=r"the fraction never leaves its baseline of 0\.05") as refused:
        determined_fit(problem_of("linear", constant))
    assert refused.value.parameter == "k"


def test_a_fall_is_no_growth() -> None:
    with pytest.raises(UndeterminedError, match="the fraction falls where growth was to be fitted"):
        determined_fit(problem_of("linear", 0.5 - 0.004 * TIME + noise(2)))


def test_an_end_of_growth_that_is_not_seen_is_not_determined() -> None:
    data = 1e-3 * np.exp(0.05 * TIME) + 0.05 + noise(4)
    with pytest.raises(
        UndeterminedError, match="A of the law 'avrami' is not determined: the curve does not come near"
    ):
        determined_fit(problem_of("avrami", data))
