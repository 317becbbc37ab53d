"""Reliability: bins by hand, binomial intervals from the binomial distribution, and a model that is calibrated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from bravaismap.evaluate.reliability import (
    binomial_interval,
    calibrated_error,
    calibration_error,
    reliability,
    reliability_table,
)


def calibrated(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n, 4) and labels that are drawn from them."""
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet([1.0, 0.5, 0.3, 0.2], count)
    return probability, (rng.random(count)[:, None] > probability.cumsum(axis=1)).sum(axis=1).clip(0, 3)


def test_bins_by_hand() -> None:
    probability = np.array([[0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.1, 0.1, 0.8], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    curve = reliability(probability, np.array([0, 0, 2, 1, 0]), bins=4)
    np.testing.assert_array_equal(curve.count, [0, 0, 2, 3])
    np.testing.assert_allclose(curve.edges, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(curve.confidence, [np.nan, np.nan, 0.5, 2.8 / 3])
    np.testing.assert_allclose(curve.right, [np.nan, np.nan, 0.5, 1])
    assert np.isnan(curve.low[:2]).all()
    assert curve.high[3] == 1


@pytest.mark.parametrize(("hits", "count"), [(0, 7), (3, 7), (7, 7), (90, 100)])
def test_interval_leaves_a_fortieth_on_each_side(hits: int, count: int) -> None:
    low, high = binomial_interval(hits, count)
    if hits:
        assert binom.sf(hits - 1, count, low) == pytest.approx(0.025)
    else:
        assert low == 0
    if hits < count:
        assert binom.cdf(hits, count, high) == pytest.approx(0.025)
    else:
        assert high == 1


def test_the_bins_of_a_calibrated_model_hold_its_confidence() -> None:
    inside, bins = 0, 0
    for seed in range(40):
        curve = reliability(*calibrated(500, seed))
        some = curve.count > 0
        held = (curve.low <= curve.confidence) & (curve.confidence <= curve.high)
        inside, bins = inside + held[some].sum(), bins + some.sum()
    assert 0.95 <= inside / bins < 1  # the exact interval covers at least as often as it says


def test_error_is_that_of_the_curve() -> None:
    probability, labels = calibrated(400, 3)
    curve = reliability(probability, labels)
    expected = np.nansum(curve.count * np.abs(curve.right - curve.confidence)) / 400
    error = calibration_error(probability.max(axis=1), probability.argmax(axis=1) == labels)
    assert error == pytest.approx(expected)


def test_a_calibrated_model_shows_its_floor() -> None:
    shown, floors = [], []
    for seed in range(60):
        probability, labels = calibrated(300, seed)
        shown.append(calibration_error(probability.max(axis=1), probability.argmax(axis=1) == labels))
        floors.append(calibrated_error(probability.max(axis=1), draws=200))
    mean, high = np.mean(floors, axis=0)
    assert np.mean(shown) == pytest.approx(mean, abs=4 * np.std(shown) / np.sqrt(60))
    assert 0.85 <= np.mean(np.array(shown) < high) <= 1
    assert mean > 0.01


def test_the_floor_of_one_bin_is_the_mean_deviation_of_a_binomial() -> None:
    mean, high = calibrated_error(np.full(50, 0.7), draws=20_000)
    hits = np.arange(51)
    gap, share = np.abs(hits / 50 - 0.7), binom.pmf(hits, 50, 0.7)
    assert mean == pytest.approx((gap * share).sum(), rel=0.02)
    assert share[gap < high - 1e-9].sum() <= 0.95 <= share[gap <= high + 1e-9].sum()


def test_floor_falls_as_the_root_of_the_number_and_a_sure_model_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    confidence = calibrated(400, 0)[0].max(axis=1)
    few, many = calibrated_error(confidence)[0], calibrated_error(np.tile(confidence, 16))[0]
    assert few / many == pytest.approx(4, rel=0.1)
    assert calibrated_error(np.ones(30)) == (0, 0)
    monkeypatch.setattr("bravaismap.evaluate.reliability._DRAWN_AT_ONCE", 7 * 400)
    assert calibrated_error(confidence)[0] == pytest.approx(few)


def test_table_has_a_line_for_each_bin_that_holds_windows() -> None:
    probability = np.array([[0.95, 0.05], [0.96, 0.04], [0.55, 0.45], [0.55, 0.45]])
    lines = reliability_table(reliability(probability, np.array([0, 0, 0, 1]))).splitlines()
    assert len(lines) == 3
    assert lines[1].split()[:4] == ["0.533–0.600", "2", "0.550", "0.500"]
    assert lines[2].split()[:4] == ["0.933–1.000", "2", "0.955", "1.000"]
    assert lines[1].count("=") == 15
    assert "| " not in lines[1]


def test_calibration_error_from_its_definition() -> None:
    rng = np.random.default_rng(0)
    confidence, right = rng.uniform(0, 1, 500), rng.random(500) < 0.4
    confidence[:3] = 1.0, 0.0, 1 / 15
    total = 0.0
    for i in range(15):
        inside = (confidence >= i / 15) & ((confidence < (i + 1) / 15) | (i == 14))
        if inside.any():
            total += inside.sum() / 500 * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration_error(confidence, right) == pytest.approx(total)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 20))
def test_calibration_error_is_between_its_bounds(pairs: list[tuple[float, bool]], bins: int) -> None:
    confidence, right = np.array([p for p, _ in pairs]), np.array([r for _, r in pairs])
    error = calibration_error(confidence, right, bins)
    assert abs(right.mean() - confidence.mean()) - 1e-9 <= error  # more bins cannot hide the mean gap
    assert error <= np.abs(right - confidence).mean() + 1e-9


def test_who_is_right_as_often_as_sure_is_calibrated() -> None:
    assert calibration_error(np.full(10, 0.7), np.arange(10) < 7) == pytest.approx(0)
    assert calibration_error(np.ones(10), np.zeros(10, bool)) == 1
