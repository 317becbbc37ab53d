"""Tapered tiles: windows as the refinement takes them, cropped to whole tiles, tapered, and apart by tile."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from bravaismap.measure import settings

__all__ = ["SHAPES_KEPT", "TaperedTiles", "taper_by_tile", "tapered_tiles"]

#: Shapes of images for which what depends on the shape alone is kept.
SHAPES_KEPT: Final = 16


@dataclass(frozen=True)
class TaperedTiles:
    """Images cropped to whole tiles about their centre, tapered.

    Attributes
    ----------
    tiles : tensor, shape (n, tiles, pixels)
    size : tuple of int
        Height and width of what is left of an image, in px.
    extent : tensor, shape (2,)
        The same as shares of those of the image: what takes bins of the image to its own.
    """

    tiles: Tensor
    size: tuple[int, int]
    extent: Tensor

    def take(self, rows: Tensor) -> TaperedTiles:
        """Return the tiles of some of the images."""
        return TaperedTiles(self.tiles[rows], self.size, self.extent)

    def put(self, other: TaperedTiles, rows: Tensor) -> TaperedTiles:
        """Return the tiles with those of the images `rows` replaced by the others."""
        return TaperedTiles(self.tiles.index_copy(0, rows, other.tiles), self.size, self.extent)


def tapered_tiles(images: Tensor) -> TaperedTiles:
    """Return images (n, y, x) without slow background as tapered tiles."""
    tiles = settings.SETTINGS.refinement.tiles
    n, *sides = images.shape
    rows, columns = size = sides[0] // tiles * tiles, sides[1] // tiles * tiles
    top, left = ((side - length) // 2 for side, length in zip(sides, size, strict=True))
    cropped = images[:, top : top + rows, left : left + columns]
    tapered = cropped * _taper(size, settings.SETTINGS.refinement.taper, images.device)
    extent = torch.tensor([rows / sides[0], columns / sides[1]], device=images.device)
    return TaperedTiles(_by_tile(tapered).reshape(n, tiles**2, -1), size, extent)


def taper_by_tile(size: tuple[int, int], device: torch.device) -> Tensor:
    """Return the taper of an image of whole tiles, (tiles, pixels)."""
    limits = settings.SETTINGS.refinement
    return _by_tile(_taper(size, limits.taper, device)[None]).reshape(limits.tiles**2, -1)


def _by_tile(images: Tensor) -> Tensor:
    """Images (n, y, x) as tiles, (n, tiles along y, tiles along x, y, x)."""
    tiles = settings.SETTINGS.refinement.tiles
    rows, columns = images.shape[1:]
    return images.reshape(-1, tiles, rows // tiles, tiles, columns // tiles).transpose(2, 3)


@functools.lru_cache(maxsize=SHAPES_KEPT)
def _taper(size: tuple[int, int], width: float, device: torch.device) -> Tensor:
    """Tukey taper, flat but for a cosine over the outer parts, together a share `width` of a side."""

    def line(count: int) -> Tensor:
        at = (torch.arange(count, device=device, dtype=torch.float32) + 0.5) / count
        edge = torch.minimum(at, 1 - at) / (width / 2)
        return 0.5 - 0.5 * torch.cos(torch.pi * edge.clamp_max(1.0))

    return line(size[0])[:, None] * line(size[1])
