"""The connected regions of a class in one frame, measured, with the uncertainty of their areas.

The uncertainty of an area comes from draws of the posterior: whether a window is of the class is drawn with its
probability, windows that overlap being drawn together as much as they overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label, sum_labels, uniform_filter, zoom
from scipy.special import ndtr
from skimage.measure import perimeter_crofton

from bravaismap.conventions import Floats

__all__ = ["Plane", "Regions", "drawn_areas", "regions_of"]


_EIGHT: Final = np.ones((3, 3), bool)  # neighbours across corners belong together: their windows overlap


@dataclass(frozen=True)
class Plane:
    """Where the cells of a map lie: windows, or pixels. Lengths in the unit of the result.

    Attributes
    ----------
    y, x : arrays, shapes (ny,) and (nx,)
        Centres of the cells.
    height, width : arrays, shapes (ny,) and (nx,)
        Their sides.
    window : float
        Side of a window, over that of a cell.
    """

    y: Floats
    x: Floats
    height: Floats
    width: Floats
    window: float

    @property
    def area(self) -> Floats:
        """Area of every cell, (ny, nx)."""
        return self.height[:, None] * self.width


@dataclass(frozen=True)
class Regions:
    """The connected regions of a class in one frame.

    Attributes
    ----------
    numbers : int array, shape (y, x)
        Which region a cell belongs to, from 1; 0 for none.
    measures : dict of str to array
        ``area``, ``area_std``, ``expected_area`` (the sum of the probabilities in and around the region), centroid
        ``y`` and ``x``, ``perimeter``, ``radius`` of the circle of the same area and ``radius_std``, and ``edge``: 1 if
        it reaches the edge of the frame.
    """

    numbers: NDArray[np.intp]
    measures: dict[str, Floats]


def regions_of(
    where: NDArray[np.bool_],
    probability: Floats,
    plane: Plane,
    draws: int,
    rng: np.random.Generator,
    allowed: NDArray[np.bool_] | None = None,
) -> Regions:
    """Return the connected regions of a mask, measured.

    Parameters
    ----------
    where : bool array, shape (y, x)
    probability : array, shape (y, x)
        Of the class.
    plane : Plane
    draws : int
    rng : Generator
    allowed : bool array, shape (y, x), optional
        Cells that can be of the class at all.
    """
    numbers, count = label(where, _EIGHT)
    numbers = np.asarray(numbers, np.intp)
    which, cells = np.arange(1, count + 1), plane.area
    area = np.atleast_1d(sum_labels(cells, numbers, which)) if count else np.zeros(0)
    y, x = (
        np.atleast_1d(sum_labels(cells * line, numbers, which)) / area if count else np.zeros(0)
        for line in (plane.y[:, None], plane.x)
    )
    basin = _basins(numbers, plane.window)
    weight = cells if allowed is None else cells * allowed
    expected = np.atleast_1d(sum_labels(weight * probability, basin, which)) if count else np.zeros(0)
    spread = np.full(count, np.nan)
    if draws and count:
        spread = drawn_areas(probability, basin, weight, plane.window, draws, rng).std(axis=0, ddof=1)
    radius = np.sqrt(area / np.pi)
    edges = set(np.unique(np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]])))
    return Regions(
        numbers,
        {
            "area": area,
            "area_std": spread,
            "expected_area": expected,
            "y": y,
            "x": x,
            "perimeter": _perimeters(numbers, count, plane),
            "radius": radius,
            "radius_std": spread / (2 * np.pi * np.maximum(radius, 1e-300)),
            "edge": np.array([float(n in edges) for n in which]),
        },
    )


def drawn_areas(
    probability: Floats, basin: NDArray[np.intp], weight: Floats, window: float, draws: int, rng: np.random.Generator
) -> Floats:
    """Return the area of each region in draws of the posterior, (draws, region).

    Parameters
    ----------
    probability : array, shape (y, x)
    basin : int array, shape (y, x)
        The region that a cell counts for, from 1; 0 for none.
    weight : array, shape (y, x)
        Area of a cell.
    window : float
        Side of a window in cells: cells err together as much as windows that far apart overlap.
    draws : int
    rng : Generator
    """
    count = int(basin.max())
    areas = np.zeros((draws, count))
    for i in range(draws):
        there = ndtr(_overlapping_noise(probability.shape, window, rng)) < probability
        areas[i] = np.bincount(basin.ravel(), (weight * there).ravel(), count + 1)[1:]
    return areas


def _basins(numbers: NDArray[np.intp], reach: float) -> NDArray[np.intp]:
    """Return the nearest region of every cell within a window's side of it."""
    if not numbers.any():
        return numbers
    distance, nearest = distance_transform_edt(numbers == 0, return_indices=True)
    return np.where(distance <= reach, numbers[tuple(nearest)], 0)


def _overlapping_noise(shape: tuple[int, ...], window: float, rng: np.random.Generator) -> Floats:
    """Return normal numbers whose correlation is the share of their area that two windows have in common."""
    coarse = max(int(window // 8), 1)  # px maps: windows differ little from one pixel to the next
    side = max(round(window / coarse), 1)
    small = [-(-length // coarse) + 1 for length in shape]
    white = rng.standard_normal([length + 2 * side for length in small])
    smooth = side * uniform_filter(white, side, mode="wrap")[side:-side, side:-side]
    if coarse > 1:
        smooth = zoom(smooth, coarse, order=0)
    return np.asarray(smooth[: shape[0], : shape[1]])


def _perimeters(numbers: NDArray[np.intp], count: int, plane: Plane) -> Floats:
    """Return the length of the boundary of each region by Crofton's formula, on cells made alike."""
    unit = min(float(plane.height.min()), float(plane.width.min()))
    rows, columns = (np.maximum(np.rint(side / unit), 1).astype(int) for side in (plane.height, plane.width))
    fine = np.pad(np.repeat(np.repeat(numbers, rows, axis=0), columns, axis=1), 1)
    return np.array([unit * perimeter_crofton(fine == n, 4) for n in range(1, count + 1)])  # type: ignore[no-untyped-call]
