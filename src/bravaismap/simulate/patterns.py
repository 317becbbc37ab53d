"""Images without a lattice in which something repeats or looks like atoms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from bravaismap.simulate.faults import line_offsets
from bravaismap.simulate.instrument import speckle

__all__ = [
    "ATOM_ROOM",
    "ATOM_WIDTH",
    "BOW",
    "CHANNELS",
    "ENLARGED",
    "FLYBACK",
    "HARMONICS",
    "HUM_CYCLES",
    "HUM_SLIP",
    "PERIOD",
    "QUALITY",
    "SPECKLE_HEIGHT",
    "SPECKLE_RING",
    "compressed",
    "draw_pattern",
]

Image = NDArray[np.floating]

SPECKLE_RING = (0.02, 0.15)  # 1/px
ATOM_WIDTH = (1.5, 4.0)  # px
ATOM_ROOM = (8.0, 20.0)  # side of the square that each single atom has to itself, over its width
PERIOD = (4.0, 40.0)  # px
HARMONICS = 3  # of a wave, the fundamental included
BOW = 0.5  # largest bending of fringes over half the image, in periods
CHANNELS = (2, 16)  # of a read-out, with whose number the offsets of columns repeat
HUM_CYCLES = (4.0, 60.0)  # periods of the mains in one scan line
HUM_SLIP = 0.02  # standard deviation of the change of its phase from line to line, in periods
FLYBACK = (1.0, 1.5)  # time from one scan line to the next, over that of a line
SPECKLE_HEIGHT = 0.15  # of the amorphous matter under scattered atoms, over the height of an atom
QUALITY = (3, 20)  # of JPEG, of 100
ENLARGED = (1, 3)  # factor by which an image is enlarged after its compression


def draw_pattern(name: str, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw an image without a lattice.

    Parameters
    ----------
    name : {"speckle", "atoms", "fringes", "rows", "columns", "blocks", "hum"}
        Amorphous matter; single atoms scattered on it; one set of slightly bent fringes; scan lines with offsets;
        columns with offsets that repeat with the channels of the read-out; a smooth field, of which
        `compressed` makes blocks; the hum of the mains, whose phase runs on from line to line.
    size : int
        Side in px.
    rng : numpy.random.Generator

    Returns
    -------
    float32 array, shape (size, size)
        From 0 to 1, without noise.
    """
    image = _PATTERNS[name](size, rng)
    low, high = float(image.min()), float(image.max())
    return np.asarray((image - low) / max(high - low, 1e-12), np.float32)


def _speckle(size: int, rng: np.random.Generator) -> Image:
    return speckle(size, 1.0, SPECKLE_RING, rng)


def _atoms(size: int, rng: np.random.Generator) -> Image:
    width = rng.uniform(*ATOM_WIDTH)
    count = max(int((size / (rng.uniform(*ATOM_ROOM) * width)) ** 2), 1)
    image = np.zeros((size, size))
    rows, columns = rng.integers(0, size, (2, count))
    np.add.at(image, (rows, columns), rng.uniform(0.5, 1.0, count))
    peak = 1 / (2 * np.pi * width**2)
    atoms = gaussian_filter(image, width, mode="constant") / peak
    return np.asarray(atoms + speckle(size, SPECKLE_HEIGHT, SPECKLE_RING, rng))


def _fringes(size: int, rng: np.random.Generator) -> Image:
    period, angle, start = np.exp(rng.uniform(*np.log(PERIOD))), *rng.uniform(0, 2 * np.pi, 2)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    bow = rng.uniform(-BOW, BOW) * (2 * across / size) ** 2
    return _wave(2 * np.pi * (along / period + bow) + start, rng)


def _hum(size: int, rng: np.random.Generator) -> Image:
    cycles = np.exp(rng.uniform(*np.log(HUM_CYCLES)))
    slip = rng.normal(0, HUM_SLIP, size).cumsum()
    per_line = cycles * rng.uniform(*FLYBACK)  # periods during the line and the flyback
    lines = per_line * np.arange(size) + slip
    return _wave(2 * np.pi * (lines[:, None] + cycles * np.arange(size) / size), rng)


def _wave(phase: Image, rng: np.random.Generator) -> Image:
    """Return a wave with harmonics, each at most half as strong as the previous one."""
    strengths = np.cumprod([1.0, *rng.uniform(0, 0.5, HARMONICS - 1)])
    starts = rng.uniform(0, 2 * np.pi, HARMONICS)
    terms = zip(strengths, starts, range(1, HARMONICS + 1), strict=True)
    return np.asarray(sum(strength * np.cos(n * phase + start) for strength, start, n in terms))


def _rows(size: int, rng: np.random.Generator) -> Image:
    return np.broadcast_to(line_offsets(size, 1.0, rng)[:, None], (size, size))


def _columns(size: int, rng: np.random.Generator) -> Image:
    channels = int(rng.integers(CHANNELS[0], CHANNELS[1] + 1))
    repeated = rng.uniform(0, 2) * np.resize(rng.standard_normal(channels), size)
    return np.broadcast_to(repeated + line_offsets(size, 1.0, rng), (size, size))


def _blocks(size: int, rng: np.random.Generator) -> Image:
    return speckle(size, 1.0, (0.0, 0.0), rng)


def compressed(image: Image, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return an image after strong JPEG compression: blocks of 8 px, or of 16 or 24 px in an enlarged part of it.

    Parameters
    ----------
    image : array, shape (size, size)
    rng : numpy.random.Generator
        Draws the quality, 3 to 20 of 100, and the factor by which the first corner is enlarged, 1 to 3.

    Returns
    -------
    float32 array, shape (size, size)
        From 0 to 255.
    """
    quality = int(rng.integers(QUALITY[0], QUALITY[1] + 1))
    enlarged = int(rng.integers(ENLARGED[0], ENLARGED[1] + 1))
    size = len(image)
    corner = image[: -(-size // enlarged), : -(-size // enlarged)]
    low, high = float(corner.min()), float(corner.max())
    levels = np.rint((corner - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    decoded = imageio.imread(imageio.imwrite("<bytes>", levels, extension=".jpg", quality=quality), extension=".jpg")
    whole = zoom(decoded.astype(np.float32), enlarged, order=1, grid_mode=True, mode="nearest")
    return np.asarray(whole[:size, :size], np.float32)


_PATTERNS: Final[Mapping[str, Callable[[int, np.random.Generator], Image]]] = {
    "speckle": _speckle,
    "atoms": _atoms,
    "fringes": _fringes,
    "rows": _rows,
    "columns": _columns,
    "blocks": _blocks,
    "hum": _hum,
}
