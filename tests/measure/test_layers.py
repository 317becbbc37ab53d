"""Layers: a second lattice that shows wherever the first does is found, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.layers import beneath, without_lattice
from bravaismap.measure.spots import standardize
from bravaismap.measure.whole_image import measure_whole
from tests.shared.lattice_images import atoms

SIDE = 256


def hexagonal(a: float, degrees: float) -> np.ndarray:
    return basis_from_cell(a, a, np.radians(60), np.radians(degrees))


def noisy(image: np.ndarray, share: float = 0.5) -> torch.Tensor:
    noise = np.random.default_rng(3).standard_normal(image.shape)
    return torch.from_numpy((image + share * image.std() * noise).astype(np.float32))


def turn(second: np.ndarray, first: np.ndarray) -> float:
    """Smallest angle between vectors of two hexagonal lattices, in degrees."""
    angle = [np.degrees(np.arctan2(vectors[0, 0], vectors[0, 1])) for vectors in (second, first)]
    return abs((angle[1] - angle[0] + 30) % 60 - 30)


def test_a_lattice_that_is_taken_out_leaves_the_noise() -> None:
    basis = hexagonal(11, 8)
    plain = standardize(noisy(atoms(basis, (SIDE, SIDE), noise=0))[None])
    left = without_lattice(plain, torch.from_numpy(basis)[None])
    taper = np.outer(np.hanning(SIDE), np.hanning(SIDE)).astype(np.float32)
    noise = 0.5 / np.sqrt(1 + 0.5**2)
    assert float(left.std()) == pytest.approx(noise * np.sqrt((taper**2).mean()), rel=0.1)


@pytest.mark.parametrize(("a", "degrees", "strength"), [(10.0, 9.0, 1.0), (12.3, 0.0, 0.7), (12.3, 15.0, 0.5)])
def test_a_second_layer_is_found_beneath_the_first(a: float, degrees: float, strength: float) -> None:
    first, second = hexagonal(10, 10), hexagonal(a, 10 + degrees)
    both = atoms(first, (SIDE, SIDE), noise=0) + strength * atoms(second, (SIDE, SIDE), noise=0)
    plain = standardize(noisy(both)[None])
    measured = beneath(plain, torch.from_numpy(first)[None])
    assert float(measured.evidence) > 50
    np.testing.assert_allclose(np.linalg.norm(measured.basis[0].numpy(), axis=1), a, rtol=0.005)
    assert turn(measured.basis[0].numpy(), second) < 0.3
    lattices = measure_whole(noisy(both)).lattices
    assert len(lattices) == 2
    assert turn(lattices[1].basis, lattices[0].basis) == pytest.approx(degrees, abs=0.3)
    assert lattices[1].share == pytest.approx(1.0, abs=0.3)


def test_a_crystal_with_antiphase_boundaries_is_one_lattice() -> None:
    basis = hexagonal(12, 20)
    halves = [atoms(basis, (SIDE, SIDE), noise=0, origin=origin) for origin in ((3.0, 5.0), (9.0, 5.0))]
    image = np.where(np.arange(SIDE) > 0.55 * SIDE, *halves)
    assert len(measure_whole(noisy(image)).lattices) == 1
    assert len(measure_whole(noisy(halves[0])).lattices) == 1
