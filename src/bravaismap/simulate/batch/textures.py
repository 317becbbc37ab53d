"""Batches of images without a lattice in which something repeats or looks like atoms.

They are those of :mod:`bravaismap.simulate.patterns`, of the same shapes and with the same ranges.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from bravaismap.simulate.batch.draws import Draws, Purpose
from bravaismap.simulate.batch.imaging import speckles
from bravaismap.simulate.batch.recording import correlated_lines, scattered
from bravaismap.simulate.faults import MEMORY
from bravaismap.simulate.patterns import (
    ATOM_ROOM,
    ATOM_WIDTH,
    BOW,
    CHANNELS,
    ENLARGED,
    FLYBACK,
    HARMONICS,
    HUM_CYCLES,
    HUM_SLIP,
    PERIOD,
    QUALITY,
    SPECKLE_HEIGHT,
    SPECKLE_RING,
)

__all__ = ["LUMINANCE", "compressed", "pattern_images"]

#: Quantisation of the luminance at quality 50, by the vertical and the horizontal frequency.
#: ITU-T T.81 (1992), annex K, table K.1; its scaling with the quality is that of the Independent JPEG Group's library.
LUMINANCE: Final = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_BLOCK: Final = 8  # px, side of the blocks of a JPEG


def pattern_images(name: str, draws: Draws, side: int) -> Tensor:
    """Draw images without a lattice, as :func:`bravaismap.simulate.patterns.draw_pattern` draws one.

    Returns
    -------
    float32 tensor, shape (n, side, side)
        From 0 to 1, without noise.
    """
    image = _PATTERNS[name](draws, side).to(torch.float32).expand(-1, side, side)
    low, high = image.amin(dim=(1, 2), keepdim=True), image.amax(dim=(1, 2), keepdim=True)
    return (image - low) / (high - low).clamp_min(1e-12)


def _between(unit: Tensor, ends: tuple[float, float]) -> Tensor:
    return ends[0] + unit * (ends[1] - ends[0])


def _logarithmic(unit: Tensor, ends: tuple[float, float]) -> Tensor:
    return _between(unit, (math.log(ends[0]), math.log(ends[1]))).exp()


def _speckle(draws: Draws, side: int) -> Tensor:
    return speckles(draws, Purpose.PATTERN_FIELD, side, _between(draws.units("pattern_shape")[:, 0], SPECKLE_RING))


def _atoms(draws: Draws, side: int) -> Tensor:
    shape = draws.units("pattern_shape")
    width = _between(shape[:, 1], ATOM_WIDTH)
    number = (side / (_between(shape[:, 2], ATOM_ROOM) * width)).square().floor().clamp_min(1)
    most = max(int((side / (ATOM_ROOM[0] * ATOM_WIDTH[0])) ** 2), 1)
    image = scattered(draws.unit_field(Purpose.PATTERN_ATOMS, most, 3), width, number, side)
    return image + SPECKLE_HEIGHT * _speckle(draws, side)


def _fringes(draws: Draws, side: int) -> Tensor:
    shape = draws.units("pattern_shape")[..., None, None]
    period, angle = _logarithmic(shape[:, 0], PERIOD), 2 * math.pi * shape[:, 1]
    axis = torch.arange(side, dtype=torch.float64, device=shape.device) - (side - 1) / 2
    y, x = axis[:, None], axis
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    bow = _between(shape[:, 2], (-BOW, BOW)) * (2 * across / side).square()
    return _wave(draws, 2 * math.pi * (along / period + bow + shape[:, 3]))


def _hum(draws: Draws, side: int) -> Tensor:
    shape = draws.units("pattern_shape")
    cycles = _logarithmic(shape[:, 0], HUM_CYCLES)[:, None]
    slip = HUM_SLIP * draws.normal_field(Purpose.PATTERN_LINES, side).to(torch.float64).cumsum(dim=1)
    line = torch.arange(side, dtype=torch.float64, device=shape.device)
    lines = cycles * _between(shape[:, 1, None], FLYBACK) * line + slip
    phase = lines[:, :, None] + (cycles * line / side)[:, None]
    return _wave(draws, 2 * math.pi * phase)


def _wave(draws: Draws, phase: Tensor) -> Tensor:
    """Return a wave with harmonics, each at most half as strong as the previous one."""
    shape = draws.units("pattern_shape")
    strengths = torch.cat([torch.ones_like(shape[:, :1]), shape[:, 4 : 3 + HARMONICS] / 2], dim=1).cumprod(dim=1)
    # whole turns are taken off in double precision
    phase = (phase / (2 * math.pi)).frac().to(torch.float32) * (2 * math.pi)
    total = torch.zeros_like(phase)
    for n in range(1, HARMONICS + 1):
        start = (2 * math.pi * shape[:, 6 + n, None, None]).to(torch.float32)
        total += strengths[:, n - 1, None, None].to(torch.float32) * (n * phase + start).cos_()
    return total


def _offsets(draws: Draws, side: int) -> Tensor:
    memory = _between(draws.units("pattern_memory")[:, 0], MEMORY).to(torch.float32)
    return correlated_lines(draws.normal_field(Purpose.PATTERN_LINES, side), memory)


def _rows(draws: Draws, side: int) -> Tensor:
    return _offsets(draws, side)[:, :, None]


def _columns(draws: Draws, side: int) -> Tensor:
    shape = draws.units("pattern_shape")
    channels = CHANNELS[0] + (shape[:, 0] * (CHANNELS[1] - CHANNELS[0] + 1)).floor().to(torch.int64)
    values = draws.normal_field(Purpose.PATTERN_ATOMS, CHANNELS[1])
    channel = torch.arange(side, device=shape.device) % channels[:, None]
    repeated = 2 * shape[:, 1, None].to(torch.float32) * values.gather(1, channel)
    return (repeated + _offsets(draws, side))[:, None, :]


def _blocks(draws: Draws, side: int) -> Tensor:
    return speckles(draws, Purpose.PATTERN_FIELD, side, torch.zeros_like(draws.value[:, 0]))


_PATTERNS: Final[Mapping[str, Callable[[Draws, int], Tensor]]] = {
    "speckle": _speckle,
    "atoms": _atoms,
    "fringes": _fringes,
    "rows": _rows,
    "columns": _columns,
    "blocks": _blocks,
    "hum": _hum,
}


def compressed(draws: Draws, image: Tensor) -> Tensor:
    """Return images (n, side, side) after strong JPEG compression, and enlargement of a corner by up to 3.

    Returns
    -------
    float32 tensor, shape (n, side, side)
        From 0 to 255.
    """
    unit = draws.units("compression")
    quality = QUALITY[0] + (unit[:, 0] * (QUALITY[1] - QUALITY[0] + 1)).floor()
    factor = ENLARGED[0] + (unit[:, 1] * (ENLARGED[1] - ENLARGED[0] + 1)).floor().to(torch.int64)
    whole, side = torch.empty_like(image), image.shape[-1]
    for enlarged in range(ENLARGED[0], ENLARGED[1] + 1):
        rows = (factor == enlarged).nonzero()[:, 0]
        if len(rows):
            corner = image[rows, : -(-side // enlarged), : -(-side // enlarged)]
            low, high = corner.amin(dim=(1, 2), keepdim=True), corner.amax(dim=(1, 2), keepdim=True)
            levels = ((corner - low) * (255 / (high - low).clamp_min(1e-12))).round_()
            decoded = _decoded(levels, quality[rows])
            large = functional.interpolate(
                decoded[:, None], scale_factor=float(enlarged), mode="bilinear", align_corners=False
            )
            whole[rows] = large[:, 0, :side, :side]
    return whole


def _decoded(levels: Tensor, quality: Tensor) -> Tensor:
    """Return grey levels (n, side, side) after their JPEG compression with a quality (n,) below 50.

    In double precision, so that a coefficient is rounded to the same whole number on every device.
    """
    side = levels.shape[-1]
    padding = -side % _BLOCK
    padded = functional.pad(levels[:, None], (0, padding, 0, padding), mode="replicate")[:, 0].to(torch.float64) - 128
    number = padded.shape[-1] // _BLOCK
    blocks = padded.view(-1, number, _BLOCK, number, _BLOCK).transpose(2, 3)
    matrix = _cosines(levels.device)
    table = torch.tensor(LUMINANCE, dtype=torch.float64, device=levels.device)
    steps = ((table * (5000 / quality).floor()[:, None, None] + 50) / 100).floor().clamp(1, 255)[:, None, None]
    coefficients = ((matrix @ blocks @ matrix.T) / steps).round() * steps
    decoded = (matrix.T @ coefficients @ matrix).transpose(2, 3).reshape(padded.shape) + 128
    return decoded.round().clamp(0, 255)[:, :side, :side].to(torch.float32)


@functools.cache
def _cosines(device: torch.device) -> Tensor:
    """Return the orthonormal matrix of the cosine transform of 8 values, rows = frequencies."""
    k, x = torch.arange(_BLOCK, dtype=torch.float64)[:, None], torch.arange(_BLOCK, dtype=torch.float64)
    matrix = (math.pi * k * (2 * x + 1) / (2 * _BLOCK)).cos() * math.sqrt(2 / _BLOCK)
    matrix[0] *= math.sqrt(0.5)
    return matrix.to(device)
