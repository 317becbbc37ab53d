"""Convolutions of many planes with separable kernels, as matrix products: fast on a processor and on a GPU alike.

Planes are ``(..., y, x)``; a kernel is applied at every `step`-th pixel only, so that what varies slowly costs little.
Beyond the edges planes are zero: whoever smooths divides by the smoothed weights, and an edge needs no other care.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bravaismap.compute.together import Length, number

__all__ = [
    "REACH",
    "at_every_pixel",
    "grid_length",
    "interpolation",
    "mean_shares",
    "on_finer_grid",
    "pixel_interpolation",
    "smooth_mean",
    "smoothed",
    "smoothed_shares",
]

#: Standard deviations at which a Gaussian is cut off: it has fallen to 3e-4 there.
REACH = 4.0
#: Results worked out together: more of them waste work on the empty corners of the band matrix, fewer are products too
#: small to be fast.
_BLOCK = 16
#: Points of a grid between which pixels are interpolated together.
_POINTS = 8
#: Points per standard deviation of a Gaussian from which all is known that it has smoothed.
_FINENESS = 3
#: Pixels of a plane up to which several of them stay in the cache.
_SMALL = 2**14
#: Gaussians that are kept: a frame smooths with some ten of them, again and again.
_KEPT = 64
#: Matrices of interpolation that are kept: a frame asks for some six of them, again and again.
_MATRICES = 16


@functools.lru_cache(maxsize=_KEPT)
def _bell(sigma: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    reach = _taps(sigma) // 2
    place = torch.arange(-reach, reach + 1, device=device, dtype=dtype)
    weights = torch.exp(-0.5 * (place / sigma) ** 2)
    return weights / weights.sum()


def _taps(sigma: float) -> int:
    """Number of samples of a Gaussian."""
    return 2 * max(1, round(REACH * sigma)) + 1


def grid_length(length: int, step: int) -> int:
    """Return how many points of a grid of pitch `step`, the first at pixel 0, span an axis: the last may lie beyond."""
    return -(-(length - 1) // step) + 1


def _band(kernel: Tensor, step: int, block: int) -> Tensor:
    """The matrix (..., block, width) from a window of a line to `block` results with a kernel (..., taps)."""
    taps = kernel.shape[-1]
    first = torch.arange(block, device=kernel.device)[:, None] * step
    columns = (first + torch.arange(taps, device=kernel.device)).expand(*kernel.shape[:-1], block, taps)
    band = kernel.new_zeros((*kernel.shape[:-1], block, (block - 1) * step + taps))
    return band.scatter(-1, columns, kernel[..., None, :].expand_as(columns))


def smoothed(planes: Tensor, sigma: float | Length, step: int = 1) -> Tensor:
    """Smooth planes with a Gaussian, at every `step`-th pixel along both axes.

    Parameters
    ----------
    planes : tensor, shape (..., y, x)
        One that is a number expanded to a plane, as the mask of a frame of which all was measured, costs nothing.
    sigma : float or Length
        Standard deviation in px; nothing is smoothed below a tenth of a pixel.
    step : int

    Returns
    -------
    tensor, shape (..., rows, columns)
    """
    most = sigma.most if isinstance(sigma, Length) else sigma
    if most < 0.1:
        return planes[..., ::step, ::step]

    taps = _taps(most)
    width = number(sigma)
    if isinstance(width, float) and planes.stride()[-2:] == (0, 0):
        down, right = (_of_ones(n, width, step, planes.dtype, planes.device) for n in planes.shape[-2:])
        return planes[..., :1, :1] * down[:, None] * right

    def band(block: int) -> Tensor:
        if isinstance(sigma, Length) and isinstance(sigma.value, Tensor):
            place, exponent = _places(taps, step, block, planes.dtype, planes.device)
            weights = (exponent / sigma.value**2).exp() * (place <= (REACH * sigma.value).round().clamp_min(1.0))
            return weights / weights.sum(-1, keepdim=True)
        return _gaussian(float(number(sigma)), step, block, planes.dtype, planes.device)

    each = planes.reshape(-1, *planes.shape[-2:])
    parts = torch.split(each, 1) if _one_by_one(each) else (each,)
    smooth = [_smoothed(part, taps, step, band) for part in parts]
    whole = smooth[0] if len(smooth) == 1 else torch.cat(smooth)
    return whole.reshape(*planes.shape[:-2], *whole.shape[1:])


def smoothed_shares(shares: Tensor, total: Tensor, sigma: float | Length, step: int = 1) -> Tensor:
    """Smooth shares as :func:`smoothed` does, the last of them as what the others leave of their smoothed sum.

    Parameters
    ----------
    shares : tensor, shape (phases, y, x)
    total : tensor, shape (rows, columns)
        Their sum, smoothed.
    sigma, step
        As for :func:`smoothed`.
    """
    others = smoothed(shares[:-1], sigma, step)
    return torch.cat([others, (total - others.sum(0))[None]])


def _one_by_one(planes: Tensor) -> bool:
    """Whether planes are worked on one by one, so that they stay in the cache; a GPU takes as few steps as it can."""
    return planes.device.type == "cpu" and planes[0].numel() > _SMALL


def _smoothed(planes: Tensor, taps: int, step: int, band: Callable[[int], Tensor]) -> Tensor:
    """Planes (planes, y, x) smoothed with band matrices (1, block, width) for blocks of results."""
    rows, columns = (grid_length(length, step) for length in planes.shape[-2:])
    down, right = min(rows, _BLOCK), min(columns, _BLOCK)
    padded = _padded(planes, taps, step, down, right)
    # overlapping windows of all planes, one below the other, and then of all rows: neither is copied
    slot = padded.shape[1] // (down * step)
    blocks = (len(padded) - 1) * slot + -(-rows // down)
    windows = padded.flatten(0, 1).unfold(0, (down - 1) * step + taps, down * step)[:blocks].mT
    of_rows = band(down)
    of_columns = of_rows if right == down else band(right)
    lines = torch.bmm(of_rows.expand(blocks, -1, -1), windows).flatten(0, 1)
    parts = lines.unfold(1, (right - 1) * step + taps, right * step).movedim(1, 0)
    smooth = torch.bmm(parts, of_columns.mT.expand(len(parts), -1, -1)).movedim(0, 1).flatten(1)
    return smooth[:, :columns].unfold(0, rows, slot * down).mT


def _padded(planes: Tensor, taps: int, step: int, down: int, right: int) -> Tensor:
    """Planes with zeros around them, as many as windows of `down` and of `right` results reach beyond them.

    Below a plane they are so many that the windows of its results, and of the plane below it, begin at equal distances.
    """
    rows, columns = (grid_length(length, step) for length in planes.shape[-2:])
    height = (-(-rows // down) + -(-max(0, taps - step) // (down * step))) * down * step
    width = -(-columns // right) * right * step + max(0, taps - step)
    middle = taps // 2
    beyond = (width - middle - planes.shape[2], height - middle - planes.shape[1])
    return torch.nn.functional.pad(planes, (middle, beyond[0], middle, beyond[1]))


@functools.lru_cache(maxsize=_KEPT)
def _gaussian(sigma: float, step: int, block: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The band matrix of a Gaussian, (1, block, width)."""
    return _band(_bell(sigma, dtype, device)[None], step, block)


@functools.lru_cache(maxsize=_KEPT)
def _of_ones(length: int, sigma: float, step: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A line of ones smoothed with a Gaussian: less than 1 near its ends only, beyond which there are zeros."""
    weights = _bell(sigma, dtype, device)
    reach = len(weights) // 2
    points = step * torch.arange(grid_length(length, step), device=device)
    places = points[:, None] + torch.arange(-reach, reach + 1, device=device)
    return ((places >= 0) & (places < length)).to(dtype) @ weights


@functools.lru_cache(maxsize=_KEPT)
def _places(taps: int, step: int, block: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """How far the pixels of a window are from each of `block` results, and −½ its square, (1, block, width)."""
    middle = step * torch.arange(block, device=device, dtype=dtype)[:, None] + taps // 2
    place = (torch.arange((block - 1) * step + taps, device=device, dtype=dtype) - middle)[None].abs()
    return place, -0.5 * place**2


def smooth_mean(values: Tensor, weight: Tensor, sigma: float | Length) -> Tensor:
    """Return the weighted mean in a Gaussian around every pixel, on a coarser grid, and from there interpolated.

    Parameters
    ----------
    values : tensor, shape (..., y, x)
    weight : tensor, shape (y, x)
        From 0 on; where there is none in the Gaussian, the mean is 0.
    sigma : float or Length
        Standard deviation in px.
    """
    step = _coarse_step(sigma)
    coarse = smoothed((values * weight).reshape(-1, *weight.shape), sigma, step)
    mean = coarse / smoothed(weight, sigma, step).clamp_min(1e-6)
    return at_every_pixel(mean, step, weight.shape).reshape(values.shape)


def mean_shares(shares: Tensor, weight: Tensor, sigma: float | Length) -> Tensor:
    """Return the weighted mean of shares that add up to 1, as :func:`smooth_mean` does.

    Parameters
    ----------
    shares : tensor, shape (phases, y, x)
    weight : tensor, shape (y, x)
    sigma : float or Length
    """
    step = _coarse_step(sigma)
    total = smoothed(weight, sigma, step)
    mean = smoothed_shares(shares * weight, total, sigma, step) / total.clamp_min(1e-6)
    return at_every_pixel(mean, step, weight.shape)


def _coarse_step(sigma: float | Length) -> int:
    """Pitch in px of a grid that holds all that a Gaussian has smoothed."""
    return max(1, int((sigma.most if isinstance(sigma, Length) else sigma) / _FINENESS))


def interpolation(places: Tensor, step: float, count: int) -> Tensor:
    """Return the matrix that interpolates values on a grid of pitch `step` by cubic convolution.

    Parameters
    ----------
    places : tensor, shape (n,)
        Where values are wanted, in px; the grid begins at 0.
    step : float
        Pitch of the grid in px.
    count : int
        Points of the grid.

    Returns
    -------
    tensor, shape (n, count)
        Rows sum to 1; beyond the ends the last value goes on.

    References
    ----------
    R. G. Keys, IEEE Trans. Acoust. Speech Signal Process. 29, 1153 (1981), doi:10.1109/TASSP.1981.1163711, eq. 15.
    """
    position = places / step
    base = position.floor()
    t = position - base
    weights = torch.stack(
        [
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        ],
        dim=-1,
    )
    columns = (base[:, None] + torch.arange(-1, 3, device=places.device)).clamp(0, count - 1).long()
    return places.new_zeros((len(places), count)).scatter_add_(1, columns, weights)


def at_every_pixel(planes: Tensor, step: int, shape: Sequence[int]) -> Tensor:
    """Return planes on a grid at every pixel of an image, as the matrices of :func:`interpolation` would give them.

    Parameters
    ----------
    planes : tensor, shape (..., rows, columns)
        Real.
    step : int
        Pitch of the grid in px; its first point is pixel (0, 0).
    shape : sequence of int
        Of the image (y, x).
    """
    if step == 1:
        return planes[..., : shape[0], : shape[1]]
    matrix = _pixel_interpolation(
        range(step, (_POINTS + 1) * step), step, _POINTS + 3, planes.dtype, planes.device
    )  # of the pixels from the second point of a window on
    rows = matrix @ _point_windows(planes.mT, step, shape[0]).movedim(-3, -1)
    rows = rows.flatten(-3, -2)[..., : shape[0], :]
    windows = _point_windows(rows, step, shape[1])
    columns = (windows.reshape(-1, _POINTS + 3) @ matrix.mT).reshape(*windows.shape[:-1], -1)
    return columns.flatten(-2)[..., : shape[1]]


def _point_windows(lines: Tensor, step: int, length: int) -> Tensor:
    """Overlapping windows of lines (..., points), as many as give a length in px; the last value goes on."""
    blocks = -(-length // (_POINTS * step))
    beyond = max(0, blocks * _POINTS + 2 - lines.shape[-1])
    ends = lines[..., :1], lines[..., -1:].expand(*lines.shape[:-1], beyond)
    return torch.cat([ends[0], lines, ends[1]], -1)[..., : blocks * _POINTS + 3].unfold(-1, _POINTS + 3, _POINTS)


def on_finer_grid(values: Tensor, step: int, finer: int, shape: Sequence[int]) -> Tensor:
    """Return values on a grid (rows, columns, components) at the points of a finer one, by cubic convolution.

    Parameters
    ----------
    values : tensor, shape (rows, columns, components)
        Real or complex.
    step, finer : int
        Pitches of both grids in px; the first point of both is pixel (0, 0).
    shape : sequence of int
        Rows and columns of the finer grid.
    """
    kind = values.dtype.to_real()
    down, right = (
        _pixel_interpolation(range(0, finer * count, finer), step, points, kind, values.device).to(values.dtype)
        for count, points in zip(shape, values.shape[:2], strict=True)
    )
    return (down @ values.movedim(-1, 0) @ right.mT).movedim(0, -1)


def pixel_interpolation(pixels: range, step: float, count: int, like: Tensor) -> Tensor:
    """Return the matrix of :func:`interpolation` at pixels, of the device and the type of a tensor."""
    return _pixel_interpolation(pixels, step, count, like.dtype, like.device)


@functools.lru_cache(maxsize=_MATRICES)
def _pixel_interpolation(pixels: range, step: float, count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    places = torch.arange(pixels.start, pixels.stop, pixels.step, device=device, dtype=dtype)
    return interpolation(places, step, count)
