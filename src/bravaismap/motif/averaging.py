"""Averaging: all cells of a lattice laid on one another by the fractional coordinates of their pixels.

Every pixel falls somewhere between the points of a grid over one cell and is shared among the four nearest (bilinear
weights). Since pixels fall everywhere in the cell, the grid may be finer than the pixels where there are many cells.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from bravaismap.conventions import Complexes, Floats, Integers

__all__ = ["AveragedCell", "Fold", "averaged_cell", "fold_pixels", "synthesis"]

#: Points of a grid to each period of the highest order, from which bilinear weights are right to some 0.5 %.
_FINE = 14
_PIXELS_TO_A_POINT = 12.0
_MOST_POINTS = 96


@dataclass(frozen=True)
class Fold:
    """The pixels of an image in a grid over one cell.

    Attributes
    ----------
    side : int
        The grid has side × side points, along the first and the second vector of the basis.
    index : int array, shape (4, pixels)
        The four nearest points of each pixel, in the flattened grid.
    share : array, shape (4, pixels)
        What part of the pixel each of them gets; the parts add up to 1.
    """

    side: int
    index: Integers
    share: Floats

    def sums(self, values: Floats) -> Floats:
        """Return the sums of pixel values at the points of the grid, shape (side, side)."""
        flat = values.ravel()
        total = np.zeros(self.side**2)
        for index, share in zip(self.index, self.share, strict=True):
            total += np.bincount(index, share * flat, self.side**2)
        return total.reshape(self.side, self.side)

    def transform(self, values: Floats) -> Complexes:
        """Return Σ value · exp(2πi h·x) over the pixels for all orders of the grid, the order (0, 0) first."""
        return np.asarray(np.fft.ifft2(self.sums(values)) * self.side**2 / self.line)

    def pattern(self, orders: Integers, factors: Complexes) -> Floats:
        """Return Σ F exp(−2πi h·x) of the orders and their negatives at every pixel, flattened."""
        spectrum = np.zeros((self.side, self.side), complex)
        spectrum[orders[:, 0], orders[:, 1]] = factors
        spectrum[-orders[:, 0], -orders[:, 1]] = np.conj(factors)
        cell = np.fft.fft2(spectrum / self.line).real.ravel()
        return sum(
            (cell[index] * share for index, share in zip(self.index, self.share, strict=True)),
            start=np.zeros(self.index.shape[1]),
        )

    @functools.cached_property
    def line(self) -> Floats:
        """What bilinear weights leave of a wave of each order."""
        line = np.sinc(np.fft.fftfreq(self.side)) ** 2
        return np.asarray(line[:, None] * line)


@dataclass(frozen=True)
class AveragedCell:
    """One cell, averaged over all.

    Attributes
    ----------
    mean, std : arrays, shape (v, u)
        Value and its σ at the fractional coordinates (i / shape[1], j / shape[0]) along the first (u) and the second
        (v) vector of the basis; NaN where no pixel fell.
    count : array, shape (v, u)
        How many pixels each value rests on.
    """

    mean: Floats
    std: Floats
    count: Floats


def fold_pixels(coordinates: Floats, highest: int) -> Fold:
    """Return the pixels laid on one cell, on a grid fine enough for Fourier components up to an index.

    Parameters
    ----------
    coordinates : array, shape (2, ...)
        Fractional coordinates of the pixels.
    highest : int
        Largest index h or k.
    """
    side = 1 << int(np.ceil(np.log2(max(_FINE * highest, 32))))
    return _fold(coordinates, side)


def _fold(coordinates: Floats, side: int) -> Fold:
    place = coordinates.reshape(2, -1) * side
    low = np.floor(place)
    part = place - low
    low = low.astype(np.int64)
    first, second = (low % side), ((low + 1) % side)
    index = np.stack(
        [
            first[0] * side + first[1],
            first[0] * side + second[1],
            second[0] * side + first[1],
            second[0] * side + second[1],
        ]
    )
    rest = 1 - part
    share = np.stack([rest[0] * rest[1], rest[0] * part[1], part[0] * rest[1], part[0] * part[1]])
    return Fold(side, index, share)


def averaged_cell(image: Floats, weight: Floats, coordinates: Floats, basis: Floats, residual: Floats) -> AveragedCell:
    """Return the average over all cells, with the error of each point.

    Parameters
    ----------
    image, weight : arrays, shape (...)
        Pixels of one or more images; those with weight 0 are left out.
    coordinates : array, shape (2, ...)
        Fractional coordinates.
    basis : array, shape (2, 2)
        Its lengths, in px, set the grid: at most three points to a px, and at least a dozen pixels to a point.
    residual : array, shape (...)
        What the periodic pattern leaves of the image; its mean square at a point gives σ there.
    """
    pixels = float(weight.sum())
    a, b = np.linalg.norm(basis, axis=1)
    area = abs(float(np.linalg.det(basis)))
    finer = float(np.clip(np.sqrt(pixels / area / _PIXELS_TO_A_POINT), 1.0, 3.0))
    shape = [int(np.clip(round(finer * length), 8, _MOST_POINTS)) for length in (a, b)]
    count = np.zeros(shape)
    total, square, squared_share = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    place = coordinates.reshape(2, -1) * np.array(shape)[:, None]
    low = np.floor(place)
    part = place - low
    low = low.astype(np.int64)
    flat_weight, flat_image, flat_square = weight.ravel(), image.ravel(), (residual**2).ravel()
    for i in (0, 1):
        for j in (0, 1):
            index = (low[0] + i) % shape[0] * shape[1] + (low[1] + j) % shape[1]
            share = np.abs(1 - i - part[0]) * np.abs(1 - j - part[1]) * flat_weight
            length = shape[0] * shape[1]
            count += np.bincount(index, share, length).reshape(shape)
            squared_share += np.bincount(index, share**2, length).reshape(shape)
            total += np.bincount(index, share * flat_image, length).reshape(shape)
            square += np.bincount(index, share * flat_square, length).reshape(shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, total / count, np.nan)
        std = np.where(count > 0, np.sqrt(square / count * squared_share) / count, np.nan)
    return AveragedCell(mean.T, std.T, count.T)


def synthesis(orders: Integers, factors: Complexes, shape: tuple[int, int]) -> Floats:
    """Return Σ F exp(−2πi h·x) over the orders and their negatives on a grid (u, v) over the cell.

    Parameters
    ----------
    orders : int array, shape (n, 2)
    factors : complex array, shape (n,)
    shape : tuple of int
        Points along the first and the second vector.
    """
    waves = [
        np.exp(-2j * np.pi * orders[:, axis, None] * np.arange(points) / points) for axis, points in enumerate(shape)
    ]
    return np.asarray(2 * np.einsum("n,nu,nv->uv", factors, *waves, optimize=True).real)
