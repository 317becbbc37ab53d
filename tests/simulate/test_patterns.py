"""Pictures without a lattice: each shows what it says, and nothing that repeats in two directions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bravaismap.simulate.patterns import compressed, draw_pattern
from bravaismap.simulate.recipe import PATTERNS


def drawn(name: str, seed: int, size: int = 160) -> np.ndarray:
    return draw_pattern(name, size, np.random.default_rng(seed))


def directedness(image: np.ndarray) -> float:
    """Return how far all gradients point along one line: 1 for one set of straight fringes, 0 for isotropy."""
    y, x = np.gradient(ndimage.gaussian_filter(image, 1))
    tensor = np.array([[(y * y).mean(), (x * y).mean()], [(x * y).mean(), (x * x).mean()]])
    low, high = np.linalg.eigvalsh(tensor)
    return float((high - low) / (high + low))


@pytest.mark.parametrize("name", PATTERNS)
def test_pattern_fills_its_range_and_repeats_with_its_seed(name: str) -> None:
    image = drawn(name, 1)
    assert image.shape == (160, 160)
    assert image.dtype == np.float32
    assert (image.min(), image.max()) == (0, 1)
    np.testing.assert_array_equal(image, drawn(name, 1))
    assert not np.array_equal(image, drawn(name, 2))


def test_rows_and_columns_are_constant_along_themselves() -> None:
    assert np.ptp(drawn("rows", 0), axis=1).max() == 0
    assert np.ptp(drawn("rows", 0), axis=0).max() == 1
    assert np.ptp(drawn("columns", 0), axis=0).max() == 0
    assert np.ptp(drawn("columns", 0), axis=1).max() == 1


def test_channels_of_a_read_out_repeat() -> None:
    repeats = []
    for seed in range(12):
        line = drawn("columns", seed, 512)[0].astype(float)
        line -= line.mean()
        repeats.append(max(np.corrcoef(line[:-n], line[n:])[0, 1] for n in range(2, 17)))
    assert max(repeats) > 0.5


@pytest.mark.parametrize("seed", range(5))
def test_fringes_have_one_direction_and_speckle_none(seed: int) -> None:
    assert directedness(drawn("fringes", seed)) > 0.9
    assert directedness(drawn("speckle", seed, 256)) < 0.35


@pytest.mark.parametrize("seed", range(4))
def test_hum_is_one_wave_that_runs_on_from_line_to_line(seed: int) -> None:
    spectrum = np.fft.rfft(drawn("hum", seed, 256) * np.hanning(256), axis=1)
    strongest = np.abs(spectrum[:, 2:]).argmax(axis=1) + 2
    assert np.ptp(strongest) <= 1  # every line has the same frequency
    phase = np.angle(spectrum[np.arange(256), strongest[0]])
    step = np.exp(1j * np.diff(phase))
    assert abs(step.mean()) > 0.9  # and its phase goes on by the same step


def test_single_atoms_are_bumps_at_no_order() -> None:
    image = drawn("atoms", 3, 256)
    peaks = np.argwhere((ndimage.maximum_filter(image, 9) == image) & (image > 0.5))
    assert len(peaks) > 5
    power = np.abs(np.fft.rfft2(image - image.mean())) ** 2
    y, x = np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)
    ring = (np.hypot(y, x) * 80).astype(int)
    for number in range(2, 30):
        of_ring = power[ring == number]
        assert of_ring.max() < 15 * of_ring.mean()  # no spot: exponential, of some hundred to thousands of values


@pytest.mark.parametrize("seed", range(6))
def test_compression_leaves_blocks(seed: int) -> None:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((192, 192)), 1)
    image = compressed(noise, np.random.default_rng(seed))
    assert image.shape == (192, 192)
    step = np.abs(np.diff(image, axis=1)).mean(axis=0)
    before = np.abs(np.diff(noise, axis=1)).mean(axis=0)

    def at_borders(of: np.ndarray) -> float:
        return max(of[side - 1 :: side].mean() / of.mean() for side in (8, 16, 24))

    assert at_borders(step) > 1.2 > 1.15 > at_borders(before)
