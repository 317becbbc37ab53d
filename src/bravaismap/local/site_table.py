"""The sites of a frame as a table: where the lattice expects an atom, and how much of one there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bravaismap.local.displacement import Locked
from bravaismap.local.occupancy import fit_occupancy
from bravaismap.local.pixels import PixelPhases
from bravaismap.local.sites import SitePlaces, at_places, continued, refined_places, to_nearest_site
from bravaismap.local.smoothing import smoothed

__all__ = ["SiteTable", "frame_sites", "joined"]

#: Probability of a lattice, or of none beside it, from which a place counts as a site of that lattice.
_OWN = 0.5
#: Neighbourhood, in cells, that says which lattice a place without one belonged to.
_NEAR = 1.5
#: Least share of the piece of a site that must lie on valid pixels.
_LEAST_SEEN = 0.5
_FEWEST_SITES = 10
#: Standard deviation, in cells, of the Gaussian in which atoms are compared with each other; difference in amplitude up
#: to which one is the usual atom; rounds of finding these; and sites for which the median of the frame counts.
_SLOWLY, _TYPICAL, _USUAL_ROUNDS, _FRAME_COUNTS = 4.0, 0.3, 4, 1.0
#: Brightness of what lies under a site, over the height of an atom, from which an atom fainter than that is hidden.
_COVERED = 0.5


@dataclass(frozen=True)
class SiteTable:
    """The sites of one frame, or of all frames of a movie, one row each.

    Attributes
    ----------
    frame, lattice, sublattice, track : int arrays, shape (sites,)
        The track is −1 until sites have been followed.
    position, position_std : arrays, shape (sites, 2)
        (y, x) in px, of the lattice, whether there is an atom or not.
    amplitude : array, shape (sites,)
        1 for the usual atom of the sublattice in that part of the frame, 0 for none.
    vacant_std, occupied_std : arrays, shape (sites,)
        σ of the amplitude if there is no atom, and if there is the usual one.
    inside : array, shape (sites,)
        Probability of the lattice at the site, as the pixels have it.
    vacant, occupied, substituted : arrays, shape (sites,)
        Probabilities that sum to 1; NaN until the states were judged.
    """

    frame: NDArray[np.int64]
    lattice: NDArray[np.int64]
    sublattice: NDArray[np.int64]
    track: NDArray[np.int64]
    position: NDArray[np.float64]
    position_std: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    vacant_std: NDArray[np.float64]
    occupied_std: NDArray[np.float64]
    inside: NDArray[np.float64]
    vacant: NDArray[np.float64]
    occupied: NDArray[np.float64]
    substituted: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def state(self) -> NDArray[np.int64]:
        """Most probable state of each site: 0 vacant, 1 occupied, 2 substituted."""
        return np.asarray(np.stack([self.vacant, self.occupied, self.substituted]).argmax(0))

    @property
    def amplitude_std(self) -> NDArray[np.float64]:
        """σ of the amplitude, given what there probably is."""
        level = self.occupied + self.substituted * np.clip(self.amplitude, 0.0, None)
        even = self.vacant_std**2
        return np.asarray(np.sqrt(even + level * (self.occupied_std**2 - even).clip(0)))

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> SiteTable:
        """Return some rows."""
        return SiteTable(*(getattr(self, f.name)[rows] for f in fields(self)))


def joined(tables: Sequence[SiteTable]) -> SiteTable:
    """Return the rows of several tables as one."""
    if not tables:
        whole, real, pair = np.empty(0, np.int64), np.empty(0), np.empty((0, 2))
        return SiteTable(whole, whole, whole, whole, pair, pair, real, real, real, real, real, real, real)
    return SiteTable(*(np.concatenate([getattr(t, f.name) for t in tables]) for f in fields(SiteTable)))


def frame_sites(
    pixels: PixelPhases,
    image: Tensor,
    frame: int = 0,
    mask: Tensor | None = None,
    numbers: Sequence[int] | NDArray[np.int64] | None = None,
) -> SiteTable:
    """Return all sites of a frame and how much of an atom each holds; what that is, the states say.

    Parameters
    ----------
    pixels : PixelPhases
        Of the image.
    image : tensor, shape (y, x)
    frame : int
        Its number.
    mask : tensor, shape (y, x), optional
        True for the pixels that count; all when not given.
    numbers : sequence of int, optional
        Number of each lattice in the table; counted from 0 when not given.

    Returns
    -------
    SiteTable
        Sites where their lattice is, and where there is none but was that lattice around; neither under the mask, nor
        under bright matter that hides them, nor where the lattice shows another motif. The states are NaN.
    """
    valid = torch.ones_like(image) if mask is None else mask.to(image.dtype)
    image = torch.where(valid > 0, image, 0)
    crystals = tuple(continued(crystal.locked) for crystal in pixels.crystals)
    places = _places(pixels, crystals)
    if len(places.position) == 0:
        return joined([])
    held = fit_occupancy(image, valid, crystals, places, pixels.noise)
    grid = places.position / pixels.step
    shift = torch.zeros_like(places.position)
    own = torch.zeros_like(held.amplitude)
    for k in range(len(crystals)):
        rows = places.lattice == k
        own[rows] = at_places(pixels.probability[k], grid[rows])
        for axis in (0, 1):
            shift[rows, axis] = at_places(pixels.displacement_std[k, ..., axis], grid[rows])
    usual = torch.ones_like(held.amplitude)
    for k, j in {*zip(places.lattice.tolist(), places.sublattice.tolist(), strict=True)}:
        rows = (places.lattice == k) & (places.sublattice == j)
        typical = held.amplitude[rows & (own > _OWN)]
        if len(typical) >= _FEWEST_SITES and float(typical.median()) > 0:
            usual[rows] = _usual_nearby(held.amplitude[rows], own[rows] > _OWN, grid[rows], pixels)
    columns = (
        places.position,
        shift,
        held.amplitude / usual,
        held.vacant_std / usual,
        held.occupied_std / usual,
        own,
    )
    lattice = places.lattice.cpu().numpy()
    unknown = np.full(len(lattice), np.nan)
    table = SiteTable(
        np.full(len(lattice), frame),
        lattice if numbers is None else np.asarray(numbers, np.int64)[lattice],
        places.sublattice.cpu().numpy(),
        np.full(len(lattice), -1),
        *(values.cpu().numpy().astype(np.float64) for values in columns),
        *3 * [unknown],
    )
    covered = (held.background > _COVERED) & (held.amplitude / usual < _COVERED)
    return table.take(((held.seen > _LEAST_SEEN) & ~covered).cpu().numpy())


def _usual_nearby(amplitude: Tensor, inside: Tensor, places: Tensor, pixels: PixelPhases) -> Tensor:
    """Amplitude of the usual atom around each site, which thickness, focus and contamination change slowly.

    The mean over the sites in a Gaussian that hold about that much, at first over all that are not nearly empty; where
    there are few, the median of the frame.
    """
    shape = pixels.probability.shape[1:]
    width = _SLOWLY * pixels.cell / pixels.step
    row, column = (places[:, axis].round().long().clamp(0, shape[axis] - 1) for axis in (0, 1))
    frame = amplitude[inside].median()
    typical = inside & (amplitude > _OWN * frame)
    usual = frame.expand_as(amplitude)
    for _ in range(_USUAL_ROUNDS):
        planes = amplitude.new_zeros((2, shape.numel()))
        where = (row * shape[1] + column)[typical]
        planes.index_add_(1, where, torch.stack([torch.ones_like(amplitude), amplitude])[:, typical])
        # of sum 1 at its middle: the number of sites around, and the sum of their amplitudes
        count, total = 2 * torch.pi * width**2 * smoothed(planes.reshape(2, *shape), width)
        usual = at_places((total + _FRAME_COUNTS * frame) / (count + _FRAME_COUNTS), places)
        typical = inside & ((amplitude / usual - 1).abs() < _TYPICAL)
    return usual


def _places(pixels: PixelPhases, crystals: tuple[Locked, ...]) -> SitePlaces:
    """All sites of a frame, each of the lattice to which the place belongs."""
    owner = _owner(pixels)
    lattice, sublattice, position = [], [], []
    for k, (locked, crystal) in enumerate(zip(crystals, pixels.crystals, strict=True)):
        rows, columns = (pixels.step * torch.arange(n).to(pixels.amplitude) for n in owner.shape)
        if len(crystal.origins) == 0:
            continue
        way, which = to_nearest_site(locked, crystal.origins, rows, columns)
        near = way.abs().amax(-1) <= pixels.step
        for j, origin in enumerate(crystal.origins):
            y, x = torch.nonzero(near & (which == j), as_tuple=True)
            places = refined_places(locked, origin, torch.stack([rows[y], columns[x]], -1))
            size = places.new_tensor(pixels.shape) - 0.5
            places = places[((places >= -0.5) & (places < size)).all(-1)]
            y, x = ((places[:, axis] / pixels.step).round().long().clamp(0, owner.shape[axis] - 1) for axis in (0, 1))
            # where the motif is another one, an atom of the averaged cell is neither there nor missing
            places = places[(owner[y, x] == k) & (pixels.seen[y, x] > 0) & ~pixels.another_motif[k, y, x]]
            position.append(places)
            lattice.append(torch.full_like(places[:, 0], k, dtype=torch.long))
            sublattice.append(torch.full_like(places[:, 0], j, dtype=torch.long))
    if not position:
        empty = torch.empty(0, dtype=torch.long)
        return SitePlaces(empty, empty, pixels.amplitude.new_empty((0, 2)), ())
    origins = tuple(crystal.origins for crystal in pixels.crystals)
    return SitePlaces(torch.cat(lattice), torch.cat(sublattice), torch.cat(position), origins)


def _owner(pixels: PixelPhases) -> Tensor:
    """Lattice to which each point belongs, or that which is nearest to a point without one."""
    owner = pixels.probability[:-1].clone()
    width = _NEAR * pixels.cell / pixels.step
    wide = smoothed(owner, width)
    for _ in range(3):  # ever wider, so that the middle of a void belongs to the crystal around it
        width *= 3
        wide = wide + 1e-3 * smoothed(owner, min(width, max(owner.shape[-2:])))
    none = pixels.probability[-1] > _OWN
    return torch.where(none, wide.argmax(0), owner.argmax(0))
