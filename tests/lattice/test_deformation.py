"""Deformation of one lattice to another: its polar parts, their derivatives, and the bases that are compared."""

from __future__ import annotations

import numpy as np
from lattice_images import cell_basis

from bravaismap.lattice.basis import reduce_basis
from bravaismap.lattice.deformation import deformation, jacobian, matched, polar, turns


def maps(count: int, strain: float = 0.1) -> np.ndarray:
    """Maps near the identity, turned by up to 1 radian."""
    rng = np.random.default_rng(3)
    angle = rng.uniform(-1, 1, count)
    turn = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
    return np.asarray((np.eye(2) + rng.normal(0, strain, (count, 2, 2))) @ turn)


def test_polar_decomposition_agrees_with_the_singular_values() -> None:
    rng = np.random.default_rng(5)
    basis, reference = cell_basis("oblique") @ (np.eye(2) + rng.normal(0, 0.3, (50, 2, 2))), cell_basis("oblique", 1.0)
    stretch, rotation = deformation(basis, reference)
    c, s = np.cos(rotation), np.sin(rotation)
    turn = np.stack([c, s, -s, c], -1).reshape(-1, 2, 2)
    np.testing.assert_allclose(reference @ stretch @ turn, basis, atol=1e-12)
    mapped = np.linalg.solve(reference, basis)
    np.testing.assert_allclose(np.linalg.eigvalsh(stretch), np.linalg.svd(mapped)[1][:, ::-1], atol=1e-12)


def test_rotation_is_that_of_pure_turns() -> None:
    angle = np.linspace(-3, 3, 25)
    turn = np.stack([np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
    np.testing.assert_allclose(turns(turn), angle, atol=1e-12)
    np.testing.assert_allclose(polar(turn)[0], np.tile(np.eye(2), (25, 1, 1)), atol=1e-12)


def test_derivatives_are_those_of_small_differences() -> None:
    linear, step = maps(20), 1e-6

    def components(given: np.ndarray) -> np.ndarray:
        stretch, rotation = polar(given)
        return np.stack([stretch[..., 1, 1], stretch[..., 0, 0], stretch[..., 0, 1], rotation], axis=-1)

    slope = np.stack(
        [(components(linear + d) - components(linear - d)) / (2 * step) for d in step * np.eye(4).reshape(4, 2, 2)], -1
    )
    np.testing.assert_allclose(jacobian(linear), slope, atol=1e-7)


def test_the_nearest_basis_undoes_any_change_of_basis() -> None:
    reference = reduce_basis(cell_basis("oblique"))
    strained = reference @ maps(40, 0.02)
    changes = np.array([[[1, 1], [0, 1]], [[0, -1], [1, 0]], [[1, 0], [-1, 1]], [[-1, 0], [0, -1]]])
    for change in changes:
        found = matched(change @ strained, reference) @ change
        np.testing.assert_array_equal(found, np.tile(np.eye(2), (40, 1, 1)))
