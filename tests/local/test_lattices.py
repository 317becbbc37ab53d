"""Lattices of a frame: versions of one are one, different ones stay apart, and keep their numbers."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.errors import InputError
from bravaismap.lattice import basis_from_cell, reduce_basis
from bravaismap.local.lattices import FrameLattices, followed, gathered_lattices, matched

HEX = basis_from_cell(10.0, 10.0, np.pi / 3, 0.2)
CHANGES = np.array([[[1, 0], [0, 1]], [[0, 1], [-1, 1]], [[2, 1], [1, 1]], [[1, 3], [0, 1]], [[-1, 0], [0, -1]]], float)


def gathered(basis: np.ndarray, none: float = 0.02) -> FrameLattices:
    probability = np.full((len(basis), 6), 0.0)
    probability[:, 3], probability[:, 5] = 1 - none, none
    return gathered_lattices(basis, np.broadcast_to(1e-4 * np.eye(4), (len(basis), 4, 4)), probability)


def jittered(basis: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    moved = basis @ (np.eye(2) + rng.normal(0, 0.004, (count, 2, 2)))
    return CHANGES[rng.integers(0, len(CHANGES), count)] @ moved


def turned(basis: np.ndarray, degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return basis @ np.array([[c, s], [-s, c]])


def test_equivalent_bases_are_one_lattice() -> None:
    lattices = gathered(jittered(HEX, 60))
    assert len(lattices.basis) == 1
    assert lattices.share[0] == pytest.approx(1)
    _, strain, rotation = matched(reduce_basis(HEX), lattices.basis[0])
    assert strain < 0.003
    assert rotation < 0.003
    assert (lattices.window == 0).all()
    assert lattices.label.tolist() == [3]


@pytest.mark.parametrize("degrees", [60.0, 120.0, -60.0])
def test_turns_of_the_symmetry_are_no_turns(degrees: float) -> None:
    _, strain, rotation = matched(reduce_basis(HEX), turned(HEX, degrees))
    assert strain < 1e-9
    assert rotation < 1e-9


def test_grains_and_other_cells_stay_apart() -> None:
    cells = [HEX, turned(HEX, 12.0), basis_from_cell(10.0, 10.0, np.pi / 2, 0.4)]
    lattices = gathered(np.concatenate([jittered(cell, 30 - 5 * i, i) for i, cell in enumerate(cells)]))
    assert len(lattices.basis) == 3
    np.testing.assert_allclose(lattices.share, np.array([30, 25, 20]) / 75, atol=0.02)


def test_errors_of_the_mean_cover_it() -> None:
    pulls = []
    for seed in range(40):
        lattices = gathered(jittered(HEX, 50, seed))
        change = matched(lattices.basis[0], HEX)[0]
        error = (lattices.basis[0] - change @ HEX).ravel()
        pulls.append(error / np.sqrt(np.diag(lattices.covariance[0])))
    assert np.std(pulls) == pytest.approx(1, abs=0.2)


def test_a_few_bad_versions_and_windows_across_a_boundary_make_no_lattice() -> None:
    bad = turned(HEX, 4.5)
    along = basis_from_cell(10.0, 20.0, np.pi / 2, 0.0)
    across = turned(along, 90.0)
    both = basis_from_cell(20.0, 20.0, np.pi / 2, 0.0)
    assert len(gathered(np.concatenate([jittered(HEX, 60), jittered(bad, 6, 1)])).basis) == 1
    boundary = [jittered(along, 40), jittered(across, 30, 1), jittered(both, 15, 2)]
    assert len(gathered(np.concatenate(boundary)).basis) == 2


@pytest.mark.parametrize(
    ("gamma", "degrees", "cells"), [(90.0, np.degrees(2 * np.arctan(1 / 3)), 5), (60.0, 38.2132, 7)], ids=["Σ5", "Σ7"]
)
def test_coincidence_lattice_of_two_grains_is_no_third(gamma: float, degrees: float, cells: int) -> None:
    one = basis_from_cell(16.0, 16.0, np.radians(gamma), 0.3)
    two = turned(one, degrees)
    steps = np.stack(np.meshgrid(*[np.arange(-4, 5)] * 2, indexing="ij"), -1).reshape(-1, 2)
    points = steps @ one
    index = points @ np.linalg.inv(two)
    shared = points[(np.abs(index - np.rint(index)) < 0.01).all(axis=1) & (steps != 0).any(axis=1)]
    shared = shared[np.argsort(np.linalg.norm(shared, axis=1))]
    beside = next(point for point in shared if abs(np.linalg.det([shared[0], point])) > 1)
    coincidence = reduce_basis(np.stack([shared[0], beside]))
    assert abs(np.linalg.det(coincidence) / np.linalg.det(one)) == pytest.approx(cells)
    grains = [jittered(one, 60), jittered(two, 50, 1)]
    assert len(gathered(np.concatenate([*grains, jittered(coincidence, 12, 2)])).basis) == 2
    other = turned(coincidence, 11.0)  # shared by neither
    assert len(gathered(np.concatenate([*grains, jittered(other, 12, 2)])).basis) == 3


def test_a_crystal_whose_weak_order_is_missed_in_places_is_one() -> None:
    fine = basis_from_cell(10.0, 10.0, np.pi / 2, 0.3)
    along, across = np.diag([1.0, 2.0]) @ fine, np.diag([2.0, 1.0]) @ fine
    lattices = gathered(np.concatenate([jittered(along, 40), jittered(across, 20, 1), jittered(fine, 25, 2)]))
    assert len(lattices.basis) == 2
    np.testing.assert_allclose(np.abs(np.linalg.det(lattices.basis)), 200, rtol=0.02)
    assert lattices.window[-25:].tolist() == [0] * 25
    np.testing.assert_allclose(lattices.share, np.array([65, 20]) / 85)
    # far from all of it, and a small part of the windows
    oblique = basis_from_cell(20.0, 41.0, np.radians(82.0), 0.0)
    sixth = np.linalg.inv(np.array([[2.0, 0.0], [0.0, 3.0]])) @ oblique @ np.diag([1.06, 0.98])
    assert len(gathered(np.concatenate([jittered(oblique, 40), jittered(sixth, 4, 1)])).basis) == 1
    assert len(gathered(np.concatenate([jittered(oblique, 40), jittered(sixth, 14, 1)])).basis) == 2


def test_finer_cells_that_are_no_part_of_the_others_or_of_most_windows_stay() -> None:
    fine = basis_from_cell(10.0, 10.0, np.pi / 2, 0.3)
    double = np.diag([1.0, 2.0]) @ fine
    for cells in (turned(fine, 20.0), 1.15 * fine):
        assert len(gathered(np.concatenate([jittered(double, 60), jittered(cells, 20, 1)])).basis) == 2
    lattices = gathered(np.concatenate([jittered(fine, 60), jittered(double, 40, 1)]))  # order in a part of the sample
    assert len(lattices.basis) == 2
    assert np.bincount(lattices.window).tolist() == [60, 40]


def test_a_coarse_lattice_is_not_one_of_two_grains_because_its_order_is_missed_twice() -> None:
    fine = basis_from_cell(10.0, 10.0, np.pi / 2, 0.3)
    whole, half = np.diag([2.0, 2.0]) @ fine, np.diag([1.0, 2.0]) @ fine
    lattices = gathered(np.concatenate([jittered(whole, 60), jittered(half, 9, 1), jittered(fine, 8, 2)]))
    np.testing.assert_allclose(np.abs(np.linalg.det(lattices.basis)), [400], rtol=0.02)
    assert (lattices.window == 0).all()


def test_a_lattice_of_one_window_is_known_only_where_windows_are_few() -> None:
    missing = np.full((20, 2, 2), np.nan)
    assert len(gathered(jittered(HEX, 1)).basis) == 1
    probability = np.zeros((21, 6))
    probability[:, 5] = 1
    probability[0] = [0, 0, 0, 0.9, 0, 0.1]
    for windows, count in ((21, 0), (5, 1)):
        cells = np.concatenate([HEX[None], missing])[:windows]
        covariance = np.broadcast_to(1e-4 * np.eye(4), (windows, 4, 4))
        lattices = gathered_lattices(cells, covariance, probability[:windows])
        assert len(lattices.basis) == count
        assert (lattices.window == -1).sum() == windows - count
    different = np.concatenate([jittered(turned(HEX, 5.0 * i), 1) for i in range(11)])
    assert len(gathered(different).basis) == 0


@pytest.mark.parametrize(("clearest", "expected"), [(0.3, 0), (0.04, 0), (0.01, 1)])
def test_few_windows_of_a_frame_make_a_lattice_only_if_one_of_them_is_clear(clearest: float, expected: int) -> None:
    probability = np.tile([0.0, 0, 0, 0.1, 0, 0.9], (100, 1))
    probability[:3, 3], probability[:3, 5] = 0.7, 0.3
    probability[1, 3], probability[1, 5] = 1 - clearest, clearest
    cells = np.broadcast_to(HEX, (100, 2, 2))
    lattices = gathered_lattices(cells, np.broadcast_to(1e-4 * np.eye(4), (100, 4, 4)), probability)
    assert len(lattices.basis) == expected


def test_a_frame_without_lattices_has_none() -> None:
    lattices = gathered(jittered(HEX, 10), none=0.9)
    assert lattices.basis.shape == (0, 2, 2)
    assert (lattices.window == -1).all()
    assert gathered(np.full((4, 2, 2), np.nan)).basis.shape == (0, 2, 2)


def test_grains_keep_their_numbers() -> None:
    def frame(*cells: np.ndarray) -> np.ndarray:
        return gathered(np.concatenate([jittered(cell, 40 - 9 * i, i) for i, cell in enumerate(cells)])).basis

    one, two = HEX, turned(HEX, 20.0)
    numbers = followed([frame(one, two), frame(two, one), frame(two), frame(turned(two, 1.0), one)])
    assert [n.tolist() for n in numbers] == [[0, 1], [1, 0], [1], [1, 0]]
    numbers = followed([np.empty((0, 2, 2)), frame(one), np.empty((0, 2, 2)), frame(two, one)])
    assert [n.tolist() for n in numbers] == [[], [0], [], [1, 0]]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="expected"):
        gathered_lattices(np.zeros((3, 2)), np.zeros((3, 4, 4)), np.zeros((3, 6)))


@pytest.mark.parametrize("degrees", [2.5, 4.0, 5.0])
def test_grains_of_a_small_turn_are_two_lattices(degrees: float) -> None:
    between = np.stack([turned(HEX, angle) for angle in np.linspace(0, degrees, 8)])
    windows = np.concatenate([jittered(HEX, 30), jittered(turned(HEX, degrees), 22, seed=1), between])
    lattices = gathered(windows)
    assert len(lattices.basis) == 2
    _, strain, rotation = matched(lattices.basis[0], lattices.basis[1])
    assert strain < 0.01
    assert np.degrees(rotation) == pytest.approx(degrees, abs=0.15 * degrees)
    assert (lattices.window[:30] == 0).all()
    assert (lattices.window[30:52] == 1).all()


def test_a_bent_crystal_is_one_lattice() -> None:
    assert len(gathered(np.stack([turned(HEX, angle) for angle in np.linspace(-2.5, 2.5, 60)])).basis) == 1
