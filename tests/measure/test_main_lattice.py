"""The main lattice of a strongly modulated crystal is that about which its satellites are symmetrical."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bravaismap.lattice.basis import basis_from_cell, reduce_basis
from bravaismap.measure.main_lattice import main_lattice
from bravaismap.measure.spots import standardize
from bravaismap.measure.whole_image import measure_whole
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

_SIDE = 256
#: Of charge density waves at 120°, in the reciprocal basis of a hexagonal lattice with 60° between its vectors.
_THREE = np.array([[0.297, 0.382], [-0.383, -0.087], [0.086, -0.295]])
Draw = Callable[..., NDArray[np.floating]]


def _image(basis: NDArray[np.floating], waves: NDArray[np.floating], size: float, displaced: bool) -> torch.Tensor:
    """A crystal whose atoms are higher, or displaced, by waves in its reciprocal basis, and noise."""
    rng = np.random.default_rng(5)
    sites = lattice_sites(basis, (_SIDE, _SIDE), np.array([3.0, 4.0]), 25)
    k = np.atleast_2d(waves) @ np.linalg.inv(basis).T
    phase = 2 * np.pi * sites @ k.T
    height = np.ones(len(sites))
    if displaced:
        length = size * np.linalg.norm(basis, axis=1).min() / np.pi
        sites = sites + length * np.sin(phase) @ (k / np.linalg.norm(k, axis=1)[:, None])
    else:
        height = (1 + 2 * size * np.cos(phase).sum(1)).clip(0)
    image = gaussian_atoms(sites, height, np.full(len(sites), 2.0), (_SIDE, _SIDE))
    image = image + 0.3 * image.std() * rng.standard_normal(image.shape)
    return standardize(torch.from_numpy(image.astype(np.float32))[None])[0]


def _is_same(one: NDArray[np.floating] | None, other: NDArray[np.floating]) -> bool:
    assert one is not None
    change = one @ np.linalg.inv(other)
    return bool(np.abs(change - np.rint(change)).max() < 0.05 and round(abs(np.linalg.det(change))) == 1)


@pytest.mark.parametrize(
    ("gamma", "waves", "displaced"),
    [
        (90.0, [[0.2837, 0.0]], False),
        (90.0, [[0.348, 0.0]], True),
        (60.0, [[0.257, 0.234]], False),
        (60.0, _THREE, False),
    ],
)
def test_the_satellites_of_a_strong_wave_are_none_of_the_lattice(
    gamma: float, waves: NDArray[np.floating], displaced: bool
) -> None:
    basis = basis_from_cell(10.7, 10.9, np.radians(gamma), 0.4)
    image = _image(basis, np.asarray(waves), 0.45, displaced)
    large = np.array([[1, 0], [0, 3]]) @ basis
    assert _is_same(main_lattice(image, large), basis)
    look = measure_whole(image)
    assert len(look.lattices) == 1
    assert _is_same(look.lattices[0].basis, basis)
    assert look.modulation is not None
    assert look.modulation.commensurate < 0.2


@pytest.mark.parametrize("matrix", [[[1, 0], [0, 3]], [[2, 0], [0, 2]]])
def test_a_superlattice_is_no_modulation(matrix: list[list[int]]) -> None:
    basis = basis_from_cell(10.7, 10.9, np.radians(90), 0.4)
    waves = np.linalg.inv(np.array(matrix)).T
    image = _image(basis, waves[np.abs(waves - np.rint(waves)).max(1) > 0], 0.4, displaced=False)
    assert main_lattice(image, np.array(matrix) @ basis) is None
    assert main_lattice(image, basis) is None


def test_a_crystal_and_two_layers_keep_the_lattice_that_was_found() -> None:
    basis = basis_from_cell(10.7, 10.7, np.radians(60), 0.4)
    crystal = _image(basis, np.zeros((1, 2)), 0.0, displaced=False)
    assert main_lattice(crystal, basis) is None
    turned = basis_from_cell(9.8, 9.8, np.radians(60), 0.7)
    both = standardize((crystal + _image(turned, np.zeros((1, 2)), 0.0, displaced=False))[None])[0]
    assert main_lattice(both, basis) is None


def test_noise_has_none() -> None:
    noise = torch.from_numpy(np.random.default_rng(3).standard_normal((_SIDE, _SIDE)).astype(np.float32))
    assert main_lattice(noise, reduce_basis(10 * np.eye(2))) is None
