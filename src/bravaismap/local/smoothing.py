"""Convolutions of many planes with separable kernels, as matrix products: fast on a processor and on a GPU alike.

Planes are ``(..., y, x)``; a kernel is applied at every `step`-th pixel only, so that what varies slowly costs little.
Beyond the edges planes are zero: whoever smooths divides by the smoothed weights, and an edge needs no other care.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = [
    "bell",
    "convolved",
    "convolved_one_by_one",
    "convolved_with_each",
    "grid_length",
    "interpolation",
    "smoothed",
]

#: Standard deviations at which a Gaussian is cut off: it has fallen to 3e-4 there.
_REACH = 4.0
#: Results worked out together: more of them waste work on the empty corners of the band matrix, fewer are products too
#: small to be fast.
_BLOCK = 16
#: Values of windows that are copied for one product, which bounds the memory.
_COPIED = 2**24


def bell(sigma: float, like: Tensor) -> Tensor:
    """Return the samples of a Gaussian of sum 1 and standard deviation `sigma` in px, an odd number of them.

    Parameters
    ----------
    sigma : float
        In px, above 0.
    like : tensor
        Gives the device and the type.
    """
    reach = max(1, round(_REACH * sigma))
    place = torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)
    weights = torch.exp(-0.5 * (place / sigma) ** 2)
    return weights / weights.sum()


def grid_length(length: int, step: int) -> int:
    """Return how many points of a grid of pitch `step`, the first at pixel 0, span an axis: the last may lie beyond."""
    return -(-(length - 1) // step) + 1


def convolved(lines: Tensor, kernel: Tensor, step: int = 1) -> Tensor:
    """Correlate lines with a kernel at every `step`-th sample: ``out[i] = Σ_t kernel[t] line[i step + t − middle]``.

    Parameters
    ----------
    lines : tensor, shape (..., n)
        Real or complex; zero beyond the ends.
    kernel : tensor, shape (taps,)
        An odd number of taps.
    step : int

    Returns
    -------
    tensor, shape (..., m)
        With m of :func:`grid_length`.
    """
    return convolved_with_each(lines, kernel[None], step)[0]


def convolved_with_each(lines: Tensor, kernels: Tensor, step: int = 1) -> Tensor:
    """Correlate all lines with each kernel of several: as :func:`convolved`, (kernels, ..., m).

    Parameters
    ----------
    lines : tensor, shape (..., n)
    kernels : tensor, shape (kernels, taps)
    step : int
    """

    def product(windows: Tensor, band: Tensor) -> Tensor:
        each = windows.reshape(-1, *windows.shape[-2:])  # (lines, windows, width)
        # as they lie in memory, overlapping, the windows of each line would be copied and multiplied on their own
        parts = torch.split(each, max(1, _COPIED // each[0].numel()))
        out = torch.cat([part.reshape(-1, part.shape[-1]) @ band.flatten(0, 1).mT for part in parts])
        return out.reshape(*windows.shape[:-1], *band.shape[:2]).movedim(-2, 0)

    return _windows(lines, kernels, step, product)


def convolved_one_by_one(lines: Tensor, kernels: Tensor, step: int = 1) -> Tensor:
    """Correlate each group of lines with its own kernel: as :func:`convolved`.

    Parameters
    ----------
    lines : tensor, shape (kernels, m, n)
    kernels : tensor, shape (kernels, taps)
    step : int
    """

    def product(windows: Tensor, band: Tensor) -> Tensor:
        out: Tensor = windows.flatten(1, 2) @ band.mT
        return out.reshape(*windows.shape[:3], -1)

    return _windows(lines, kernels, step, product)


def _windows(lines: Tensor, kernel: Tensor, step: int, product: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Cut lines into overlapping windows, multiply each with the band matrix of the kernel, and join the results."""
    count, taps = grid_length(lines.shape[-1], step), kernel.shape[-1]
    block = min(count, _BLOCK)
    blocks = -(-count // block)
    width = (block - 1) * step + taps
    middle = taps // 2
    beyond = (blocks - 1) * block * step + width - middle - lines.shape[-1]
    windows = torch.nn.functional.pad(lines, (middle, max(0, beyond))).unfold(-1, width, block * step)
    first = torch.arange(block, device=lines.device)[:, None] * step
    columns = (first + torch.arange(taps, device=lines.device)).expand(*kernel.shape[:-1], block, taps)
    band = kernel.new_zeros((*kernel.shape[:-1], block, width))
    band.scatter_(-1, columns, kernel[..., None, :].expand_as(columns))
    return product(windows, band).flatten(-2)[..., :count]


def smoothed(planes: Tensor, sigma: float, step: int = 1) -> Tensor:
    """Smooth planes with a Gaussian, at every `step`-th pixel along both axes.

    Parameters
    ----------
    planes : tensor, shape (..., y, x)
    sigma : float
        Standard deviation in px; nothing is smoothed below a tenth of a pixel.
    step : int

    Returns
    -------
    tensor, shape (..., rows, columns)
    """
    if sigma < 0.1:
        return planes[..., ::step, ::step]
    kernel = bell(sigma, planes)
    rows = convolved(planes, kernel, step)
    return convolved(rows.mT, kernel, step).mT


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
