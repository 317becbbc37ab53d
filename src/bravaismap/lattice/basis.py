"""Bases of two-dimensional lattices: from and to the cell, the reciprocal basis, the reduced basis.

A *basis* is an array of shape ``(..., 2, 2)`` whose rows are the primitive vectors and whose columns are ``(y, x)``
components (y down), in px or nm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bravaismap.conventions import Floats
from bravaismap.errors import InputError

__all__ = ["basis_from_cell", "cell_from_basis", "cross", "dot", "reciprocal", "reduce_basis"]

_MAX_REDUCTION_STEPS = 200


def basis_from_cell(a: ArrayLike, b: ArrayLike, gamma: ArrayLike, orientation: ArrayLike = 0.0) -> Floats:
    """Return the basis of a cell.

    Parameters
    ----------
    a, b : array_like
        Lengths of the primitive vectors (px or nm).
    gamma : array_like
        Angle from a to b, in radians.
    orientation : array_like
        Angle from the x axis to a, in radians, counter-clockwise as seen on the screen (y is down).

    Returns
    -------
    array, shape (..., 2, 2)
        Rows a and b, columns (y, x).
    """
    a, b, gamma, orientation = np.broadcast_arrays(*(np.asarray(v, float) for v in (a, b, gamma, orientation)))
    angle = np.stack([orientation, orientation + gamma], axis=-1)
    length = np.stack([a, b], axis=-1)
    return np.stack([-length * np.sin(angle), length * np.cos(angle)], axis=-1)


def cell_from_basis(basis: ArrayLike) -> tuple[Floats, Floats, Floats, Floats]:
    """Return the reduced cell (a, b, gamma, orientation) of a lattice.

    ``a ≤ b`` are the two shortest lengths and gamma, between 60° and 90°, is the angle of the lines along them.
    The orientation of a is counter-clockwise as seen on the screen and lies between 0 and π, since −a is equivalent.

    Parameters
    ----------
    basis : array_like, shape (..., 2, 2)

    Returns
    -------
    a, b, gamma, orientation : arrays, shape (...)
        Lengths in the unit of `basis`, angles in radians.
    """
    first, second = np.moveaxis(reduce_basis(basis), -2, 0)
    a, b = np.linalg.norm(first, axis=-1), np.linalg.norm(second, axis=-1)
    gamma = np.arctan2(np.abs(cross(first, second)), dot(first, second))
    return a, b, gamma, np.arctan2(-first[..., 0], first[..., 1]) % np.pi


def reciprocal(basis: ArrayLike) -> Floats:
    """Return the reciprocal basis: rows g₁, g₂ with ``gᵢ·aⱼ = δᵢⱼ`` (no 2π), in the inverse unit of `basis`.

    Raises
    ------
    InputError
        If the two vectors of a basis are parallel or zero.
    """
    basis = _checked(basis)
    return np.swapaxes(np.linalg.inv(basis), -1, -2)


def reduce_basis(basis: ArrayLike) -> Floats:
    """Return the Lagrange–Gauss reduced basis of each lattice.

    The rows of the result span the same lattice with ``|a| ≤ |b|`` and ``0 ≤ a·b ≤ |a|² / 2``: the two shortest
    vectors, with an angle between 60° and 90°.

    Parameters
    ----------
    basis : array_like, shape (..., 2, 2)

    Returns
    -------
    array, shape (..., 2, 2)

    Raises
    ------
    InputError
        If the two vectors of a basis are parallel or zero.
    """
    reduced = _checked(basis).copy()
    first, second = reduced[..., 0, :], reduced[..., 1, :]
    for _ in range(_MAX_REDUCTION_STEPS):
        swap = (dot(first, first) > dot(second, second))[..., None]
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        steps = np.round(dot(first, second) / dot(first, first))[..., None]
        second = second - steps * first
        longer = dot(second, second) >= dot(first, first) * (1 - 1e-14)
        if longer.all():
            break
    flip = (dot(first, second) < 0)[..., None]
    return np.stack([first, np.where(flip, -second, second)], axis=-2)


def dot(first: Floats, second: Floats) -> Floats:
    """Return the scalar products of vectors (..., 2)."""
    return np.asarray((first * second).sum(axis=-1))


def cross(first: Floats, second: Floats) -> Floats:
    """Return the cross products of vectors (..., 2): positive where `second` is clockwise of `first` on the screen."""
    return np.asarray(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])


def _checked(basis: ArrayLike) -> Floats:
    basis = np.asarray(basis, float)
    if basis.shape[-2:] != (2, 2):
        raise InputError(f"a basis of shape {basis.shape} was given; expected (..., 2, 2), rows = vectors")
    lengths = np.linalg.norm(basis, axis=-1).prod(axis=-1)
    if not (np.abs(cross(basis[..., 0, :], basis[..., 1, :])) > 1e-9 * lengths).all():
        raise InputError("the two vectors of a basis are parallel or zero; expected two independent vectors")
    return basis
