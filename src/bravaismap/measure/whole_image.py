"""Whole images: the lattice of a large image from those of its parts, and what else it shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from bravaismap.measure import settings
from bravaismap.measure.agreement import CommonLattice, common_lattices, superlattice
from bravaismap.measure.enlargement import Native, native
from bravaismap.measure.fringes import two_periods
from bravaismap.measure.measurement import SMALLEST_SIDE
from bravaismap.measure.parts import cut_parts, measure_parts, measure_window
from bravaismap.measure.scanlines import aligned, leveled
from bravaismap.measure.spots import standardize

__all__ = ["has_parts", "measure_whole"]


def has_parts(shape: tuple[int, ...]) -> bool:
    """Return whether an image of this shape (y, x) is large enough to be answered from its parts."""
    limits = settings.SETTINGS.whole_image
    return min(shape) >= limits.shorter_side and max(shape) >= limits.longer_side


def measure_whole(image: Tensor) -> list[CommonLattice]:
    """Return the lattices of an image, the one with the most evidence first; none where it shows none.

    The others are those of grains, twins or layers that parts of the image show.

    Parameters
    ----------
    image : tensor, shape (y, x)
        Any real type; at least 32 px a side.

    Raises
    ------
    InputError
        If the image is smaller than 32 px.
    """
    own = native(image)
    if min(own.image.shape) < SMALLEST_SIDE:
        own = Native(image, (1.0, 1.0))
    plain = standardize(leveled(standardize(own.image[None])))[0]
    if has_parts(tuple(plain.shape)):
        lattices = _of_parts(plain)
    else:
        lattices = common_lattices(measure_window(plain), tuple(plain.shape))
    return [lattice.stretched(*own.repeated) for lattice in lattices]


def _of_parts(plain: Tensor) -> list[CommonLattice]:
    plain, lattices = _explained(plain)
    if not lattices:
        return []
    first = lattices[0]
    worth = two_periods(cut_parts(plain, first.side), first.basis)
    others = [other for other in lattices[1:] if _is_second(other, first, min(plain.shape))]
    return [replace(first, evidence=worth * first.evidence), *others]


def _is_second(other: CommonLattice, first: CommonLattice, side: int) -> bool:
    """Whether a lattice is one of its own: it shows in parts that suit the first, and neither is a superlattice."""
    least = settings.SETTINGS.agreement.suited_share * first.strength
    suited = [part for part, value in first.strengths.items() if part < side and value >= least]
    shown = other.evidence > settings.SETTINGS.odds.even_evidence and any(other.strengths[part] > 0 for part in suited)
    related = superlattice(other.basis, first.basis) is not None or superlattice(first.basis, other.basis) is not None
    return shown and not related


def _explained(plain: Tensor) -> tuple[Tensor, list[CommonLattice]]:
    """The image, as it is or with its rows aligned, whichever explains more, and its lattices."""
    limits, shape = settings.SETTINGS.whole_image, tuple(plain.shape)
    parts = measure_parts(plain)
    lattices = common_lattices(parts, shape)
    strength = lattices[0].strength if lattices else 0.0
    if strength >= limits.clear_evidence:
        return plain, lattices
    straight = aligned(plain)
    again = measure_parts(straight)
    displaced = np.mean(np.log1p(again.power) - np.log1p(parts.power)) > limits.displaced_gain
    others = common_lattices(again, shape)
    gained = bool(others) and others[0].strength > max(limits.evidence_gain * strength, limits.aligned_evidence)
    return (straight, others) if displaced or gained else (plain, lattices)
