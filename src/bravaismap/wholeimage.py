"""Whole images: the lattice of a large image from those of its parts, and what else it shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from bravaismap.agreement import CommonLattice, common_lattices
from bravaismap.parts import measure_parts, share_off_line
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
#: Share of the evidence off the strongest line of waves up to which an image has one period, and from which on two: of
#: lattices it is 0.37 and more, of fringes with a chance second period up to 0.24.
_ONE_PERIOD, _TWO_PERIODS = 0.2, 0.35


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
    plain, lattices = _explained(plain)
    if not lattices:
        return []
    first = lattices[0]
    both = share_off_line(plain, first.basis, first.side)
    worth = float(np.clip((both - _ONE_PERIOD) / (_TWO_PERIODS - _ONE_PERIOD), 0.0, 1.0))
    return [replace(first, evidence=worth * first.evidence), *lattices[1:]]


def _explained(plain: Tensor) -> tuple[Tensor, list[CommonLattice]]:
    """The image, as it is or with its rows aligned, whichever explains more, and its lattices."""
    shape = tuple(plain.shape)
    parts = measure_parts(plain)
    lattices = common_lattices(parts, shape)
    strength = lattices[0].strength if lattices else 0.0
    if strength >= _CLEAR:
        return plain, lattices
    straight = aligned(plain)
    again = measure_parts(straight)
    displaced = np.mean(np.log1p(again.power) - np.log1p(parts.power)) > _DISPLACED
    others = common_lattices(again, shape)
    gained = bool(others) and others[0].strength > max(_GAIN * strength, _STRAIGHT)
    return (straight, others) if displaced or gained else (plain, lattices)
