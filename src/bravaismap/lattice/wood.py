"""Superlattices as surface science writes them: one matrix for each, and Wood's notation where it has one.

E. A. Wood, J. Appl. Phys. 35, 1306 (1964): p × q Rφ has the vectors of the lattice p and q times as long, both turned
by φ; c(p × q) has a cell of p × q and its centre as well. The matrix holds the vectors of the superlattice in those of
the lattice; its determinant, the number of cells, is positive (R. L. Park, H. H. Madden, Surf. Sci. 11, 188 (1968)).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bravaismap.conventions import Floats
from bravaismap.lattice.basis import reduce_basis
from bravaismap.lattice.sublattices import hermite_form

__all__ = ["Superlattice", "superlattice_name"]

#: Differences of angle, in degrees, and of length from the root of a whole number up to which a superlattice has a
#: name of the form √m × √n Rφ: what a measured cell is wrong by.
_SAME_ANGLE = 2.0
_SAME_LENGTH = 0.04
#: Relative difference in length up to which two choices of vectors are equally short.
_SAME_SIZE = 0.03


@dataclass(frozen=True)
class Superlattice:
    """A superlattice as it is written.

    Attributes
    ----------
    matrix : int array, shape (2, 2)
        Its vectors, rows, in those of the lattice; its determinant is positive.
    wood : str or None
        In Wood's notation, where it has one: ``2 × 1``, ``√3 × √3 R30°``, ``c(2 × 2)``.
    """

    matrix: NDArray[np.intp]
    wood: str | None

    def __str__(self) -> str:
        entries = "matrix ({} {}; {} {})".format(*self.matrix.ravel())
        return entries.removeprefix("matrix ") if self.wood is None else f"{self.wood}, {entries}"


def superlattice_name(matrix: NDArray[np.integer], basis: Floats) -> Superlattice:
    """Return how a superlattice is written, whichever of its bases is given.

    Parameters
    ----------
    matrix : int array, shape (2, 2)
        Any basis of it, rows, in that of the lattice.
    basis : array, shape (2, 2)
        Of the lattice.
    """
    whole = np.asarray(np.rint(reduce_basis(hermite_form(matrix) @ basis) @ np.linalg.inv(basis)), np.intp)
    every = [change @ whole for change in _CHANGES if round(np.linalg.det(change @ whole)) > 0]
    named = [(turn, own, text) for own in every if (name := _turned(own, basis)) is not None for turn, text in [name]]
    centred = _centred(whole, basis)
    if named:
        # of the equivalent ones that of the smallest turn, counter-clockwise if there are two
        turn, own, text = min(named, key=lambda one: (round(abs(one[0])), one[0] < 0, *(-one[1].ravel())))
        if centred is None or abs(turn) < _SAME_ANGLE:
            return Superlattice(own, text)
        return Superlattice(own, f"{text} or {centred}")
    size = np.array([np.linalg.norm(own @ basis, axis=1).sum() for own in every])
    shortest = [own for own, length in zip(every, size, strict=True) if length < (1 + _SAME_SIZE) * size.min()]
    return Superlattice(max(shortest, key=lambda own: (own[0, 0] > 0, own[1, 1] > 0, *own.ravel())), centred)


#: Changes between short bases of a lattice.
_CHANGES = [
    np.array(entries).reshape(2, 2)
    for entries in itertools.product((-1, 0, 1), repeat=4)
    if abs(entries[0] * entries[3] - entries[1] * entries[2]) == 1
]


def _turned(matrix: NDArray[np.intp], basis: Floats) -> tuple[float, str] | None:
    """The turn in degrees and the name √m × √n Rφ of vectors that are those of a lattice, longer and turned alike."""
    chosen = matrix @ basis
    ratio = np.linalg.norm(chosen, axis=1) / np.linalg.norm(basis, axis=1)
    turns = [_angle(of, vector) for of, vector in zip(basis, chosen, strict=True)]
    squares = np.rint(ratio**2).clip(1)
    difference = (turns[0] - turns[1] + 180) % 360 - 180
    if abs(difference) > _SAME_ANGLE or np.abs(ratio / np.sqrt(squares) - 1).max() > _SAME_LENGTH:
        return None
    turn = turns[0] - difference / 2
    rotated = f" R{abs(turn):.0f}°" if abs(turn) > _SAME_ANGLE else ""
    return turn, f"{_root(int(squares[0]))} × {_root(int(squares[1]))}{rotated}"


def _centred(matrix: NDArray[np.intp], basis: Floats) -> str | None:
    """The name c(p × q) of a superlattice, if a rectangle of it has a point in its centre."""
    if abs(np.dot(*basis)) > np.sin(np.radians(_SAME_ANGLE)) * np.linalg.norm(basis, axis=1).prod():
        return None
    index = abs(round(np.linalg.det(matrix)))
    for p in range(2, 2 * index + 1, 2):
        q, left = divmod(2 * index, p)
        if left or q % 2:
            continue
        points = np.array([[p, 0], [0, q], [p // 2, q // 2]]) @ np.linalg.inv(matrix)
        if np.abs(points - np.rint(points)).max() < 1e-6:
            return f"c({p} × {q})"
    return None


def _angle(first: Floats, second: Floats) -> float:
    """Angle from one vector (y, x) to another, counter-clockwise as seen on the screen, in degrees."""
    return float(np.degrees(np.arctan2(first[1] * -second[0] + first[0] * second[1], first @ second)))


def _root(square: int) -> str:
    root = round(square**0.5)
    return str(root) if root**2 == square else f"√{square}"
