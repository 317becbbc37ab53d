"""Regions: parts of a window that are darker or brighter than the rest of it as a whole, left out.

A hole and a patch of contamination have a level of their own. Their edges, and the slow background that bends towards
them, have more power at all frequencies than a faint lattice beside them. Where the mean over about a cell is far from
that of most of the window, the window is held to be 0 and has no part in the background of the rest.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from bravaismap.measure import settings

__all__ = ["other_regions", "without_regions"]


def other_regions(images: Tensor) -> Tensor:
    """Return where images (n, y, x) are of another level than most of the image: bool, (n, y, x)."""
    limits = settings.SETTINGS.regions
    side = _odd(min(images.shape[1:]) / limits.means)
    level = _mean(_mean(images, side), side).flatten(1)
    away = (level - level.median(1, keepdim=True).values).abs()
    other = away > limits.scatter * away.median(1, keepdim=True).values / 0.6745  # of a normal distribution, in σ
    return F.max_pool2d(other.reshape(images.shape).float()[:, None], side, 1, side // 2)[:, 0] > 0


def without_regions(images: Tensor, other: Tensor) -> Tensor:
    """Return images less the background of what is no `other` region, and 0 in these, with soft edges.

    Parameters
    ----------
    images : tensor, shape (n, y, x)
    other : bool tensor, shape (n, y, x)
    """
    limits = settings.SETTINGS.regions
    side = _odd(min(images.shape[1:]) / limits.background_means)
    kept = (~other).to(images.dtype)
    weight = _mean(_mean(kept, side), side).clamp_min(1e-3)
    background = _mean(_mean(images * kept, side), side) / weight
    soft = _mean(_mean(kept, limits.edge), limits.edge)
    return (images - background) * soft


def _odd(side: float) -> int:
    return 2 * int(side / 2) + 1


def _mean(images: Tensor, side: int) -> Tensor:
    """Mean over a square about each pixel, within the image."""
    return F.avg_pool2d(images[:, None], side, 1, side // 2, count_include_pad=False)[:, 0]
