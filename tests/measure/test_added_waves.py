"""Added waves: their number, places and shapes are found where they are all that repeats, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import bravaismap as bm
from bravaismap.measure.added_waves import AddedWave, added_waves, clear_spots, fundamentals, sum_of
from bravaismap.phases.besides import besides_lines

SIDE = 160


def phase(bins: tuple[float, float], wander: float = 0.0) -> np.ndarray:
    """In periods, from wave vectors in cycles per image; it wanders by so many periods along y."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    return np.asarray(bins[0] * y + bins[1] * x + wander * (2 * y - 1) ** 2)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((SIDE, SIDE))


def found(image: np.ndarray) -> list[AddedWave]:
    tensor, size = torch.from_numpy(image.astype(np.float32)), np.array(image.shape)
    spots = clear_spots(tensor)
    starts = fundamentals(spots.position, spots.power, size)
    return added_waves(tensor, starts, float(spots.power[0])) if starts else []


def lines(phases: np.ndarray, width: float = 0.5) -> np.ndarray:
    """Bright lines of so much of a period."""
    return np.where(phases % 1 < width, 1.0, -1.0)


@pytest.mark.parametrize("width", [0.5, 0.2])
def test_harmonics_of_lines_are_of_one_wave_however_often_they_are_folded(width: float) -> None:
    values = lines(phase((9.73, 21.34)), width)
    (wave,) = found(values + 0.05 * noise(1))
    assert np.abs(wave.bins) == pytest.approx([9.73, 21.34], abs=0.02)
    rest = values + 0.05 * noise(1) - values.mean() - sum_of([wave], values.shape)
    assert rest.std() < 0.1 * values.std() + 0.05  # pixels that an edge of a line passes through are of both sides


def test_a_phase_may_wander() -> None:
    values = np.sin(2 * np.pi * phase((-12.4, 17.1), 0.4))
    (wave,) = found(values + 0.4 * noise(2))
    assert (sum_of([wave], values.shape) - values).std() < 0.1
    assert abs(wave.phase[2]) == pytest.approx(0.4, abs=0.05)


def test_waves_that_are_not_resolved_are_told_by_their_harmonics() -> None:
    one, other = np.tanh(3 * np.sin(2 * np.pi * phase((4.8, 9.3)))), np.tanh(3 * np.sin(2 * np.pi * phase((3.9, 10.1))))
    waves = found(one + other + 0.2 * noise(3))
    bins = sorted(np.abs(wave.bins).round(1).tolist() for wave in waves if wave.strength > 0.3)
    assert np.allclose(bins, [[3.9, 10.1], [4.8, 9.3]], atol=0.11)


def test_two_waves_beside_one_another_are_two() -> None:
    values = np.sin(2 * np.pi * phase((-5.9, 14.0))) + 0.8 * np.sin(2 * np.pi * phase((-5.4, 15.9)))
    waves = found(values + 0.5 * noise(4))
    assert sorted(float(wave.bins[1]) for wave in waves) == pytest.approx([14.0, 15.9], abs=0.1)
    assert (sum_of(waves, values.shape) - values).std() < 0.15


def test_sums_and_too_many_waves_are_none() -> None:
    one, other = phase((11.0, 7.0)), phase((-9.0, 16.0))
    atoms = (1 + np.cos(2 * np.pi * one)) * (1 + np.cos(2 * np.pi * other))
    assert found(atoms + 0.3 * noise(5)) == []
    rng = np.random.default_rng(6)
    many = sum(np.sin(2 * np.pi * phase(tuple(rng.uniform(5, 60, 2)))) for _ in range(7))
    assert found(many + 0.3 * noise(7)) == []
    assert found(gaussian_filter(noise(8), 2)) == []


@pytest.mark.parametrize("shown", [0.02, 0.3])
def test_one_set_of_lines_is_no_lattice_and_it_is_said(shown: float) -> None:
    image = lines(phase((-16.5, 5.3))) + shown * noise(9)
    row = bm.classify(image, samples=0, model="lattice").isel(image=0)
    assert row["lattice"].values[int(row["label"])] == "none"
    length = SIDE / np.hypot(16.5, 5.3)
    assert f"seen       one set of fringes of {length:.1f} px" in besides_lines(row)
