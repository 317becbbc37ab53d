"""Nodes: power at them, around them and in other directions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.measure.indexing import index_spots
from bravaismap.measure.measurement import measure
from bravaismap.measure.nodes import broad_power, distinct_power, level_at, ring_power, streak_power
from bravaismap.measure.odds import none_probability
from bravaismap.measure.spots import Spectrum, Spots, standardize, whitened_power

SIDE = 128


def noise_between(low: float, high: float, count: int, seed: int = 0) -> torch.Tensor:
    """Return white noise of which only the frequencies between two (cycles per px) are left."""
    frequency = np.fft.fftfreq(SIDE)
    radius = np.hypot(frequency[:, None], frequency)
    white = np.fft.fft2(np.random.default_rng(seed).normal(size=(count, SIDE, SIDE)))
    return torch.from_numpy(np.fft.ifft2(white * ((radius > low) & (radius < high))).real.astype(np.float32))


def wave(k_y: float, k_x: float) -> torch.Tensor:
    line = torch.arange(SIDE) / SIDE
    return torch.cos(2 * torch.pi * (k_y * line[:, None] + k_x * line))[None]


def test_ring_power_is_that_of_the_other_directions() -> None:
    power = torch.ones(1, SIDE, SIDE // 2 + 2)
    rows, columns = torch.meshgrid(torch.arange(SIDE) - SIDE // 2, torch.arange(SIDE // 2 + 2) - 1, indexing="ij")
    ring = (torch.hypot(rows.float(), columns.float()) - 20).abs() < 4
    power[:, ring] = 5.0
    power[0, SIDE // 2, 21] = 1000.0  # one spot on the ring
    spectrum = Spectrum(power, torch.ones_like(power))
    on, off = ring_power(spectrum, torch.tensor([[[0.0, 20.0], [0.0, 40.0]]]))[0, 0]
    assert float(on) == 5.0
    assert float(off) == 1.0


def test_a_spot_keeps_its_broad_power_and_a_ring_loses_it() -> None:
    spot = standardize(wave(11.4, 17.2) + noise_between(0.0, 0.5, 1))
    ring = standardize(noise_between(0.12, 0.2, 1))
    at = torch.tensor([[[11.4, 17.2]]])
    for image, keeps in ((spot, True), (ring, False)):
        spectrum = whitened_power(image)
        local, both = broad_power(spectrum, at), broad_power(spectrum, at, rings=True)
        assert bool((both <= local + 1e-4).all())
        if keeps:
            assert float(both[0]) > 20
        else:
            assert float(both.max()) < 6


def test_a_wave_counts_by_how_it_stands_out_of_a_streak() -> None:
    power = torch.ones(1, SIDE - 1, SIDE // 2 + 2)
    power[:, :, 21] = 40.0  # rows that are displaced smear a spot along k_y
    power[0, 63 + 5, 21] = power[0, 63 + 5, 41] = 100.0
    spectrum = Spectrum(power, torch.ones_like(power))
    at = torch.tensor([[[5.0, 20.0], [5.0, 40.0], [-5.0, -20.0]]])
    streak = streak_power(spectrum, at)[0]
    assert float(streak[0] / streak[1]) == pytest.approx(40)
    assert float(streak[2]) == float(streak[0])
    smeared, sharp, _ = distinct_power(spectrum, at)[0][0].tolist()
    assert smeared < 3 < 50 < sharp


def test_the_level_of_a_node_is_that_of_its_bin_in_either_half_plane() -> None:
    level = torch.arange(16.0)[:, None] * 100 + torch.arange(10.0)  # rows k_y = −8 to 7, columns k_x = −1 to 8
    spectrum = Spectrum(torch.ones(1, 16, 10), level[None])
    position = torch.tensor([[[3.2, 4.4], [-3.2, -4.4], [-8.0, 0.0], [0.0, 7.6]]])
    assert level_at(spectrum, position).tolist() == [[1105.0, 1105.0, 1.0, 809.0]]


def test_spots_on_one_line_give_no_degenerate_basis() -> None:
    line = torch.arange(1.0, 13.0)[None, :, None] * torch.tensor([7.0, 0.0])
    basis, _ = index_spots(Spots(line, torch.full((1, 12), 50.0), 0.25), 6)
    assert bool((torch.linalg.det(basis).abs() > 1).all())


def test_amorphous_rings_are_none() -> None:
    for low, high in ((0.03, 0.12), (0.06, 0.10)):
        evidence = measure(noise_between(low, high, 64)).evidence.numpy()
        assert (none_probability(evidence) > 0.5).mean() > 0.96
