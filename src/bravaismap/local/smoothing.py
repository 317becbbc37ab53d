"""Convolutions of many planes with separable kernels, as matrix products: fast on a processor and on a GPU alike.

Planes are ``(..., y, x)``; a kernel is applied at every `step`-th pixel only, so that what varies slowly costs little.
Beyond the edges planes are zero: whoever smooths divides by the smoothed weights, and an edge needs no other care.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from bravaismap.compute.together import Length, number

__all__ = [
    "bell",
    "convolved_one_by_one",
    "convolved_with_each",
    "grid_length",
    "interpolation",
    "pixel_interpolation",
    "smoothed",
]

#: Standard deviations at which a Gaussian is cut off: it has fallen to 3e-4 there.
_REACH = 4.0
#: Results worked out together: more of them waste work on the empty corners of the band matrix, fewer are products too
#: small to be fast.
_BLOCK = 16
#: Values of windows that are copied for one product, which bounds the memory.
_COPIED = 2**24
#: Gaussians that are kept: a frame smooths with some ten of them, again and again.
_KEPT = 64
#: Matrices of interpolation that are kept: a frame asks for some six of them, again and again.
_MATRICES = 16


def bell(sigma: float | Length, like: Tensor) -> Tensor:
    """Return the samples of a Gaussian of sum 1 and standard deviation `sigma` in px, an odd number of them.

    Parameters
    ----------
    sigma : float or Length
        In px, above 0. That of a `Length` has the samples that its bound asks for, those beyond its own reach 0.
    like : tensor
        Gives the device and the type.
    """
    if isinstance(sigma, Length) and isinstance(sigma.value, Tensor):
        reach = _taps(sigma.most) // 2
        place = torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)
        weights = torch.exp(-0.5 * (place / sigma.value) ** 2)
        weights = weights * (place.abs() <= (_REACH * sigma.value).round().clamp_min(1.0))
        return weights / weights.sum()
    return _bell(float(number(sigma)), like.dtype, like.device)


@functools.lru_cache(maxsize=_KEPT)
def _bell(sigma: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    reach = _taps(sigma) // 2
    place = torch.arange(-reach, reach + 1, device=device, dtype=dtype)
    weights = torch.exp(-0.5 * (place / sigma) ** 2)
    return weights / weights.sum()


def _taps(sigma: float) -> int:
    """Number of samples of a Gaussian."""
    return 2 * max(1, round(_REACH * sigma)) + 1


def grid_length(length: int, step: int) -> int:
    """Return how many points of a grid of pitch `step`, the first at pixel 0, span an axis: the last may lie beyond."""
    return -(-(length - 1) // step) + 1


def convolved_with_each(lines: Tensor, kernels: Tensor, step: int = 1) -> Tensor:
    """Correlate lines with each kernel, at every `step`-th sample: ``out[i] = Σ kernel[t] line[i step + t − middle]``.

    Parameters
    ----------
    lines : tensor, shape (..., n)
        Real or complex; zero beyond the ends.
    kernels : tensor, shape (kernels, taps)
        An odd number of taps.
    step : int

    Returns
    -------
    tensor, shape (kernels, ..., m)
        With m of :func:`grid_length`.
    """
    return _windows(lines, kernels.shape[-1], step, lambda block: _band(kernels, step, block), _together)


def _together(windows: Tensor, band: Tensor) -> Tensor:
    """Products of all windows with each band matrix, (kernels, ..., windows, block)."""
    each = windows.reshape(-1, *windows.shape[-2:])  # (lines, windows, width)
    # as they lie in memory, overlapping, the windows of each line would be copied and multiplied on their own
    parts = torch.split(each, max(1, _COPIED // each[0].numel()))
    out = torch.cat([part.reshape(-1, part.shape[-1]) @ band.flatten(0, 1).mT for part in parts])
    return out.reshape(*windows.shape[:-1], *band.shape[:2]).movedim(-2, 0)


def convolved_one_by_one(lines: Tensor, kernels: Tensor, step: int = 1) -> Tensor:
    """Correlate each group of lines with its own kernel, as :func:`convolved_with_each` does.

    Parameters
    ----------
    lines : tensor, shape (kernels, m, n)
    kernels : tensor, shape (kernels, taps)
    step : int
    """

    def product(windows: Tensor, band: Tensor) -> Tensor:
        out: Tensor = windows.flatten(1, 2) @ band.mT
        return out.reshape(*windows.shape[:3], -1)

    return _windows(lines, kernels.shape[-1], step, lambda block: _band(kernels, step, block), product)


def _windows(
    lines: Tensor, taps: int, step: int, band: Callable[[int], Tensor], product: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Cut lines into overlapping windows, multiply each with the band matrix for a block of results, and join these."""
    count = grid_length(lines.shape[-1], step)
    block = min(count, _BLOCK)
    blocks = -(-count // block)
    width = (block - 1) * step + taps
    middle = taps // 2
    beyond = (blocks - 1) * block * step + width - middle - lines.shape[-1]
    windows = torch.nn.functional.pad(lines, (middle, max(0, beyond))).unfold(-1, width, block * step)
    return product(windows, band(block)).flatten(-2)[..., :count]


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

    @functools.cache  # both axes may have the same
    def band(block: int) -> Tensor:
        if isinstance(sigma, Length) and isinstance(sigma.value, Tensor):
            place, exponent = _places(_taps(most), step, block, planes.dtype, planes.device)
            weights = (exponent / sigma.value**2).exp() * (place <= (_REACH * sigma.value).round().clamp_min(1.0))
            return weights / weights.sum(-1, keepdim=True)
        return _gaussian(float(number(sigma)), step, block, planes.dtype, planes.device)

    rows = _windows(planes, _taps(most), step, band, _together)[0]
    return _windows(rows.mT, _taps(most), step, band, _together)[0].mT


@functools.lru_cache(maxsize=_KEPT)
def _gaussian(sigma: float, step: int, block: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The band matrix of a Gaussian, (1, block, width)."""
    return _band(_bell(sigma, dtype, device)[None], step, block)


@functools.lru_cache(maxsize=_KEPT)
def _places(taps: int, step: int, block: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """How far the pixels of a window are from each of `block` results, and −½ its square, (1, block, width)."""
    middle = step * torch.arange(block, device=device, dtype=dtype)[:, None] + taps // 2
    place = (torch.arange((block - 1) * step + taps, device=device, dtype=dtype) - middle)[None].abs()
    return place, -0.5 * place**2


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


def pixel_interpolation(pixels: range, step: float, count: int, like: Tensor) -> Tensor:
    """Return the matrix of :func:`interpolation` at pixels, of the device and the type of a tensor."""
    return _pixel_interpolation(pixels, step, count, like.dtype, like.device)


@functools.lru_cache(maxsize=_MATRICES)
def _pixel_interpolation(pixels: range, step: float, count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    places = torch.arange(pixels.start, pixels.stop, pixels.step, device=device, dtype=dtype)
    return interpolation(places, step, count)
