"""Partial order: whether a superlattice is that of the whole crystal or of a part of it, or a modulation is none.

Where all of a crystal is ordered its lattice is the superlattice, and the finer one is told with it. Where a part is,
the lattice of the image is the finer one, which runs through both, and the superlattice is told with where it shows.
Where the wave vectors of the satellites need not be those of a superlattice, the lattice is the finer one, too, and the
modulation is told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bravaismap.conventions import Floats
from bravaismap.lattice.basis import reduce_basis
from bravaismap.lattice.sublattices import hermite_form
from bravaismap.measure import settings
from bravaismap.measure.agreement import CommonLattice, are_alike, common_lattices, suited_sides, superlattice
from bravaismap.measure.modulation import Modulation, modulation_of
from bravaismap.measure.ordered_regions import OrderedRegion, ordered_regions
from bravaismap.measure.parts import Parts, cut_parts
from bravaismap.measure.satellites import superlattices_of_parts

__all__ = ["PartlyOrdered", "modulated", "partly_ordered"]

Matrix = NDArray[np.intp]


@dataclass(frozen=True)
class PartlyOrdered:
    """The lattice of an image and its order.

    Attributes
    ----------
    lattice : CommonLattice
    order : int array, shape (2, 2), or None
        If all of the crystal is ordered: N, where the basis is N · that of the finer lattice.
    regions : tuple of OrderedRegion
        Else the superlattices of parts of it.
    modulation : Modulation, optional
        If there is one that need not be any of these.
    """

    lattice: CommonLattice
    order: Matrix | None
    regions: tuple[OrderedRegion, ...] = ()
    modulation: Modulation | None = None

    @property
    def finer(self) -> CommonLattice:
        """The lattice itself, or that of which it is the superlattice."""
        return self.lattice if self.order is None else self.lattice.multiplied(np.linalg.inv(self.order))


def partly_ordered(first: CommonLattice, order: Matrix | None, parts: Parts, image: Tensor) -> PartlyOrdered:
    """Return the lattice of an image, with its order if all or a part of the crystal is ordered.

    Parameters
    ----------
    first : CommonLattice
        The only lattice of the image, or a superlattice of it.
    order : int array, shape (2, 2), or None
        If it is known to be a superlattice: N, where its basis is N · that of the finer lattice.
    parts : Parts
        Of the image.
    image : tensor, shape (y, x)
    """
    shape = tuple(image.shape)
    finer = _finer(first, order, parts, shape)
    matrix = superlattice(first.basis, finer.basis)
    looked_for = [*([] if matrix is None else [matrix]), *_shown(finer, matrix is None, parts, image)]
    regions = ordered_regions(image, finer.basis, looked_for)
    everywhere = [region for region in regions if region.rest <= settings.SETTINGS.ordered_regions.least_rest]
    if everywhere and matrix is None:
        # in all parts together too weak to be seen
        return PartlyOrdered(first.multiplied(everywhere[0].matrix), everywhere[0].matrix)
    if everywhere or not regions:
        return PartlyOrdered(first, order)
    alike = common_lattices(parts.in_cells_of(finer.basis, settings.SETTINGS.satellites.largest_index), shape)
    lattice = next((other for other in alike if are_alike(other.basis, finer.basis)), finer)
    change = np.asarray(np.rint(finer.basis @ np.linalg.inv(lattice.basis)), np.intp)
    turned = tuple(OrderedRegion(own.matrix @ change, own.share, own.rest) for own in regions)
    return PartlyOrdered(lattice, None, turned)


def modulated(ordered: PartlyOrdered, parts: Parts, image: Tensor) -> PartlyOrdered:
    """Return the lattice of an image as it is ordered, or the finer one where its satellites fit a modulation as well.

    Parameters
    ----------
    ordered : PartlyOrdered
        The only lattice of the image.
    parts : Parts
    image : tensor, shape (y, x)
    """
    limits = settings.SETTINGS.satellites
    finer = _finer(ordered.lattice, ordered.order, parts, tuple(image.shape))
    finer = finer.multiplied(np.rint(reduce_basis(finer.basis) @ np.linalg.inv(finer.basis)))
    smallest = min(suited_sides(ordered.lattice))
    for side in sorted((side for side in ordered.lattice.strengths if side >= smallest), reverse=True):
        modulation = modulation_of(cut_parts(image, side), finer.basis)
        if modulation is None:
            continue
        claims: list[Floats] = [own.matrix @ ordered.lattice.basis for own in ordered.regions]
        larger = superlattice(ordered.lattice.basis, finer.basis) is not None
        claims += [ordered.lattice.basis] if larger else []
        fits = any(modulation.fits(claim @ np.linalg.inv(finer.basis)) for claim in claims)
        # a superlattice whose waves are as strong as those of the finer lattice is given up for what is sure only
        told = larger and ordered.order is None
        least = limits.incommensurate if told else limits.commensurate
        if fits and modulation.commensurate >= least:
            return ordered
        return PartlyOrdered(finer, None, modulation=modulation)
    return ordered


def _finer(first: CommonLattice, order: Matrix | None, parts: Parts, shape: tuple[int, ...]) -> CommonLattice:
    """The finest lattice of which the first one of an image is a superlattice, by its order or in other parts."""
    finer = PartlyOrdered(first, order).finer
    least = settings.SETTINGS.ordered_regions.least_rest
    others = (other for other in common_lattices(parts, shape) if other.share > least)
    return next((other for other in others if superlattice(finer.basis, other.basis) is not None), finer)


def _shown(lattice: CommonLattice, weak: bool, parts: Parts, image: Tensor) -> list[Matrix]:
    """Superlattices that several parts show, as their lattice or, if those that are `weak` are looked for, by spots."""
    limits = settings.SETTINGS.ordered_regions
    largest = settings.SETTINGS.satellites.largest_index
    seen = parts.evidence > settings.SETTINGS.odds.even_evidence
    every = [superlattice(basis, lattice.basis) for basis in parts.basis[seen]]
    matrices = [matrix for matrix in every if matrix is not None and abs(np.linalg.det(matrix)) < largest + 0.5]
    if weak:
        least = settings.SETTINGS.agreement.suited_share * lattice.strength
        sides = [side for side, value in lattice.strengths.items() if value >= least and side < min(image.shape)]
        for side in sorted(sides)[-limits.sides :]:
            matrices += superlattices_of_parts(cut_parts(image, side), lattice.basis)
    counts = Counter(tuple(hermite_form(matrix).ravel().tolist()) for matrix in matrices)
    return [np.array(entries).reshape(2, 2) for entries, count in counts.items() if count >= limits.fewest_parts]
