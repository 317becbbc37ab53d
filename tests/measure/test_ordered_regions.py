"""Ordered regions: where in an image a superlattice shows, and which one it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.measure.ordered_regions import ordered_regions

SIDE = 320
HEXAGONAL = basis_from_cell(9.0, 9.0, np.pi / 3, 0.37)
SQUARE = basis_from_cell(10.0, 10.0, np.pi / 2, 0.21)
ROOT_THREE = np.array([[1, 1], [-1, 2]])
Draw = Callable[..., np.ndarray]


def wave(matrix: np.ndarray, basis: np.ndarray, index: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    k = np.array(index) @ np.linalg.inv(matrix @ basis).T
    return np.cos(2 * np.pi * (k[0] * y + k[1] * x) + 0.4)


def asked(image: np.ndarray, basis: np.ndarray, *matrices: np.ndarray) -> tuple:
    noisy = image + 0.3 * image.std() * np.random.default_rng(5).standard_normal(image.shape)
    return ordered_regions(torch.from_numpy(noisy.astype(np.float32)), basis, matrices)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    change = one @ np.linalg.inv(other)
    return bool(np.allclose(change, np.rint(change)) and np.isclose(abs(np.linalg.det(change)), 1))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
def test_the_share_is_that_of_the_region(crystal: Draw, share: float) -> None:
    image = crystal((SIDE, SIDE), HEXAGONAL)
    inside = np.arange(SIDE) < share * SIDE
    image = image * (1 + 0.2 * inside * wave(ROOT_THREE, HEXAGONAL, (1, 0)))
    (region,) = asked(image, HEXAGONAL, ROOT_THREE)
    assert same(region.matrix, ROOT_THREE)
    assert region.share == pytest.approx(share, abs=0.04)
    assert region.rest == pytest.approx(1 - share, abs=0.04)


def test_a_superlattice_is_no_larger_than_its_waves_say(crystal: Draw) -> None:
    image = crystal((SIDE, SIDE), HEXAGONAL)
    image = image * (1 + 0.2 * (np.arange(SIDE) < 150) * wave(ROOT_THREE, HEXAGONAL, (1, 0)))
    (region,) = asked(image, HEXAGONAL, np.diag([3, 3]))
    assert same(region.matrix, ROOT_THREE)


def test_domains_of_two_orientations_are_two(crystal: Draw) -> None:
    image, x = crystal((SIDE, SIDE), SQUARE), np.arange(SIDE)
    along, across = np.diag([2, 1]), np.diag([1, 2])
    order = (x < 180) * wave(along, SQUARE, (1, 0)) + (x >= 180) * wave(across, SQUARE, (0, 1))
    larger, smaller = asked(image * (1 + 0.2 * order), SQUARE, np.diag([2, 2]))
    assert same(larger.matrix, along)
    assert same(smaller.matrix, across)
    assert larger.share == pytest.approx(180 / SIDE, abs=0.04)
    assert smaller.share == pytest.approx(1 - 180 / SIDE, abs=0.04)


def test_order_with_antiphase_boundaries_is_no_region(crystal: Draw) -> None:
    image = crystal((SIDE, SIDE), SQUARE)
    sign = np.where(np.arange(SIDE) // 110 % 2, 1, -1)
    regions = asked(image * (1 + 0.2 * sign * wave(np.diag([2, 1]), SQUARE, (1, 0))), SQUARE, np.diag([2, 1]))
    assert all(region.rest < 0.02 for region in regions)
    single = asked(image * (1 + 0.2 * wave(np.diag([2, 1]), SQUARE, (1, 0))), SQUARE, np.diag([2, 1]))
    assert [region.rest for region in single] == pytest.approx([0], abs=0.02)


def test_a_crystal_without_order_has_no_region(crystal: Draw) -> None:
    image = crystal((SIDE, SIDE), HEXAGONAL)
    image[100:150, 80:160] = 0  # a hole
    assert asked(image, HEXAGONAL, ROOT_THREE, np.diag([2, 2]), np.diag([4, 4])) == ()
    assert asked(image, HEXAGONAL) == ()
