"""Places of atoms: where a lattice expects them in a frame, and the way to the nearest one.

The averaged cell says where atoms sit in it, the displacement where cells are. Where there is no crystal, as in a void,
the displacement goes on as it is at the edge, so that missing atoms have a place too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from bravaismap.local.demodulation import phase_factor
from bravaismap.local.displacement import Locked
from bravaismap.local.smoothing import interpolation, smoothed

__all__ = [
    "MotifPeaks",
    "SitePlaces",
    "at_places",
    "averaged_motif",
    "continued",
    "fractional",
    "motif_peaks",
    "peak_places",
    "refined_places",
    "sublattices",
    "to_nearest_site",
]

#: Points along each vector of the cell at which the averaged motif is looked at.
_MOTIF_POINTS = 48
#: Height of a maximum of the averaged motif that counts as a site, over that of the highest, both from the mean.
_LEAST_HEIGHT = 0.3
_MOST_SITES = 8
#: What the displacement in a Gaussian of the neighbourhood counts for against that of a place itself.
_AROUND = 0.01
_REFINEMENTS = 3
#: Two sites nearer than this part of the distance between neighbours are one.
_SAME = 0.4


def averaged_motif(locked: Locked, places: Tensor) -> Tensor:
    """Return the averaged motif of a crystal at places (..., 2) given in fractions of its cell."""
    phase = 2 * torch.pi * torch.einsum("...i,ki->...k", places, locked.waves.order)
    value: Tensor = 2 * (locked.structure.real * phase.cos() - locked.structure.imag * phase.sin()).sum(-1)
    return value


@dataclass(frozen=True)
class MotifPeaks:
    """The maxima of an averaged motif.

    Attributes
    ----------
    height : tensor, shape (points, points)
        The motif, upside down if atoms are dark.
    first : tensor, shape (most sites,)
        Points of the maxima in it, the highest first, then others.
    count : tensor, shape ()
        How many are maxima that count as sites.
    """

    height: Tensor
    first: Tensor
    count: Tensor


def motif_peaks(locked: Locked, dark: bool = False) -> MotifPeaks:
    """Return the maxima of the averaged motif of a crystal, or its minima if atoms are dark."""
    axis = torch.arange(_MOTIF_POINTS, device=locked.shift.device, dtype=locked.shift.dtype) / _MOTIF_POINTS
    places = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    height = averaged_motif(locked, places) * (-1.0 if dark else 1.0)
    around = torch.stack(
        [torch.roll(height, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    )
    peak = (height > around[:4].amax(0)) & (height >= around[4:].amax(0)) & (height >= _LEAST_HEIGHT * height.max())
    first = torch.argsort(torch.where(peak, height, -torch.inf).flatten(), descending=True, stable=True)[:_MOST_SITES]
    return MotifPeaks(height, first, peak.sum().clamp_max(_MOST_SITES))


def peak_places(peaks: MotifPeaks, count: int) -> Tensor:
    """Return where the first `count` maxima of a motif are, (count, 2) in fractions of the cell, by parabolas."""
    height, first = peaks.height.flatten(), peaks.first[:count]
    rows, columns = first // _MOTIF_POINTS, first % _MOTIF_POINTS
    refined = []
    for place, (i, j) in ((rows, (1, 0)), (columns, (0, 1))):
        before, after = (
            height[(rows + way * i) % _MOTIF_POINTS * _MOTIF_POINTS + (columns + way * j) % _MOTIF_POINTS]
            for way in (-1, 1)
        )
        bend = (2 * height[first] - before - after).clamp_min(1e-30)
        refined.append((place + 0.5 * (after - before) / bend) / _MOTIF_POINTS)
    return torch.stack(refined, -1)


def sublattices(locked: Locked, dark: bool = False) -> Tensor:
    """Return where atoms sit in the averaged cell, the highest first, (sites, 2) in fractions of the cell."""
    peaks = motif_peaks(locked, dark)
    return peak_places(peaks, int(peaks.count))


def fractional(locked: Locked, rows: Tensor, columns: Tensor) -> Tensor:
    """Return where pixels lie in the cell of a crystal once its displacement is undone, (rows, columns, 2).

    Places that differ by whole numbers are equivalent; the displacement is known modulo the lattice.
    """
    turns = phase_factor(locked.shift)
    sides = [
        interpolation(places, locked.waves.step, count).to(turns.dtype)
        for places, count in zip((rows, columns), locked.shift.shape[:2], strict=True)
    ]
    smooth = (sides[0] @ turns.movedim(-1, 0) @ sides[1].mT).movedim(0, -1)
    shift = torch.angle(smooth) / (2 * torch.pi)
    inverse = torch.linalg.inv(locked.waves.basis)
    place: Tensor = rows[:, None, None] * inverse[0] + columns[None, :, None] * inverse[1] - shift
    return place


def to_nearest_site(locked: Locked, origins: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Return the way (y, x) in px from each pixel to the nearest site, (rows, columns, 2), and its sublattice."""
    inside = fractional(locked, rows, columns)
    neighbours = _neighbours(inside) @ locked.waves.basis
    ways = []
    for origin in origins:
        off = inside - origin
        way = (off - off.round()) @ locked.waves.basis
        # |way ± neighbour|² − |way|², the nearer of the two
        along = 2 * neighbours @ way.flatten(0, 1).mT
        nearer, which = (neighbours.square().sum(-1, keepdim=True) - along.abs()).min(0)
        sign = along.gather(0, which[None]).sign() * (nearer < 0)
        ways.append((neighbours[which] * sign.mT).reshape(way.shape) - way)
    every = torch.stack(ways)
    which = every.square().sum(-1).min(0).indices
    way = torch.gather(every, 0, which[None, ..., None].expand(1, *which.shape, 2)).squeeze(0)
    return way, which


def _neighbours(like: Tensor) -> Tensor:
    """The nearest points of a lattice in fractions of its vectors, one of each pair ±."""
    return like.new_tensor([[0.0, 1.0], [1.0, -1.0], [1.0, 0.0], [1.0, 1.0]])


def at_places(field: Tensor, places: Tensor) -> Tensor:
    """Interpolate a field (rows, columns) linearly at places (..., 2), in points of its grid; the edge goes on."""
    size = places.new_tensor([max(field.shape[0] - 1, 1), max(field.shape[1] - 1, 1)])
    flat = (2 * places / size - 1).flip(-1).reshape(1, 1, -1, 2)
    sampled = torch.nn.functional.grid_sample(
        field[None, None], flat.to(field), mode="bilinear", padding_mode="border", align_corners=True
    )
    return sampled.reshape(places.shape[:-1])


@dataclass(frozen=True)
class SitePlaces:
    """Where the sites of a frame are.

    Attributes
    ----------
    lattice, sublattice : integer tensors, shape (sites,)
        Which crystal, and which atom of its cell.
    position : tensor, shape (sites, 2)
        (y, x) in px.
    origins : tuple of tensors, shape (sublattices, 2)
        Where the atoms of each crystal sit in its cell.
    """

    lattice: Tensor
    sublattice: Tensor
    position: Tensor
    origins: tuple[Tensor, ...]


def continued(locked: Locked) -> Locked:
    """Return a crystal whose displacement goes on, as it is at the edge, where there is no crystal, as in a void."""
    strength = (locked.waves.weight.clamp(0.0, 1.0) * locked.coherence.clamp(0.0, 1.0)) ** 2
    turns = phase_factor(locked.shift) * strength[..., None]
    planes = torch.cat([turns.real, turns.imag], -1).movedim(-1, 0)
    total, width, share = planes, 1.0, 1.0
    while width < max(planes.shape[-2:]):
        width, share = 2 * width, _AROUND * share
        total = total + share * smoothed(planes, width)
    real, imaginary = total.movedim(0, -1).chunk(2, -1)
    return replace(locked, shift=(torch.atan2(imaginary, real) / (2 * torch.pi)) % 1.0)


def refined_places(locked: Locked, origin: Tensor, places: Tensor) -> Tensor:
    """Return the sites that are nearest to places (n, 2) in px, each site once.

    Parameters
    ----------
    locked : Locked
    origin : tensor, shape (2,)
        Where the atom sits in the averaged cell.
    places : tensor, shape (n, 2)
        Near sites: less than a third of a cell away.
    """
    turns = phase_factor(locked.shift)
    inverse = torch.linalg.inv(locked.waves.basis)
    for _ in range(_REFINEMENTS):
        down, right = (
            interpolation(places[:, axis], locked.waves.step, locked.shift.shape[axis]).to(turns.dtype)
            for axis in (0, 1)
        )
        smooth = torch.einsum("ni,ijc,nj->nc", down, turns, right)
        inside = places @ inverse - torch.angle(smooth) / (2 * torch.pi) - origin
        places = places - (inside - inside.round()) @ locked.waves.basis
    apart = _SAME * float(torch.linalg.vector_norm(locked.waves.basis, dim=-1).min())
    pairs = cKDTree(places.cpu().numpy()).query_pairs(apart, output_type="ndarray")
    kept = np.ones(len(places), bool)
    kept[pairs[:, 1]] = False
    return places[torch.from_numpy(kept).to(places.device)]
