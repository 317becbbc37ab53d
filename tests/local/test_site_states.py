"""States of sites in time: against the sum over all histories, and on tracks whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from bravaismap.local.site_states import chain_probabilities, judged_sites
from bravaismap.local.site_table import SiteTable


def table(amplitude: np.ndarray, std: tuple[float, float]) -> SiteTable:
    """Sites on a square lattice in every frame; the amplitudes are (frames, rows, columns)."""
    frames, rows, columns = amplitude.shape
    count = rows * columns
    y, x = np.divmod(np.arange(count), columns)
    position = np.tile(10.0 * np.column_stack([y, x]), (frames, 1))
    whole = np.zeros(frames * count, np.int64)
    real, unknown = np.ones(frames * count), np.full(frames * count, np.nan)
    return SiteTable(
        np.repeat(np.arange(frames), count), whole, whole, np.tile(np.arange(count), frames), position, 0 * position,
        amplitude.ravel(), std[0] * real, std[1] * real, real, unknown, unknown, unknown,
    )  # fmt: skip


def test_a_chain_is_the_sum_over_all_histories() -> None:
    rng = np.random.default_rng(1)
    seen = rng.uniform(0.1, 1, (4, 5, 3))
    begin = rng.dirichlet(np.ones(3), 5)
    change = rng.dirichlet(np.ones(3), 3)
    state, moved = chain_probabilities(seen, begin, change)
    expected, moves = np.zeros((4, 5, 3)), np.zeros((3, 3))
    for track in range(5):
        weights = {}
        for history in product(range(3), repeat=4):
            weight = begin[track, history[0]] * seen[0, track, history[0]]
            for i in range(1, 4):
                weight *= change[history[i - 1], history[i]] * seen[i, track, history[i]]
            weights[history] = weight
        total = sum(weights.values())
        for history, weight in weights.items():
            for i in range(4):
                expected[i, track, history[i]] += weight / total
            for i in range(1, 4):
                moves[history[i - 1], history[i]] += weight / total
    np.testing.assert_allclose(state, expected)
    np.testing.assert_allclose(moved, moves)


def noisy(true: np.ndarray, seed: int = 0) -> np.ndarray:
    return true + np.random.default_rng(seed).normal(0, np.where(true == 0, 0.25, 0.3), true.shape)


def test_frames_before_and_after_still_the_noise_of_one() -> None:
    true = np.ones((20, 12, 12))
    true[8:, 3, 3] = 0
    true[5:15, 8, 8] = 0
    sites = table(noisy(true), (0.25, 0.3))
    alone = np.concatenate([judged_sites(sites.take(sites.frame == frame)).state for frame in range(20)])
    together = judged_sites(sites).state
    gone = true.ravel() == 0
    wrong_alone, wrong = ((alone == 0) != gone).sum(), ((together == 0) != gone).sum()
    assert wrong < 0.35 * wrong_alone
    assert wrong <= 4


def test_sites_that_are_not_followed_are_judged_alone() -> None:
    true = np.ones((2, 12, 12))
    true[:, 5, 5] = 0
    sites = table(noisy(true, 4), (0.1, 0.1))
    unfollowed = replace(sites, track=np.full(len(sites), -1))
    judged = judged_sites(unfollowed)
    assert judged.vacant[true.ravel() == 0].min() > 0.5
    assert judged.vacant.sum() == pytest.approx(2, abs=1.5)
