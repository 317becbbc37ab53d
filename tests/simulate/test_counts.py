"""Counting noise is Poisson's, whatever is expected."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bravaismap.simulate.counts import poisson_counts


@pytest.mark.parametrize("mean", [0.05, 0.7, 3.0, 9.9, 10.1, 40.0, 500.0])
def test_counts_have_the_moments_of_poisson(mean: float) -> None:
    counts = poisson_counts(np.full(400_000, mean, np.float32), np.random.default_rng(0))
    assert counts.dtype == np.float32
    assert np.array_equal(counts, np.rint(counts))
    assert counts.min() >= 0
    error = np.sqrt(mean / counts.size)
    assert counts.mean() == pytest.approx(mean, abs=5 * error + 2e-4 * mean)
    assert counts.var() == pytest.approx(mean, rel=0.02, abs=0.0)
    assert stats.skew(counts) == pytest.approx(mean**-0.5, rel=0.1, abs=0.02)


def test_few_counts_are_exactly_poisson() -> None:
    counts = poisson_counts(np.full(200_000, 2.5, np.float32), np.random.default_rng(1)).astype(int)
    seen = np.bincount(counts, minlength=12)
    expected = stats.poisson.pmf(np.arange(11), 2.5)
    observed = [*seen[:11], seen[11:].sum()]
    assert stats.chisquare(observed, counts.size * np.array([*expected, 1 - expected.sum()])).pvalue > 1e-3


def test_no_counts_where_none_are_expected() -> None:
    assert not poisson_counts(np.zeros((20, 20), np.float32), np.random.default_rng(0)).any()


class _Extreme:
    """A generator whose every draw is the largest it can give."""

    def standard_normal(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        return np.zeros(shape, dtype)

    def random(self, size: int, dtype: type) -> np.ndarray:
        return np.full(size, 1 - 2.0**-24, dtype)


def test_rounding_makes_no_hot_pixels() -> None:
    mean = np.linspace(0.01, 9.99, 2000, dtype=np.float32)
    counts = poisson_counts(mean, _Extreme())  # type: ignore[arg-type]
    assert (counts <= stats.poisson.isf(1e-11, mean)).all()
