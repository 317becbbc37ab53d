"""Regions: holes and patches of another level are found, and a faint lattice beside them is measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.lattice.basis import basis_from_cell
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
