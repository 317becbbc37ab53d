"""The spectrum of a window as a network takes it, the same for training, prediction and viewer.

A spectrum is the half plane ``k_x ≥ 0`` of the FFT amplitude (the other half repeats it), an array of 64 × 32 with
``k = 0`` at row 32, column 0. There are two, which differ in their highest spatial frequency:

``window``
    up to half the Nyquist frequency (lattice spacings down to 4 px), for windows of a map;
``paper``
    the central quarter of the spectrum, enlarged (spacings down to 8 px), for whole images, where the spots lie close
    to the centre. In the paper's words: FFT amplitude, central quarter, zoom 4, bicubic, min–max.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import torch
from torch import Tensor
from torch.nn import functional

from bravaismap.errors import InputError

__all__ = ["COLUMNS", "REACH", "ROWS", "Preprocessing", "amplitude", "mirrored", "quarter_turned", "spectrum", "taper"]

Preprocessing = Literal["window", "paper"]

ROWS: Final = 64
COLUMNS: Final = 32
#: Highest spatial frequency along x or y that a spectrum shows, in 1/px (Nyquist is 1/2).
REACH: Final[dict[str, float]] = {"window": 1 / 4, "paper": 1 / 8}


def taper(size: int, *, device: torch.device | None = None) -> Tensor:
    """Return the Hann taper of `size` px, which prevents the cross that the edges of an image draw in its spectrum."""
    window = torch.hann_window(size + 2, periodic=False, device=device)
    return window[1:-1].clone()


def amplitude(images: Tensor) -> Tensor:
    """Return the FFT amplitude of tapered images, free of their mean and independent of their contrast.

    Parameters
    ----------
    images : Tensor, shape (n, height, width)

    Returns
    -------
    Tensor, shape (n, height, width // 2 + 1)
        The half plane ``k_x ≥ 0``, with ``k = 0`` at row ``height // 2``, column 0, in units of its own mean; zero for
        a constant image.
    """
    images = images.to(torch.float32)
    weight = taper(images.shape[-2], device=images.device)[:, None] * taper(images.shape[-1], device=images.device)
    mean = (images * weight).sum(dim=(-2, -1), keepdim=True) / weight.sum()
    transformed = torch.fft.rfft2((images - mean) * weight).abs()
    # the rounding errors of a constant image are no signal
    floor = 1e-5 * images.abs().amax(dim=(-2, -1), keepdim=True) * weight.sum().sqrt()
    level = transformed.mean(dim=(-2, -1), keepdim=True)
    scaled = torch.where(level > floor, transformed / level.clamp_min(1e-30), torch.zeros_like(transformed))
    shifted: Tensor = torch.fft.fftshift(scaled, dim=-2)
    return shifted


def spectrum(images: Tensor, preprocessing: Preprocessing = "window") -> Tensor:
    """Return the spectra of square images, ready for a network.

    Parameters
    ----------
    images : Tensor, shape (n, size, size)
        Windows or whole images of any side of at least 16 px.
    preprocessing : {"window", "paper"}
        Reach of the spectrum; see the module.

    Returns
    -------
    Tensor, shape (n, 64, 32)
        ``log(1 + amplitude / mean amplitude)``, stretched to 0–1. All zero for a constant image.

    Raises
    ------
    InputError
        If the images are not square, or there is no such preprocessing.

    References
    ----------
    R. K. Vasudevan et al., npj Comput. Mater. 4, 30 (2018), doi:10.1038/s41524-018-0086-7, "Methods". The paper shows
    the network the amplitude itself; the logarithm here makes a weak spot as visible as a strong one.
    """
    if images.ndim != 3 or images.shape[-1] != images.shape[-2]:
        raise InputError(f"images of shape {tuple(images.shape)} were given; expected (n, size, size)")
    if preprocessing not in REACH:
        raise InputError(f"no preprocessing is called {preprocessing!r}; expected one of {', '.join(REACH)}")
    logarithm = torch.log1p(_half_plane(amplitude(images), REACH[preprocessing]))
    low, high = logarithm.amin(dim=(-2, -1), keepdim=True), logarithm.amax(dim=(-2, -1), keepdim=True)
    return (logarithm - low) / (high - low).clamp_min(1e-12)


def mirrored(spectra: Tensor) -> Tensor:
    """Return the spectra (n, 64, 32) of the mirrored images: ``k_y → −k_y``."""
    return torch.cat([spectra[:, :1], spectra[:, 1:].flip(1)], dim=1)


def quarter_turned(spectra: Tensor) -> Tensor:
    """Return the spectra (n, 64, 32) of the images turned by 90°: ``(k_y, k_x) → (k_x, −k_y)``.

    The half plane that is not stored repeats the other (Friedel's law). The one row ``k_y = −32``, which has no
    counterpart among the columns, is taken from the last column.
    """
    row, column = torch.meshgrid(torch.arange(-ROWS // 2, ROWS // 2), torch.arange(COLUMNS), indexing="ij")
    source_row = torch.where(row > 0, -column, column)
    return spectra[:, source_row + ROWS // 2, row.abs().clamp(max=COLUMNS - 1)]


def _half_plane(half: Tensor, reach: float) -> Tensor:
    """Return the half plane up to `reach`, resampled to 64 × 32 at exact frequencies."""
    size = half.shape[-2]
    per_pixel = 2 * reach * size / ROWS  # FFT pixels per pixel of the result
    middle = size // 2
    if per_pixel == 1:
        return half[:, middle - ROWS // 2 : middle + ROWS // 2, :COLUMNS]
    margin = min(math.ceil(per_pixel) + 2, half.shape[-1] - 1)
    planes = torch.cat([_opposite(half)[..., 1 : margin + 1].flip(-1), half], dim=-1)[:, None]
    if per_pixel > 1:
        # a spot is narrower than a pixel of the result, which takes the highest amplitude within it
        kernel = 2 * int(per_pixel / 2) + 1
        planes = functional.max_pool2d(planes, kernel, stride=1, padding=kernel // 2)
    y = (torch.arange(ROWS, device=half.device) - ROWS // 2) * per_pixel + middle
    x = torch.arange(COLUMNS, device=half.device) * per_pixel + margin
    y, x = 2 * y / (size - 1) - 1, 2 * x / (planes.shape[-1] - 1) - 1
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)
    sampled = functional.grid_sample(
        planes, grid.expand(len(planes), -1, -1, -1), mode="bicubic", padding_mode="border", align_corners=True
    )
    return sampled[:, 0].clamp_min(0)


def _opposite(half: Tensor) -> Tensor:
    """Return the amplitude at −k for every k of the half plane: equal, by Friedel's law, row by opposite row."""
    flipped = half.flip(-2)
    return flipped.roll(1, dims=-2) if half.shape[-2] % 2 == 0 else flipped
