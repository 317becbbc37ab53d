"""Local waves: the Fourier sums of single waves in tapered tiles of windows, which say where each wave is."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["local_sums"]


def local_sums(images: Tensor, frequency: Tensor, side: int, step: int) -> tuple[Tensor, Tensor]:
    """Return the Fourier sums of waves in Hann-tapered tiles, real and imaginary part, (n, tiles, waves).

    The phases are those from the corner of the window, so that the sums of tiles add up to that of all of them.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
    frequency : tensor, shape (n, waves, 2)
        (k_y, k_x) in cycles per px.
    side, step : int
        Of the tiles, and from one to the next, in px. What is left over at the far edges is in none.
    """
    n, waves = frequency.shape[:2]
    taper = torch.hann_window(side, device=images.device)

    def lines(axis: int) -> tuple[Tensor, Tensor]:
        place = torch.arange(images.shape[1 + axis], device=images.device)
        phase = 2 * math.pi * frequency[..., axis, None] * place
        return phase.cos().unfold(2, side, step) * taper, phase.sin().unfold(2, side, step) * taper

    down = torch.cat(lines(0), 1).transpose(1, 2)  # (n, tiles along y, 2 waves, side)
    across, turned = (part[:, None] for part in lines(1))  # (n, 1, waves, tiles along x, side)
    rows = images.unfold(1, side, step).mT  # (n, tiles along y, side, x)
    cosine, sine = (part.unfold(3, side, step) for part in (down @ rows).chunk(2, dim=2))

    def in_tiles(values: Tensor) -> Tensor:
        return values.sum(-1).transpose(2, 3).reshape(n, -1, waves)

    return in_tiles(cosine * across - sine * turned), in_tiles(cosine * turned + sine * across)
