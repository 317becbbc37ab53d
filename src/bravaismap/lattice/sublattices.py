"""Sublattices and superlattices of small index, and the lift of a linear map to the components of its vectors.

A change of basis M takes a basis B (rows) to M B. With whole numbers and |det M| = n the rows of M B span a sublattice
of index n, whose cell is n times as large; with |det M| = 1/n they span a superlattice.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np

from bravaismap.lattice.basis import reduce_basis

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from bravaismap.conventions import Floats

__all__ = ["DIVIDED", "DOUBLED", "hermite_form", "kronecker_lift", "reduce_measured", "sublattices_to"]

#: The three sublattices of index 2: every second row of points is left out. Applied to a reciprocal basis it is every
#: second row of nodes, and the cell of the direct lattice is halved.
DOUBLED: Final = np.array([[[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 2.0]], [[1.0, 1.0], [1.0, -1.0]]])
#: The three superlattices of index 2 and the four of index 3: one or two rows of points are added between any two.
DIVIDED: Final = np.array(
    [
        [[1 / 2, 0], [0, 1]],
        [[1, 0], [0, 1 / 2]],
        [[1, 0], [1 / 2, 1 / 2]],
        [[1 / 3, 0], [0, 1]],
        [[1, 0], [0, 1 / 3]],
        [[1, 0], [1 / 3, 1 / 3]],
        [[1, 0], [2 / 3, 1 / 3]],
    ]
)


@functools.cache
def sublattices_to(largest: int) -> tuple[Floats, ...]:
    """Return matrices N of all sublattices N B of index 2 to `largest`, by index, in Hermite normal form.

    Transposed they are those of all superlattices N⁻¹ B.

    Parameters
    ----------
    largest : int
    """
    return tuple(
        np.array([[first, shear], [0.0, index // first]])
        for index in range(2, largest + 1)
        for first in range(1, index + 1)
        if index % first == 0
        for shear in range(index // first)
    )


def hermite_form(matrix: ArrayLike) -> NDArray[np.intp]:
    """Return the Hermite normal form of a matrix of whole numbers: the one of all bases of its sublattice.

    Parameters
    ----------
    matrix : array, shape (2, 2)
        Rows are the vectors of the sublattice in the basis of the lattice; its determinant is not 0.

    Returns
    -------
    int array, shape (2, 2)
        (p q; 0 r) with p, r > 0 and 0 ≤ q < r.
    """
    (a, b), (c, d) = np.rint(np.asarray(matrix, float)).astype(int).tolist()
    while c:
        times = a // c
        a, b, c, d = c, d, a - times * c, b - times * d
    a, b = (a, b) if a > 0 else (-a, -b)
    return np.array([[a, b % abs(d)], [0, abs(d)]])


@overload
def kronecker_lift(change: Floats) -> Floats: ...


@overload
def kronecker_lift(change: Tensor) -> Tensor: ...


def kronecker_lift(change: Any) -> Any:
    """Return the Kronecker product of a change of basis with the identity: how it acts on the flattened basis.

    It is the derivative of M B by B, both flattened by rows, and so carries the covariance of the components of B to
    that of the components of M B.

    Parameters
    ----------
    change : array or tensor, shape (..., m, 2)
        Changes of basis M, or rows of them.

    Returns
    -------
    array or tensor, shape (..., 2 m, 4)
        Of the same kind, type and device.
    """
    identity = np.eye(2) if isinstance(change, np.ndarray) else change.new_tensor(np.eye(2))
    rows, columns = change.shape[-2:]
    product = change[..., :, None, :, None] * identity[:, None, :]
    return product.reshape(*change.shape[:-2], 2 * rows, 2 * columns)


def reduce_measured(basis: ArrayLike, covariance: ArrayLike) -> tuple[Floats, Floats]:
    """Return the reduced basis of each lattice (n, 2, 2) and its covariance (n, 4, 4)."""
    basis = np.asarray(basis, float)
    reduced = reduce_basis(basis)
    change = np.rint(reduced @ np.linalg.inv(basis))
    wide = kronecker_lift(change)
    return reduced, wide @ np.asarray(covariance, float) @ np.swapaxes(wide, 1, 2)
