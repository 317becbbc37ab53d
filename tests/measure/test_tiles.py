"""Mean spectra over tiles: a mean power is as rare as the single power that stands for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lattice_images import cell_basis, plane_waves

from bravaismap.measure.spots import whitened_power
from bravaismap.measure.tiles import as_single, cut_tiles, independent_tiles, tile_spectrum


def white(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(("size", "groups"), [((128, 128), 2), ((96, 128), 4), ((101, 75), 2)])
def test_tiles_overlap_by_half_and_reach_the_far_edge(size: tuple[int, int], groups: int) -> None:
    image = torch.arange(size[0] * size[1], dtype=torch.float32).reshape(1, *size)
    tiles = cut_tiles(image, groups)
    side = tuple(length // groups for length in size)
    assert tiles.shape[2:] == side
    assert tiles.shape[1] >= (2 * groups - 1) ** 2
    first = tiles[0, :, 0, 0].long()
    assert int((first // size[1]).max()) >= size[0] - 1.5 * side[0]
    assert torch.equal(tiles[0, 1], image[0, : side[0], side[1] // 2 : side[1] // 2 + side[1]])


def test_one_tile_is_the_window() -> None:
    images = white(1, 3, 64, 64)
    torch.testing.assert_close(tile_spectrum(images, 1).power, whitened_power(images).power)


@pytest.mark.parametrize("groups", [2, 4])
def test_the_mean_over_tiles_scatters_as_that_over_independent_ones(groups: int) -> None:
    images = white(2, 200, 64, 64)
    spectrum = tile_spectrum(images, groups)
    power = (spectrum.power * spectrum.level)[:, 3:-3, 4:-2]  # not the local level, which has errors of its own
    relative = power.var(0).mean() / power.mean() ** 2
    assert float(1 / relative) == pytest.approx(independent_tiles(images, groups), rel=0.1)


@pytest.mark.parametrize("count", [1, 9, 45])
def test_a_mean_power_is_exceeded_as_seldom_as_the_single_power_that_stands_for_it(count: int) -> None:
    means = np.random.default_rng(3).gamma(count, 1 / count, 200_000)
    single = as_single(torch.from_numpy(means), count)
    for level in (0.5, 1.0, 3.0, 6.0):  # a power of noise exceeds x with the probability exp(−x)
        assert float((single > level).double().mean()) == pytest.approx(np.exp(-level), rel=0.1)


def test_more_power_stands_for_more_power_however_much() -> None:
    power = torch.logspace(-6, 6, 200)
    single = as_single(power, 9.0)
    assert torch.isfinite(single).all()
    assert (single.diff() > 0).all()


def test_waves_whose_phase_jumps_keep_their_spots() -> None:
    basis, size = cell_basis("hexagonal"), (128, 128)
    halves = [plane_waves(basis, size, noise=0.5, seed=seed) for seed in (1, 2)]
    y, x = np.mgrid[:128, :128]
    moved = np.roll(halves[1], (0, 5), axis=(0, 1))  # half of a along x, as the spacing of the rows is 10 px
    image = torch.from_numpy(np.where(x + y < 128, halves[0], moved).astype(np.float32))[None]
    k = np.linalg.inv(basis).T * 64
    spectrum = tile_spectrum(image, 2)
    for node in (k[0], k[1], k[1] - k[0]):
        node = node if node[1] >= 0 else -node
        row, column = round(float(node[0])) + spectrum.power.shape[1] // 2, round(float(node[1])) + 1
        assert float(spectrum.power[0, row, column]) > 20
