"""Whole images: the lattice of a large image from those of its parts, and what else it shows."""

from __future__ import annotations

import torch
from torch import Tensor

from bravaismap.agreement import CommonLattice, common_lattices
from bravaismap.parts import measure_parts
from bravaismap.scanlines import aligned, leveled
from bravaismap.spots import standardize

__all__ = ["has_parts", "measure_whole"]

#: Shorter side, in px, and longer one from which on an image is answered from its parts.
SMALL_SIDE, LARGE_SIDE = 120, 192
#: Mean evidence of its parts below which an image is looked at again with its rows aligned, and by how much that must
#: gain: aligning costs an image without jitter a little.
_CLEAR = 220.0
_GAIN = 1.25
#: Least mean evidence with aligned rows: noise becomes smoother by it.
_STRAIGHT = 60.0


def has_parts(shape: tuple[int, ...]) -> bool:
    """Return whether an image of this shape is answered from its parts."""
    return min(shape) >= SMALL_SIDE and max(shape) >= LARGE_SIDE


def measure_whole(image: Tensor) -> list[CommonLattice]:
    """Return the lattices of an image, the one with the most evidence first; none where it shows none.

    Parameters
    ----------
    image : tensor, shape (y, x)
        Any real type; at least 192 px a side.
    """
    plain = standardize(leveled(standardize(image[None])))[0]
    shape = tuple(plain.shape)
    lattices = common_lattices(measure_parts(plain), shape)
    strength = lattices[0].strength if lattices else 0.0
    if strength < _CLEAR:
        straight = common_lattices(measure_parts(aligned(plain)), shape)
        if straight and straight[0].strength > max(_GAIN * strength, _STRAIGHT):
            return straight
    return lattices
