"""Tracks: the sites of each frame as a table, and followed through a movie: vacancies open, heal and hop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from bravaismap.local.frame import Crystal, PixelPhases
from bravaismap.local.mixture import OCCUPIED, SUBSTITUTED, VACANT
from bravaismap.local.sites import at_places, to_nearest_site
from bravaismap.local.smoothing import smoothed

__all__ = ["SiteTable", "followed_sites", "frame_sites", "site_events"]

#: Probability of a lattice, or of none beside it, from which a place counts as a site of that lattice.
_OWN = 0.5
#: Largest way between frames, over the distance to the next site, over which a site is recognised.
_REACH = 0.45
#: Neighbourhood, in cells, that says which lattice a place without one belonged to.
_NEAR = 1.5


@dataclass(frozen=True)
class SiteTable:
    """The sites of one frame, or of all frames of a movie, one row each.

    Attributes
    ----------
    frame, lattice, sublattice, track : int arrays, shape (sites,)
        The track is −1 until sites have been followed.
    position, position_std : arrays, shape (sites, 2)
        (y, x) in px.
    amplitude, amplitude_std : arrays, shape (sites,)
        1 for the usual atom, 0 for none.
    vacant, occupied, substituted : arrays, shape (sites,)
        Probabilities; they sum to 1.
    """

    frame: NDArray[np.int64]
    lattice: NDArray[np.int64]
    sublattice: NDArray[np.int64]
    track: NDArray[np.int64]
    position: NDArray[np.float64]
    position_std: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    amplitude_std: NDArray[np.float64]
    vacant: NDArray[np.float64]
    occupied: NDArray[np.float64]
    substituted: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def state(self) -> NDArray[np.int64]:
        """Most probable state of each site: 0 vacant, 1 occupied, 2 substituted."""
        return np.asarray(np.stack([self.vacant, self.occupied, self.substituted]).argmax(0))

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> SiteTable:
        """Return some rows."""
        return SiteTable(*(getattr(self, f.name)[rows] for f in fields(self)))

    def dataset(self) -> xr.Dataset:
        """Return the table as a dataset over ``site``; lengths in px."""
        variables = {}
        for f in fields(self):
            values = getattr(self, f.name)
            dims = ("site", "component") if values.ndim == 2 else ("site",)
            units = "px" if f.name.startswith("position") else "1"
            variables[f.name] = (dims, values, {"units": units})
        return xr.Dataset(variables, coords={"component": ["y", "x"]})


def frame_sites(pixels: PixelPhases, frame: int = 0) -> SiteTable:
    """Return all sites of a frame.

    Parameters
    ----------
    pixels : PixelPhases
    frame : int
        Its number.

    Returns
    -------
    SiteTable
        Sites where their lattice is, and where there is none but was that lattice around; not under the mask.
    """
    parts = [_sites(pixels, crystal, k, frame) for k, crystal in enumerate(pixels.crystals)]
    return _joined([part for part in parts if part is not None])


def _sites(pixels: PixelPhases, crystal: Crystal, k: int, frame: int) -> SiteTable | None:
    if len(crystal.origins) == 0:
        return None
    field = pixels.amplitude[k]
    rows, columns = (pixels.step * torch.arange(n).to(field) for n in field.shape)
    way, which = to_nearest_site(crystal.locked, crystal.origins, rows, columns)
    near = (way >= -pixels.step / 2).all(-1) & (way < pixels.step / 2).all(-1)
    owner = _owner(pixels)
    near &= (owner == k) & (pixels.seen > 0)
    y, x = torch.nonzero(near, as_tuple=True)
    position = torch.stack([rows[y], columns[x]], -1) + way[y, x]
    inside = (position >= 0).all(-1) & (position[:, 0] <= pixels.shape[0] - 1) & (position[:, 1] <= pixels.shape[1] - 1)
    y, x, position = y[inside], x[inside], position[inside]
    grid = position / pixels.step
    amplitude, std = at_places(field, grid), at_places(pixels.amplitude_std[k], grid)
    number = which[y, x]
    state = torch.zeros((len(y), 3)).to(field)
    state[:, OCCUPIED] = 1.0
    none = at_places(pixels.probability[-1], grid)
    for j, mixture in enumerate(crystal.mixtures):
        if mixture is not None:
            own = number == j
            state[own] = mixture.probability(amplitude[own], std[own], 0.5 * none[own])
    error = torch.stack([at_places(pixels.displacement_std[k, ..., axis], grid) for axis in (0, 1)], -1)
    whole = np.full(len(y), k)
    columns_of_table = (position, error, amplitude, std, state[:, VACANT], state[:, OCCUPIED], state[:, SUBSTITUTED])
    return SiteTable(
        np.full(len(y), frame),
        whole,
        number.cpu().numpy().astype(np.int64),
        np.full(len(y), -1),
        *(values.cpu().numpy().astype(np.float64) for values in columns_of_table),
    )


def _owner(pixels: PixelPhases) -> torch.Tensor:
    """Lattice to which each point belongs, or that which is nearest to a point without one."""
    owner = pixels.probability[:-1].clone()
    width = _NEAR * pixels.cell / pixels.step
    wide = smoothed(owner, width)
    for _ in range(3):  # ever wider, so that the middle of a void belongs to the crystal around it
        width *= 3
        wide = wide + 1e-3 * smoothed(owner, min(width, max(owner.shape[-2:])))
    none = pixels.probability[-1] > _OWN
    return torch.where(none, wide.argmax(0), owner.argmax(0))


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
            shift = np.median((table.position - before.position[index])[distance < _REACH * spacing], axis=0)
            shift = np.where(np.isfinite(shift), shift, 0.0)
            distance, index = cKDTree(before.position + shift).query(table.position)
            same = (table.lattice == before.lattice[index]) & (table.sublattice == before.sublattice[index])
            order = np.argsort(distance, kind="stable")
            order = order[(distance[order] < _REACH * spacing) & same[order]]
            _, first = np.unique(index[order], return_index=True)
            track[order[first]] = before.track[index[order[first]]]
        new = track < 0
        track[new] = count + np.arange(new.sum())
        count += int(new.sum())
        values = {f.name: getattr(table, f.name) for f in fields(table)} | {"track": track}
        tracked.append(SiteTable(**values))
    return _joined(tracked)


def site_events(sites: SiteTable, spacing: float) -> xr.Dataset:
    """Return what happened to sites from one frame to the next.

    Parameters
    ----------
    sites : SiteTable
        Followed.
    spacing : float
        Distance between neighbouring sites in px.

    Returns
    -------
    xarray.Dataset
        Over ``event``: ``frame`` in which the new state is seen first, ``track``, ``kind`` (``open``, ``heal``, ``hop``
        or ``substitute``) and ``target``, the track that a vacancy hopped to (−1 otherwise). One that closes while
        one opens beside it has hopped.
    """
    rows: list[tuple[int, int, str, int]] = []
    frames = np.unique(sites.frame)
    for one, two in pairwise(frames):
        before, after = sites.take(sites.frame == one), sites.take(sites.frame == two)
        _, i, j = np.intersect1d(before.track, after.track, return_indices=True)
        was, now = before.state[i], after.state[j]
        opened = j[(was != VACANT) & (now == VACANT)]
        healed = j[(was == VACANT) & (now != VACANT)]
        used: set[int] = set()
        for row in healed:
            beside = [
                k for k in opened
                if k not in used and np.linalg.norm(after.position[k] - after.position[row]) < 1.25 * spacing
            ]  # fmt: skip
            if beside:
                used.add(int(beside[0]))
                rows.append((int(two), int(after.track[row]), "hop", int(after.track[beside[0]])))
            else:
                rows.append((int(two), int(after.track[row]), "heal", -1))
        rows += [(int(two), int(after.track[k]), "open", -1) for k in opened if k not in used]
        swapped = j[(was == OCCUPIED) & (now == SUBSTITUTED)]
        rows += [(int(two), int(after.track[k]), "substitute", -1) for k in swapped]
    return xr.Dataset(
        {
            "frame": ("event", np.array([r[0] for r in rows], int)),
            "track": ("event", np.array([r[1] for r in rows], int)),
            "kind": ("event", np.array([r[2] for r in rows], "U10")),
            "target": ("event", np.array([r[3] for r in rows], int)),
        }
    )


def _joined(tables: Sequence[SiteTable]) -> SiteTable:
    if not tables:
        whole, real, pair = np.empty(0, np.int64), np.empty(0), np.empty((0, 2))
        return SiteTable(whole, whole, whole, whole, pair, pair, real, real, real, real, real)
    return SiteTable(*(np.concatenate([getattr(t, f.name) for t in tables]) for f in fields(SiteTable)))
