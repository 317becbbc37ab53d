"""Whole images: the lattice of a large image from those of its parts, and what else it shows."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from bravaismap.agreement import CommonLattice, common_lattices
from bravaismap.parts import measure_parts
from bravaismap.scanlines import aligned, leveled
from bravaismap.spots import standardize

__all__ = ["has_parts", "measure_whole"]

#: Shorter side, in px, and longer one from which on an image is answered from its parts.
SMALL_SIDE, LARGE_SIDE = 120, 192
#: Mean evidence of its parts below which an image is looked at again with its rows aligned.
_CLEAR = 220.0
#: Gain of the waves' power (mean over parts of its logarithm) from which on the rows were displaced: in images whose rows
#: are not, aligning them costs power.
_DISPLACED = 0.1
#: Gain of the evidence that is enough by itself, and the least evidence that it must come to: aligned noise is smoother.
_GAIN = 1.25
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
    parts = measure_parts(plain)
    lattices = common_lattices(parts, shape)
    strength = lattices[0].strength if lattices else 0.0
    if strength >= _CLEAR:
        return lattices
    straight = measure_parts(aligned(plain))
    displaced = np.mean(np.log1p(straight.power) - np.log1p(parts.power)) > _DISPLACED
    others = common_lattices(straight, shape)
    gained = bool(others) and others[0].strength > max(_GAIN * strength, _STRAIGHT)
    return others if displaced or gained else lattices
