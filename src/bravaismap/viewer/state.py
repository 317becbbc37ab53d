"""What the viewer shows, as pure functions: which window was clicked, what a region holds, what to say when empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import CELL_PARAMETERS, LATTICES, Floats, display_name
from bravaismap.errors import InputError
from bravaismap.phases.cells import cell_statistics, independent_windows
from bravaismap.phases.fractions import independent_std
from bravaismap.phases.reclassification import reclassify
from bravaismap.phases.verdict import with_error
from bravaismap.result.phase_map import PhaseMap, percent
from bravaismap.result.schema import TITLES
from bravaismap.show.axes import edges

__all__ = [
    "Region",
    "RegionStatistics",
    "anew",
    "empty_message",
    "frame_at",
    "frame_extent",
    "layers_of",
    "one_window",
    "parse_region",
    "region_statistics",
    "region_table",
    "time_text",
    "window_at",
    "window_bounds",
]


@dataclass(frozen=True)
class Region:
    """A rectangle of a frame, in the unit of the result."""

    y0: float
    y1: float
    x0: float
    x1: float

    def __str__(self) -> str:
        return f"{self.y0:.4g}:{self.y1:.4g},{self.x0:.4g}:{self.x1:.4g}"


@dataclass(frozen=True)
class RegionStatistics:
    """What the windows of a region hold in one frame.

    Attributes
    ----------
    windows : int
    classes : tuple of str
    count : int array, shape (lattice,)
        Windows labelled so.
    fraction, fraction_std : arrays, shape (lattice,)
        Mean probability of each class and its standard deviation, as for a whole frame.
    cell, spread, error : dict of str to array, shape (lattice,)
        Median, standard deviation from window to window, and median σ of one window, of a, b, gamma and orientation of
        each class: see :func:`bravaismap.phases.cells.cell_statistics`. Empty where no cells are known.
    """

    windows: int
    classes: tuple[str, ...]
    count: NDArray[np.intp]
    fraction: Floats
    fraction_std: Floats
    cell: dict[str, Floats]
    spread: dict[str, Floats]
    error: dict[str, Floats]


def layers_of(variables: Any, classes: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Return what can be laid over a frame: group → title → key, a variable or ``variable:class``."""
    groups = {"Class": {"most probable class": "label"}}
    groups["Probability of"] = {display_name(name): f"probability:{name}" for name in classes}
    groups["Map of"] = {title: name for name, title in TITLES.items() if name in variables}
    if "deviation" in variables:
        groups["Deviation from"] = {
            display_name(name): f"deviation:{name}" for name in LATTICES if name in classes and name != "oblique"
        }
    return {group: options for group, options in groups.items() if options}


def window_at(y: float, x: float, ys: Floats, xs: Floats, extent: Region) -> tuple[int, int] | None:
    """Return row and column of the window whose centre is nearest to a point, None for a point outside the frame.

    Parameters
    ----------
    y, x : float
        The point, in the unit of the centres.
    ys, xs : arrays
        Centres of the windows along y and x.
    extent : Region
        Edges of the frame.
    """
    if not (extent.y0 <= y <= extent.y1 and extent.x0 <= x <= extent.x1):
        return None
    return int(np.abs(ys - y).argmin()), int(np.abs(xs - x).argmin())


def frame_extent(card: dict[str, Any], ys: Floats, xs: Floats, pixel: float) -> Region:
    """Return the edges of a frame: the first window begins at its first pixel, whose centre need not lie at 0."""
    half = float(card["window"]) * pixel / 2
    top, left = float(ys[0]) - half, float(xs[0]) - half
    height, width = (float(side) * pixel for side in card["frame_size"])
    return Region(top, top + height, left, left + width)


def window_bounds(row: int, column: int, ys: Floats, xs: Floats, side: float, pixel: float) -> Region:
    """Return the outer edges of a window of `side` px; a pixel's centre lies at a whole number of pixels."""
    half = side * pixel / 2
    return Region(float(ys[row] - half), float(ys[row] + half), float(xs[column] - half), float(xs[column] + half))


def frame_at(time: float, times: Floats) -> int:
    """Return the number of the frame nearest in time."""
    return int(np.abs(np.asarray(times) - time).argmin())


def time_text(times: Floats, index: int, unit: str) -> str:
    """Return the number of a frame and its time."""
    number = f"frame {index} of 0 to {len(times) - 1}"
    return number if unit == "frame" else f"{number} · t = {times[index]:.4g} {unit}"


def parse_region(text: str, ys: Floats, xs: Floats) -> Region | None:
    """Return the region that ``y0:y1,x0:x1`` means, None for an empty text; an end left out is that of the map.

    Raises
    ------
    InputError
        If it is no region, or no window has its centre in it.
    """
    if not text.strip():
        return None
    try:
        pairs = [[float(end) if end.strip() else None for end in part.split(":")] for part in text.split(",")]
        (y0, y1), (x0, x1) = pairs
    except ValueError:
        raise InputError(f"the region {text} was given; expected y0:y1,x0:x1, such as 0:5,0:10") from None
    outer_y, outer_x = edges(ys)[[0, -1]], edges(xs)[[0, -1]]
    ends = [
        float(outer if end is None else end)
        for end, outer in zip((y0, y1, x0, x1), (*outer_y, *outer_x), strict=True)
    ]  # fmt: skip
    region = Region(min(ends[:2]), max(ends[:2]), min(ends[2:]), max(ends[2:]))
    if not _inside(region, ys, xs).any():
        raise InputError(f"no window has its centre in the region {region}; draw or give a larger one")
    return region


def anew(frame: PhaseMap, distortion: float) -> PhaseMap:
    """Return the map of a frame at another distortion: classes, probabilities, entropy and cells, without their σ.

    The σ of a probability takes draws, which are left for the one window that is looked at (:func:`one_window`).
    """
    if distortion == frame.attrs.get("distortion") or "basis" not in frame:
        return frame
    again = reclassify(frame.assign_attrs(samples=0), distortion)
    return PhaseMap(again.data_vars, coords=again.coords, attrs=again.attrs | {"samples": frame.attrs["samples"]})


def one_window(frame: PhaseMap, row: int, column: int, distortion: float) -> xr.Dataset:
    """Return one window of a frame (not yet reclassified) at a distortion, with all σ."""
    one = frame.isel(y=[row], x=[column])
    if distortion != frame.attrs.get("distortion") and "basis" in one:
        one = reclassify(one, distortion)
    return one.isel(time=0, y=0, x=0)


def region_statistics(frame: xr.Dataset, region: Region | None) -> RegionStatistics:
    """Return what the windows of a frame hold whose centres lie in a region; all windows for None."""
    ys, xs = frame["y"].values, frame["x"].values
    inside = np.ones((len(ys), len(xs)), bool) if region is None else _inside(region, ys, xs)
    classes = tuple(str(name) for name in frame["lattice"].values)
    label = frame["label"].values[0][inside]
    probability = frame["probability"].transpose("time", "y", "x", "lattice").values[0][inside].astype(float)
    window, pixel = int(frame.attrs["window"]), float(frame.attrs.get("pixel_size_nm") or 1.0)
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    size = [np.ptp(values[chosen]) / pixel + window for values, chosen in ((ys, rows), (xs, columns))]
    independent = independent_windows(size, window, len(label))
    cells = cell_statistics(_windows(frame, inside)) if "a" in frame else None
    cell, spread, error = (
        {} if cells is None else {name: cells[f"{name}{ending}"].values for name in CELL_PARAMETERS}
        for ending in ("", "_scatter", "_std")
    )
    return RegionStatistics(
        len(label), classes, np.array([int((label == i).sum()) for i in range(len(classes))]), probability.mean(axis=0),
        independent_std(probability, independent), cell, spread, error,
    )  # fmt: skip


def _windows(frame: xr.Dataset, inside: NDArray[np.bool_]) -> xr.Dataset:
    """Return the labels and cells of some windows of a frame, in a row."""
    names = ["label", *CELL_PARAMETERS, *(f"{name}_std" for name in CELL_PARAMETERS)]
    row = {name: ("window", frame[name].transpose("time", "y", "x").values[0][inside]) for name in names}
    return xr.Dataset(row, coords={"lattice": frame["lattice"].values})


def region_table(found: RegionStatistics, unit: str) -> list[list[str]]:
    """Return the phase table and cell statistics of a region as text, the header first."""
    header = ["phase", "windows", "fraction"]
    if found.cell:
        header += [f"a ({unit})", f"b ({unit})", "γ (°)", "orientation (°)"]
    rows = [header]
    for i, name in enumerate(found.classes):
        row = [display_name(name), str(found.count[i]), percent(found.fraction[i], found.fraction_std[i])]
        rows.append(row + [_median_text(found.cell[key][i], found.spread[key][i]) for key in found.cell])
    return rows


def empty_message(done: int, total: int, *, growing: bool, mapping: bool, problem: str, frame_done: bool) -> str:
    """Return what to tell someone who sees no map, an empty text if there is nothing to tell."""
    if problem:
        return problem
    if not done and mapping:
        return "The first frame is being mapped; it appears here by itself."
    if not done and growing:
        return (
            "No frame is mapped yet. This page follows the result while `bravaismap map` or `bravaismap watch` writes "
            "it; if that was interrupted, the same command continues it."
        )
    if not done:
        return "No frame of this result is mapped: map the movie with bm.map_phases first."
    if not frame_done:
        return f"This frame is not mapped yet ({done} of {total} are)."
    return ""


def _median_text(median: float, spread: float) -> str:
    if np.isnan(median):
        return ""
    return f"{median:.4g}" if np.isnan(spread) else with_error(median, spread)


def _inside(region: Region, ys: Floats, xs: Floats) -> NDArray[np.bool_]:
    rows, columns = (ys >= region.y0) & (ys <= region.y1), (xs >= region.x0) & (xs <= region.x1)
    return np.asarray(rows[:, None] & columns)
