"""Domains and voids: the connected regions of each class in every frame, with their size and its uncertainty.

Where a result holds pixels, a domain is a connected region of pixels of one lattice, or of none. Of a result of windows
alone, a region of a class begins where its probability exceeds a high threshold and reaches as far as it exceeds a low
one (hysteresis); or it is where the class is the most probable one. The area of a window, or of a pixel that is kept,
reaches half-way to the next one, or to the edge of the frame, so that the areas of all add up to the frame. Regions are
measured in :mod:`bravaismap.domains.regions` and followed through time in :mod:`bravaismap.domains.tracking`.
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

from bravaismap.conventions import UNMAPPED, Floats, length_unit
from bravaismap.domains.regions import Plane, Regions, regions_of, without_small
from bravaismap.domains.tracking import LinkedFrame, link_frames
from bravaismap.errors import InputError
from bravaismap.result.phase_map import mapped_frames
from bravaismap.windows import WindowGrid, window_grid

__all__ = ["domain_count", "domain_maps", "find_domains"]


#: Measures of a region in the unit of areas, and in the unit of lengths.
_AREAS: Final = ("area", "area_std")
_LENGTHS: Final = ("y", "x", "perimeter", "radius", "radius_std")
#: Area of the smallest domain among pixels, in cells: a single vacancy is one, a speck of noise less.
_SMALLEST: Final = 0.5


@dataclass(frozen=True)
class _Search:
    """What domains are searched for and how; see `find_domains`."""

    thresholds: tuple[float, float] | None
    draws: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.thresholds is not None and not 0 < self.thresholds[0] <= self.thresholds[1] < 1:
            raise InputError(
                f"thresholds {self.thresholds} were given; expected two rising probabilities between 0 and 1"
            )
        if self.draws < 0 or self.draws == 1:
            raise InputError(f"{self.draws} draws were asked for; expected at least 2, or 0 for none")


@dataclass(frozen=True)
class _ClassMask:
    """Where a class is in a frame, numbered by lattice from 1, 0 elsewhere; and its probability there."""

    lattice: NDArray[np.integer]
    probability: Floats


@dataclass(frozen=True)
class _Domains:
    """The domains of a class in one frame: regions with their measures, linked to those of the frame before."""

    frame: int
    lattice: str
    regions: Regions
    links: LinkedFrame


@dataclass(frozen=True)
class _Frame:
    """The windows of a frame, the side of a pixel, the unit of lengths, and the step of the pixels if there are any."""

    grid: WindowGrid
    pixel: float
    unit: str
    step: int | None


def find_domains(
    result: xr.Dataset,
    *,
    thresholds: tuple[float, float] | None = (0.35, 0.65),
    draws: int = 100,
    seed: int = 0,
) -> xr.Dataset:
    """Return the domains of every class in every frame, followed through time.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it.
    thresholds : (float, float), optional
        Of a result without pixels: low and high threshold of the probability; with None, a class is where it is the
        most probable one.
    draws : int
        Of a result without pixels: number of draws of the posterior for the uncertainty of areas; 0 for none, with NaN.
    seed : int
        Seed of the draws.

    Returns
    -------
    Dataset
        A ``row`` per domain and frame: ``frame``, ``time``, ``lattice``, ``track`` (a number that it keeps),
        ``event`` (``"start"`` in the first frame, ``"birth"``, ``"continues"``, ``"merge"``, ``"split"``), ``parents``
        (tracks, joined by +), ``fate`` (``"continues"``, ``"merged"``, ``"healed"`` of a void, ``"vanished"`` of
        another, ``"end"`` in the last frame), and the measures of :class:`~bravaismap.domains.regions.Regions`. Areas
        are in the square of the unit of lengths of the result. Among pixels, what is smaller than half a cell is no
        domain, and grains of one class that touch are domains of their own.

    Raises
    ------
    InputError
        If nothing is mapped, or the thresholds are not two rising probabilities.
    """
    search = _Search(thresholds, draws, seed)
    return _table(list(_followed(result, search)), result)


def domain_count(domains: xr.Dataset) -> int:
    """Return how many domains there are: a domain that is followed through frames counts once."""
    return len(set(zip(domains["lattice"].values.tolist(), domains["track"].values.tolist(), strict=True)))


def domain_maps(
    result: xr.Dataset,
    frames: Iterable[int],
    *,
    thresholds: tuple[float, float] | None = (0.35, 0.65),
) -> xr.Dataset:
    """Return maps of the domains of some frames, by the tracks that `find_domains` gives them.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it.
    frames : iterable of int
        Numbers of the frames.
    thresholds
        As for :func:`find_domains`.

    Returns
    -------
    Dataset
        ``track`` (time, lattice, y, x): the track whose domain covers a cell, 0 for none; cells are windows, or the
        pixels that the result holds. ``frame`` (time), and the edges of the cells, ``y_edge`` and ``x_edge``, in the
        unit of lengths of the result.

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
    plane = _plane(result, mapped)
    names = [str(name) for name in result["lattice"].values]
    track = np.zeros((len(chosen), len(names), len(plane.y), len(plane.x)), np.int32)
    search = _Search(thresholds)
    for domains in _followed(result, search):
        if domains.frame in chosen:
            lookup = np.array([0, *domains.links.tracks], np.int32)
            track[chosen.index(domains.frame), names.index(domains.lattice)] = lookup[domains.regions.numbers]
    units, edges = {"units": mapped.unit}, {}
    for dim, begin, sides in zip(("y", "x"), _corner(result, mapped), (plane.height, plane.width), strict=True):
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
    plane = _plane(result, mapped)
    names = [str(name) for name in result["lattice"].values]
    before: dict[str, LinkedFrame] = {}
    for frame in map(int, frames):
        masks = (_window_masks if mapped.step is None else _pixel_masks)(result.isel(time=frame), search, mapped, names)
        for i, (name, mask) in enumerate(zip(names, masks, strict=True)):
            rng = np.random.default_rng([search.seed, frame, i])
            draws = search.draws if mapped.step is None else None
            regions = regions_of(mask.lattice, mask.probability, plane, draws, rng)
            before[name] = link_frames(before.get(name), regions.numbers, name)
            yield _Domains(frame, name, regions, before[name])


def _window_masks(frame: xr.Dataset, search: _Search, mapped: _Frame, names: list[str]) -> Iterator[_ClassMask]:
    """Yield where each class is among the windows of a frame."""
    maps = frame["probability"].transpose("y", "x", "lattice").values.astype(float)
    known = np.asarray(np.isfinite(maps).all(axis=-1))
    maps = np.where(known[..., None], maps, 0.0)
    largest = np.where(known, maps.argmax(axis=-1), UNMAPPED)
    for i in range(len(names)):
        where = largest == i if search.thresholds is None else _hysteresis(maps[..., i], search.thresholds)
        yield _ClassMask(where.astype(np.intp), maps[..., i])


def _pixel_masks(frame: xr.Dataset, search: _Search, mapped: _Frame, names: list[str]) -> Iterator[_ClassMask]:
    """Yield where each class is among the pixels of a frame; grains of one class have numbers of their own."""
    held = frame[["phase", "frame_lattice", "phase_probability", "frame_basis"]].load()
    phase, number = held["phase"].values, held["frame_lattice"].values.astype(np.intp)
    probability = np.nan_to_num(held["phase_probability"].values.astype(float))
    fewest = _SMALLEST * (_cell_side(held) / (mapped.pixel * float(mapped.step or 1))) ** 2
    for i in range(len(names)):
        lattice = without_small(np.where(phase == i, number + 2, 0), fewest)  # none, −1, becomes 1
        yield _ClassMask(lattice, np.where(phase == i, probability, 1 - probability))


def _hysteresis(probability: Floats, thresholds: tuple[float, float]) -> NDArray[np.bool_]:
    return np.asarray(apply_hysteresis_threshold(probability, *thresholds))  # type: ignore[no-untyped-call]


def _frame_of(result: xr.Dataset) -> _Frame:
    """Return the windows of a result, or raise `InputError` if its run card lacks them."""
    if not {"frame_size", "window", "step"} <= set(result.attrs):
        raise InputError("the result does not tell its frame size, window and step; give one that map_phases returned")
    size = result.attrs.get("pixel_size_nm")
    height, width = result.attrs["frame_size"]
    grid = window_grid((height, width), result.attrs["window"], result.attrs["step"])
    step = int(result.attrs["pixel_step"]) if "phase" in result else None
    return _Frame(grid, float(size or 1.0), length_unit(size), step)


def _corner(result: xr.Dataset, mapped: _Frame) -> list[float]:
    """Return where the frame begins along y and x."""
    return [
        float(result[dim][0]) - (centres[0] + 0.5) * mapped.pixel
        for dim, centres in zip(("y", "x"), mapped.grid.centers, strict=True)
    ]


def _plane(result: xr.Dataset, mapped: _Frame) -> Plane:
    """Return the windows of a frame as cells that cover it, or the pixels that are kept."""
    centres = mapped.grid.centers
    dims, reach = ("y", "x"), mapped.grid.window / mapped.grid.step
    if mapped.step is not None:
        lengths = result.attrs["frame_size"]
        height, width = (np.arange(0, length, mapped.step, dtype=float) for length in lengths)
        centres = height, width
        dims = ("py", "px")
        reach = _cell_side(result) / (mapped.step * mapped.pixel)
    sides = []
    for places, length in zip(centres, result.attrs["frame_size"], strict=True):
        edges = np.concatenate([[0.0], (places[1:] + places[:-1] + 1) / 2, [float(length)]])
        sides.append(np.diff(edges) * mapped.pixel)
    y, x = (result[dim].values.astype(float) for dim in dims)
    return Plane(y, x, sides[0], sides[1], reach)


def _cell_side(result: xr.Dataset) -> float:
    """Return the side of the smallest cell of a result or a frame, in the unit of lengths; 0 where there is none."""
    bases = result["frame_basis"].transpose(..., "vector", "component").values.astype(float)
    areas = np.abs(np.linalg.det(bases[np.isfinite(bases).all(axis=(-2, -1))]))
    return float(np.sqrt(areas.min())) if areas.size else 0.0


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
    return np.concatenate([getattr(domains.regions, name) for domains in followed])


def _time_units(result: xr.Dataset) -> dict[str, str]:
    return {"units": str(result["time"].attrs.get("units", "frame"))}
