"""Tiles: the power spectrum of a window as the mean over tiles, each of which has phases of its own.

An antiphase boundary, a strain or wandering scan lines leave no wave that runs through a window, but a part of some
four cells still holds one. The mean of the power spectra of overlapping tiles (P. D. Welch, IEEE Trans. Audio
Electroacoust. 15, 70 (1967)) asks for no more: its spots are as wide as those of a tile, and its speckle is smoother by
the number of tiles. So that the same search serves both, a mean power is expressed as the power of a single spectrum
that noise exceeds as seldom.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bravaismap.measure.spots import Spectrum, averaged_power

__all__ = ["as_single", "cut_tiles", "independent_tiles", "tile_spectrum"]

#: By how much more the mean over Hann-tapered tiles that overlap by half scatters than that of as many independent
#: ones: the powers of neighbours correlate by (1/6)².
_OVERLAP = 1.08


def cut_tiles(images: Tensor, groups: int) -> Tensor:
    """Return the tiles of each image, which overlap by half, (n, tiles, y, x).

    Parameters
    ----------
    images : tensor, shape (n, y, x)
    groups : int
        Tiles side by side along each axis.
    """
    rows, columns = (side // groups for side in images.shape[1:])
    grid = images.unfold(1, rows, rows // 2).unfold(2, columns, columns // 2)
    return grid.flatten(1, 2)


def independent_tiles(images: Tensor, groups: int) -> float:
    """Return how many independent tiles the overlapping ones of an image are worth."""
    return cut_tiles(images[:1], groups).shape[1] / _OVERLAP


def tile_spectrum(images: Tensor, groups: int) -> Spectrum:
    """Return the mean power spectra over the tiles of each image, in bins of a tile.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
    groups : int
        Tiles side by side along each axis.
    """
    return averaged_power(cut_tiles(images, groups))


def as_single(power: Tensor, count: float) -> Tensor:
    """Return the power in one spectrum that noise exceeds as seldom as it does a mean power over `count` spectra.

    The cube root of a mean of powers is nearly normal (E. B. Wilson, M. M. Hilferty, Proc. Natl. Acad. Sci. USA 17, 684
    (1931)). A power of 1 is that of the noise.

    Parameters
    ----------
    power : tensor
    count : float
        Independent spectra.
    """
    spread = 1 / (9 * count)
    deviation = (power.clamp_min(0) ** (1 / 3) - 1 + spread) / spread**0.5
    single: Tensor = -torch.special.log_ndtr(-deviation)
    return single
