"""Satellites: which superlattice the weak spots between those of a lattice make."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import bravaismap as bm
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.satellites import superlattice_of

SIDE = 224
HEXAGONAL = basis_from_cell(9.0, 9.0, np.radians(60), 0.37)
SQUARE = basis_from_cell(10.0, 10.0, np.radians(90), 0.21)
Draw = Callable[..., np.ndarray]


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((SIDE, SIDE))


def modulated(image: np.ndarray, basis: np.ndarray, height: float) -> np.ndarray:
    """An image whose contrast varies by so much with each of the two shortest waves of a superlattice."""
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    waves = [np.cos(2 * np.pi * (k[0] * y + k[1] * x)) for k in np.linalg.inv(basis).T]
    return image * (1 + height * (waves[0] + waves[1]))


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image, np.float32))


@pytest.mark.parametrize(
    ("lattice", "matrix"),
    [(HEXAGONAL, [[4, -1], [1, 3]]), (HEXAGONAL, [[3, 0], [0, 3]]), (SQUARE, [[2, 1], [-1, 2]])],
    ids=["√13 × √13", "3 × 3", "√5 × √5"],
)
def test_weak_satellites_make_the_superlattice(crystal: Draw, lattice: np.ndarray, matrix: list[list[int]]) -> None:
    larger = np.array(matrix) @ lattice
    image = crystal((SIDE, SIDE), lattice, width=2.0)
    image = modulated(image, larger, 0.06) + 0.2 * image.std() * noise(1)
    found = superlattice_of([tensor(image)[None]], lattice)
    assert found is not None
    change = found @ lattice @ np.linalg.inv(larger)
    np.testing.assert_allclose(change, np.rint(change), atol=1e-9)
    assert abs(np.linalg.det(change)) == pytest.approx(1)


def test_a_crystal_without_satellites_has_no_superlattice(crystal: Draw) -> None:
    for seed, lattice in enumerate((HEXAGONAL, SQUARE)):
        image = crystal((SIDE, SIDE), lattice, width=2.0)
        for level in (0.05, 1.0):
            assert superlattice_of([tensor(image + level * image.std() * noise(seed))[None]], lattice) is None


def test_waves_of_a_thousandth_of_the_amplitude_are_no_satellites(crystal: Draw) -> None:
    image = crystal((SIDE, SIDE), SQUARE, width=2.0)
    larger = np.array([[2, 1], [-1, 2]]) @ SQUARE
    clear, faint = (
        modulated(image, larger, height) + 1e-5 * image.std() * noise(3) for height in (0.06, 0.0006)
    )  # in so little noise both are clear of it
    assert superlattice_of([tensor(clear)[None]], SQUARE) is not None
    assert superlattice_of([tensor(faint)[None]], SQUARE) is None


@pytest.mark.parametrize(("cell", "seen"), [(25.0, True), (40.0, False)], ids=["4.5 rows", "2.8 rows"])
def test_a_superlattice_has_three_rows_of_cells_in_a_part(crystal: Draw, cell: float, seen: bool) -> None:
    lattice = basis_from_cell(cell, cell, np.pi / 2, 0.21)
    image = crystal((SIDE, SIDE), lattice, width=4.0)
    image = modulated(image, np.diag([2, 1]) @ lattice, 0.1) + 0.1 * image.std() * noise(6)
    assert (superlattice_of([tensor(image)[None]], lattice) is not None) == seen


def test_the_spots_of_another_grain_are_no_satellites(crystal: Draw) -> None:
    image = crystal((SIDE, SIDE), HEXAGONAL, width=2.0)
    other = crystal((SIDE, SIDE), basis_from_cell(9.0, 9.0, np.radians(60), 0.37 + np.radians(14)), width=2.0)
    image = np.where(np.arange(SIDE) < 0.7 * SIDE, image, other) + 0.2 * image.std() * noise(3)
    assert superlattice_of([tensor(image)[None]], HEXAGONAL) is None


def test_both_lattices_of_a_charge_density_wave_are_in_the_answer(crystal: Draw) -> None:
    matrix = np.array([[4, -1], [1, 3]])
    image = crystal((SIDE, SIDE), HEXAGONAL, width=2.0)
    image = modulated(image, matrix @ HEXAGONAL, 0.06) + 0.2 * image.std() * noise(4)
    row = bm.classify(image, samples=0).isel(image=0)
    assert row["lattice"].values[int(row["label"])] == "hexagonal"
    assert float(row["a"]) == pytest.approx(9 * 13**0.5, rel=0.01)
    assert abs(np.linalg.det(row["order"].values)) == pytest.approx(13)
