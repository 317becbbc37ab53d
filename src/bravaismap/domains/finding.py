"""Domains and voids: the connected regions of each class in every frame, with their size and its uncertainty.

A region of a class begins where its probability exceeds a high threshold and reaches as far as it exceeds a low one
(hysteresis); or it is where the class is the most probable one. The area of a window reaches half-way to the next
window, or to the edge of the frame, so that the areas of all windows add up to the frame. Regions are measured in
:mod:`bravaismap.domains.regions` and followed through time in :mod:`bravaismap.domains.tracking`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from skimage.filters import apply_hysteresis_threshold

from bravaismap.conventions import NONE, UNMAPPED, Floats, length_unit
from bravaismap.domains.regions import Plane, Regions, regions_of
from bravaismap.domains.thresholding import SMOOTHING, spacing_of, threshold_voids
from bravaismap.domains.tracking import LinkedFrame, link_frames
from bravaismap.domains.void_area import CALIBRATED_MODEL, blur_corrected
from bravaismap.errors import InputError
from bravaismap.result.phase_map import mapped_frames
from bravaismap.windows import WindowGrid, window_grid

__all__ = ["domain_count", "domain_maps", "find_domains", "pixel_votes"]


#: Measures of a region in the unit of areas, and in the unit of lengths.
_AREAS: Final = ("area", "area_std", "expected_area", "corrected_area")
_LENGTHS: Final = ("y", "x", "perimeter", "radius", "radius_std")


@dataclass(frozen=True)
class _Search:
    """What domains are searched for and how; see `find_domains`."""

    thresholds: tuple[float, float] | None
    draws: int = 0
    seed: int = 0
    movie: Any = None
    level: float | None = None
    smoothing: float = SMOOTHING

    def __post_init__(self) -> None:
        if self.thresholds is not None and not 0 < self.thresholds[0] <= self.thresholds[1] < 1:
            raise InputError(
                f"thresholds {self.thresholds} were given; expected two rising probabilities between 0 and 1"
            )
        if self.draws < 0 or self.draws == 1:
            raise InputError(f"{self.draws} draws were asked for; expected at least 2, or 0 for none")


@dataclass(frozen=True)
class _ClassMask:
    """Where a class is in a frame, its probability there, and the cells that can be of the class at all."""

    where: NDArray[np.bool_]
    probability: Floats
    allowed: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class _Domains:
    """The domains of a class in one frame: regions with their measures, linked to those of the frame before."""

    frame: int
    lattice: str
    regions: Regions
    corrected_area: Floats
    links: LinkedFrame


@dataclass(frozen=True)
class _Frame:
    """The windows of a frame, the side of a pixel, and the unit of lengths."""

    grid: WindowGrid
    pixel: float
    unit: str


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
    """Return the domains of every class in every frame, followed through time.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it.
    thresholds : (float, float), optional
        Low and high threshold of the probability; with None, a class is where it is the most probable one.
    draws : int
        Number of draws of the posterior for the uncertainty of areas; 0 for none, with NaN.
    seed : int
        Seed of the draws.
    movie : array (time, y, x), optional
        The frames that were mapped: domains are then found pixel by pixel. The probability of a pixel is the mean over
        the windows that cover it; a void is what is dark inside windows that are "none" by the high threshold.
    level : float, optional
        Intensity below which a pixel of `movie` is dark; by Otsu's method when not given.
    smoothing : float
        See :func:`bravaismap.domains.thresholding.threshold_voids`.

    Returns
    -------
    Dataset
        A ``row`` per domain and frame: ``frame``, ``time``, ``lattice``, ``track`` (a number that it keeps),
        ``event`` (``"start"`` in the first frame, ``"birth"``, ``"continues"``, ``"merge"``, ``"split"``), ``parents``
        (tracks, joined by +), ``fate`` (``"continues"``, ``"merged"``, ``"healed"`` of a void, ``"vanished"`` of
        another, ``"end"`` in the last frame), and the measures of :class:`~bravaismap.domains.regions.Regions`;
        ``corrected_area`` of voids, see :mod:`bravaismap.domains.void_area`. Areas are in the square of the unit of
        lengths of the result.

    Raises
    ------
    InputError
        If nothing is mapped, the thresholds are not two rising probabilities, or the movie is not the one mapped.
    """
    search = _Search(thresholds, draws, seed, movie, level, smoothing)
    return _table(list(_followed(result, search)), result)


def domain_count(domains: xr.Dataset) -> int:
    """Return how many domains there are: a domain that is followed through frames counts once."""
    return len(set(zip(domains["lattice"].values.tolist(), domains["track"].values.tolist(), strict=True)))


def domain_maps(
    result: xr.Dataset,
    frames: Iterable[int],
    *,
    thresholds: tuple[float, float] | None = (0.35, 0.65),
    movie: Any = None,
    level: float | None = None,
    smoothing: float = SMOOTHING,
) -> xr.Dataset:
    """Return maps of the domains of some frames, by the tracks that `find_domains` gives them.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it.
    frames : iterable of int
        Numbers of the frames.
    thresholds, movie, level, smoothing
        As for :func:`find_domains`.

    Returns
    -------
    Dataset
        ``track`` (time, lattice, y, x): the track whose domain covers a cell, 0 for none; cells are windows, or pixels
        where `movie` is given. ``frame`` (time), and the edges of the cells, ``y_edge`` and ``x_edge``, in the unit of
        lengths of the result.

    Raises
    ------
    InputError
        As :func:`find_domains`, and if a frame is not mapped.
    """
    chosen = [int(frame) for frame in frames]
    unmapped = set(chosen) - set(np.flatnonzero(mapped_frames(result)).tolist())
    if unmapped:
        raise InputError(f"the domains of frame {min(unmapped)} were asked for, which is not mapped")
    mapped = _frame_of(result)
    plane = (_window_plane if movie is None else _pixel_plane)(result, mapped)
    names = [str(name) for name in result["lattice"].values]
    track = np.zeros((len(chosen), len(names), len(plane.y), len(plane.x)), np.int32)
    search = _Search(thresholds, movie=movie, level=level, smoothing=smoothing)
    for domains in _followed(result, search):
        if domains.frame in chosen:
            lookup = np.array([0, *domains.links.tracks], np.int32)
            track[chosen.index(domains.frame), names.index(domains.lattice)] = lookup[domains.regions.numbers]
    units, edges = {"units": mapped.unit}, {}
    for dim, centres, sides in zip(("y", "x"), mapped.grid.centers, (plane.height, plane.width), strict=True):
        begin = float(result[dim][0]) - (centres[0] + 0.5) * mapped.pixel
        edges[f"{dim}_edge"] = (f"{dim}_edge", begin + np.concatenate([[0.0], np.cumsum(sides)]), units)
    coords = {"lattice": names, "y": ("y", plane.y, units), "x": ("x", plane.x, units), "frame": ("time", chosen)}
    coords["time"] = ("time", result["time"].values[chosen].astype(float), dict(result["time"].attrs))
    return xr.Dataset({"track": (("time", "lattice", "y", "x"), track)}, coords | edges)


def _followed(result: xr.Dataset, search: _Search) -> Iterator[_Domains]:
    """Yield the domains frame by frame and class by class."""
    frames = np.flatnonzero(mapped_frames(result))
    if not frames.size:
        raise InputError("no frame of the result is mapped yet")
    mapped = _frame_of(result)
    dark = None if search.movie is None else _dark_pixels(result, search)
    plane = _window_plane(result, mapped) if dark is None else _pixel_plane(result, mapped)
    names = [str(name) for name in result["lattice"].values]
    before: dict[str, LinkedFrame] = {}
    calibrated = dark is None and result.attrs.get("model") == CALIBRATED_MODEL
    for frame in map(int, frames):
        probability = result["probability"].isel(time=frame).transpose("y", "x", "lattice").values.astype(float)
        masks = _class_masks(probability, mapped.grid, plane, search, None if dark is None else dark[frame], names)
        for i, (name, mask) in enumerate(zip(names, masks, strict=True)):
            rng = np.random.default_rng([search.seed, frame, i])
            regions = regions_of(mask.where, mask.probability, plane, search.draws, rng, mask.allowed)
            corrected = np.full(len(regions.area), np.nan)
            if name == NONE and calibrated:
                corrected = blur_corrected(regions.expected_area, mapped.grid.window * mapped.pixel)
            before[name] = link_frames(before.get(name), regions.numbers, name)
            yield _Domains(frame, name, regions, corrected, before[name])


def _class_masks(
    probability: Floats,
    grid: WindowGrid,
    plane: Plane,
    search: _Search,
    dark: NDArray[np.bool_] | None,
    names: list[str],
) -> Iterator[_ClassMask]:
    """Yield where each class is in a frame: among its windows, or among its pixels where `dark` ones are given."""
    shape = (len(plane.y), len(plane.x))
    maps = probability if dark is None else pixel_votes(probability, grid, shape)
    known = np.asarray(np.isfinite(maps).all(axis=-1))
    maps = np.where(known[..., None], maps, 0.0)
    largest = np.where(known, maps.argmax(axis=-1), UNMAPPED)
    for i, name in enumerate(names):
        if dark is not None and name == NONE:
            highest = _highest(probability[..., i], grid, shape)
            sure = 0.5 if search.thresholds is None else search.thresholds[1]
            yield _ClassMask(dark & (highest >= sure), highest, dark)
        elif search.thresholds is None:
            yield _ClassMask(largest == i, maps[..., i])
        else:
            yield _ClassMask(_hysteresis(maps[..., i], search.thresholds), maps[..., i])


def pixel_votes(probability: Floats, grid: WindowGrid, shape: tuple[int, int]) -> Floats:
    """Return the mean probability of the windows that cover each pixel, (y, x, class).

    Parameters
    ----------
    probability : array, shape (ny, nx, class)
        Probabilities of the windows.
    grid : WindowGrid
    shape : (int, int)
        Height and width of the frame in px; a pixel that no classified window covers has NaN.
    """
    rows, columns = (
        ((np.arange(length)[:, None] >= start) & (np.arange(length)[:, None] < start + grid.window)).astype(float)
        for length, start in zip(shape, (grid.top, grid.left), strict=True)
    )
    known = np.asarray(np.isfinite(probability).all(axis=-1))
    votes = np.einsum("yi,ijc,xj->yxc", rows, np.where(known[..., None], probability, 0.0), columns, optimize=True)
    with np.errstate(invalid="ignore"):
        return np.asarray(votes / (rows @ known @ columns.T)[..., None])


def _hysteresis(probability: Floats, thresholds: tuple[float, float]) -> NDArray[np.bool_]:
    return np.asarray(apply_hysteresis_threshold(probability, *thresholds))  # type: ignore[no-untyped-call]


def _highest(probability: Floats, grid: WindowGrid, shape: tuple[int, int]) -> Floats:
    """Return the highest probability among the windows that cover each pixel."""
    highest = np.zeros(shape)
    for i, top in enumerate(grid.top):
        for j, left in enumerate(grid.left):
            covered = highest[top : top + grid.window, left : left + grid.window]
            np.fmax(covered, probability[i, j], out=covered)
    return highest


def _frame_of(result: xr.Dataset) -> _Frame:
    """Return the windows of a result, or raise `InputError` if its run card lacks them."""
    if not {"frame_size", "window", "step"} <= set(result.attrs):
        raise InputError("the result does not tell its frame size, window and step; give one that map_phases returned")
    size = result.attrs.get("pixel_size_nm")
    height, width = result.attrs["frame_size"]
    grid = window_grid((height, width), result.attrs["window"], result.attrs["step"])
    return _Frame(grid, float(size or 1.0), length_unit(size))


def _window_plane(result: xr.Dataset, mapped: _Frame) -> Plane:
    sides = []
    for centres, length in zip(mapped.grid.centers, result.attrs["frame_size"], strict=True):
        edges = np.concatenate([[0.0], (centres[1:] + centres[:-1] + 1) / 2, [float(length)]])
        sides.append(np.diff(edges) * mapped.pixel)
    y, x = (result[dim].values.astype(float) for dim in ("y", "x"))
    return Plane(y, x, sides[0], sides[1], mapped.grid.window / mapped.grid.step)


def _pixel_plane(result: xr.Dataset, mapped: _Frame) -> Plane:
    height, width = (np.full(length, mapped.pixel) for length in result.attrs["frame_size"])
    y, x = (
        float(result[dim][0]) + (np.arange(length) - centres[0]) * mapped.pixel
        for dim, length, centres in zip(("y", "x"), result.attrs["frame_size"], mapped.grid.centers, strict=True)
    )
    return Plane(y, x, height, width, float(mapped.grid.window))


def _dark_pixels(result: xr.Dataset, search: _Search) -> NDArray[np.bool_]:
    """Return the dark pixels (time, y, x) of the movie that was mapped."""
    images = np.asarray(getattr(search.movie, "values", search.movie))
    expected = (result.sizes["time"], *result.attrs["frame_size"])
    if images.shape != tuple(expected):
        raise InputError(f"a movie of {images.shape} was given; expected {tuple(expected)}, the one that was mapped")
    return threshold_voids(images, spacing_of(result), search.level, smoothing=search.smoothing)[0]


def _table(followed: list[_Domains], result: xr.Dataset) -> xr.Dataset:
    """Return the domains of all frames as a table, sorted by frame and track."""
    unit = _frame_of(result).unit
    units = dict.fromkeys(_AREAS, f"{unit}²") | dict.fromkeys(_LENGTHS, unit)
    frame = np.array([domains.frame for domains in followed for _ in domains.links.tracks], int)
    track = np.array([number for domains in followed for number in domains.links.tracks], int)
    order = np.lexsort((track, frame))
    columns: dict[str, list[Any]] = {
        "lattice": [domains.lattice for domains in followed for _ in domains.links.tracks],
        "track": track.tolist(),
        "event": [event for domains in followed for event in domains.links.events],
        "parents": ["+".join(map(str, parents)) for domains in followed for parents in domains.links.parents],
        "fate": _fates(followed),
    }
    frame = frame[order]
    return xr.Dataset(
        {
            "frame": ("row", frame),
            "time": ("row", result["time"].values[frame].astype(float), _time_units(result)),
            **{name: ("row", [column[row] for row in order]) for name, column in columns.items()},
            **{name: ("row", _measures(followed, name)[order], {"units": text}) for name, text in units.items()},
            "edge": ("row", np.concatenate([domains.regions.edge for domains in followed])[order]),
        }
    )


def _fates(followed: list[_Domains]) -> list[str]:
    """Return the fate of every region, which the next frame tells of those before it."""
    frames = sorted({domains.frame for domains in followed})
    next_frame = dict(pairwise(frames))
    fates_before = {(domains.lattice, domains.frame): domains.links.fates_before for domains in followed}
    fates: list[str] = []
    for domains in followed:
        last = domains.frame not in next_frame
        ends = ("end",) * len(domains.links.tracks)
        fates += ends if last else fates_before[domains.lattice, next_frame[domains.frame]]
    return fates


def _measures(followed: list[_Domains], name: str) -> Floats:
    owners = [domains if name == "corrected_area" else domains.regions for domains in followed]
    return np.concatenate([getattr(owner, name) for owner in owners])


def _time_units(result: xr.Dataset) -> dict[str, str]:
    return {"units": str(result["time"].attrs.get("units", "frame"))}
