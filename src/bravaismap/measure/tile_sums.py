"""Tile sums: the Fourier sums of windows at the nodes of a lattice, kept apart by tile, and what groups of tiles say.

A window is taken in 8 × 8 tiles (`tapered_tiles`). A small change of the place of a node only turns the phases of its
sums over tiles, so that these serve for many places. Where a crystal is not one wave the tiles are taken in groups,
each of which has phases of its own.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bravaismap.measure import settings
from bravaismap.measure.tapered_tiles import SHAPES_KEPT

__all__ = ["Grouping", "Waves", "amplitude", "first_moments", "grouped_tiles", "second_moments", "strength", "turned"]


@dataclass(frozen=True)
class Grouping:
    """Which tiles have a phase in common.

    `member` says of each tile in which group it is, (tiles, groups); `place` is its centre from that of its group, over
    the side of the window, (tiles, 2); `lever` is the mean square extent of a group along y, and along x; `first` and
    `second` are the weights of tiles in the moments of groups, up to first and up to second ones, complex, (moments ×
    groups, tiles); `kept` is the share of white noise in tiles and their neighbours, weighed as the refinement does,
    that is left when each group has lost its mean.
    """

    member: Tensor
    place: Tensor
    lever: float
    first: Tensor
    second: Tensor
    kept: float

    @property
    def groups(self) -> int:
        """Number of groups."""
        return self.member.shape[1]

    def total(self, values: Tensor) -> Tensor:
        """Sums over the tiles of each group, (..., tiles) → (..., groups)."""
        if self.groups == 1:
            return values.sum(-1, keepdim=True)
        return values @ self.member.to(values.dtype)

    def of_tiles(self, values: Tensor) -> Tensor:
        """The value of each tile's group, (..., groups) → (..., tiles), or one for all, (..., 1)."""
        return values if self.groups == 1 else values @ self.member.T.to(values.dtype)


@functools.cache
def grouped_tiles(tiles: int, groups: int, device: torch.device) -> Grouping:
    """Return which of tiles × tiles have a phase in common, in groups × groups."""
    line = torch.arange(tiles, device=device) * groups // tiles
    y, x = torch.meshgrid(line, line, indexing="ij")
    member = F.one_hot((y * groups + x).flatten(), groups**2).float()
    centres = _centres(tiles, device)
    centre = torch.cartesian_prod(centres, centres)
    side = tiles // groups  # of a group, in tiles
    pairs = (side + (side - 1)) ** 2  # of neighbours in a group, by the weights of the noise
    place = centre - member @ (member.T @ centre) / side**2
    one, y, x = torch.ones_like(centre[:, 0]), *centre.unbind(-1)
    first, second = (
        (torch.stack(powers)[:, None] * member.T).flatten(0, 1).to(torch.complex64)
        for powers in ((one, y, x), (one, y, x, y * y, x * y, x * x))
    )
    return Grouping(member, place, (side**2 - 1) / 12 / tiles**2, first, second, 1 - pairs / side**4)


def amplitude(sums: Tensor, grouping: Grouping) -> Tensor:
    """Return the Fourier sum of its group at each tile, (n, nodes, tiles), or of all tiles, (n, nodes, 1)."""
    return grouping.of_tiles(grouping.total(sums))


def strength(sums: Tensor, grouping: Grouping) -> Tensor:
    """Return the power of each node, summed over groups, (n, nodes)."""
    return torch.view_as_real(grouping.total(sums)).square().sum((-1, -2))


def first_moments(sums: Tensor, grouping: Grouping) -> Tensor:
    """Return sums over tiles, and these with the places y, x as weights, complex, (n, nodes, 3, groups)."""
    return F.linear(sums, grouping.first).reshape(*sums.shape[:2], 3, -1)


def second_moments(sums: Tensor, grouping: Grouping) -> Tensor:
    """Return sums over tiles with weights 1, y, x, y², yx, x², complex, (n, nodes, 6, groups)."""
    return F.linear(sums, grouping.second).reshape(*sums.shape[:2], 6, -1)


def turned(sums: Tensor, shift: Tensor) -> Tensor:
    """Return the tile sums at nodes moved by `shift` bins, (n, nodes, tiles), of sums of tiles or one for all."""
    phase = shift[..., None] * _turns(settings.SETTINGS.refinement.tiles, shift.device)
    down, across = torch.complex(phase.cos(), phase.sin()).unbind(2)
    square = sums[..., None] if sums.shape[-1] == 1 else sums.reshape(*down.shape, -1)
    return (square * down[..., None] * across[..., None, :]).flatten(2)


@functools.cache
def _centres(tiles: int, device: torch.device) -> Tensor:
    """Positions of the centres of tiles along a side, over the side of the window, from its centre, (tiles,)."""
    return (torch.arange(tiles, device=device, dtype=torch.float32) + 0.5) / tiles - 0.5


@functools.cache
def _turns(tiles: int, device: torch.device) -> Tensor:
    """Phases by which a bin turns the sums of the tiles along a side, (tiles,)."""
    return -2 * torch.pi * _centres(tiles, device)


class Waves:
    """Plane waves at nodes (in bins): each is one pattern in all tiles but for its phase at their centres.

    Parameters
    ----------
    size : (int, int)
        Of the windows, in px.
    position : tensor, shape (n, nodes, 2)
    """

    def __init__(self, size: tuple[int, int], position: Tensor) -> None:
        self.position = position
        y, x = _pixel_phases(size, settings.SETTINGS.refinement.tiles, position.device)
        phase_y, phase_x = position[..., :1] * y, position[..., 1:] * x
        cos_y, sin_y = phase_y.cos()[..., None], phase_y.sin()[..., None]
        cos_x, sin_x = phase_x.cos()[..., None, :], phase_x.sin()[..., None, :]
        n, nodes, _ = position.shape
        pattern = position.new_empty(n, nodes, 2, len(y), len(x))
        torch.mul(cos_y, cos_x, out=pattern[:, :, 0]).addcmul_(sin_y, sin_x, value=-1)
        torch.mul(sin_y, cos_x, out=pattern[:, :, 1]).addcmul_(cos_y, sin_x).neg_()
        #: Real and imaginary part of the conjugate of each wave in a tile, (n, 2 nodes, pixels).
        self.pattern = pattern.reshape(n, 2 * nodes, -1)

    def demodulate(self, images: Tensor) -> Tensor:
        """Return the Fourier sums of each tile, complex, (n, nodes, tiles), of images (n, tiles, pixels)."""
        parts = self.pattern @ images.transpose(1, 2)
        return turned(torch.complex(parts[:, ::2], parts[:, 1::2]), self.position)

    def synthesize(self, amplitudes: Tensor) -> Tensor:
        """Return the image of the waves and their conjugates, (n, tiles, pixels), of amplitudes (n, nodes, tiles or 1).

        The amplitudes are those of the sums that :meth:`demodulate` gives.
        """
        wave = torch.view_as_real(turned(2 * amplitudes, -self.position))
        return wave.movedim(-1, 2).flatten(1, 2).transpose(1, 2) @ self.pattern


@functools.lru_cache(maxsize=SHAPES_KEPT)
def _pixel_phases(size: tuple[int, int], tiles: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Phases of a bin at the rows and at the columns of a tile from its centre."""
    y, x = (
        2 * torch.pi * (torch.arange(count // tiles, device=device) + 0.5 - 0.5 * (count // tiles)) / count
        for count in size
    )
    return y, x
