"""Ordering: which lattices are superlattices, and of what."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from lattice_images import atoms

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure import ordering
from bravaismap.measure.ordering import finer_lattice

HEXAGONAL = basis_from_cell(9.0, 9.0, np.pi / 3, 0.4)
SQUARE = basis_from_cell(10.0, 10.0, np.pi / 2, 0.3)


def ordered(finer: np.ndarray, matrix: np.ndarray, height: float) -> tuple[torch.Tensor, np.ndarray]:
    """An image of a lattice whose atoms are modulated with the period of a superlattice, and the basis of that one."""
    basis = matrix @ finer
    y, x = np.mgrid[:192, :192]
    waves = [np.cos(2 * np.pi * (k[0] * y + k[1] * x)) for k in np.linalg.inv(basis).T]
    image = atoms(finer, (192, 192), noise=0.0, origin=(0.0, 0.0)) * (1 + height * (waves[0] + waves[1]))
    noise = 0.1 * image.std() * np.random.default_rng(1).standard_normal(image.shape)
    return torch.from_numpy((image + noise).astype(np.float32))[None], basis


@pytest.mark.parametrize(
    ("finer", "matrix"),
    [
        (SQUARE, [[1, 0], [0, 2]]),
        (SQUARE, [[1, 1], [-1, 1]]),
        (HEXAGONAL, [[1, 1], [-1, 2]]),
        (SQUARE, [[2, 0], [0, 2]]),
    ],
)
def test_a_superlattice_has_its_finer_lattice(finer: np.ndarray, matrix: list[list[int]]) -> None:
    image, basis = ordered(finer, np.array(matrix), 0.1)
    found = finer_lattice([image], basis)
    assert found is not None
    assert abs(round(np.linalg.det(found))) == abs(round(np.linalg.det(matrix)))
    change = np.linalg.solve(found, basis) @ np.linalg.inv(finer)
    np.testing.assert_allclose(change, np.rint(change), atol=1e-3)


@pytest.mark.parametrize("width", [1.5, 2.5])
def test_a_strong_modulation_hides_no_finer_lattice_however_wide_the_atoms(
    crystal: Callable[..., np.ndarray], width: float
) -> None:
    matrix = np.array([[3, 0], [0, 3]])
    basis = matrix @ HEXAGONAL
    y, x = np.mgrid[:192, :192]
    waves = sum(np.cos(2 * np.pi * (k[0] * y + k[1] * x)) for k in np.linalg.inv(basis).T)
    image = crystal((192, 192), HEXAGONAL, width=width) * (1 + 0.2 * waves)
    image = image + 0.1 * image.std() * np.random.default_rng(1).standard_normal(image.shape)
    found = finer_lattice([torch.from_numpy(image.astype(np.float32))[None]], basis)
    assert found is not None
    assert abs(round(np.linalg.det(found))) == 9


def test_a_lattice_of_its_own_has_none() -> None:
    for name, basis in (("square", SQUARE), ("hexagonal", HEXAGONAL)):
        image = torch.from_numpy(atoms(basis, (192, 192), noise=0.3))[None]
        assert finer_lattice([image], basis) is None, name
    honeycomb = ((0.0, 0.0, 1.0), (1 / 3, 1 / 3, 1.0))
    image = torch.from_numpy(atoms(HEXAGONAL, (192, 192), noise=0.1, motif=honeycomb))[None]
    assert finer_lattice([image], HEXAGONAL) is None


def test_an_order_that_noise_hides_is_none() -> None:
    image, basis = ordered(SQUARE, np.array([[1, 0], [0, 2]]), 0.0)
    assert finer_lattice([image + torch.randn(image.shape, generator=torch.Generator().manual_seed(1))], basis) is None


def test_nodes_far_beyond_all_falls_say_nothing_of_the_share() -> None:
    square, member = np.array([1.0, 1.0, 2000.0, 4000.0]), np.array([True, True, False, False])
    share = ordering._share(np.array([50.0, 60.0, 1.0, 1.0]), np.ones(4), square, member, 4)
    assert share == 1


def test_a_crystal_without_noise_is_no_superlattice() -> None:
    """The tails of its waves are a streak through the others, which are as strong as they are all the same."""
    basis = basis_from_cell(20.0, 20.0, np.pi / 3, np.radians(4))
    image = atoms(basis, (192, 192), noise=0.0, origin=(0.0, 0.0))
    assert finer_lattice([torch.from_numpy(image)[None]], basis) is None
