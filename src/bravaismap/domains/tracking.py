"""Regions linked from frame to frame by overlap: births, merges, splits, and the fate of each region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from bravaismap.conventions import NONE, Floats

__all__ = ["LinkedFrame", "link_frames"]


@dataclass(frozen=True)
class LinkedFrame:
    """The regions of a class in one frame, linked to those of the frame before.

    Attributes
    ----------
    numbers : int array, shape (y, x)
        Region of each cell, from 1; 0 for none.
    tracks : tuple of int
        Track of each region: a number that it keeps from frame to frame.
    events : tuple of str
        Of each region: ``"start"`` in the first frame, ``"birth"``, ``"continues"``, ``"merge"`` or ``"split"``.
    parents : tuple of tuple of int
        Tracks of the regions of the frame before that each region overlaps or touches.
    fates_before : tuple of str
        Of each region of the frame before: ``"continues"``, ``"merged"``, ``"healed"`` of a void, ``"vanished"`` of
        another.
    track_count : int
        Number of tracks up to this frame.
    """

    numbers: NDArray[np.intp]
    tracks: tuple[int, ...]
    events: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]
    fates_before: tuple[str, ...]
    track_count: int


def link_frames(before: LinkedFrame | None, numbers: NDArray[np.intp], lattice: str) -> LinkedFrame:
    """Return the regions of a frame, linked to those of the frame before.

    Regions that overlap or touch are linked. A region continues the track of the region before that it overlaps most,
    unless that one overlaps another region more.

    Parameters
    ----------
    before : LinkedFrame, optional
        The frame before; None for the first frame.
    numbers : int array, shape (y, x)
        Region of each cell, from 1; 0 for none.
    lattice : str
        The class of the regions.
    """
    total = int(numbers.max(initial=0))
    old_tracks = () if before is None else before.tracks
    shared = _shared_cells(None if before is None else before.numbers, numbers, len(old_tracks), total)
    heirs = np.where(shared.max(axis=1, initial=0) > 0, shared.argmax(axis=1) if total else 0, -1)
    ended = "healed" if lattice == NONE else "vanished"
    fates = [ended if heir < 0 else "continues" for heir in heirs]
    tracks, events, parents = [], [], []
    track_count = 0 if before is None else before.track_count
    for region in range(total):
        ancestors = np.flatnonzero(shared[:, region])
        parents.append(tuple(old_tracks[ancestor] for ancestor in ancestors))
        bequeathing = [int(ancestor) for ancestor in ancestors if heirs[ancestor] == region]
        if bequeathing:
            foremost = max(bequeathing, key=lambda ancestor: shared[ancestor, region])
            tracks.append(old_tracks[foremost])
            events.append("merge" if len(ancestors) > 1 else "continues")
            for ancestor in bequeathing:
                if ancestor != foremost:
                    fates[ancestor] = "merged"
        else:
            track_count += 1
            tracks.append(track_count)
            events.append("split" if len(ancestors) else ("start" if before is None else "birth"))
    return LinkedFrame(numbers, tuple(tracks), tuple(events), tuple(parents), tuple(fates), track_count)


def _shared_cells(before: NDArray[np.intp] | None, numbers: NDArray[np.intp], old: int, new: int) -> Floats:
    """Return how many cells two regions share, (before, now); half a cell for those that only touch."""
    shared = np.zeros((old, new))
    if before is None or not old or not new:
        return shared
    for weight, earlier in ((1.0, before), (0.5 / numbers.size, maximum_filter(before, 3))):
        both = (earlier > 0) & (numbers > 0)
        np.add.at(shared, (earlier[both] - 1, numbers[both] - 1), weight)
    return shared
