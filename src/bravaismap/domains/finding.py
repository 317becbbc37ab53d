"""Domains and voids: the connected regions of each class in every frame, with their size and its uncertainty.

A region of a class begins where its probability exceeds a high threshold and reaches as far as it exceeds a low one
(hysteresis); or it is where the class is the most probable one. Each window owns the area up to half-way to the next,
those at the edge the area up to the edge, so that the areas of all windows add up to the frame. Regions are measured in
:mod:`bravaismap.domains.regions` and followed through time in :mod:`bravaismap.domains.tracking`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from skimage.filters import apply_hysteresis_threshold

from bravaismap.conventions import NONE, Floats, length_unit
from bravaismap.domains.regions import Plane, regions_of
from bravaismap.domains.thresholding import SMOOTHING, spacing_of, threshold_voids
from bravaismap.domains.tracking import Linked, link_frames
from bravaismap.domains.void_area import CALIBRATED_MODEL, blur_corrected
from bravaismap.errors import InputError
from bravaismap.result.phase_map import mapped_frames
from bravaismap.windows import WindowGrid, window_grid

__all__ = ["domain_maps", "find_domains", "pixel_votes"]


_AREAS: Final = ("area", "area_std", "expected_area", "corrected_area")
_LENGTHS: Final = ("y", "x", "perimeter", "radius", "radius_std")


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
        See :func:`bravaismap.domains.thresholding.threshold_voids`.

    Returns
    -------
    Dataset
        A line (``row``) per domain and frame: ``frame``, ``time``, ``lattice``, ``track`` (a number that it keeps),
        ``event`` (``"start"`` in the first frame, ``"birth"``, ``"continues"``, ``"merge"``, ``"split"``), ``parents``
        (tracks, joined by +), ``fate`` (``"continues"``, ``"merged"``, ``"healed"`` of a void, ``"vanished"`` of
        another, ``"end"`` in the last frame), and the measures of :class:`~bravaismap.domains.regions.Regions`;
        ``corrected_area`` of voids, see :mod:`bravaismap.domains.void_area`. Areas are in
        the unit of the result squared.

    Raises
    ------
    InputError
        If nothing is mapped, the thresholds are not two rising probabilities, or the movie is another.
    """
    rows = [
        row for _, _, _, found in _followed(result, thresholds, draws, seed, movie, level, smoothing) for row in found
    ]
    return _table(rows, result, _grid_of(result)[2])


def domain_maps(
    result: xr.Dataset,
    frames: Iterable[int],
    *,
    thresholds: tuple[float, float] | None = (0.35, 0.65),
    movie: Any = None,
    level: float | None = None,
    smoothing: float = SMOOTHING,
) -> xr.Dataset:
    """Return where the domains of some frames lie, by the numbers that `find_domains` gives them.

    Parameters
    ----------
    result : Dataset
        Of :func:`~bravaismap.map_phases`.
    frames : iterable of int
        Numbers of the frames.
    thresholds, movie, level, smoothing
        Those of :func:`find_domains`.

    Returns
    -------
    Dataset
        ``track`` (time, lattice, y, x): the track whose domain covers a cell, 0 for none; cells are windows, or pixels
        where `movie` is given. ``frame`` (time), and where the cells begin and end: ``y_edge``, ``x_edge``, in the unit
        of the result.

    Raises
    ------
    InputError
        As :func:`find_domains`, and if a frame is not mapped.
    """
    chosen = [int(frame) for frame in frames]
    unmapped = set(chosen) - set(np.flatnonzero(mapped_frames(result)).tolist())
    if unmapped:
        raise InputError(f"the domains of frame {min(unmapped)} were asked for, which is not mapped")
    grid, size, unit = _grid_of(result)
    plane = (_window_plane if movie is None else _pixel_plane)(result, grid, size)
    names = [str(name) for name in result["lattice"].values]
    track = np.zeros((len(chosen), len(names), len(plane.y), len(plane.x)), np.int32)
    for index, name, numbers, rows in _followed(result, thresholds, 0, 0, movie, level, smoothing):
        if index in chosen:
            lookup = np.array([0, *(row["track"] for row in rows)], np.int32)
            track[chosen.index(index), names.index(name)] = lookup[numbers]
    edges = {}
    for dim, centres, sides in zip(("y", "x"), grid.centers, (plane.height, plane.width), strict=True):
        begin = float(result[dim][0]) - (centres[0] + 0.5) * size
        edges[f"{dim}_edge"] = (f"{dim}_edge", begin + np.concatenate([[0.0], np.cumsum(sides)]), {"units": unit})
    units = {"units": unit}
    coords = {"lattice": names, "y": ("y", plane.y, units), "x": ("x", plane.x, units), "frame": ("time", chosen)}
    coords["time"] = ("time", result["time"].values[chosen].astype(float), dict(result["time"].attrs))
    return xr.Dataset({"track": (("time", "lattice", "y", "x"), track)}, coords | edges)


def _followed(
    result: xr.Dataset,
    thresholds: tuple[float, float] | None,
    draws: int,
    seed: int,
    movie: Any,
    level: float | None,
    smoothing: float,
) -> Iterator[tuple[int, str, NDArray[np.intp], list[dict[str, Any]]]]:
    """Yield each frame and class with its numbered regions, and the line of each region, which a later frame ends."""
    if thresholds is not None and not 0 < thresholds[0] <= thresholds[1] < 1:
        raise InputError(f"thresholds {thresholds} were given; expected two rising probabilities between 0 and 1")
    if draws < 0 or draws == 1:
        raise InputError(f"{draws} draws were asked for; expected at least 2, or 0 for none")
    frames = np.flatnonzero(mapped_frames(result))
    if not frames.size:
        raise InputError("no frame of the result is mapped yet")
    grid, size, _ = _grid_of(result)
    dark = None if movie is None else _dark(result, movie, level, smoothing)
    plane = _window_plane(result, grid, size) if dark is None else _pixel_plane(result, grid, size)
    names = [str(name) for name in result["lattice"].values]
    linked = {name: Linked(name) for name in names}
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
            rows = link_frames(linked[name], found.numbers, found.measures, int(index), last=index == frames[-1])
            yield int(index), name, found.numbers, rows


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


def _grid_of(result: xr.Dataset) -> tuple[WindowGrid, float, str]:
    """Return the windows of a result, the side of a pixel, and the unit of that."""
    if not {"frame_size", "window", "step"} <= set(result.attrs):
        raise InputError("the result does not tell its frame size, window and step; give one that map_phases returned")
    size = result.attrs.get("pixel_size_nm")
    height, width = result.attrs["frame_size"]
    grid = window_grid((height, width), result.attrs["window"], result.attrs["step"])
    return grid, float(size or 1.0), length_unit(size)


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
