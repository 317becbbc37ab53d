"""Tracks: the sites of a movie followed from frame to frame: vacancies open, heal and hop, atoms are exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bravaismap.local.populations import OCCUPIED, SUBSTITUTED, VACANT
from bravaismap.local.site_table import SiteTable, joined

__all__ = ["SiteChange", "changes", "followed_sites"]

#: Largest way between frames, over the distance to the next site, over which a site is recognised.
_REACH = 0.45
#: Longest way of a vacancy that hops, over the distance between neighbouring sites.
_HOP = 1.25


def followed_sites(tables: Sequence[SiteTable], spacing: float) -> SiteTable:
    """Follow the sites of a movie: the same site has the same track in all frames.

    Parameters
    ----------
    tables : sequence of SiteTable
        One per frame, in order.
    spacing : float
        Distance between neighbouring sites in px. The specimen may drift by less than half of it from frame to frame,
        or by any number of lattice vectors less than that.

    Returns
    -------
    SiteTable
        All of them, with tracks.
    """
    tracked: list[SiteTable] = []
    count = 0
    for table in tables:
        track = np.full(len(table), -1)
        if tracked and len(table) and len(tracked[-1]):
            before = tracked[-1]
            distance, index = cKDTree(before.position).query(table.position)
            near = distance < _REACH * spacing
            shift = np.median((table.position - before.position[index])[near], axis=0) if near.any() else np.zeros(2)
            distance, index = cKDTree(before.position + shift).query(table.position)
            order = np.argsort(distance, kind="stable")
            order = order[(distance[order] < _REACH * spacing) & (table.lattice == before.lattice[index])[order]]
            _, first = np.unique(index[order], return_index=True)
            track[order[first]] = before.track[index[order[first]]]
        new = track < 0
        track[new] = count + np.arange(new.sum())
        count += int(new.sum())
        tracked.append(replace(table, track=track))
    return joined(tracked)


@dataclass(frozen=True)
class SiteChange:
    """What happened to a site between two frames.

    Attributes
    ----------
    row : int
        Of the site in the later frame.
    kind : str
        ``open``, ``heal``, ``hop`` or ``substitute``.
    target : int
        Track that a vacancy hopped to; −1 for other changes.
    """

    row: int
    kind: str
    target: int = -1


def changes(
    frame: NDArray[np.integer],
    track: NDArray[np.integer],
    state: NDArray[np.integer],
    position: NDArray[np.floating],
    spacing: float,
) -> list[SiteChange]:
    """Return what happened to sites from one frame to the next.

    Parameters
    ----------
    frame, track, state : int arrays, shape (sites,)
        The state is :data:`~bravaismap.local.populations.VACANT`, or one of the others.
    position : array, shape (sites, 2)
    spacing : float
        Distance between neighbouring sites. A vacancy that closes while one opens beside it has hopped.
    """
    found: list[SiteChange] = []
    for one, two in pairwise(np.unique(frame)):
        before, after = np.flatnonzero(frame == one), np.flatnonzero(frame == two)
        _, i, j = np.intersect1d(track[before], track[after], return_indices=True)
        was, now, rows = state[before[i]], state[after[j]], after[j]
        opened = rows[(was != VACANT) & (now == VACANT)].tolist()
        for row in rows[(was == VACANT) & (now != VACANT)].tolist():
            apart = np.linalg.norm(position[opened] - position[row], axis=1)
            if len(apart) and apart.min() < _HOP * spacing:
                target = opened.pop(int(apart.argmin()))
                found.append(SiteChange(row, "hop", int(track[target])))
            else:
                found.append(SiteChange(row, "heal"))
        found += [SiteChange(row, "open") for row in opened]
        found += [SiteChange(row, "substitute") for row in rows[(was == OCCUPIED) & (now == SUBSTITUTED)].tolist()]
    return found
