"""Domains and voids: the connected regions of each class in every frame, with their size and its uncertainty.

A region of a class begins where its probability exceeds a high threshold and reaches as far as it exceeds a low one
(hysteresis); or it is where the class is the most probable one. Each window owns the area up to half-way to the next,
those at the edge the area up to the edge, so that the areas of all windows add up to the frame.

The uncertainty of an area comes from draws of the posterior: whether a window is of the class is drawn with its
probability, windows that overlap being drawn together as much as they overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label, sum_labels, uniform_filter, zoom
from scipy.special import ndtr
from skimage.filters import apply_hysteresis_threshold
from skimage.measure import perimeter_crofton

from bravaismap.conventions import NONE
from bravaismap.errors import InputError
from bravaismap.phases import mapped_frames
from bravaismap.thresholding import SMOOTHING, spacing_of, threshold_voids
from bravaismap.tracking import Linked, link_frames
from bravaismap.voidarea import CALIBRATED_MODEL, blur_corrected
from bravaismap.windows import WindowGrid, window_grid

__all__ = ["Plane", "Regions", "drawn_areas", "find_domains", "pixel_votes", "regions_of"]

Floats = NDArray[np.floating]

_EIGHT: Final = np.ones((3, 3), bool)  # neighbours across corners belong together: their windows overlap
_AREAS: Final = ("area", "area_std", "expected_area", "corrected_area")
_LENGTHS: Final = ("y", "x", "perimeter", "radius", "radius_std")


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


def find_domains(
    result: xr.Dataset,
    *,
    thresholds: tuple[float, float] | None = (0.35, 0.65),
    draws: int = 100,
    seed: int = 0,
    movie: Any = None,
    level: float | None = None,
    smoothing: float = SMOOTHING,
) -> xr.Dataset:
    """Find the domains of every class in every frame, and follow them through time.

    Parameters
    ----------
    result : Dataset
        Of :func:`~bravaismap.map_phases`.
    thresholds : (float, float), optional
        Low and high threshold of the probability; None for where a class is the most probable one.
    draws : int
        Of the posterior, for the uncertainty of areas; 0 for none, with NaN.
    seed : int
        Of the draws.
    movie : array (time, y, x), optional
        The frames that were mapped: domains are then found pixel by pixel. Overlapping windows vote on a pixel, its
        probability being their mean; a void is what is dark inside windows that are "none" by the high threshold.
    level : float, optional
        Intensity below which a pixel of `movie` is dark; Otsu's when not given.
    smoothing : float
        See :func:`bravaismap.thresholding.threshold_voids`.

    Returns
    -------
    Dataset
        A line (``row``) per domain and frame: ``frame``, ``time``, ``lattice``, ``track`` (a number that it keeps),
        ``event`` (``"start"`` in the first frame, ``"birth"``, ``"continues"``, ``"merge"``, ``"split"``), ``parents``
        (tracks, joined by +), ``fate`` (``"continues"``, ``"merged"``, ``"healed"`` of a void, ``"vanished"`` of
        another, ``"end"`` in the last frame), and the measures of :class:`Regions`; ``corrected_area`` of voids, see
        :mod:`bravaismap.voidarea`. Areas are in the unit of the result squared.

    Raises
    ------
    InputError
        If nothing is mapped, the thresholds are not two rising probabilities, or the movie is another.
    """
    if thresholds is not None and not 0 < thresholds[0] <= thresholds[1] < 1:
        raise InputError(f"thresholds {thresholds} were given; expected two rising probabilities between 0 and 1")
    if draws < 0 or draws == 1:
        raise InputError(f"{draws} draws were asked for; expected at least 2, or 0 for none")
    frames = np.flatnonzero(mapped_frames(result))
    if not frames.size:
        raise InputError("no frame of the result is mapped yet")
    grid, size, unit = _grid_of(result)
    dark = None if movie is None else _dark(result, movie, level, smoothing)
    plane = _window_plane(result, grid, size) if dark is None else _pixel_plane(result, grid, size)
    names = [str(name) for name in result["lattice"].values]
    linked = {name: Linked(name) for name in names}
    rows: list[dict[str, Any]] = []
    for index in frames:
        probability = result["probability"].isel(time=index).transpose("y", "x", "lattice").values.astype(float)
        shape = (len(plane.y), len(plane.x))
        maps = probability if dark is None else pixel_votes(probability, grid, shape)
        largest = maps.argmax(axis=-1)
        for i, name in enumerate(names):
            chance, allowed = maps[..., i], None
            where = largest == i if thresholds is None else _hysteresis(chance, thresholds)
            if dark is not None and name == NONE:
                chance, allowed = _highest(probability[..., i], grid, shape), dark[index]
                where = allowed & (chance >= (0.5 if thresholds is None else thresholds[1]))
            rng = np.random.default_rng([seed, int(index), i])
            found = regions_of(where, chance, plane, draws, rng, allowed)
            corrected = np.full(len(found.measures["area"]), np.nan)
            if name == NONE and dark is None and result.attrs.get("model") == CALIBRATED_MODEL:
                corrected = blur_corrected(found.measures["expected_area"], grid.window * size)
            found.measures["corrected_area"] = corrected
            rows += link_frames(linked[name], found.numbers, found.measures, int(index), last=index == frames[-1])
    return _table(rows, result, unit)


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


def pixel_votes(probability: Floats, grid: WindowGrid, shape: tuple[int, int]) -> Floats:
    """Return the mean probability of the windows that cover each pixel, (y, x, class).

    Parameters
    ----------
    probability : array, shape (ny, nx, class)
    grid : WindowGrid
    shape : (int, int)
        Of the frame in px; a pixel that no window covers has NaN.
    """
    rows, columns = (
        ((np.arange(length)[:, None] >= start) & (np.arange(length)[:, None] < start + grid.window)).astype(float)
        for length, start in zip(shape, (grid.top, grid.left), strict=True)
    )
    votes = np.einsum("yi,ijc,xj->yxc", rows, probability, columns, optimize=True)
    with np.errstate(invalid="ignore"):
        return np.asarray(votes / (rows.sum(axis=1)[:, None] * columns.sum(axis=1))[..., None])


def _hysteresis(probability: Floats, thresholds: tuple[float, float]) -> NDArray[np.bool_]:
    return np.asarray(apply_hysteresis_threshold(probability, *thresholds))  # type: ignore[no-untyped-call]


def _highest(probability: Floats, grid: WindowGrid, shape: tuple[int, int]) -> Floats:
    """Return the highest probability among the windows that cover each pixel."""
    highest = np.zeros(shape)
    for i, top in enumerate(grid.top):
        for j, left in enumerate(grid.left):
            covered = highest[top : top + grid.window, left : left + grid.window]
            np.maximum(covered, probability[i, j], out=covered)
    return highest


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


def _grid_of(result: xr.Dataset) -> tuple[WindowGrid, float, str]:
    """Return the windows of a result, the side of a pixel, and the unit of that."""
    if not {"frame_size", "window", "step"} <= set(result.attrs):
        raise InputError("the result does not tell its frame size, window and step; give one that map_phases returned")
    size = result.attrs.get("pixel_size_nm")
    height, width = result.attrs["frame_size"]
    grid = window_grid((height, width), result.attrs["window"], result.attrs["step"])
    return grid, float(size or 1.0), "nm" if size else "px"


def _window_plane(result: xr.Dataset, grid: WindowGrid, size: float) -> Plane:
    sides = []
    for centres, length in zip(grid.centers, result.attrs["frame_size"], strict=True):
        edges = np.concatenate([[0.0], (centres[1:] + centres[:-1] + 1) / 2, [float(length)]])
        sides.append(np.diff(edges) * size)
    y, x = (result[dim].values.astype(float) for dim in ("y", "x"))
    return Plane(y, x, sides[0], sides[1], grid.window / grid.step)


def _pixel_plane(result: xr.Dataset, grid: WindowGrid, size: float) -> Plane:
    height, width = (np.full(length, size) for length in result.attrs["frame_size"])
    y, x = (
        float(result[dim][0]) + (np.arange(length) - centres[0]) * size
        for dim, length, centres in zip(("y", "x"), result.attrs["frame_size"], grid.centers, strict=True)
    )
    return Plane(y, x, height, width, float(grid.window))


def _dark(result: xr.Dataset, movie: Any, level: float | None, smoothing: float) -> NDArray[np.bool_]:
    images = np.asarray(getattr(movie, "values", movie))
    expected = (result.sizes["time"], *result.attrs["frame_size"])
    if images.shape != tuple(expected):
        raise InputError(f"a movie of {images.shape} was given; expected {tuple(expected)}, the one that was mapped")
    return threshold_voids(images, spacing_of(result), level, smoothing=smoothing)[0]


def _table(rows: list[dict[str, Any]], result: xr.Dataset, unit: str) -> xr.Dataset:
    rows.sort(key=lambda row: (row["frame"], row["track"]))
    time = result["time"].values
    units = dict.fromkeys(_AREAS, f"{unit}²") | dict.fromkeys(_LENGTHS, unit)
    frame = np.array([row["frame"] for row in rows], int)
    return xr.Dataset(
        {
            "frame": ("row", frame),
            "time": ("row", time[frame].astype(float), {"units": str(result["time"].attrs.get("units", "frame"))}),
            **{name: ("row", [row[name] for row in rows]) for name in ("lattice", "track", "event", "parents", "fate")},
            **{
                name: ("row", np.array([row[name] for row in rows], float), {"units": text})
                for name, text in units.items()
            },
            "edge": ("row", np.array([row["edge"] for row in rows], bool)),
        }
    )
