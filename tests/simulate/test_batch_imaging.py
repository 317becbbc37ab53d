"""Images of many atoms at a time: those of one image, blurs of known width, lines at known places, noise in a ring."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bravaismap.simulate.batch.atoms import AtomTable
from bravaismap.simulate.batch.draws import Draws, Purpose, RecipeTable
from bravaismap.simulate.batch.imaging import (
    atom_images,
    deviations,
    displaced_lines,
    gaussian_images,
    probed_lines,
    speckles,
    transfer,
)
from bravaismap.simulate.crystal import gaussian_atoms
from bravaismap.simulate.instrument import PROBE_MARGIN
from bravaismap.simulate.recipe import Recipe


def drawn(recipe: Recipe, count: int) -> Draws:
    number = torch.arange(count)
    return Draws.of(RecipeTable([recipe], "cpu"), torch.zeros_like(number), 2, number)


def atoms_of(*numbers: int) -> AtomTable:
    rng = np.random.default_rng(1)
    count = sum(numbers)
    position, height, width = (
        torch.from_numpy(values.astype(np.float32))
        for values in (rng.uniform(-8, 80, (count, 2)), rng.uniform(0.3, 1, count), rng.uniform(0.7, 6, count))
    )
    return AtomTable(torch.tensor([0, *np.cumsum(numbers)]), position, height, width)


@pytest.mark.parametrize("tile", [16, 32])
def test_images_are_those_of_the_atoms_one_by_one(tile: int) -> None:
    atoms = atoms_of(40, 0, 700, 3)
    rows = torch.tensor([3, 2, 1, 0])
    images = atom_images(atoms, rows, (2, -3), (50, 71), tile).numpy()
    for image, window in zip(images, rows.tolist(), strict=True):
        at = slice(int(atoms.first[window]), int(atoms.first[window + 1]))
        position = atoms.position[at].numpy() - np.array([2, -3])
        expected = gaussian_atoms(position, atoms.height[at].numpy(), atoms.width[at].numpy(), (50, 71))
        np.testing.assert_allclose(image, expected, atol=2e-5)
    assert images[1].max() > 0.1
    assert not images[2].any()


def test_gaussians_have_their_place_height_and_width() -> None:
    axis = torch.arange(64.0)
    place, height, width = (torch.tensor(values) for values in ([[[20.25, 31.5]]], [[3.0]], [[2.0]]))
    image = gaussian_images(place, height, width, axis)[0].numpy()
    y, x = np.mgrid[:64, :64]
    np.testing.assert_allclose(image, 3 * np.exp(-((y - 20.25) ** 2 + (x - 31.5) ** 2) / 8), atol=2e-6)


def test_lines_move_by_what_is_asked() -> None:
    image = torch.rand(2, 3, 32, generator=torch.Generator().manual_seed(0))
    moved = displaced_lines(image, torch.tensor([[0.0, 1.0, -3.0], [2.0, 0.0, 0.0]]))
    for line, source, step in (
        (moved[0, 1], image[0, 1], 1),
        (moved[0, 2], image[0, 2], -3),
        (moved[1, 0], image[1, 0], 2),
    ):
        torch.testing.assert_close(line, source.roll(step), atol=1e-5, rtol=0)
    y = torch.arange(32.0)
    wave = torch.cos(2 * math.pi * 3 * y / 32)[None, None]
    torch.testing.assert_close(
        displaced_lines(wave, torch.tensor([[0.4]])), torch.cos(2 * math.pi * 3 * (y - 0.4) / 32)[None, None]
    )


def test_probe_widens_an_atom_along_two_directions_and_adds_a_tail() -> None:
    """The second moments of the image of a point are those of the probe."""
    base = {"tilt": (0.8, 0.8), "astigmatism": (0.5, 0.5)}
    side = 64
    shape = side + 2 * PROBE_MARGIN, side + 2 * PROBE_MARGIN
    point = torch.zeros(6, *shape)
    point[:, 40, 40] = 1
    scale = torch.full((6,), 2.0, dtype=torch.float64)
    y, x = (axis - (40 - PROBE_MARGIN * (i == 0)) for i, axis in enumerate(np.mgrid[:side, : shape[1]].astype(float)))
    for tail in (0.0, 0.4):
        draws = drawn(Recipe("square", tail=(tail, tail), **base), 6)
        images = probed_lines(point, transfer(draws, scale, *shape), None).numpy()
        angle = np.pi * draws.units("probe").numpy()
        np.testing.assert_allclose(images.sum(axis=(1, 2)), 1, atol=1e-3)
        core = sum(
            (w * 2.0) ** 2 * np.stack([np.sin(a) ** 2, np.cos(a) ** 2, np.sin(a) * np.cos(a)])
            for w, a in zip((0.8, 0.5), angle.T, strict=True)
        )
        expected = (1 - tail) * core + tail * 8.0**2 * np.array([[1], [1], [0]])
        found = np.stack([(images * m).sum(axis=(1, 2)) for m in (y * y, x * x, y * x)])
        np.testing.assert_allclose(found, expected, atol=0.25 if tail else 0.05)


def test_probe_and_displaced_lines_are_one_after_the_other() -> None:
    draws = drawn(Recipe("square", tilt=(0.5, 0.5)), 2)
    image = torch.rand(2, 48, 61, generator=torch.Generator().manual_seed(0))
    factor = transfer(draws, torch.full((2,), 2.0, dtype=torch.float64), 48, 61)
    shift = torch.linspace(-2, 2, 64).view(2, 32)
    both = probed_lines(image, factor, shift)
    torch.testing.assert_close(both, displaced_lines(probed_lines(image, factor, None), shift), atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [64, 63])
def test_speckles_lie_in_a_ring(side: int) -> None:
    draws, radius = drawn(Recipe("none"), 400), 0.15
    field = speckles(draws, Purpose.AMORPHOUS, side, torch.full((400,), radius, dtype=torch.float64))
    torch.testing.assert_close(deviations(field), torch.ones(400, 1, 1))
    power = torch.fft.fft2(field).abs().square().mean(dim=0).numpy()
    ky, kx = np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij")
    k = np.hypot(ky, kx)
    profile = np.exp(-(((k - radius) / (0.25 * radius)) ** 2))
    ring = profile > 0.3
    ratio = power[ring] / profile[ring]
    assert ratio.std() / ratio.mean() < 0.09  # 1/√400 is 0.05, and 0.07 of real lines
    assert ratio[kx[ring] == 0].mean() == pytest.approx(ratio.mean(), rel=0.06)
    assert ratio[ky[ring] == 0].mean() == pytest.approx(ratio.mean(), rel=0.06)
    assert power[k < 0.03].max() < 1e-3 * power[ring].max()
