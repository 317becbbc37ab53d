"""Regions: holes and patches of another level are found, and a faint lattice beside them is measured."""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure import settings
from bravaismap.measure.measurement import measure
from bravaismap.measure.odds import none_probability
from bravaismap.measure.regions import other_regions, without_regions
from bravaismap.measure.spots import standardize
from tests.shared.lattice_images import atoms

SIDE = 128
Y, X = np.mgrid[:SIDE, :SIDE]
HOLE = (Y - 70) ** 2 + (X - 85) ** 2 < 24**2
NOISE = 3.2  # of a pixel, in standard deviations of the lattice
PATCH = (Y < 34) & (X < 50)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((SIDE, SIDE))


def faint(seed: int) -> np.ndarray:
    """Graphene at few counts, with a hole and a patch of contamination that is bright and rough."""
    basis = basis_from_cell(10.0, 10.0, np.radians(60), np.radians(10 + 7 * seed))
    honeycomb = atoms(basis, (SIDE, SIDE), noise=0, motif=((0, 0, 1), (1 / 3, 1 / 3, 1)))
    image = 20 + honeycomb / honeycomb.std() + NOISE * noise(seed)
    return np.where(HOLE, 2 * noise(50 + seed), np.where(PATCH, 60 + 15 * noise(90 + seed), image))


def tensor(*images: np.ndarray) -> torch.Tensor:
    return standardize(torch.from_numpy(np.stack(images).astype(np.float32)))


def test_holes_and_patches_are_found_and_left_out() -> None:
    images = tensor(faint(1), noise(2))
    other = other_regions(images)
    assert other[0].numpy()[HOLE & (Y < 88)].mean() > 0.95
    assert other[0].numpy()[PATCH].mean() > 0.95
    beyond = ~HOLE & ~PATCH & ((Y - 70) ** 2 + (X - 85) ** 2 > 38**2) & ((Y > 50) | (X > 66))
    assert other[0].numpy()[beyond].mean() < 0.02
    assert other[1].float().mean() < 0.02
    left = without_regions(images[:1], other[:1])[0].numpy()
    assert np.abs(left[(Y - 70) ** 2 + (X - 85) ** 2 < 15**2]).max() < 1e-6
    assert abs(left[beyond].mean()) < 0.05 * left[beyond].std()


def test_a_faint_lattice_beside_a_hole_is_measured() -> None:
    images = tensor(*(faint(seed) for seed in range(12)))
    measured = measure(images)
    alone = measure(images, again=False)
    right = none_probability(measured.evidence.numpy()) < 0.5
    assert right.mean() > 0.8
    assert (none_probability(alone.evidence.numpy()) < 0.5).mean() < 0.4
    sides = np.linalg.norm(measured.basis.numpy()[right], axis=2)
    np.testing.assert_allclose(sides, 10.0, rtol=0.05)


@pytest.mark.parametrize("level", [1.0, 25.0])
def test_noise_with_a_hole_stays_none(level: float) -> None:
    images = tensor(*(np.where(HOLE, level + noise(70 + seed), 10 + noise(seed)) for seed in range(30)))
    assert (none_probability(measure(images).evidence.numpy()) > 0.5).all()


def test_a_window_that_is_one_value_beside_a_strip_of_crystal_has_no_lattice() -> None:
    atoms_of_strip = atoms(basis_from_cell(13.0, 13.0, np.radians(60), 0.2), (SIDE, SIDE), noise=0.1)
    images = tensor(np.where(Y < 12, atoms_of_strip, 0.0), np.where(Y < 12, 0.0, atoms_of_strip))
    assert not other_regions(images[:1]).any()
    assert other_regions(images[1:])[0].numpy()[Y < 12].all()
    none = none_probability(measure(images).evidence.numpy())
    assert none[0] > 0.5
    assert none[1] < 0.01


def small(lattice: float, seed: int) -> np.ndarray:
    """A window of 64 px with bright adsorbates and a hole, and a lattice of 6 px that is as high as said."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:64, :64]
    basis = basis_from_cell(6.0, 6.0, np.radians(60), np.radians(11 * seed))
    crystal = atoms(basis, (64, 64), noise=0, motif=((0, 0, 1),))
    image = lattice * crystal / crystal.std() + gaussian_filter(rng.standard_normal((64, 64)), 0.7) / 0.4
    for _ in range(6):
        at = rng.uniform(5, 59, 2)
        image += 25 * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * 2.5**2))
    at = rng.uniform(10, 54, 2)
    return np.where(((y - at[0]) / 5) ** 2 + ((x - at[1]) / 10) ** 2 < 1, image - 25, image)


def test_adsorbates_in_a_small_window_do_not_hide_many_cells() -> None:
    measured = measure(tensor(*(small(0.6, seed) for seed in range(24))))
    right = none_probability(measured.evidence.numpy()) < 0.5
    assert right.mean() > 0.65
    sides = np.linalg.norm(measured.basis.numpy()[right], axis=2)
    assert (np.abs(sides - 6.0).max(1) < 0.6).mean() > 0.9
    without = measure(tensor(*(small(0.0, seed) for seed in range(24))))
    assert (none_probability(without.evidence.numpy()) > 0.5).all()


def test_a_lattice_of_too_few_rows_does_not_count_beside_regions() -> None:
    images = tensor(*(small(0.6, seed) for seed in range(12)))
    regions = replace(settings.SETTINGS.regions, fewest_rows=30.0)
    with mock.patch.object(settings, "SETTINGS", replace(settings.SETTINGS, regions=regions)):
        measured = measure(images)
    assert (none_probability(measured.evidence.numpy()) < 0.5).mean() < 0.4
