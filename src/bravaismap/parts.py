"""Parts: the lattices of square parts of an image, of several sizes, each measured as one coherent window.

A micrograph is crystalline locally: strain, drift, domain boundaries, grains and holes leave no wave that runs through
all of it, but a part of some ten cells holds one. Parts of several sizes are laid over an image, so that cells of any
size have parts that suit them, the whole image last.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bravaismap.measurement import measure
from bravaismap.nodes import distinct_power, log_ratio, node_orders
from bravaismap.periods import off_line
from bravaismap.posterior import reduce_measured
from bravaismap.spots import standardize, whitened_power

__all__ = ["Parts", "measure_parts", "part_sizes", "share_off_line"]

#: Sides of parts, in px: ten cells of 7 to 130 px have one that is at most half as large again.
_SIDES = (96, 128, 192, 256, 384, 512, 768, 1024, 1536)
#: Largest part that is not the whole image, as a share of its shorter side.
_LARGEST = 0.8
#: Most parts of a side along an axis.
_ALONG = 7
#: Rows of cells that a part must hold to speak for a lattice: the spots of fewer lie in each other's skirts.
_FEWEST_CELLS = 3.0
#: Highest index of the waves that are summed over parts.
_HIGHEST = 3
#: Freedom of the noise of one part, as for a window's evidence (see ``measurement``).
_FREEDOM = 30.0
#: Pixels of parts that are measured together.
_TOGETHER = 2**20


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


def part_sizes(shape: tuple[int, ...]) -> list[int]:
    """Return the sides of the parts of an image, smallest first, that of the whole image last."""
    short = min(shape)
    return [side for side in _SIDES if side <= _LARGEST * short] + [short]


def measure_parts(image: Tensor) -> Parts:
    """Measure the lattices of the parts of an image.

    Parameters
    ----------
    image : tensor, shape (y, x)
    """
    sides = part_sizes(tuple(image.shape))
    pieces = [_measured(image, side, _origins(tuple(image.shape), side)) for side in sides[:-1]]
    whole = _of(image[None], np.zeros((1, 2), np.intp), sides[-1], widely=True)
    pieces.append(whole)
    return Parts(*(np.concatenate([getattr(piece, name) for piece in pieces]) for name in Parts.__dataclass_fields__))


def share_off_line(image: Tensor, basis: NDArray[np.float64], side: int) -> float:
    """Return which share of a lattice's evidence, summed over all parts of a side, is off its strongest line of waves.

    Fringes whose second period is a chance one have it elsewhere in each part; a lattice has both everywhere.

    Parameters
    ----------
    image : tensor, shape (y, x)
    basis : array, shape (2, 2)
    side : int
    """
    if side < min(image.shape):
        crops = [part for part, _ in _crops(image, side, _origins(tuple(image.shape), side))]
    else:
        crops = [image[None]]
    order = node_orders(_HIGHEST, image.device)
    size = torch.tensor(crops[0].shape[1:], dtype=torch.float32, device=image.device)
    reciprocal = torch.from_numpy(np.linalg.inv(basis).T.astype(np.float32)).to(image.device) * size
    gains = []
    for part in crops:
        spectrum = whitened_power(standardize(part))
        position = (order @ reciprocal).expand(len(part), -1, -1)
        power, seen = distinct_power(spectrum, position)
        gains.append(torch.where(seen, log_ratio(power, _FREEDOM), 0.0))
    gain = torch.cat(gains).mean(0).clamp_min(0)[None]
    total = float(gain.sum())
    return float(off_line(gain, order[None])) / total if total > 0 else 0.0


def _origins(shape: tuple[int, ...], side: int) -> NDArray[np.intp]:
    lines = []
    for length in shape:
        count = min(_ALONG, 1 + -(-2 * (length - side) // side))
        lines.append(np.linspace(0, length - side, count).round().astype(np.intp))
    return np.array(list(itertools.product(*lines)))


def _measured(image: Tensor, side: int, origin: NDArray[np.intp]) -> Parts:
    pieces = [_of(crops, corners, side, widely=False) for crops, corners in _crops(image, side, origin)]
    return Parts(*(np.concatenate([getattr(piece, name) for piece in pieces]) for name in Parts.__dataclass_fields__))


def _crops(image: Tensor, side: int, origin: NDArray[np.intp]) -> Iterator[tuple[Tensor, NDArray[np.intp]]]:
    at_once = max(1, _TOGETHER // side**2)
    for first in range(0, len(origin), at_once):
        corners = origin[first : first + at_once]
        yield torch.stack([image[top : top + side, left : left + side] for top, left in corners.tolist()]), corners


def _of(crops: Tensor, origin: NDArray[np.intp], side: int, widely: bool) -> Parts:
    found = measure(crops, widely=widely)
    basis, covariance, evidence = (
        getattr(found, name).cpu().numpy().astype(float) for name in ("basis", "covariance", "evidence")
    )
    if not widely:
        spacing = np.linalg.norm(np.linalg.inv(basis), axis=1).min(axis=1)
        evidence = np.where(spacing * side >= _FEWEST_CELLS, evidence, 0.0)
    power = found.signal.sum(-1).cpu().numpy().astype(float)
    return Parts(*reduce_measured(basis, covariance), evidence, power, np.full(len(origin), side), origin)
