"""Quasicrystals have rings that no lattice has; layers and grains with such a ring keep their lattices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.measurement import leveled_view, measure
from bravaismap.measure.quasicrystals import Rings, rings
from bravaismap.measure.spots import find_spots
from bravaismap.measure.whole_image import look_at_window, measure_whole
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

_SIDE = 160


def _waves(fold: int, side: int = _SIDE, period: float = 9.3, strength: float = 1.0) -> NDArray[np.floating]:
    """Sum of fold / 2 waves with their products, and noise."""
    rng = np.random.default_rng(fold)
    angle = 0.3 + 2 * np.pi * np.arange(fold // 2) / fold
    y, x = np.mgrid[:side, :side]
    phase = 2 * np.pi / period * (y[..., None] * np.sin(angle) + x[..., None] * np.cos(angle))
    total = np.cos(phase + rng.uniform(0, 2 * np.pi, len(angle))).sum(-1)
    image = np.exp(strength * total / total.std())
    return np.asarray(image / image.std() + 0.4 * rng.standard_normal((side, side)), np.float32)


def _crystal(gamma: float, turn: float, side: int = _SIDE) -> NDArray[np.floating]:
    basis = basis_from_cell(9.5, 9.5, np.radians(gamma), np.radians(turn))
    sites = lattice_sites(basis, (side, side), np.array([3.0, 5.0]), 20)
    return np.asarray(gaussian_atoms(sites, np.ones(len(sites)), np.full(len(sites), 1.8), (side, side)))


def _rings(image: NDArray[np.floating]) -> Rings:
    view = leveled_view(torch.from_numpy(np.asarray(image, np.float32))[None])
    return rings(view.plain, find_spots(view.spectrum, brightest=False), view.spectrum)


def _noisy(image: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(image / image.std() + 0.4 * np.random.default_rng(0).standard_normal(image.shape), np.float32)


@pytest.mark.parametrize("fold", [8, 10, 12])
def test_a_ring_is_found_with_its_waves_and_their_sums(fold: int) -> None:
    seen = _rings(_waves(fold))
    assert seen.fold.item() == fold
    assert seen.sums.item()
    own = seen.waves[0, : fold // 2]
    assert torch.allclose(own.norm(dim=1), torch.full((fold // 2,), _SIDE / 9.3), atol=0.3)
    angle = torch.atan2(own[:, 0], own[:, 1]) % (2 * np.pi / fold)
    assert torch.allclose(angle, torch.full_like(angle, 0.3), atol=0.03)
    assert not seen.waves[0, fold // 2 :].any()


@pytest.mark.parametrize("fold", [8, 10, 12])
def test_a_quasicrystal_has_no_lattice_as_a_window_and_as_an_image(fold: int) -> None:
    window = torch.from_numpy(_waves(fold))
    assert measure(window[None]).evidence.item() == 0
    image = measure_whole(torch.from_numpy(_waves(fold, side=224)))
    assert image.lattices == ()
    assert image.ring == fold
    assert image.period is None
    assert look_at_window(window, None).ring == fold


@pytest.mark.parametrize(("fold", "steep"), [(10, False), (8, True), (12, True)])
def test_a_quasicrystal_without_noise_has_no_lattice(fold: int, steep: bool) -> None:
    y, x = np.mgrid[:320, :320]
    angle = 0.2 + 2 * np.pi * np.arange(fold // 2) / fold
    phase = 2 * np.pi / 14 * (y[..., None] * np.sin(angle) + x[..., None] * np.cos(angle))
    total = np.cos(phase + 0.3 * np.arange(fold // 2)).sum(-1)
    image = measure_whole(torch.from_numpy(np.exp(total) if steep else total))
    assert image.lattices == ()
    assert image.ring == fold
    assert image.pickup == 0


@pytest.mark.parametrize("gamma", [60.0, 90.0])
def test_two_layers_keep_their_lattices_and_the_ring_is_told(gamma: float) -> None:
    image = _noisy(_crystal(gamma, 10, 256) + _crystal(gamma, 10 + gamma / 2, 256))
    look = measure_whole(torch.from_numpy(image))
    assert len(look.lattices) == 2
    assert look.ring == round(720 / gamma)
    for lattice in look.lattices:
        assert abs(np.linalg.det(lattice.basis)) == pytest.approx(9.5**2 * np.sin(np.radians(gamma)), rel=0.02)


@pytest.mark.parametrize("gamma", [60.0, 90.0])
def test_two_grains_are_no_ring(gamma: float) -> None:
    image = _crystal(gamma, 10)
    image[:, _SIDE // 2 :] = _crystal(gamma, 10 + gamma / 2)[:, _SIDE // 2 :]
    assert _rings(_noisy(image)).fold.item() == 0


@pytest.mark.parametrize("gamma", [60.0, 72.0, 90.0])
def test_a_crystal_has_no_ring(gamma: float) -> None:
    assert _rings(_noisy(_crystal(gamma, 10))).fold.item() == 0


def test_waves_of_one_layer_alone_are_those_of_its_lattice() -> None:
    first, angle = 12.0, np.radians(np.arange(6) * 30)
    waves = torch.from_numpy(first * np.stack([np.sin(angle), np.cos(angle)], 1)).float()[None]
    layer = waves[:, [0, 2]]
    seen = Rings(torch.tensor([12]), waves, torch.tensor([False]))
    assert not seen.quasicrystalline(layer).item()
    assert seen.quasicrystalline(layer / 2).item()  # a larger cell that fits them by accident
    assert seen.quasicrystalline(waves[:, [0, 1]]).item()
    with_sums = Rings(torch.tensor([12]), waves, torch.tensor([True]))
    assert with_sums.quasicrystalline(layer).item()
