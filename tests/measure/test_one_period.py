"""One period: fringes and their harmonics, waves that slip, and noise without any."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bravaismap.measure.one_period import OnePeriod, strongest_period

SIDE = 192


def period(image: np.ndarray) -> OnePeriod | None:
    return strongest_period(torch.from_numpy(image.astype(np.float32)))


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((SIDE, SIDE))


@pytest.mark.parametrize("length", [2.7, 6.3, 21.0])
def test_fringes_have_their_period(length: float) -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    phase = 2 * np.pi * (0.8 * x + 0.6 * y) / length
    wave = period(np.sin(phase) + noise(1))
    assert wave is not None
    assert not wave.slips
    assert wave.length == pytest.approx(length, rel=0.02)
    assert wave.stretched(4.0).length == pytest.approx(4 * length, rel=0.02)


def test_harmonics_count_as_their_fundamental() -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    phase = 2 * np.pi * (0.8 * x + 0.6 * y) / 17.0
    wave = period(0.4 * np.sin(phase) + np.sin(2 * phase) + 0.8 * np.cos(3 * phase) + 0.5 * noise(2))
    assert wave is not None
    assert wave.length == pytest.approx(17.0, rel=0.02)


def test_a_wave_that_slips_has_its_period_along_the_rows() -> None:
    phase = 2 * np.pi * (np.arange(SIDE) / 11.0 + np.random.default_rng(3).random((SIDE, 1)))
    wave = period(np.sin(phase) + noise(4))
    assert wave is not None
    assert wave.slips
    assert wave.length == pytest.approx(11.0, rel=0.03)


@pytest.mark.parametrize("blur", [0.0, 1.0, 2.0, 4.0])
def test_noise_has_none(blur: float) -> None:
    assert [period(gaussian_filter(noise(10 + seed), blur)) for seed in range(12)] == [None] * 12
