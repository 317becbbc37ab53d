"""The cells of a batch of crystals: primitive vectors as a recipe asks for them, and motifs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bravaismap.errors import InputError
from bravaismap.measure.indexing import reduce_rows
from bravaismap.simulate.batch.draws import ATTEMPTS, Draws, Purpose
from bravaismap.simulate.crystal import CANDIDATES, MOST_LATTICES, MOTIF_HEIGHT, MOTIF_WIDTH, SYMMETRIC

_MORE_ATTEMPTS = (64, MOST_LATTICES - ATTEMPTS)  # cells that are drawn for a window when the first ones are refused

__all__ = ["Motif", "draw_bases", "draw_motifs", "nearest_symmetry"]


def nearest_symmetry(shape: Tensor) -> Tensor:
    """Return the smallest strain that would give each lattice a symmetry that it does not have.

    Parameters
    ----------
    shape : complex128 tensor, any shape
        b/a of a reduced basis, in the fundamental domain, as :func:`bravaismap.lattice.shape.shape` defines it.

    Returns
    -------
    float64 tensor of the same shape
        The smallest of the strains of :func:`bravaismap.lattice.deviation.deviation` that is not 0.
    """
    x, y = shape.real, shape.imag
    strains = torch.stack(
        [
            2 * torch.asinh((shape - 1j).abs() / (2 * y.sqrt())),
            torch.asinh(x.abs() / y),
            torch.minimum(torch.asinh((shape.abs() ** 2 - 1).abs() / (2 * y)), torch.asinh((0.5 - x).abs() / y)),
            2 * torch.asinh((shape - complex(0.5, math.sqrt(0.75))).abs() / (2 * (y * math.sqrt(0.75)).sqrt())),
        ],
        dim=-1,
    )
    return strains.masked_fill(strains <= SYMMETRIC, math.inf).amin(dim=-1)


def draw_bases(draws: Draws) -> Tensor:
    """Draw the primitive vectors of each window in a random orientation, float64 (n, 2, 2) in px, rows a and b.

    The scan distortion of the recipe is applied.

    Raises
    ------
    InputError
        If all the cells that are drawn for a window are nearer than `apart` to a symmetry that its class does not have.
    """
    ratio, gamma = _shapes(draws)
    turn = 2 * math.pi * draws.units("orientation")[:, 0]
    angle = torch.stack([turn, turn + gamma], dim=1)
    length = torch.stack([draws["length"], draws["length"] * ratio], dim=1)
    basis = torch.stack([-length * angle.sin(), length * angle.cos()], dim=2)
    strain = draws.normals("distortion").view(-1, 2, 2) * draws["distortion"][:, None, None]
    return basis + basis @ strain


def _shapes(draws: Draws) -> tuple[Tensor, Tensor]:
    """Return the ratio of the lengths and the angle of each cell, the first drawn one that is far enough apart."""
    ratio, gamma = _drawn_shapes(draws, draws.units("cell").view(-1, ATTEMPTS, 3))
    apart = draws["apart"]
    if not draws.any("apart"):
        return ratio[:, 0], gamma[:, 0]
    accepted = _far(ratio, gamma, apart)
    first = accepted.to(torch.int64).argmax(dim=1, keepdim=True)
    ratio, gamma = ratio.gather(1, first)[:, 0], gamma.gather(1, first)[:, 0]
    pending = (~accepted.any(dim=1)).nonzero()[:, 0]
    for attempts in _MORE_ATTEMPTS:
        if len(pending) == 0:
            return ratio, gamma
        part = draws.select(pending)
        more = _drawn_shapes(part, part.unit_field(Purpose.CELLS, attempts, 3))
        accepted = _far(*more, part["apart"])
        first = accepted.to(torch.int64).argmax(dim=1, keepdim=True)
        ratio[pending], gamma[pending] = (values.gather(1, first)[:, 0] for values in more)
        pending = pending[~accepted.any(dim=1)]
    if len(pending):
        recipe = draws.table.recipes[int(draws.recipe[pending[0]])]
        raise InputError(
            f"apart = {recipe.apart:g}; expected less: {MOST_LATTICES} {recipe.lattice} lattices of this recipe "
            "are all nearer to a higher symmetry"
        )
    return ratio, gamma


def _drawn_shapes(draws: Draws, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Return ratios and angles (n, attempts) in radians from uniform numbers (n, attempts, 3)."""
    low, high = draws.ends("ratio")
    table, recipe = draws.table, draws.recipe
    along = unit[..., 1] * table.angle_width[recipe, None]
    begin = table.angle_from[recipe]
    interval = (along[..., None] >= begin[:, None, :]).sum(dim=-1) - 1
    gamma = table.angle_start[recipe].gather(1, interval) + along - begin.gather(1, interval)
    return low[:, None] + unit[..., 0] * (high - low)[:, None], gamma * (math.pi / 180)


def _far(ratio: Tensor, gamma: Tensor, apart: Tensor) -> Tensor:
    """Tell which cells (n, attempts) are at least `apart` (n,) from every symmetry that they do not have."""
    zero = torch.zeros_like(ratio)
    basis = torch.stack(
        [torch.stack([zero, torch.ones_like(ratio)], -1), torch.stack([-ratio * gamma.sin(), ratio * gamma.cos()], -1)],
        dim=-2,
    )
    first, second = reduce_rows(basis).unbind(-2)
    square = first.square().sum(-1)
    height = (first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]).abs()
    shape = torch.complex((first * second).sum(-1) / square, height / square)
    return (nearest_symmetry(shape) >= apart[:, None]) | (apart[:, None] == 0)


@dataclass(frozen=True)
class Motif:
    """The atoms of the cells of n crystals, at most `most` in each.

    Attributes
    ----------
    count : int64 tensor, shape (n,)
        Number of atoms.
    offset : float64 tensor, shape (n, most, 2)
        From the first atom, (y, x) in px.
    height, width : float64 tensors, shape (n, most)
        Peak height, 1 for the first atom, and standard deviation in px.
    """

    count: Tensor
    offset: Tensor
    height: Tensor
    width: Tensor


def draw_motifs(draws: Draws, basis: Tensor) -> Motif:
    """Draw the motif of each crystal: atoms at least two widths apart where there is room."""
    area = (basis[:, 0, 0] * basis[:, 1, 1] - basis[:, 0, 1] * basis[:, 1, 0]).abs()
    room = torch.where(draws["spacing"] > 0, (area / draws["spacing"].square()).floor().clamp_min(1), math.inf)
    count = torch.minimum(draws["atoms"], room).clamp_min(1)
    width = draws["atom_width"] * draws["length"]
    width = torch.minimum(width, draws.table.packing[draws.recipe] * (area / count).sqrt())
    most = max(draws.table.most["atoms"], 1)
    offset = basis.new_zeros(len(draws), most, 2)
    height, relative = basis.new_ones(len(draws), most), basis.new_ones(len(draws), most)
    if most > 1:
        unit = draws.unit_field(Purpose.MOTIF, most - 1, 2 * CANDIDATES + 2)
        height[:, 1:] = MOTIF_HEIGHT[0] + unit[..., -2] * (MOTIF_HEIGHT[1] - MOTIF_HEIGHT[0])
        relative[:, 1:] = MOTIF_WIDTH[0] + unit[..., -1] * (MOTIF_WIDTH[1] - MOTIF_WIDTH[0])
        many = (count > 1).nonzero()[:, 0]
        candidates = unit[many, :, : 2 * CANDIDATES].reshape(len(many), most - 1, CANDIDATES, 2) @ basis[many, None]
        offset[many] = _spread(candidates, basis[many], 2 * width[many])
    return Motif(count.to(torch.int64), offset, height, width[:, None] * relative)


def _spread(candidates: Tensor, basis: Tensor, distance: Tensor) -> Tensor:
    """Choose atoms (n, 1 + further, 2): the first candidate at least `distance` from all others, else the farthest."""
    steps = torch.from_numpy(np.mgrid[-1:2, -1:2].reshape(2, -1).T.astype(float)).to(basis)
    images = steps @ basis
    offset = torch.zeros_like(candidates[:, :1, 0])
    for k in range(candidates.shape[1]):
        near = (offset[:, :, None] + images[:, None]).flatten(1, 2)
        y, x = ((candidates[:, k, :, None, i] - near[:, None, :, i]) for i in (0, 1))
        gap = y.square_().addcmul_(x, x).amin(dim=2).sqrt_()
        wide = gap >= distance[:, None]
        best = torch.where(wide.any(dim=1), wide.to(torch.int64).argmax(dim=1), gap.argmax(dim=1))
        chosen = candidates[:, k].gather(1, best[:, None, None].expand(-1, 1, 2))
        offset = torch.cat([offset, chosen], dim=1)
    return offset
