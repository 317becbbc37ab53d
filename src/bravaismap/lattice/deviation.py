"""Deviation: the smallest strain from a lattice to the symmetry of each class, and the nearest lattice of the class."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bravaismap.conventions import LATTICES, Complexes, Floats
from bravaismap.lattice.basis import cross, reduce_basis
from bravaismap.lattice.shape import CENTER, hyperbolic_distance, shape

__all__ = ["deviation", "metric_class", "nearest_basis", "nearest_shape"]


def deviation(tau: ArrayLike) -> Floats:
    """Return the smallest strain that gives each lattice the symmetry of each class.

    The strain is the difference of the principal logarithmic strains of an area-preserving stretch. A lattice that
    has the symmetry already has deviation 0: a square lattice is also rectangular, and every lattice is oblique.

    Parameters
    ----------
    tau : complex array_like, shape (...)
        Shapes in the fundamental domain, as :func:`~bravaismap.lattice.shape.shape` gives them.

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
    area = np.abs(cross(reduced[..., 0, :], reduced[..., 1, :]))[..., None]
    sign = np.sign(cross(reduced[..., 0, :], reduced[..., 1, :]))[..., None]
    a = np.sqrt(area / target.imag)
    zero = np.zeros_like(a)
    symmetric = np.stack(
        [np.stack([zero, a], axis=-1), np.stack([sign * -a * target.imag, a * target.real], axis=-1)], axis=-2
    )
    linear = np.linalg.solve(reduced[..., None, :, :] + np.zeros_like(symmetric), symmetric)
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
