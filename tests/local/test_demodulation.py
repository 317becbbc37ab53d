"""Demodulation: the amplitude of a wave is the weighted mean written out."""

from __future__ import annotations

import torch
from two_atoms import BASIS

from bravaismap.local.demodulation import demodulate, lattice_nodes


def test_an_amplitude_is_the_weighted_mean_written_out() -> None:
    generator = torch.Generator().manual_seed(2)
    image, share = torch.rand(2, 90, 110, dtype=torch.float64, generator=generator)
    order = lattice_nodes(BASIS)
    waves = demodulate(image, share, BASIS, order, 12.0, 6)
    y, x = torch.meshgrid(torch.arange(90).double(), torch.arange(110).double(), indexing="ij")
    distance = (y - 42) ** 2 + (x - 60) ** 2
    weight = share * torch.exp(-distance / 288)
    for number in (0, 3):
        g = waves.frequency[number]
        expected = (weight * image * torch.exp(-2j * torch.pi * (g[0] * y + g[1] * x))).sum() / weight.sum()
        torch.testing.assert_close(waves.amplitude[number, 7, 10], expected, rtol=5e-4, atol=1e-5)
