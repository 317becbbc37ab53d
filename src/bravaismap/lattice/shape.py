"""The shape of a lattice: its invariant under scaling, rotation and reflection.

It is the point

    τ = (a·b + i |a × b|) / |a|²,   0 ≤ Re τ ≤ 1/2,  |τ| ≥ 1,

of the upper half plane, with a, b the reduced basis. Square is τ = i, hexagonal τ = 1/2 + i√3/2, rectangular the line
Re τ = 0, centred rectangular the arc |τ| = 1 and the line Re τ = 1/2, oblique the interior. The hyperbolic distance
between two points is the difference of the principal logarithmic strains of the map between the two lattices, so the
distance of a lattice to a class is the smallest strain that gives it that symmetry.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bravaismap.conventions import Complexes, Floats
from bravaismap.lattice.basis import cross, dot, reduce_basis

__all__ = ["CENTER", "hyperbolic_distance", "shape"]

#: Shapes of the two classes that are points.
CENTER = {"square": 1j, "hexagonal": 0.5 + 1j * np.sqrt(0.75)}


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
    return np.asarray((dot(first, second) + 1j * np.abs(cross(first, second))) / dot(first, first))


def hyperbolic_distance(first: ArrayLike, second: ArrayLike) -> Floats:
    """Return the hyperbolic distance between two points of the upper half plane.

    For two shapes it is the difference of the principal logarithmic strains of the map from one lattice to the other,
    along the geodesic that joins these two points: 0.01 for a change of b/a by 1 %.
    """
    first, second = np.asarray(first, complex), np.asarray(second, complex)
    chord = np.abs(first - second) / (2 * np.sqrt(first.imag * second.imag))
    return np.asarray(2 * np.arcsinh(chord))
