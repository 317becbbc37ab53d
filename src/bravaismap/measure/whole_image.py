"""Whole images: the lattice of a large image from those of its parts, and what else it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bravaismap.conventions import Floats
from bravaismap.lattice.sublattices import reduce_measured
from bravaismap.measure import settings
from bravaismap.measure.agreement import (
    CommonLattice,
    are_alike,
    common_lattices,
    suited_sides,
    superlattice,
    with_common_share,
)
from bravaismap.measure.enlargement import native
from bravaismap.measure.fringes import two_periods
from bravaismap.measure.interlace import interleaved
from bravaismap.measure.interpolation import Scan, own_scans
from bravaismap.measure.main_lattice import explains_spots, main_lattice
from bravaismap.measure.measurement import SMALLEST_SIDE, leveled_view, measure_from
from bravaismap.measure.modulation import Modulation, modulation_of
from bravaismap.measure.one_period import OnePeriod, strongest_period
from bravaismap.measure.ordered_regions import OrderedRegion
from bravaismap.measure.ordering import finer_lattice
from bravaismap.measure.partial_order import PartlyOrdered, modulated, partly_ordered
from bravaismap.measure.parts import Parts, cut_parts, measure_beneath, measure_parts, measure_window
from bravaismap.measure.pickup import Quiet, without_pickup
from bravaismap.measure.quasicrystals import rings
from bravaismap.measure.satellites import superlattice_of
from bravaismap.measure.scanlines import aligned, leveled
from bravaismap.measure.spots import find_spots, standardize

__all__ = [
    "WholeImage",
    "enlarged_noise",
    "has_parts",
    "leveled_lines",
    "look_at_window",
    "measure_whole",
    "undisturbed",
]


def has_parts(shape: tuple[int, ...]) -> bool:
    """Return whether an image of this shape (y, x) is large enough to be answered from its parts."""
    limits = settings.SETTINGS.whole_image
    return min(shape) >= limits.shorter_side and max(shape) >= limits.longer_side


@dataclass(frozen=True)
class WholeImage:
    """What an image shows.

    Attributes
    ----------
    lattices : tuple of CommonLattice
        The one with the most evidence first; the others are those of grains, twins or layers that parts of the image
        show.
    order : int array, shape (2, 2), or None
        If the first lattice is the superlattice of a finer one: N, where the basis is N · that of the finer one.
    regions : tuple of OrderedRegion
        Superlattices of the first lattice that a part of the image shows, that of the largest part first.
    modulation : Modulation or None
        Of the first lattice, or of the finer one of which it is a superlattice, if it need not be a superlattice.
    period : OnePeriod or None
        The strongest wave of an image that shows no lattice.
    repeated : (float, float)
        How often each pixel was repeated along y and x; 1 if it was not.
    leveled : (bool, bool)
        Whether offsets of the rows, and of the columns, were removed.
    aligned : bool
        Whether displaced rows were shifted into place.
    displaced : (float, float)
        By how many px the odd columns were displaced down, and the odd rows to the right of the even ones, which was
        undone; 0 if they were not.
    pickup : float
        Wavelength in px of a wave beside the lattice, as mains hum is one, that was taken out; 0 if there was none.
    ring : int
        Number of equal spots on a circle, 8, 10 or 12, which no lattice has; 0 if there is no such ring.
    """

    lattices: tuple[CommonLattice, ...] = ()
    order: NDArray[np.intp] | None = None
    regions: tuple[OrderedRegion, ...] = ()
    modulation: Modulation | None = None
    period: OnePeriod | None = None
    repeated: tuple[float, float] = (1.0, 1.0)
    leveled: tuple[bool, bool] = (False, False)
    aligned: bool = False
    displaced: tuple[float, float] = (0.0, 0.0)
    pickup: float = 0.0
    ring: int = 0


def measure_whole(image: Tensor) -> WholeImage:
    """Return the lattices of an image, and what else it shows.

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
    shown = own if own.repeated == (1.0, 1.0) else own.refined(SMALLEST_SIDE)
    plain, lines, varies = _leveled(shown.image)
    quiet = undisturbed(plain)
    plain, displaced = interleaved(quiet.image)
    shape = tuple(plain.shape)
    if has_parts(shape):
        straight, parts, lattices = _of_parts(plain)
    else:
        straight, parts = plain, measure_window(plain)
        lattices = common_lattices(parts, shape)
    ring, quasicrystalline = _ring(straight, lattices[0].basis if lattices else None)
    if lattices and (quasicrystalline or enlarged_noise(plain) is not None):
        lattices = []
    ordered, period = None, None
    if lattices and lattices[0].evidence > settings.SETTINGS.odds.even_evidence:
        ordered = None if ring else _strongly_modulated(lattices, straight)
        if ordered is None:
            first, order = _ordered(lattices[0], straight, alone=len(lattices) == 1)
            ordered = PartlyOrdered(first, order)
            if has_parts(shape) and len(lattices) == 1:
                ordered = modulated(partly_ordered(first, order, parts, straight), parts, straight)
            lattices[0] = ordered.lattice
        else:
            lattices = [ordered.lattice]
    elif quiet.alone:
        period, quiet = OnePeriod(quiet.length, slips=False), Quiet(plain)
    elif varies and not ring:
        period = strongest_period(plain)
    return WholeImage(
        tuple(lattice.stretched(*shown.repeated) for lattice in lattices),
        None if ordered is None else ordered.order,
        () if ordered is None else ordered.regions,
        None if ordered is None else ordered.modulation,
        None if period is None else period.stretched(shown.repeated[1]),
        own.repeated,
        lines,
        straight is not plain,
        (displaced[0] * shown.repeated[0], displaced[1] * shown.repeated[1]),
        quiet.length * shown.repeated[1],
        ring,
    )


def _ring(image: Tensor, basis: Floats | None) -> tuple[int, bool]:
    """Number of equal spots on a circle, 0 without, and whether the image shows a quasicrystal and not this lattice."""
    view = leveled_view(image[None])
    seen = rings(view.plain, find_spots(view.spectrum), view.spectrum)
    fold = int(seen.fold[0])
    if not fold or basis is None:
        return fold, bool(fold)
    reciprocal = torch.from_numpy(np.linalg.inv(basis).T * np.array(image.shape))[None].to(image.device)
    return fold, bool(seen.quasicrystalline(reciprocal)[0])


def enlarged_noise(image: Tensor) -> Scan | None:
    """Return the scan that an image (y, x) was interpolated from if that shows no lattice; None if there is none."""
    for scan in own_scans(image.double().cpu().numpy(), SMALLEST_SIDE):
        own = measure_window(standardize(torch.from_numpy(scan.image).to(image)[None])[0])
        if own.evidence[0] < settings.SETTINGS.odds.even_evidence:
            return scan
    return None


def _strongly_modulated(lattices: Sequence[CommonLattice], image: Tensor) -> PartlyOrdered | None:
    """The main lattice of an image whose spots the first one misses, with its modulation; None if it has none.

    One of several lattices whose sums are there, too, is that of a layer.
    """
    first = lattices[0]
    if _is_that_of_parts(first, image):
        return None
    basis = main_lattice(image, first.basis)
    if basis is None or (len(lattices) > 1 and any(are_alike(basis, other.basis) for other in lattices)):
        return None
    measured = measure_from(image[None], torch.from_numpy(basis)[None].to(image.device))
    reduced, covariance = reduce_measured(measured.basis.cpu().numpy(), measured.covariance.cpu().numpy())
    evidence, side = max(first.evidence, float(measured.evidence[0])), min(image.shape)
    lattice = replace(
        first, basis=reduced[0], covariance=covariance[0], evidence=evidence, share=1.0, side=side, strength=evidence,
        strengths={side: evidence}, shares={side: 1.0},
    )  # fmt: skip
    return PartlyOrdered(lattice, None, modulation=modulation_of([image[None]], lattice.basis))


def _is_that_of_parts(first: CommonLattice, image: Tensor) -> bool:
    """Whether nearly all small parts of an image show its lattice, and no strong spots beside it."""
    least = settings.SETTINGS.main_lattice.everywhere
    sides = [side for side, share in first.shares.items() if share > least and side < min(image.shape) / 2]
    return bool(sides) and explains_spots(cut_parts(image, min(sides)), first.basis)


def _ordered(first: CommonLattice, image: Tensor, alone: bool) -> tuple[CommonLattice, NDArray[np.intp] | None]:
    """The lattice of an image, or its superlattice where weak spots show one, and what that is of the finer one.

    The spots of another grain are none of a superlattice: these are looked for if the lattice is `alone`.
    """
    order = finer_lattice(cut_parts(image, first.side), first.basis)
    if order is not None or not alone:
        return first, order
    for side in suited_sides(first):
        matrix = superlattice_of(cut_parts(image, side), first.basis)
        if matrix is None:
            continue
        larger = first.multiplied(matrix)
        order = finer_lattice(cut_parts(image, side), larger.basis)
        if order is not None and round(np.linalg.det(order)) == round(np.linalg.det(matrix)):
            return larger, order
    return first, None


def look_at_window(image: Tensor, basis: NDArray[np.floating] | None) -> WholeImage:
    """Return what a small image shows besides its lattice, which was measured as that of a window.

    Parameters
    ----------
    image : tensor, shape (y, x)
    basis : array, shape (2, 2), or None
        Of its lattice, rows, columns (y, x), in px; None if it has none.
    """
    plain, lines, varies = _leveled(image)
    quiet = undisturbed(plain)
    plain, displaced = interleaved(quiet.image)
    ring, _ = _ring(plain, basis)
    if basis is None and quiet.alone:
        return WholeImage(period=OnePeriod(quiet.length, slips=False), leveled=lines, displaced=displaced)
    if basis is None:
        period = strongest_period(plain) if varies and not ring else None
        return WholeImage(period=period, leveled=lines, displaced=displaced, pickup=quiet.length, ring=ring)
    order, modulation = finer_lattice([plain[None]], np.asarray(basis, float)), None
    if order is not None:
        modulation = modulation_of([plain[None]], np.linalg.solve(order, basis))
        if modulation is not None and modulation.commensurate >= settings.SETTINGS.satellites.commensurate:
            modulation = None
    return WholeImage(
        order=order, modulation=modulation, leveled=lines, displaced=displaced, pickup=quiet.length, ring=ring
    )


def undisturbed(image: Tensor) -> Quiet:
    """Return an image without what was picked up.

    One wave that is all that seems to repeat may be that of rows of atoms: where the rest shows a lattice, it stays.
    So does a wave of a ring of equal spots, which is one of the quasicrystal or of the layers.

    Parameters
    ----------
    image : tensor, shape (y, x)
    """
    quiet = without_pickup(image)
    if quiet.length and _ring(standardize(image[None])[0], None)[0] and not _ring(quiet.image, None)[0]:
        return Quiet(image)
    return Quiet(image) if quiet.alone and _shows_lattice(quiet.image) else quiet


def _shows_lattice(image: Tensor) -> bool:
    plain, shape = standardize(leveled(standardize(image[None])))[0], tuple(image.shape)
    parts = measure_parts(plain) if has_parts(shape) else measure_window(plain)
    lattices = common_lattices(parts, shape)
    return bool(lattices) and lattices[0].evidence > settings.SETTINGS.odds.even_evidence


def leveled_lines(image: Tensor) -> tuple[bool, bool]:
    """Return whether the rows, and the columns, of an image (y, x) have offsets that are removed."""
    return _leveled(image)[1]


def _leveled(image: Tensor) -> tuple[Tensor, tuple[bool, bool], bool]:
    """The standardised image without offsets of its lines, whether rows and columns had some, and if more is left."""
    limits = settings.SETTINGS.whole_image
    before = standardize(image[None])
    after = leveled(before)
    removed = (before - after)[0]
    rows, columns = (float(removed.mean(axis).std()) > limits.leveled_change for axis in (1, 0))
    return standardize(after)[0], (rows, columns), float(after.std()) > limits.remaining_std


def _of_parts(plain: Tensor) -> tuple[Tensor, Parts, list[CommonLattice]]:
    """The image as it is or with its rows aligned, its parts and its lattices."""
    straight, parts, lattices = _explained(plain)
    if not lattices:
        return straight, parts, []
    first = lattices[0]
    worth = two_periods(cut_parts(straight, first.side), first.basis)
    chosen = [replace(first, evidence=worth * first.evidence)]
    for other in lattices[1:]:
        if _is_second(other, first, min(straight.shape)) and _is_new(other, chosen, parts, straight):
            chosen.append(other)
    if len(chosen) == 1 and (layer := _layer(first, straight)) is not None:
        chosen.append(layer)
    return straight, parts, with_common_share(chosen)


def _layer(first: CommonLattice, image: Tensor) -> CommonLattice | None:
    """A second lattice in the same parts of an image as the first; None if there is none."""
    limits = settings.SETTINGS.layers
    least = settings.SETTINGS.agreement.suited_share * first.strength
    suited = [part for part, value in first.strengths.items() if value >= least]
    # parts that must agree say more than one
    side = max((part for part in suited if part < min(image.shape)), default=first.side)
    left = measure_beneath(image, side, first.basis)
    for other in common_lattices(left, tuple(image.shape))[:1]:
        relation = other.basis @ np.linalg.inv(first.basis)
        shared = np.abs(relation - np.rint(relation)).max(axis=1).min() < limits.same_tolerance
        rows = other.side * np.linalg.norm(np.linalg.inv(other.basis), axis=0).min()
        everywhere = other.share >= limits.least_share and rows >= limits.fewest_cells
        clear = other.evidence > limits.least_evidence
        if everywhere and clear and not shared and not _related(other, first):
            return other
    return None


def _related(one: CommonLattice, other: CommonLattice) -> bool:
    """Whether either of two lattices is a superlattice of the other."""
    return superlattice(one.basis, other.basis) is not None or superlattice(other.basis, one.basis) is not None


def _is_second(other: CommonLattice, first: CommonLattice, side: int) -> bool:
    """Whether a lattice shows in parts that suit the first one."""
    least = settings.SETTINGS.agreement.suited_share * first.strength
    suited = [part for part, value in first.strengths.items() if part < side and value >= least]
    clear = other.evidence > settings.SETTINGS.agreement.second_evidence
    return clear and any(other.strengths[part] > 0 for part in suited)


def _is_new(other: CommonLattice, chosen: list[CommonLattice], parts: Parts, image: Tensor) -> bool:
    """Whether a lattice explains its parts better than the lattices before it do together.

    Spots that a domain boundary splits, and parts that hold the edge between two grains, let a search find cells that
    are no lattice of the crystal: what it has seen there the lattices before explain as well.
    """
    if any(are_alike(other.basis, lattice.basis) for lattice in chosen):
        return True  # either lattice, refined where the other one is, becomes that
    if any(_related(other, lattice) for lattice in chosen):
        return False
    least = settings.SETTINGS.agreement.resolved_share * other.strength
    side = min(part for part, value in other.strengths.items() if value >= least)
    rows = other.members[parts.side[other.members] == side]
    pieces = [image[top : top + side, left : left + side] for top, left in parts.origin[rows].tolist()]
    crops = torch.stack(pieces) if side < min(image.shape) else image[None]

    def evidence(lattice: CommonLattice) -> float:
        bases = torch.from_numpy(lattice.basis).to(image.device).expand(len(crops), 2, 2)
        return float(measure_from(crops, bases).evidence.mean())

    gain = evidence(other) - sum(evidence(lattice) for lattice in chosen)
    return gain > settings.SETTINGS.odds.even_evidence


def _explained(plain: Tensor) -> tuple[Tensor, Parts, list[CommonLattice]]:
    """The image, as it is or with its rows aligned, whichever explains more, its parts and its lattices."""
    limits, shape = settings.SETTINGS.whole_image, tuple(plain.shape)
    parts = measure_parts(plain)
    lattices = common_lattices(parts, shape)
    strength = lattices[0].strength if lattices else 0.0
    if strength >= limits.clear_evidence:
        return plain, parts, lattices
    straight = aligned(plain)
    again = measure_parts(straight)
    gain = np.mean(np.log1p(again.power) - np.log1p(parts.power))
    others = common_lattices(again, shape)
    gained = bool(others) and others[0].strength > max(limits.evidence_gain * strength, limits.aligned_evidence)
    kept = gained and gain > limits.displaced_loss
    return (straight, again, others) if gain > limits.displaced_gain or kept else (plain, parts, lattices)
