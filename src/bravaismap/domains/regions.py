"""The connected regions of a class in one frame: their area, shape and place, with the uncertainty of the area.

The uncertainty of an area comes from draws of the posterior. In each draw every window either is of the class or is
not, with its probability; the draws of overlapping windows correlate by the share of their area that they have in
common.
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


_NEIGHBOURS: Final = np.ones((3, 3), bool)  # across corners too, since the windows there overlap


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
        Side of a window in cells.
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
        Area and its standard deviation over the draws.
    expected_area : array, shape (region,)
        Sum of probability times area of the cells in and around the region.
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
    expected_area: Floats
    y: Floats
    x: Floats
    perimeter: Floats
    radius: Floats
    radius_std: Floats
    edge: NDArray[np.bool_]


def regions_of(
    where: NDArray[np.bool_],
    probability: Floats,
    plane: Plane,
    draws: int,
    rng: np.random.Generator,
    allowed: NDArray[np.bool_] | None = None,
) -> Regions:
    """Return the connected regions of a mask with their measures.

    Parameters
    ----------
    where : bool array, shape (y, x)
        Cells of the regions.
    probability : array, shape (y, x)
        Probability of the class in each cell.
    plane : Plane
    draws : int
        Number of draws of the posterior; 0 for none, with NaN for every standard deviation.
    rng : Generator
        Source of the draws.
    allowed : bool array, shape (y, x), optional
        Cells that can be of the class at all; every cell when not given.
    """
    numbers, count = label(where, _NEIGHBOURS)
    numbers = np.asarray(numbers, np.intp)
    cells = plane.area
    area = _sums(cells, numbers, count)
    y, x = (_sums(cells * centres, numbers, count) / area for centres in (plane.y[:, None], plane.x))
    basin = _basins(numbers, plane.window)
    weight = cells if allowed is None else cells * allowed
    spread = np.full(count, np.nan)
    if draws and count:
        spread = drawn_areas(probability, basin, weight, plane.window, draws, rng).std(axis=0, ddof=1)
    radius = np.sqrt(area / np.pi)
    border = np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]])
    return Regions(
        numbers=numbers,
        area=area,
        area_std=spread,
        expected_area=_sums(weight * probability, basin, count),
        y=y,
        x=x,
        perimeter=_perimeters(numbers, count, plane),
        radius=radius,
        radius_std=spread / (2 * np.pi * np.maximum(radius, 1e-300)),
        edge=np.isin(np.arange(1, count + 1), border),
    )


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


def _perimeters(numbers: NDArray[np.intp], count: int, plane: Plane) -> Floats:
    """Return the perimeter of each region by Crofton's formula, on cells divided into equal squares."""
    unit = min(float(plane.height.min()), float(plane.width.min()))
    rows, columns = (np.maximum(np.rint(side / unit), 1).astype(int) for side in (plane.height, plane.width))
    fine = np.pad(np.repeat(np.repeat(numbers, rows, axis=0), columns, axis=1), 1)
    return np.array([unit * perimeter_crofton(fine == n, 4) for n in range(1, count + 1)])  # type: ignore[no-untyped-call]
