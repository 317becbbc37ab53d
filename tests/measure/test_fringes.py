"""Fringes: a lattice has two periods, hum and fringes have one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.fringes import hum_along_rows, hum_share, two_periods
from bravaismap.measure.measurement import measure
from bravaismap.measure.odds import none_probability
from bravaismap.measure.spots import standardize
from bravaismap.measure.whole_image import measure_whole

Draw = Callable[..., np.ndarray]


def hum(side: int, seed: int) -> np.ndarray:
    """Wave with two harmonics along the scan, whose phase slips from row to row."""
    rng = np.random.default_rng(seed)
    cycles = rng.uniform(10, 60)
    phase = (
        cycles * (1.3 * np.arange(side)[:, None] + np.arange(side) / side) + rng.normal(0, 0.05, side).cumsum()[:, None]
    )
    wave = sum(strength * np.cos(2 * np.pi * (n + 1) * phase + n) for n, strength in enumerate((1.0, 0.4, 0.15)))
    return np.asarray(wave + 0.3 * rng.standard_normal((side, side)))


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.astype(np.float32))


def test_hum_is_taken_away_and_noise_is_left() -> None:
    image = tensor(hum(192, 1))[None]
    assert float(image.std()) > 0.8
    taken = hum_along_rows(image)
    assert float((image - taken.amplitude @ taken.wave.mT).std()) == pytest.approx(0.3, rel=0.2)


@pytest.mark.parametrize("cell", [(13.0, 13.0, 60.0), (11.0, 18.0, 90.0), (15.0, 15.0, 90.0)])
@pytest.mark.parametrize("turn", [0.0, 17.0])
def test_a_lattice_has_two_periods(crystal: Draw, cell: tuple[float, float, float], turn: float) -> None:
    a, b, gamma = cell
    basis = basis_from_cell(a, b, np.radians(gamma), np.radians(turn))
    image = crystal((128, 128), basis) + 0.1 * np.random.default_rng(2).standard_normal((128, 128))
    assert two_periods([standardize(tensor(image)[None])], basis) == 1.0


def test_the_share_of_hum_is_that_of_its_variance() -> None:
    images = torch.stack([tensor(hum(128, seed)) for seed in range(4)])
    power = (1 + 0.4**2 + 0.15**2) / 2
    assert hum_share(images).numpy() == pytest.approx(power / (power + 0.3**2), abs=0.2)
    assert hum_share(images.mT).numpy() == pytest.approx(hum_share(images).numpy(), abs=1e-4)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 128, 128))).float()
    assert (hum_share(noise) < 0.1).all()


def test_hum_in_a_window_is_none() -> None:
    images = torch.stack([tensor(hum(128, seed)) for seed in range(20)])
    assert (none_probability(measure(images).evidence.numpy()) > 0.5).mean() >= 0.9


@pytest.mark.slow
def test_hum_in_a_whole_image_is_none() -> None:
    for seed in range(3):
        lattices = measure_whole(tensor(hum(256, seed))).lattices
        assert not lattices or lattices[0].evidence < 10
