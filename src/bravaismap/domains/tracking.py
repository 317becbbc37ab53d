"""Following regions from frame to frame: by overlap, with births, merges, splits and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from bravaismap.conventions import NONE

__all__ = ["Linked", "link_frames"]


@dataclass
class Linked:
    """The regions of a class as far as they have been followed.

    Attributes
    ----------
    lattice : str
        The class.
    numbers : int array, shape (y, x), optional
        Regions of the last frame.
    rows : dict of int to dict
        The line of each of them, by its number there.
    """

    lattice: str
    numbers: NDArray[np.intp] | None = None
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    tracks: count[int] = field(default_factory=lambda: count(1))


def link_frames(
    linked: Linked, numbers: NDArray[np.intp], measures: dict[str, Any], frame: int, *, last: bool
) -> list[dict[str, Any]]:
    """Link the regions of a frame to those of the frame before, and return a line for each.

    Regions are linked that overlap or touch. A region keeps the track of the one before that it overlaps most, if that
    overlaps no other more. What becomes of a region is written into its line when the next frame is known.

    Parameters
    ----------
    linked : Linked
        What is known so far; changed.
    numbers : int array, shape (y, x)
    measures : dict of str to array
        A value for each region.
    frame : int
        Its number.
    last : bool
        Whether it is the last frame.
    """
    total = int(numbers.max(initial=0))
    shared = _shared(linked.numbers, numbers, len(linked.rows), total)
    heir = np.where(shared.max(axis=1, initial=0) > 0, shared.argmax(axis=1) if total else 0, -1)
    rows: dict[int, dict[str, Any]] = {}
    for n in range(1, total + 1):
        parents = [int(p) + 1 for p in np.flatnonzero(shared[:, n - 1])]
        row: dict[str, Any] = {name: float(values[n - 1]) for name, values in measures.items()}
        row |= {"frame": frame, "lattice": linked.lattice, "fate": "end" if last else "continues"}
        row["parents"] = "+".join(str(linked.rows[p]["track"]) for p in parents)
        kept = [p for p in parents if heir[p - 1] == n - 1]
        if kept:
            foremost = max(kept, key=lambda p: shared[p - 1, n - 1])
            row["track"] = linked.rows[foremost]["track"]
            row["event"] = "merge" if len(parents) > 1 else "continues"
            for other in kept:
                if other != foremost:
                    linked.rows[other]["fate"] = "merged"
        else:
            row["track"] = next(linked.tracks)
            row["event"] = "split" if parents else ("start" if linked.numbers is None else "birth")
        rows[n] = row
    for p, row in linked.rows.items():
        if heir[p - 1] < 0:
            row["fate"] = "healed" if linked.lattice == NONE else "vanished"
    linked.numbers, linked.rows = numbers, rows
    return list(rows.values())


def _shared(before: NDArray[np.intp] | None, now: NDArray[np.intp], old: int, new: int) -> NDArray[np.float64]:
    """Return how many cells two regions share, (before, now); half a cell for those that only touch."""
    shared = np.zeros((old, new))
    if before is None or not old or not new:
        return shared
    for weight, one in ((1.0, before), (0.5 / now.size, maximum_filter(before, 3))):
        both = (one > 0) & (now > 0)
        np.add.at(shared, (one[both] - 1, now[both] - 1), weight)
    return shared
