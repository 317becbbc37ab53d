"""Deformation: the strain and rotation that take one lattice to another, whatever the bases of the two.

A lattice has many bases. One is changed by the matrix of whole numbers with determinant ±1 that brings it nearest to
the reference: of all that keep the handedness and a principal strain within 15 %, the one with the smallest strain² +
(rotation/20)², so that of equal strains the smaller rotation decides.
"""

from __future__ import annotations

import numpy as np

from bravaismap.conventions import Floats

__all__ = ["STRAIN_LIMIT", "deformation", "jacobian", "matched", "polar", "turns"]

#: Largest principal strain of a lattice that still counts as the reference lattice.
STRAIN_LIMIT = 0.15

_ROTATION_WEIGHT = 0.05  # of a radian of rotation against a strain of 1, in the choice of a basis; by judgement
_BATCH = 2048  # lattices matched together


def _unimodular() -> Floats:
    """Return the matrices of whole numbers from −2 to 2 with determinant ±1, shape (k, 2, 2)."""
    matrices = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 4, indexing="ij"), axis=-1).reshape(-1, 2, 2).astype(float)
    determinant = matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]
    return np.asarray(matrices[np.abs(determinant) == 1])


_CHANGES = _unimodular()


def matched(basis: Floats, reference: Floats) -> Floats:
    """Return the change of basis that brings each lattice nearest to the reference.

    Parameters
    ----------
    basis : array, shape (n, 2, 2)
        Reduced bases, rows = vectors.
    reference : array, shape (2, 2)
        A reduced basis.

    Returns
    -------
    array, shape (n, 2, 2)
        Whole numbers with determinant ±1, to be multiplied with `basis` from the left.
    """
    linear = np.linalg.solve(reference, _CHANGES).reshape(-1, 2)
    best = np.empty(len(basis), int)
    for first in range(0, len(basis), _BATCH):
        mapped = (linear @ basis[first : first + _BATCH]).reshape(-1, len(_CHANGES), 2, 2)
        best[first : first + _BATCH] = _cost(mapped).argmin(axis=1)
    return np.asarray(_CHANGES[best])


def _cost(linear: Floats) -> Floats:
    """Return strain² + (weighted rotation)² of each map (..., 2, 2); infinite where it changes the handedness."""
    yy, yx, xy, xx = (linear[..., i, j] for i in (0, 1) for j in (0, 1))
    total, difference = np.hypot(yx - xy, yy + xx), np.hypot(yx + xy, yy - xx)  # of the principal stretches
    high, low = (total + difference) / 2 - 1, (total - difference) / 2 - 1
    cost = high**2 + low**2 + (_ROTATION_WEIGHT * np.arctan2(yx - xy, yy + xx)) ** 2
    cost += np.maximum(high, -low) > STRAIN_LIMIT
    return np.asarray(np.where(yy * xx > yx * xy, cost, np.inf))


def deformation(basis: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Return the stretch and the rotation that take the reference basis to each basis, vector by vector.

    Parameters
    ----------
    basis : array, shape (..., 2, 2)
        Rows = vectors, columns (y, x).
    reference : array, shape (2, 2)

    Returns
    -------
    stretch : array, shape (..., 2, 2)
        Symmetric; rows and columns (y, x).
    rotation : array, shape (...)
        In radians, counter-clockwise as seen on the screen.
    """
    return polar(np.linalg.solve(reference, basis))


def turns(linear: Floats) -> Floats:
    """Return the rotations of maps of row vectors (y, x), (..., 2, 2), in radians, counter-clockwise on the screen."""
    skew, trace = linear[..., 0, 1] - linear[..., 1, 0], linear[..., 0, 0] + linear[..., 1, 1]
    return np.asarray(np.arctan2(skew, trace))


def polar(linear: Floats) -> tuple[Floats, Floats]:
    """Return stretch U and angle of R, in radians, of maps of row vectors (..., 2, 2), v → v L, with L = U Rᵀ."""
    rotation = turns(linear)
    c, s = np.cos(rotation)[..., None, None], np.sin(rotation)[..., None, None]
    back = c * np.eye(2) + s * np.array([[0.0, -1.0], [1.0, 0.0]])
    return np.asarray(linear @ back), rotation


def jacobian(linear: Floats) -> Floats:
    """Return the derivative of (exx, eyy, exy, rotation) by the flattened map, shape (n, 4, 4)."""
    stretch, rotation = polar(linear)
    c, s = np.cos(rotation), np.sin(rotation)
    zero = np.zeros_like(c)
    size = np.hypot(linear[..., 0, 1] - linear[..., 1, 0], linear[..., 0, 0] + linear[..., 1, 1])[..., None]
    turned = np.stack([-s, c, -c, -s], axis=-1) / size
    # U = L R, and R changes by a quarter turn of itself for each radian.
    uyy, uyx = stretch[..., 0, 0, None], stretch[..., 0, 1, None]
    exx = np.stack([zero, zero, -s, c], axis=-1) - uyx * turned
    eyy = np.stack([c, s, zero, zero], axis=-1) + uyx * turned
    exy = np.stack([-s, c, zero, zero], axis=-1) - uyy * turned
    return np.stack([exx, eyy, exy, turned], axis=-2)
