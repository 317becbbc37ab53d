"""Least squares of growth laws against linear algebra: solutions, profiles and the final rate of a straight line."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import f as f_distribution

from bravaismap.kinetics.fit import LEVELS, Problem, bootstrap_fits, final_rate, profile_intervals, solve
from bravaismap.kinetics.laws import growth_law

TIME = np.linspace(0.0, 10.0, 40)


def line(seed: int = 0) -> Problem:
    """Return the problem of the line 0.3 t + 0.5 with noise."""
    data = 0.3 * TIME + 0.5 + np.random.default_rng(seed).normal(0, 0.05, len(TIME))
    return Problem(growth_law("linear"), TIME, data, np.full(len(TIME), 0.05), None, None)


def test_a_batch_of_starts_finds_the_straight_line_of_linear_algebra() -> None:
    problem = line()
    solution = solve(problem, np.array([[0.0, 0.0], [-3.0, 1.0], [-1.0, 0.4]]))
    slope, constant = np.polyfit(TIME, problem.fraction, 1)
    assert np.exp(solution.values[:, 0]) == pytest.approx(np.full(3, slope), rel=1e-6)
    assert solution.values[:, 1] == pytest.approx(np.full(3, constant), rel=1e-6)
    squares = (((problem.fraction - slope * TIME - constant) / 0.05) ** 2).sum()
    assert solution.chi_square == pytest.approx(np.full(3, squares))


def test_a_parameter_that_is_not_free_stays() -> None:
    problem = line()
    solution = solve(problem, np.array([[np.log(0.2), 0.0]]), free=np.array([[False, True]]))
    assert solution.values[0, 0] == np.log(0.2)
    assert solution.values[0, 1] == pytest.approx((problem.fraction - 0.2 * TIME).mean())


def test_profile_of_a_linear_parameter_is_the_t_interval() -> None:
    problem = line()
    best = solve(problem, np.array([[0.0, 0.0]]))
    design = np.column_stack([TIME, np.ones_like(TIME)])
    freedom = len(TIME) - 2
    variance = best.chi_square[0] * 0.05**2 / freedom
    std = np.sqrt(variance * np.linalg.inv(design.T @ design)[1, 1])
    ends = profile_intervals(problem, best.values[0], np.array([0.01, std]))[1]
    for (low, high), level in zip(ends, LEVELS, strict=True):
        half = std * np.sqrt(f_distribution.ppf(level, 1, freedom))
        assert (low, high) == pytest.approx((best.values[0, 1] - half, best.values[0, 1] + half), rel=1e-3)


def test_bootstrap_scatters_as_the_sandwich_estimator_and_repeats_with_its_seed() -> None:
    problem = line(3)
    best = solve(problem, np.array([[0.0, 0.0]])).values[0]
    draws = bootstrap_fits(problem, best, 400, seed=1)
    np.testing.assert_array_equal(draws, bootstrap_fits(problem, best, 400, seed=1))
    design = np.column_stack([TIME, np.ones_like(TIME)])
    bread = np.linalg.inv(design.T @ design)
    residual = problem.fraction - np.exp(best[0]) * TIME - best[1]
    sandwich = bread @ (design.T * residual**2) @ design @ bread
    assert np.exp(draws[:, 0]).std() == pytest.approx(np.sqrt(sandwich[0, 0]), rel=0.15)
    assert draws[:, 1].std() == pytest.approx(np.sqrt(sandwich[1, 1]), rel=0.15)


def test_final_rate_of_a_line_is_its_slope() -> None:
    rate = final_rate(line(), np.array([np.log(0.3), 0.5]), np.diag([0.02**2, 0.1**2]))
    assert rate.value == pytest.approx(0.3)
    assert rate.relative_std == pytest.approx(0.02, rel=1e-3)
    assert np.isnan(final_rate(line(), np.array([np.log(0.3), 0.5]), None).relative_std)
