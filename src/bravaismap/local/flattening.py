"""Flattening: an image as its pixels are asked, without its slow background, and the lattices that are looked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bravaismap.compute.together import Length
from bravaismap.errors import InputError
from bravaismap.local.demodulation import lattice_nodes
from bravaismap.local.phases import Pitches
from bravaismap.local.pixels import PixelSettings
from bravaismap.local.smoothing import smooth_mean

__all__ = ["FINE", "FlatFrame", "Grid", "SoughtLattice", "flattened", "prepared_frame", "without_rows"]

#: Standard deviation of the Gaussian of the amplitude in cells.
FINE = 0.4
#: Standard deviation in cells of the Gaussian of the mean brightness: no node shows in it.
_LEVEL = 0.7
#: Points of a grid along the side of a cell, at most; and in the first turns at least, where the last has as many: one
#: for each of its Gaussians of the amplitude.
_POINTS, _FEWEST_POINTS = 6, 2


@dataclass(frozen=True)
class Grid:
    """Points of a frame that are asked.

    Attributes
    ----------
    step : int
        Their pitch in px.
    pitches : tuple of Pitches
        As :meth:`~bravaismap.local.phases.Pitches.of` gives them.
    """

    step: int
    pitches: tuple[Pitches, Pitches]

    @classmethod
    def of(cls, cell: float, step: int) -> Grid:
        """Return that of a pitch for a cell of a side in px."""
        return cls(step, Pitches.of(cell / step))


@dataclass(frozen=True)
class FlatFrame:
    """An image as it is worked on.

    Attributes
    ----------
    image, valid : tensor, shape (y, x)
        Pixels, 0 where masked, and their weights, 1 or 0.
    background, flat : tensor, shape (y, x)
        The slow background, and what is left without it.
    level : tensor, shape (y, x)
        Mean brightness around every pixel, of the background and of crystals.
    cell, fine : Length
        Side of the smallest cell, and standard deviation of the Gaussian of the amplitude, in px.
    grid, last_grid : Grid
        Points that are asked now, and in the last turn. The turns before it only find where the regions are, which half
        as many points along an axis show as well.
    settings : PixelSettings
    """

    image: Tensor
    valid: Tensor
    background: Tensor
    flat: Tensor
    level: Tensor
    cell: Length
    fine: Length
    grid: Grid
    last_grid: Grid
    settings: PixelSettings

    @property
    def step(self) -> int:
        """Pitch in px of the points that are asked now."""
        return self.grid.step


@dataclass(frozen=True)
class SoughtLattice:
    """A lattice as it is looked for.

    Attributes
    ----------
    basis : tensor, shape (2, 2)
    order : tensor, shape (nodes, 2)
        Nodes that are measured.
    sigma : Length
        Standard deviation of the Gaussian in which they are.
    step : int
        Pitch of the grid on which they are, in px.
    highest : int
        Highest index of a node.
    """

    basis: Tensor
    order: Tensor
    sigma: Length
    step: int
    highest: int


def prepared_frame(
    image: Tensor, lattices: Tensor, settings: PixelSettings, mask: Tensor | None, *, alone: bool
) -> tuple[FlatFrame, Length, tuple[SoughtLattice, ...]]:
    """Return a frame whose background is still in it, the width of the Gaussian that this is, and its lattices.

    Parameters
    ----------
    image, lattices, settings, mask
        As for :func:`bravaismap.local.frame.pixel_phases`.
    alone : bool
        Whether it is the only frame that is asked, not one of several together.
    """
    if image.ndim != 2 or lattices.ndim != 3 or lattices.shape[1:] != (2, 2) or len(lattices) == 0:
        raise InputError(
            f"an image of shape {tuple(image.shape)} and lattices of shape {tuple(lattices.shape)} were given; "
            "expected (y, x) and (lattices, 2, 2), at least one lattice"
        )
    if mask is not None and mask.shape != image.shape:
        raise InputError(f"a mask of shape {tuple(mask.shape)} was given for an image of {tuple(image.shape)}")
    if mask is None:
        valid = image.new_ones((1, 1)).expand_as(image)
    else:
        valid = mask.to(image.dtype)
        image = torch.where(mask, image, 0)
    bases = lattices.to("cpu", image.dtype)
    sides = torch.linalg.det(bases).abs().sqrt().tolist()
    sought = []
    for basis, side in zip(bases, sides, strict=True):
        order, sigma = lattice_nodes(basis), settings.wide * side
        sought.append(
            SoughtLattice(
                basis.to(image), order.to(image), Length.of(sigma, image, alone=alone), max(1, int(sigma / 2)),
                int(order.abs().max()) if len(order) else 1,
            )
        )  # fmt: skip
    cell = min(sides)
    step = settings.step or max(1, round(cell / _POINTS))
    first = 2 * step if cell >= _FEWEST_POINTS * 2 * step else step
    grids = Grid.of(cell, first), Grid.of(cell, step)
    fine = Length.of((settings.fine or FINE) * cell, image, alone=alone)
    side = Length.of(cell, image, alone=alone)
    widest = Length.of(max(sides), image, alone=alone)
    return FlatFrame(image, valid, image, image, image, side, fine, *grids, settings), widest, tuple(sought)


def flattened(frame: FlatFrame, wide: Length) -> FlatFrame:
    """Return a frame without its slow background, the mean in a Gaussian of a width in px, and with its brightness."""
    background = smooth_mean(frame.image, frame.valid, wide)
    level = smooth_mean(frame.image, frame.valid, _LEVEL * frame.cell)
    return replace(frame, background=background, flat=(frame.image - background) * frame.valid, level=level)


def without_rows(frame: FlatFrame, rows: Tensor) -> FlatFrame:
    """Return a frame without offsets of its rows, (y, 1), in its pixels and in its mean brightness.

    Of a frame of which all was measured, every column of the mean loses the same.
    """
    whole = frame.valid.stride() == (0, 0)
    offsets, weight = (rows, frame.valid[:, :1]) if whole else (rows.expand_as(frame.flat), frame.valid)
    level = frame.level - smooth_mean(offsets, weight, _LEVEL * frame.cell)
    return replace(frame, flat=(frame.flat - rows) * frame.valid, level=level)
