"""Sites: every place of a frame where a lattice expects an atom, how much of one is there, and what becomes of it.

The averaged cell says where atoms sit in it, the displacement where cells are; the amplitude of the pattern at a
site, with its error, and the mixture of all sites of the sublattice say whether it holds the usual atom, another one,
or none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bravaismap.local.demodulation import Locked
from bravaismap.local.smoothing import interpolation

__all__ = ["at_places", "averaged_motif", "fractional", "sublattices", "to_nearest_site"]

#: Points along each vector of the cell at which the averaged motif is looked at.
_MOTIF_POINTS = 48
#: Height of a maximum of the averaged motif that counts as a site, over that of the highest, both from the mean.
_LEAST_HEIGHT = 0.3
_MOST_SITES = 8


def averaged_motif(locked: Locked, places: Tensor) -> Tensor:
    """Return the averaged motif of a crystal at places (..., 2) given in fractions of its cell."""
    phase = 2 * torch.pi * torch.einsum("...i,ki->...k", places, locked.waves.order)
    value: Tensor = 2 * (locked.structure.real * phase.cos() - locked.structure.imag * phase.sin()).sum(-1)
    return value


def sublattices(locked: Locked, dark: bool = False) -> Tensor:
    """Return where atoms sit in the averaged cell, the highest first, (sites, 2) in fractions of the cell."""
    axis = torch.arange(_MOTIF_POINTS, device=locked.shift.device, dtype=locked.shift.dtype) / _MOTIF_POINTS
    places = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    height = averaged_motif(locked, places) * (-1.0 if dark else 1.0)
    around = torch.stack(
        [torch.roll(height, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    )
    peak = (height > around[:4].amax(0)) & (height >= around[4:].amax(0)) & (height >= _LEAST_HEIGHT * height.max())
    rows, columns = torch.nonzero(peak, as_tuple=True)
    order = torch.argsort(height[rows, columns], descending=True, stable=True)[:_MOST_SITES]
    rows, columns = rows[order], columns[order]
    refined = []
    for axis_index, (i, j) in enumerate(((1, 0), (0, 1))):
        before = height[(rows - i) % _MOTIF_POINTS, (columns - j) % _MOTIF_POINTS]
        after = height[(rows + i) % _MOTIF_POINTS, (columns + j) % _MOTIF_POINTS]
        bend = (2 * height[rows, columns] - before - after).clamp_min(1e-30)
        refined.append(((rows, columns)[axis_index] + 0.5 * (after - before) / bend) / _MOTIF_POINTS)
    return torch.stack(refined, -1)


def fractional(locked: Locked, rows: Tensor, columns: Tensor) -> Tensor:
    """Return where pixels lie in the cell of a crystal once its displacement is undone, (rows, columns, 2).

    Places that differ by whole numbers are equivalent; the displacement is known modulo the lattice.
    """
    turns = torch.exp(2j * torch.pi * locked.shift)
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
    ways = []
    for origin in origins:
        off = inside - origin
        nearest = (off - off.round())[..., None, :] + _neighbours(off)
        way = -(nearest @ locked.waves.basis)
        pick = way.square().sum(-1).argmin(-1, keepdim=True)
        ways.append(torch.gather(way, -2, pick[..., None].expand(*pick.shape, 2)).squeeze(-2))
    every = torch.stack(ways)
    which = every.square().sum(-1).argmin(0)
    way = torch.gather(every, 0, which[None, ..., None].expand(1, *which.shape, 2)).squeeze(0)
    return way, which


def _neighbours(like: Tensor) -> Tensor:
    axis = torch.tensor([-1.0, 0.0, 1.0], device=like.device, dtype=like.dtype)
    return torch.cartesian_prod(axis, axis)


def at_places(field: Tensor, places: Tensor) -> Tensor:
    """Interpolate a field (rows, columns) linearly at places (..., 2), in points of its grid; the edge goes on."""
    size = places.new_tensor([max(field.shape[0] - 1, 1), max(field.shape[1] - 1, 1)])
    flat = (2 * places / size - 1).flip(-1).reshape(1, 1, -1, 2)
    sampled = torch.nn.functional.grid_sample(
        field[None, None], flat.to(field), mode="bilinear", padding_mode="border", align_corners=True
    )
    return sampled.reshape(places.shape[:-1])
