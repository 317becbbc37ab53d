"""Tile sums: Fourier sums of each tile by their definition, turned as a move of the node turns them, and by groups."""

from __future__ import annotations

import math

import pytest
import torch

from bravaismap.measure import settings
from bravaismap.measure.tapered_tiles import tapered_tiles
from bravaismap.measure.tile_sums import (
    Waves,
    amplitude,
    first_moments,
    grouped_tiles,
    second_moments,
    strength,
    turned,
)

TILES = settings.SETTINGS.refinement.tiles
CPU = torch.device("cpu")
SIZE = (64, 96)
POSITION = torch.tensor([[[3.3, -7.2], [0.4, 11.0]], [[5.0, 2.0], [-9.7, 4.1]]])


def random_sums(nodes: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, nodes, TILES**2, dtype=torch.complex64, generator=generator)


def definition(tiles: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Return the Fourier sums of one window's tiles, (tiles, pixels), at one node, about the centre of the window."""
    height, width = SIZE[0] // TILES, SIZE[1] // TILES
    image = tiles.reshape(TILES, TILES, height, width).double()
    y = (torch.arange(SIZE[0]) + 0.5 - SIZE[0] / 2).reshape(TILES, 1, height, 1) / SIZE[0]
    x = (torch.arange(SIZE[1]) + 0.5 - SIZE[1] / 2).reshape(1, TILES, 1, width) / SIZE[1]
    phase = -2 * math.pi * (position[0] * y + position[1] * x)
    return (image * torch.complex(phase.cos(), phase.sin())).sum((2, 3)).flatten()


def test_sums_are_those_of_the_definition() -> None:
    tiles = tapered_tiles(torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(0))).tiles
    sums = Waves(SIZE, POSITION).demodulate(tiles)
    for window in range(2):
        for node in range(2):
            exact = definition(tiles[window], POSITION[window, node].double())
            torch.testing.assert_close(sums[window, node].to(torch.complex128), exact, atol=1e-4, rtol=1e-4)


def test_image_of_waves_is_their_sum_with_their_conjugates() -> None:
    waves = Waves(SIZE, POSITION)
    for amplitudes in (random_sums(2), random_sums(2)[..., :1]):
        image = waves.synthesize(amplitudes)
        # the product with a wave, summed over pixels, is the same from either side
        tiles = torch.rand(2, TILES**2, image.shape[-1], generator=torch.Generator().manual_seed(1))
        left = (image * tiles).sum((1, 2))
        right = 2 * (amplitudes.conj() * waves.demodulate(tiles)).real.sum((1, 2))
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-2)


def test_moved_nodes_turn_the_sums() -> None:
    tiles = tapered_tiles(torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(2))).tiles
    shift = torch.tensor([0.02, -0.03])
    moved = turned(Waves(SIZE, POSITION).demodulate(tiles), shift.expand_as(POSITION))
    exact = Waves(SIZE, POSITION + shift).demodulate(tiles)
    assert float((moved - exact).abs().max() / exact.abs().max()) < 0.02  # but for what turns within a tile
    back = turned(turned(exact, POSITION), -POSITION)
    torch.testing.assert_close(back, exact, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_groups_add_up_their_own_tiles(groups: int) -> None:
    sums, grouping = random_sums(), grouped_tiles(TILES, groups, CPU)
    side = TILES // groups
    by_group = sums.reshape(2, 3, groups, side, groups, side).sum((3, 5))
    torch.testing.assert_close(strength(sums, grouping), by_group.abs().square().sum((2, 3)), rtol=1e-4, atol=1e-3)
    every = by_group.repeat_interleave(side, 2).repeat_interleave(side, 3).flatten(2)
    torch.testing.assert_close(amplitude(sums, grouping).expand_as(every), every, rtol=1e-4, atol=1e-4)
    assert grouping.groups == groups**2


@pytest.mark.parametrize("groups", [1, 2])
def test_moments_weigh_the_tiles_by_their_places(groups: int) -> None:
    sums, grouping = random_sums(), grouped_tiles(TILES, groups, CPU)
    line = (torch.arange(TILES) + 0.5) / TILES - 0.5
    y, x = line.repeat_interleave(TILES), line.repeat(TILES)
    first, second = first_moments(sums, grouping), second_moments(sums, grouping)
    for number, weight in enumerate((torch.ones_like(y), y, x, y * y, y * x, x * x)):
        exact = grouping.total(sums * weight)
        torch.testing.assert_close(second[:, :, number], exact, rtol=1e-4, atol=1e-4)
        if number < 3:
            torch.testing.assert_close(first[:, :, number], exact, rtol=1e-4, atol=1e-4)


def test_white_noise_left_by_groups_is_what_they_keep() -> None:
    generator, side = torch.Generator().manual_seed(3), TILES // 2
    near = (1 - (torch.arange(TILES)[:, None] - torch.arange(TILES)).abs() / 2).clamp_min(0)
    noise = torch.randn(4000, TILES, TILES, generator=generator)
    means = noise.reshape(-1, 2, side, 2, side).mean((2, 4), keepdim=True)
    rest = (noise.reshape(-1, 2, side, 2, side) - means).reshape(noise.shape)
    kept = (rest * (near @ rest @ near)).mean() / (noise * (near @ noise @ near)).mean()
    assert grouped_tiles(TILES, 2, CPU).kept == pytest.approx(float(kept), rel=0.05)
