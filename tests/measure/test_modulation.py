"""Modulation: wave vectors of known satellites with their errors, and whether a superlattice has them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.modulation import Modulation, modulation_of

SIDE = 256
HEXAGONAL = basis_from_cell(9.0, 9.0, np.radians(60), 0.37)
Draw = Callable[..., np.ndarray]
#: √13 × √13 of a hexagonal lattice in its commensurate place, and turned away from it as 1T-TaS2 is when it is warm.
ROOT_13 = np.linalg.inv(np.array([[4, -1], [1, 3]])).T
NEARLY = np.array([[0.2445, -0.0627], [0.0627, 0.3072]])


def modulated(crystal: Draw, waves: np.ndarray, height: float, seed: int) -> torch.Tensor:
    """An image whose contrast varies with waves in the reciprocal basis."""
    image = crystal((SIDE, SIDE), HEXAGONAL, width=1.8)
    y, x = np.mgrid[:SIDE, :SIDE]
    for k in np.atleast_2d(waves) @ np.linalg.inv(HEXAGONAL).T:
        image = image * (1 + height * np.cos(2 * np.pi * (k[0] * y + k[1] * x) + seed))
    image = image + 0.4 * image.std() * np.random.default_rng(seed).standard_normal(image.shape)
    return torch.from_numpy(image.astype(np.float32))[None]


def told(crystal: Draw, waves: np.ndarray, height: float = 0.2, seed: int = 0) -> Modulation:
    modulation = modulation_of([modulated(crystal, waves, height, seed)], HEXAGONAL)
    assert modulation is not None
    return modulation


def misfits(modulation: Modulation, waves: np.ndarray) -> list[float]:
    """χ² of each wave against the nearest of the true ones, their negatives and their sum."""
    true = np.atleast_2d(waves)
    true = np.concatenate([true, true.sum(0, keepdims=True)])
    away = modulation.waves[:, None] - np.concatenate([true, -true])
    away -= np.rint(away)
    each = np.einsum("wni,wij,wnj->wn", away, np.linalg.inv(modulation.covariances), away)
    return [float(value) for value in each.min(1)]


@pytest.mark.parametrize("wave", [[0.137, 0.0], [0.231, 0.118], [0.31, -0.17]])
def test_a_wave_that_fits_no_cells_has_its_vector_and_no_superlattice(crystal: Draw, wave: list[float]) -> None:
    modulation = told(crystal, np.array(wave))
    assert modulation.commensurate < 0.2
    assert max(misfits(modulation, np.array(wave))) < 16
    assert np.sqrt(modulation.covariances[0].diagonal()).max() < 0.002


def test_a_nearly_commensurate_charge_density_wave_is_told_from_root_thirteen(crystal: Draw) -> None:
    modulation = told(crystal, NEARLY)
    assert len(modulation.waves) == 2
    assert modulation.commensurate < 0.2
    assert max(misfits(modulation, NEARLY)) < 20


def test_a_commensurate_one_is_a_superlattice(crystal: Draw) -> None:
    modulation = told(crystal, ROOT_13)
    assert modulation.commensurate > 0.9
    assert abs(round(np.linalg.det(modulation.matrix))) == 13
    assert modulation.fits(np.array([[4, -1], [1, 3]]))
    assert not modulation.fits(np.diag([3, 3]))


def test_a_wave_nearer_to_a_fraction_than_its_error_leaves_the_doubt(crystal: Draw) -> None:
    """11 rows have so many fractions that 1/11 + 0.0008 cannot be told from 1/11: neither is said to be sure."""
    modulation = told(crystal, np.array([1 / 11 + 0.0008, 0.0]) + np.array([0.0909, 0]), height=0.08)
    assert 0.02 < modulation.commensurate < 0.95


@pytest.mark.slow
def test_errors_of_the_wave_vector_are_those_that_it_has(crystal: Draw) -> None:
    wave = np.array([0.2310, 0.1180])
    values = [value for seed in range(40) for value in misfits(told(crystal, wave, 0.1, seed), wave)]
    assert 1.0 < np.mean(values) < 3.2  # 2 of a plane


def test_a_crystal_and_fringes_beside_it_are_no_modulation(crystal: Draw) -> None:
    y, x = np.mgrid[:SIDE, :SIDE]
    plain = modulated(crystal, np.array([0.2, 0.1]), 0.0, 3)
    assert modulation_of([plain], HEXAGONAL) is None
    fringes = 0.1 * np.cos(2 * np.pi * (0.031 * y + 0.043 * x)) + 0.1 * np.cos(4 * np.pi * (0.031 * y + 0.043 * x))
    assert modulation_of([plain + torch.from_numpy(fringes.astype(np.float32))], HEXAGONAL) is None


def test_the_wave_vector_does_not_change_when_the_scan_is_distorted(crystal: Draw) -> None:
    """A shear takes lattice and modulation alike: in the reciprocal basis nothing changes."""
    wave, shear = np.array([0.231, 0.118]), np.array([[1.0, 0.02], [0.0, 1.0]])
    sheared = HEXAGONAL @ shear
    image = crystal((SIDE, SIDE), sheared, width=1.8)
    y, x = np.mgrid[:SIDE, :SIDE]
    k = wave @ np.linalg.inv(sheared).T
    image = image * (1 + 0.2 * np.cos(2 * np.pi * (k[0] * y + k[1] * x)))
    image = image + 0.2 * image.std() * np.random.default_rng(5).standard_normal(image.shape)
    modulation = modulation_of([torch.from_numpy(image.astype(np.float32))[None]], 1.002 * sheared)
    assert modulation is not None
    assert max(misfits(modulation, wave)) < 16
