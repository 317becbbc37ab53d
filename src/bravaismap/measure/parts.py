"""Parts: the lattices of square parts of an image, of several sizes, each measured as one coherent window.

A micrograph is crystalline locally: strain, drift, domain boundaries, grains and holes leave no wave that runs through
all of it, but a part of some ten cells holds one. Parts of several sizes are laid over an image, so that cells of any
size have parts that suit them, the whole image last.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bravaismap.conventions import Floats
from bravaismap.lattice.sublattices import kronecker_lift, reduce_measured
from bravaismap.measure import settings
from bravaismap.measure.layers import beneath
from bravaismap.measure.measurement import Measurement, measure

__all__ = ["Parts", "cut_parts", "measure_beneath", "measure_parts", "measure_window", "part_origins", "part_sizes"]


@dataclass(frozen=True)
class Parts:
    """Measured lattices of parts of an image.

    Attributes
    ----------
    basis : array, shape (n, 2, 2)
        Reduced primitive vectors in px, rows, columns (y, x).
    covariance : array, shape (n, 4, 4)
        Of the flattened basis, px².
    evidence : array, shape (n,)
        Log likelihood ratio of a lattice against none.
    power : array, shape (n,)
        Power of all waves at the nodes over that of the noise there, whether they make a lattice or not.
    side : int array, shape (n,)
        Side of the part in px; the shorter side of the image for the image itself.
    origin : int array, shape (n, 2)
        First row and column.
    """

    basis: NDArray[np.float64]
    covariance: NDArray[np.float64]
    evidence: NDArray[np.float64]
    power: NDArray[np.float64]
    side: NDArray[np.intp]
    origin: NDArray[np.intp]

    def in_cells_of(self, basis: Floats, largest: int) -> Parts:
        """Return the parts with the cell of a lattice where they show a superlattice of it of an index up to `largest`.

        Parameters
        ----------
        basis : array, shape (2, 2)
            Of the lattice.
        largest : int
        """
        tolerance = settings.SETTINGS.agreement.basis_tolerance
        relation = self.basis @ np.linalg.inv(basis)
        whole = np.rint(relation)
        index = np.abs(np.linalg.det(whole))
        larger = (np.abs(relation - whole).max((1, 2)) < tolerance) & (index > 1.5) & (index < largest + 0.5)
        back = np.linalg.inv(np.where(larger[:, None, None], whole, np.eye(2)))
        wide = kronecker_lift(back)
        return replace(self, basis=back @ self.basis, covariance=wide @ self.covariance @ np.swapaxes(wide, 1, 2))

    @classmethod
    def joined(cls, pieces: Sequence[Parts]) -> Parts:
        """Return the parts of all pieces, in their order."""
        return cls(
            np.concatenate([piece.basis for piece in pieces]),
            np.concatenate([piece.covariance for piece in pieces]),
            np.concatenate([piece.evidence for piece in pieces]),
            np.concatenate([piece.power for piece in pieces]),
            np.concatenate([piece.side for piece in pieces]),
            np.concatenate([piece.origin for piece in pieces]),
        )


def part_sizes(shape: tuple[int, ...]) -> list[int]:
    """Return the sides of the parts of an image, smallest first, that of the whole image last."""
    limits, short = settings.SETTINGS.parts, min(shape)
    return [side for side in limits.sides if side <= limits.largest_share * short] + [short]


def measure_parts(image: Tensor) -> Parts:
    """Measure the lattices of the parts of an image.

    Parameters
    ----------
    image : tensor, shape (y, x)
    """
    sides = part_sizes(tuple(image.shape))
    pieces = [_measured(image, side, _origins(image, side)) for side in sides[:-1]]
    pieces.append(measure_window(image, widely=True))
    return Parts.joined(pieces)


def measure_window(image: Tensor, widely: bool | None = None) -> Parts:
    """Measure an image whole, as the only part of itself.

    Parameters
    ----------
    image : tensor, shape (y, x)
    widely : bool, optional
        See :func:`~bravaismap.measure.measurement.measure`. What is searched widely is taken for one wave: where parts
        of an image are measured too, these have phases of their own.
    """
    return _of(image[None], np.zeros((1, 2), np.intp), min(image.shape), widely, whole=True)


def measure_beneath(image: Tensor, side: int, basis: Floats) -> Parts:
    """Measure what the parts of a side show once a lattice is taken out of them.

    Parameters
    ----------
    image : tensor, shape (y, x)
    side : int
        The shorter side of the image for the image itself.
    basis : array, shape (2, 2)
        Of the lattice that is taken out, rows, columns (y, x), in px.
    """
    whole = side >= min(image.shape)
    origin = np.zeros((1, 2), np.intp) if whole else _origins(image, side)
    crops = torch.cat(list(cut_parts(image, side)))
    bases = torch.from_numpy(basis).to(image.device).expand(len(crops), 2, 2)
    return _of_measured(beneath(crops, bases), origin, side, whole)


def cut_parts(image: Tensor, side: int) -> Iterator[Tensor]:
    """Yield the parts of a side, (n, side, side), in batches; the image itself where that is its shorter side.

    Parameters
    ----------
    image : tensor, shape (y, x)
    side : int
    """
    if side >= min(image.shape):
        yield image[None]
    else:
        yield from (crops for crops, _ in _crops(image, side, _origins(image, side)))


def part_origins(shape: tuple[int, ...], side: int, most: int | None = None) -> NDArray[np.intp]:
    """Return first row and column of the parts of a side, (n, 2), evenly spread and at most half a part apart.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image.
    side : int
    most : int, optional
        Number of parts along an axis that is not exceeded, though they be farther apart.
    """
    lines = []
    for length in shape:
        count = 1 + -(-2 * (length - side) // side)
        lines.append(np.linspace(0, length - side, min(count, most or count)).round().astype(np.intp))
    return np.array(list(itertools.product(*lines)))


def _origins(image: Tensor, side: int) -> NDArray[np.intp]:
    return part_origins(tuple(image.shape), side, settings.SETTINGS.parts.parts_along_axis)


def _measured(image: Tensor, side: int, origin: NDArray[np.intp]) -> Parts:
    pieces = [_of(crops, corners, side, widely=False) for crops, corners in _crops(image, side, origin)]
    return Parts.joined(pieces)


def _crops(image: Tensor, side: int, origin: NDArray[np.intp]) -> Iterator[tuple[Tensor, NDArray[np.intp]]]:
    at_once = max(1, settings.SETTINGS.parts.pixels_per_batch // side**2)
    for first in range(0, len(origin), at_once):
        corners = origin[first : first + at_once]
        yield torch.stack([image[top : top + side, left : left + side] for top, left in corners.tolist()]), corners


def _of(crops: Tensor, origin: NDArray[np.intp], side: int, widely: bool | None, whole: bool = False) -> Parts:
    """Measured parts; those of few cells have no evidence unless they are the `whole` image."""
    return _of_measured(measure(crops, widely=widely, again=not widely), origin, side, whole)


def _of_measured(measured: Measurement, origin: NDArray[np.intp], side: int, whole: bool) -> Parts:
    limits = settings.SETTINGS.parts
    basis, covariance, evidence, power = (
        values.cpu().numpy().astype(float)
        for values in (measured.basis, measured.covariance, measured.evidence, measured.signal.sum(-1))
    )
    if not whole:
        spacing = np.linalg.norm(np.linalg.inv(basis), axis=1).min(axis=1)
        evidence = np.where(spacing * side >= limits.fewest_cells, evidence, 0.0)
    sound = np.isfinite(basis).all((1, 2)) & np.isfinite(covariance).all((1, 2))
    sound &= np.abs(np.linalg.det(np.where(sound[:, None, None], basis, np.eye(2)))) >= limits.smallest_cell
    basis = np.where(sound[:, None, None], basis, side * np.eye(2))
    smallest = (limits.precision * np.linalg.norm(basis, axis=(1, 2))) ** 2
    covariance = np.where(sound[:, None, None], covariance, 0.0) + smallest[:, None, None] * np.eye(4)
    evidence = np.where(sound, np.nan_to_num(evidence), 0.0)
    reduced, spread = (np.asarray(part, float) for part in reduce_measured(basis, covariance))
    return Parts(reduced, spread, evidence, power, np.full(len(origin), side), origin)
