"""Two-dimensional lattices: bases, reduction, the space of shapes, and the strain that parts a lattice from a class.

A *basis* is an array of shape ``(..., 2, 2)`` whose rows are the primitive vectors and whose columns are ``(y, x)``
components (y down), in px or nm. The *shape* of a lattice forgets its size, rotation and handedness: it is the point

    τ = (a·b + i |a × b|) / |a|²,   0 ≤ Re τ ≤ 1/2,  |τ| ≥ 1,

of the upper half plane, with a, b the reduced basis. Square is τ = i, hexagonal τ = 1/2 + i√3/2, rectangular the line
Re τ = 0, centred rectangular the arc |τ| = 1 and the line Re τ = 1/2, oblique the interior. The hyperbolic distance
between two points is the difference of the principal logarithmic strains of the map between the two lattices, so the
distance of a lattice to a class is the smallest strain that would give it that symmetry.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bravaismap.conventions import LATTICES
from bravaismap.errors import InputError

__all__ = [
    "CENTER",
    "basis_from_cell",
    "cell_from_basis",
    "deviation",
    "hyperbolic_distance",
    "metric_class",
    "nearest_basis",
    "nearest_shape",
    "reciprocal",
    "reduce_basis",
    "shape",
]

Floats = NDArray[np.floating]
Complexes = NDArray[np.complexfloating]

#: Shapes of the two classes that are points.
CENTER = {"square": 1j, "hexagonal": 0.5 + 1j * np.sqrt(0.75)}

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
    The orientation of a, between 0 and π, is counter-clockwise as seen on the screen, since a lattice has no sense.

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
    gamma = np.arctan2(np.abs(_cross(first, second)), _dot(first, second))
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
        swap = (_dot(first, first) > _dot(second, second))[..., None]
        first, second = np.where(swap, second, first), np.where(swap, first, second)
        steps = np.round(_dot(first, second) / _dot(first, first))[..., None]
        second = second - steps * first
        longer = _dot(second, second) >= _dot(first, first) * (1 - 1e-14)
        if longer.all():
            break
    flip = (_dot(first, second) < 0)[..., None]
    return np.stack([first, np.where(flip, -second, second)], axis=-2)


def shape(basis: ArrayLike) -> Complexes:
    """Return the shape τ of each lattice: a point of the fundamental domain of the upper half plane.

    Parameters
    ----------
    basis : array_like, shape (..., 2, 2)

    Returns
    -------
    complex array, shape (...)
        ``0 ≤ Re τ ≤ 1/2`` and ``|τ| ≥ 1``.
    """
    first, second = np.moveaxis(reduce_basis(basis), -2, 0)
    return np.asarray((_dot(first, second) + 1j * np.abs(_cross(first, second))) / _dot(first, first))


def hyperbolic_distance(one: ArrayLike, other: ArrayLike) -> Floats:
    """Return the hyperbolic distance between two points of the upper half plane.

    For two shapes it is the difference of the principal logarithmic strains of the map from one lattice to the other,
    along the geodesic that joins these two points: 0.01 for a change of b/a by 1 %.
    """
    one, other = np.asarray(one, complex), np.asarray(other, complex)
    chord = np.abs(one - other) / (2 * np.sqrt(one.imag * other.imag))
    return np.asarray(2 * np.arcsinh(chord))


def deviation(tau: ArrayLike) -> Floats:
    """Return the smallest strain that would give each lattice the symmetry of each class.

    The strain is the difference of the principal logarithmic strains of an area-preserving stretch. A lattice that
    has the symmetry already has deviation 0: a square lattice is also rectangular, and every lattice is oblique.

    Parameters
    ----------
    tau : complex array_like, shape (...)
        Shapes in the fundamental domain, as :func:`shape` gives them.

    Returns
    -------
    array, shape (..., 5)
        In the order of :data:`~bravaismap.conventions.LATTICES`, as a fraction (0.01 is 1 %).

    Notes
    -----
    The sides of the domain are mirrors, so any path from τ to a mirror image of a side folds back to a path of the
    same length inside the domain: the nearest side is the nearest of all its images. From a point x + iy the distance
    d to a geodesic has ``sinh d = x / y`` for Re τ = 0, ``(1/2 − x) / y`` for Re τ = 1/2 and ``(|τ|² − 1) / 2y`` for
    |τ| = 1.
    """
    tau = np.asarray(tau, complex)
    x, y = tau.real, tau.imag
    rectangular = np.arcsinh(np.abs(x) / y)
    arc, line = _centered_distances(tau)
    return np.stack(
        [
            hyperbolic_distance(tau, CENTER["square"]),
            rectangular,
            np.minimum(arc, line),
            hyperbolic_distance(tau, CENTER["hexagonal"]),
            np.zeros_like(y),
        ],
        axis=-1,
    )


def nearest_shape(tau: ArrayLike) -> Complexes:
    """Return the shape nearest to each τ within each class.

    Parameters
    ----------
    tau : complex array_like, shape (...)

    Returns
    -------
    complex array, shape (..., 5)
        The foot of the perpendicular on each class, in the order of :data:`~bravaismap.conventions.LATTICES`. The foot
        on a class that is a line may lie beyond the corner of the domain, on an image of that line.
    """
    tau = np.asarray(tau, complex)
    arc, line = _centered_distances(tau)
    on_line = 0.5 + 1j * np.abs(tau - 0.5)
    # The perpendicular to |τ| = 1 is the circle about c on the real axis with c² = 1 + r², through τ.
    power = np.abs(tau) ** 2 + 1
    x = 2 * tau.real / power
    on_arc = x + 1j * np.sqrt(1 - x**2)
    return np.stack(
        [
            np.full_like(tau, CENTER["square"]),
            1j * np.abs(tau),
            np.where(arc <= line, on_arc, on_line),
            np.full_like(tau, CENTER["hexagonal"]),
            tau,
        ],
        axis=-1,
    )


def nearest_basis(basis: ArrayLike) -> Floats:
    """Return, for each class, the lattice of that class that is the smallest pure stretch away.

    Parameters
    ----------
    basis : array_like, shape (..., 2, 2)

    Returns
    -------
    array, shape (..., 5, 2, 2)
        A basis per class, of the same area and not rotated against `basis`.
    """
    reduced = reduce_basis(basis)
    target = nearest_shape(shape(reduced))
    area = np.abs(_cross(reduced[..., 0, :], reduced[..., 1, :]))[..., None]
    sign = np.sign(_cross(reduced[..., 0, :], reduced[..., 1, :]))[..., None]
    a = np.sqrt(area / target.imag)
    zero = np.zeros_like(a)
    wanted = np.stack(
        [np.stack([zero, a], axis=-1), np.stack([sign * -a * target.imag, a * target.real], axis=-1)], axis=-2
    )
    linear = np.linalg.solve(reduced[..., None, :, :] + np.zeros_like(wanted), wanted)
    u, s, _ = np.linalg.svd(linear)
    stretch = u @ (s[..., None] * np.swapaxes(u, -1, -2))
    return np.asarray(reduced[..., None, :, :] @ stretch)


def metric_class(tau: ArrayLike, tolerance: float) -> NDArray[np.int8]:
    """Return the most symmetric class within `tolerance` of each shape.

    Parameters
    ----------
    tau : complex array_like, shape (...)
    tolerance : float
        Largest deviation, as a fraction, that still counts as the symmetry.

    Returns
    -------
    int8 array, shape (...)
        Positions in :data:`~bravaismap.conventions.LATTICES`.
    """
    within = deviation(tau) <= tolerance
    by_symmetry = [LATTICES.index(n) for n in ("hexagonal", "square", "rectangular", "centered_rectangular", "oblique")]
    first = np.argmax(within[..., by_symmetry], axis=-1)
    return np.asarray(np.take(np.array(by_symmetry, np.int8), first))


def _centered_distances(tau: Complexes) -> tuple[Floats, Floats]:
    x, y = tau.real, tau.imag
    return np.arcsinh(np.abs(np.abs(tau) ** 2 - 1) / (2 * y)), np.arcsinh(np.abs(0.5 - x) / y)


def _dot(one: Floats, other: Floats) -> Floats:
    return np.asarray((one * other).sum(axis=-1))


def _cross(one: Floats, other: Floats) -> Floats:
    return np.asarray(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0])


def _checked(basis: ArrayLike) -> Floats:
    basis = np.asarray(basis, float)
    if basis.shape[-2:] != (2, 2):
        raise InputError(f"a basis of shape {basis.shape} was given; expected (..., 2, 2), rows = vectors")
    lengths = np.linalg.norm(basis, axis=-1).prod(axis=-1)
    if not (np.abs(_cross(basis[..., 0, :], basis[..., 1, :])) > 1e-9 * lengths).all():
        raise InputError("the two vectors of a basis are parallel or zero; expected two independent vectors")
    return basis
