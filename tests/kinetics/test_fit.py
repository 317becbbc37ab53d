"""Least squares in batches: against linear algebra, SciPy and theory; profiles, bootstrap and the final rate."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.stats import f as fisher
from scipy.stats import t as student

from bravaismap.kinetics import fit
from bravaismap.kinetics.fit import LEVELS, Baseline, Problem, bootstrap_fits, final_rate, profile_intervals
from bravaismap.kinetics.laws import growth_law

TIME = np.linspace(0.0, 100.0, 60)
SIGMA = np.full(60, 0.01)


STILL = np.full(10, 0.05)


def problem(law: str, fraction: np.ndarray, *, pivot: float | None = None, early: np.ndarray | None = None) -> Problem:
    mean = None if early is None else Baseline(np.linspace(-20.0, -1.0, 10), early, 0.05, 0.002)
    return Problem(growth_law(law), TIME, fraction, SIGMA, mean, pivot)


def solve(*arguments: object, **options: object) -> tuple[np.ndarray, np.ndarray]:
    solution = fit.solve(*arguments, **options)  # type: ignore[arg-type]
    return solution.values, solution.chi_square


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, 60)


def line(seed: int) -> np.ndarray:
    return 0.004 * TIME + 0.05 + noise(seed)


def exponential(seed: int, scale: float = 1.0) -> np.ndarray:
    return 0.002 * np.exp(0.05 * TIME) + 0.05 + scale * noise(seed)


def test_a_line_is_fitted_as_by_linear_algebra() -> None:
    fraction = line(0)
    values, chi = solve(problem("linear", fraction), np.array([[np.log(0.01), 0.0]]))
    (slope, constant), (left,), *_ = np.linalg.lstsq(np.column_stack([TIME, np.ones(60)]), fraction, rcond=None)
    np.testing.assert_allclose([np.exp(values[0, 0]), values[0, 1]], [slope, constant], rtol=1e-5)
    assert chi[0] == pytest.approx(left / 0.01**2)


@pytest.mark.parametrize("pivot", [None, 100.0])
def test_exponential_is_fitted_as_by_scipy(pivot: float | None) -> None:
    fraction = exponential(1)
    fitted = problem("exponential", fraction, pivot=pivot)
    start = fitted.start()
    assert start is not None
    values, chi = solve(fitted, start[None])
    other = least_squares(lambda v: (v[0] * np.exp(v[1] * TIME) + v[2] - fraction) / 0.01, [0.002, 0.05, 0.05],
                          x_scale=[1e-3, 1e-2, 1e-2])  # fmt: skip
    amplitude, rate, constant = fitted.moved().physical(fitted.at_zero(values))[0]
    np.testing.assert_allclose([amplitude, rate, constant], other.x, rtol=2e-3)
    assert chi[0] == pytest.approx(2 * other.cost, rel=1e-6)


def test_the_pivot_changes_the_description_and_not_the_curve() -> None:
    at_end = problem("exponential", exponential(2), pivot=100.0, early=STILL)
    values = np.array([[np.log(0.3), 0.05, 0.05], [np.log(0.2), 0.02, 0.0]])
    np.testing.assert_allclose(at_end.moved().misfit(at_end.at_zero(values)), at_end.misfit(values), atol=1e-9)
    assert at_end.count == 61


def test_a_batch_is_solved_as_its_members_are_alone() -> None:
    fitted = problem("exponential", exponential(3), pivot=100.0, early=STILL)
    starts = np.array([[np.log(0.3), 0.05, 0.05], [np.log(0.1), 0.1, 0.1], [-1.0, 0.02, 0.0]])
    together, chi = solve(fitted, starts)
    for row, least, start in zip(together, chi, starts, strict=True):
        alone, alone_chi = solve(fitted, start[None])
        np.testing.assert_allclose(row, alone[0], atol=2e-4)
        assert least == pytest.approx(alone_chi[0], rel=1e-6)
    np.testing.assert_allclose(chi, chi.min(), rtol=1e-4)  # all find the same minimum


def test_fixed_parameters_stay_and_the_others_are_best_given_them() -> None:
    fraction = line(4)
    free = np.array([[True, False]])
    values, _ = solve(problem("linear", fraction), np.array([[np.log(0.01), 0.03]]), free=free)
    assert values[0, 1] == 0.03
    assert np.exp(values[0, 0]) == pytest.approx((TIME @ (fraction - 0.03)) / (TIME @ TIME), rel=1e-5)


def test_a_weight_of_two_is_the_frame_twice_and_of_zero_not_at_all() -> None:
    fraction = line(5)
    weights = np.random.default_rng(0).integers(0, 3, (4, 60)).astype(float)
    values, _ = solve(problem("linear", fraction), np.tile([np.log(0.01), 0.0], (4, 1)), weights=weights)
    for row, weight in zip(values, weights.astype(int), strict=True):
        slope, constant = np.polyfit(np.repeat(TIME, weight), np.repeat(fraction, weight), 1)
        np.testing.assert_allclose([np.exp(row[0]), row[1]], [slope, constant], rtol=1e-5)


def test_profile_of_a_line_is_the_interval_of_student() -> None:
    """For a constant, which enters linearly, the profile is exactly C ± t σ_C."""
    fraction = line(6)
    fitted = problem("linear", fraction)
    best, chi = solve(fitted, np.array([[np.log(0.004), 0.05]]))
    design = np.column_stack([TIME, np.ones(60)])
    error = np.sqrt(chi[0] / 58 * 0.01**2 * np.linalg.inv(design.T @ design)[1, 1])
    ends = profile_intervals(fitted, best[0], np.array([0.05, error]))
    assert ends.shape == (2, 2, 2)
    for level, (low, high) in zip(LEVELS, ends[1], strict=True):
        reach = student.ppf(0.5 + level / 2, 58) * error
        assert (low, high) == (
            pytest.approx(best[0, 1] - reach, abs=2e-3 * reach), pytest.approx(best[0, 1] + reach, abs=2e-3 * reach),
        )  # fmt: skip


def test_ends_of_a_profile_are_where_the_rest_cannot_make_up_for_it() -> None:
    fitted = problem("exponential", exponential(7), pivot=100.0)
    best, chi = solve(fitted, fitted.start()[None])  # type: ignore[index]
    ends = profile_intervals(fitted, best[0], np.array([0.03, 0.002, 0.004]))
    for parameter in range(3):
        for level, pair in zip(LEVELS, ends[parameter], strict=True):
            assert pair[0] < best[0, parameter] < pair[1]
            for end in pair:
                start = best.copy()
                start[0, parameter] = end
                _, least = solve(fitted, start, free=(np.arange(3) != parameter)[None])
                assert fisher.cdf((least[0] / chi[0] - 1) * 57, 1, 57) == pytest.approx(level, abs=2e-3)


def test_a_curve_without_misfit_has_no_intervals() -> None:
    fitted = problem("linear", growth_law("linear").relative(TIME, None, ()))
    assert np.isnan(profile_intervals(fitted, np.zeros(2), np.ones(2))).all()


def test_bootstrap_scatters_as_the_covariance_says_and_repeats_by_its_seed() -> None:
    fitted = problem("linear", line(9))
    best, _ = solve(fitted, np.array([[np.log(0.004), 0.05]]))
    draws = bootstrap_fits(fitted, best[0], 600, seed=3)
    np.testing.assert_array_equal(draws, bootstrap_fits(fitted, best[0], 600, seed=3))
    design = np.column_stack([TIME, np.ones(60)])
    expected = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * 0.01**2)
    np.testing.assert_allclose([np.exp(draws[:, 0]).std(), draws[:, 1].std()], expected, rtol=0.3)


def test_baseline_is_drawn_apart() -> None:
    fitted = problem("exponential", exponential(10), pivot=100.0, early=STILL)
    best, _ = solve(fitted, fitted.start()[None])  # type: ignore[index]
    scattered = 0.05 + 0.03 * np.random.default_rng(1).standard_normal(10)
    restless_problem = problem("exponential", exponential(10), pivot=100.0, early=scattered)
    still = bootstrap_fits(fitted, best[0], 50, seed=0)
    restless = bootstrap_fits(restless_problem, best[0], 50, seed=0)
    assert restless[:, 2].std() > 1.5 * still[:, 2].std()


def test_final_rate_is_the_derivative_and_its_error_that_of_draws() -> None:
    fitted = problem("exponential", exponential(11, 0.0), pivot=100.0)
    best = np.array([np.log(0.002 * np.exp(5.0)), 0.05, 0.05])
    covariance = np.diag([0.01, 0.001, 0.001]) ** 2
    covariance[0, 1] = covariance[1, 0] = 5e-6
    rate, error = astuple(final_rate(fitted, best, covariance))
    assert rate == pytest.approx(0.05 * 0.002 * np.exp(5.0), rel=1e-5)
    draws = np.random.default_rng(0).multivariate_normal(best, covariance, 20_000)
    assert error == pytest.approx((draws[:, 0] + np.log(draws[:, 1])).std(), rel=0.03)  # of ln A ρ, at the pivot
    assert np.isnan(final_rate(fitted, best, None).relative_std)


def test_what_falls_has_no_start() -> None:
    assert problem("linear", -0.004 * TIME).start() is None
