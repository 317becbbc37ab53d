"""Regions: parts of a window that are darker or brighter than the rest of it as a whole, left out.

A hole and a patch of contamination have a level of their own. Their edges, and the slow background that bends towards
them, have more power at all frequencies than a faint lattice beside them. Where the mean over about a cell is far from
that of most of the window, the window is held to be 0 and has no part in the background of the rest.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional as F

from bravaismap.compute.order_statistics import lower_median
from bravaismap.measure import settings
from bravaismap.measure.splines import spline_matrix

__all__ = ["other_regions", "without_regions"]

#: Places along the side of the square of a mean at which means are taken; they are smooth between these.
_PLACES = 3


def other_regions(images: Tensor) -> Tensor:
    """Return where images (n, y, x) are of another level than most of the image: bool, (n, y, x).

    Nowhere in an image that is one value for the most part. Images have a standard deviation of 1.
    """
    limits = settings.SETTINGS.regions
    side = _odd(min(images.shape[1:]) / limits.means)
    level = _means(images, side)
    away = (level - lower_median(level.flatten(1))[:, None, None]).abs()
    scatter = lower_median(away.flatten(1))[:, None, None] / 0.6745  # of a normal distribution, in σ
    other = (away > limits.scatter * scatter) & (scatter > limits.least_scatter)
    reach = -(-side // 2 // _step(side))
    other = F.max_pool2d(other.float()[:, None], 2 * reach + 1, 1, reach)[:, 0] > 0
    y, x = (
        (torch.arange(length, device=images.device) / _step(side)).round().long().clamp_max(count - 1)
        for length, count in zip(images.shape[1:], other.shape[1:], strict=True)
    )
    return other[:, y[:, None], x]


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
    background = _means(images * kept, side) / _means(kept, side).clamp_min(1e-3)
    up, out = (_between(length, side, images.device) for length in images.shape[1:])
    soft_y, soft_x = (_twice(length, limits.edge, images.device) for length in images.shape[1:])
    return (images - up @ background @ out.T) * (soft_y @ kept @ soft_x.T)


def _odd(side: float) -> int:
    return 2 * int(side / 2) + 1


def _step(side: int) -> int:
    """Distance in px of the places at which means over squares of a side are taken."""
    return max(1, side // _PLACES)


def _means(images: Tensor, side: int) -> Tensor:
    """Means of means over squares about places of images, within the image, (n, places, places)."""
    down, across = (_twice(length, side, images.device)[:: _step(side)] for length in images.shape[1:])
    return down @ (images @ across.T)


@functools.cache
def _twice(length: int, side: int, device: torch.device) -> Tensor:
    """Matrix of the mean, taken twice, over `side` pixels about each one of a line, (length, length)."""
    at = torch.arange(length, device=device)
    near = ((at[:, None] - at).abs() <= side // 2).float()
    mean = near / near.sum(1, keepdim=True)
    return mean @ mean


@functools.cache
def _between(length: int, side: int, device: torch.device) -> Tensor:
    """Matrix from the places of a line to all its pixels, smooth between them, (length, places)."""
    step = _step(side)
    count = -(-length // step)
    return spline_matrix(torch.arange(length, device=device) / step, count)
