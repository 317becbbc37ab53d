"""The connected regions of a class in one frame: their area, shape and place, with the uncertainty of the area.

The uncertainty of an area of windows comes from draws of the posterior. In each draw every window either is of the
class or is not, with its probability; the draws of overlapping windows correlate by the share of their area that they
have in common. That of an area of pixels is what :mod:`bravaismap.local.area` says of a frame: pixels of one cell err
together, and all of a boundary errs the same way. The edge of the frame is no boundary, though part of the perimeter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects, sum_labels, uniform_filter, zoom
from scipy.special import ndtr
from skimage.measure import label, perimeter_crofton

from bravaismap.conventions import Floats
from bravaismap.local.area import BOUNDARY

__all__ = ["Plane", "Regions", "drawn_areas", "regions_of", "without_small"]


@dataclass(frozen=True)
class Plane:
    """The cells of a map, which are windows or pixels: where they lie, in the unit of lengths of the result.

    Attributes
    ----------
    y, x : arrays, shapes (ny,) and (nx,)
        Centres of the cells.
    height, width : arrays, shapes (ny,) and (nx,)
        Sides of the cells.
    window : float
        Side in cells of the square in which cells err together: a window; of pixels, a primitive cell.
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
        Region of each cell, from 1; 0 for none.
    area, area_std : arrays, shape (region,)
        Area and its standard deviation.
    y, x : arrays, shape (region,)
        Centroid.
    perimeter : array, shape (region,)
    radius, radius_std : arrays, shape (region,)
        Radius of the circle of the same area.
    edge : bool array, shape (region,)
        Whether the region reaches the edge of the frame.
    """

    numbers: NDArray[np.intp]
    area: Floats
    area_std: Floats
    y: Floats
    x: Floats
    perimeter: Floats
    radius: Floats
    radius_std: Floats
    edge: NDArray[np.bool_]


def regions_of(
    lattice: NDArray[np.integer], probability: Floats, plane: Plane, draws: int | None, rng: np.random.Generator
) -> Regions:
    """Return the connected regions of a class with their measures.

    Parameters
    ----------
    lattice : int array, shape (y, x)
        Number of the lattice of each cell of the class, from 1; 0 for other cells. Those of a region are equal.
    probability : array, shape (y, x)
        Probability of the class in each cell.
    plane : Plane
    draws : int or None
        Number of draws of the posterior; 0 for none, with NaN for every standard deviation; None for cells that are
        pixels, which need no draws.
    rng : Generator
        Source of the draws.
    """
    numbers, count = label(lattice, return_num=True, connectivity=2)  # type: ignore[no-untyped-call]
    numbers = np.asarray(numbers, np.intp)
    cells = plane.area
    area = _sums(cells, numbers, count)
    y, x = (_sums(cells * centres, numbers, count) / area for centres in (plane.y[:, None], plane.x))
    perimeter, boundary = _perimeters(numbers, count, plane)
    spread = np.full(count, np.nan)
    if count and draws is None:
        spread = _pixel_spread(probability, numbers, boundary, plane)
    elif count and draws:
        basin = _basins(numbers, plane.window)
        spread = drawn_areas(probability, basin, cells, plane.window, draws, rng).std(axis=0, ddof=1)
    radius = np.sqrt(area / np.pi)
    border = np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]])
    return Regions(
        numbers=numbers,
        area=area,
        area_std=spread,
        y=y,
        x=x,
        perimeter=perimeter,
        radius=radius,
        radius_std=spread / (2 * np.pi * np.maximum(radius, 1e-300)),
        edge=np.isin(np.arange(1, count + 1), border),
    )


def without_small(lattice: NDArray[np.integer], fewest: float) -> NDArray[np.intp]:
    """Return the numbers of the lattices of cells (y, x), with 0 in regions of fewer cells."""
    numbers = np.asarray(label(lattice, connectivity=2), np.intp)  # type: ignore[no-untyped-call]
    kept = np.bincount(numbers.ravel()) >= fewest
    return np.where(kept[numbers], lattice, 0).astype(np.intp)


def _pixel_spread(probability: Floats, numbers: NDArray[np.intp], boundary: Floats, plane: Plane) -> Floats:
    """Return the standard deviation of the area of each region of pixels, given the length of its boundary."""
    basin = _basins(numbers, plane.window)
    doubt = plane.area**2 * probability * (1 - probability)
    spread = np.bincount(basin.ravel(), doubt.ravel(), len(boundary) + 1)[1:] * plane.window**2
    side = plane.window * float(np.sqrt(np.median(plane.area)))
    return np.asarray(np.hypot(np.sqrt(spread), BOUNDARY * side * boundary))


def drawn_areas(
    probability: Floats, basin: NDArray[np.intp], weight: Floats, window: float, draws: int, rng: np.random.Generator
) -> Floats:
    """Return the area of each region in draws of the posterior, (draws, region).

    Parameters
    ----------
    probability : array, shape (y, x)
    basin : int array, shape (y, x)
        Region that each cell counts for, from 1; 0 for none.
    weight : array, shape (y, x)
        Area of each cell.
    window : float
        Side of a window in cells: the draws of two cells correlate as much as windows that far apart overlap.
    draws : int
    rng : Generator
    """
    count = int(basin.max())
    areas = np.zeros((draws, count))
    for i in range(draws):
        drawn = ndtr(_overlapping_noise(probability.shape, window, rng)) < probability
        areas[i] = np.bincount(basin.ravel(), (weight * drawn).ravel(), count + 1)[1:]
    return areas


def _sums(values: Floats, numbers: NDArray[np.intp], count: int) -> Floats:
    """Return the sum of values (y, x) over each of the regions 1 to `count`."""
    return np.atleast_1d(sum_labels(values, numbers, np.arange(1, count + 1))) if count else np.zeros(0)


def _basins(numbers: NDArray[np.intp], reach: float) -> NDArray[np.intp]:
    """Return the nearest region of every cell within a window's side of it."""
    if not numbers.any():
        return numbers
    distance, nearest = distance_transform_edt(numbers == 0, return_indices=True)
    return np.where(distance <= reach, numbers[tuple(nearest)], 0)


def _overlapping_noise(shape: tuple[int, ...], window: float, rng: np.random.Generator) -> Floats:
    """Return standard normal numbers (y, x) that correlate by the share of area that two windows have in common."""
    coarse = max(int(window // 8), 1)  # px maps: windows differ little from one pixel to the next
    side = max(round(window / coarse), 1)
    small = [-(-length // coarse) + 1 for length in shape]
    white = rng.standard_normal([length + 2 * side for length in small])
    smooth = side * uniform_filter(white, side, mode="wrap")[side:-side, side:-side]
    if coarse > 1:
        smooth = zoom(smooth, coarse, order=0)
    return np.asarray(smooth[: shape[0], : shape[1]])


def _perimeters(numbers: NDArray[np.intp], count: int, plane: Plane) -> tuple[Floats, Floats]:
    """Return the perimeter of each region by Crofton's formula, and what of it is not the edge of the frame.

    Lengths are measured on equal squares of the usual side of a cell. A region and the rest of a rectangle around it
    have the boundary between them in common, and the perimeter of the rectangle apart: so the boundary is
    ``(P(region) + P(rest) − P(rectangle)) / 2``, in which the edge of the frame cancels exactly.
    """
    unit = min(float(np.median(plane.height)), float(np.median(plane.width)))
    rows, columns = (_squares(side, unit) for side in (plane.height, plane.width))
    squares = numbers[np.ix_(rows, columns)]
    perimeters, boundaries = np.zeros(count), np.zeros(count)
    for n, place in enumerate(find_objects(squares, count)):
        if place is not None:
            around = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in place)
            inside = squares[around] == n + 1
            whole, rest, rectangle = (
                float(perimeter_crofton(part, 4))  # type: ignore[no-untyped-call]
                for part in (inside, ~inside, np.ones_like(inside))
            )
            perimeters[n] = unit * whole
            boundaries[n] = unit * max(whole + rest - rectangle, 0) / 2
    return perimeters, boundaries


def _squares(side: Floats, unit: float) -> NDArray[np.intp]:
    """Return which cell along an axis the middle of each square of side `unit` lies in."""
    edges = np.cumsum(side)
    middles = (np.arange(max(1, round(float(edges[-1]) / unit))) + 0.5) * unit
    return np.minimum(np.searchsorted(edges, middles), len(side) - 1)
