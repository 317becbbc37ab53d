"""Statistics of the windows of a region of a frame: classes, fractions, cells, and their table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import CELL_PARAMETERS, Floats, display_name
from bravaismap.phases.cells import cell_statistics
from bravaismap.phases.fractions import measured_fractions
from bravaismap.result.phase_map import percent, with_error
from bravaismap.viewer.frame_geometry import Region, windows_inside

__all__ = ["RegionStatistics", "region_statistics", "region_table"]


@dataclass(frozen=True)
class RegionStatistics:
    """Statistics of the windows of a region in one frame.

    Attributes
    ----------
    windows : int
    classes : tuple of str
    count : int array, shape (lattice,)
        Windows of each class.
    fraction, fraction_std : arrays, shape (lattice,)
        Mean probability of each class and its standard deviation, as for a whole frame.
    area : array, shape (lattice,), optional
        Share of the measured pixels that each class covers, where the frame holds pixels.
    cell, spread, error : dict of str to array, shape (lattice,)
        Median, standard deviation from window to window, and median σ of one window, of a, b, gamma and orientation of
        each class: see :func:`bravaismap.phases.cells.cell_statistics`. Empty where no cells are measured.
    """

    windows: int
    classes: tuple[str, ...]
    count: NDArray[np.intp]
    fraction: Floats
    fraction_std: Floats
    cell: dict[str, Floats]
    spread: dict[str, Floats]
    error: dict[str, Floats]
    area: Floats | None = None


def region_statistics(frame: xr.Dataset, region: Region | None) -> RegionStatistics:
    """Return the statistics of the windows whose centres, and the pixels that, lie in a region; of all for None."""
    ys, xs = frame["y"].values, frame["x"].values
    inside = np.ones((len(ys), len(xs)), bool) if region is None else windows_inside(region, ys, xs)
    classes = tuple(str(name) for name in frame["lattice"].values)
    label = frame["label"].values[0][inside]
    probability = frame["probability"].transpose("time", "y", "x", "lattice").values[0][inside].astype(float)
    window, pixel = int(frame.attrs["window"]), float(frame.attrs.get("pixel_size_nm") or 1.0)
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    size = [np.ptp(values[chosen]) / pixel + window for values, chosen in ((ys, rows), (xs, columns))]
    fraction, fraction_std = measured_fractions(probability, size, window)
    cells = cell_statistics(_windows_of_region(frame, inside)) if "a" in frame else None
    cell, spread, error = (
        {} if cells is None else {name: cells[f"{name}{ending}"].values for name in CELL_PARAMETERS}
        for ending in ("", "_scatter", "_std")
    )
    return RegionStatistics(
        int((label >= 0).sum()), classes, np.array([int((label == i).sum()) for i in range(len(classes))]), fraction,
        fraction_std, cell, spread, error, _areas(frame, region, len(classes)),
    )  # fmt: skip


def _areas(frame: xr.Dataset, region: Region | None, count: int) -> Floats | None:
    """Return the share of the measured pixels of a region that each class covers, None without pixels."""
    if "phase" not in frame:
        return None
    if region is None:
        return np.asarray(frame["area_fraction"].transpose("time", "lattice").values[0], float)
    ys, xs = frame["py"].values, frame["px"].values
    phase = frame["phase"].transpose("time", "py", "px").values[0][windows_inside(region, ys, xs)]
    total = int((phase >= 0).sum())
    return np.array([(phase == i).sum() for i in range(count)]) / total if total else np.full(count, np.nan)


def _windows_of_region(frame: xr.Dataset, inside: NDArray[np.bool_]) -> xr.Dataset:
    """Return the labels and cells of the windows of a region, in a row."""
    names = ["label", *CELL_PARAMETERS, *(f"{name}_std" for name in CELL_PARAMETERS)]
    row = {name: ("window", frame[name].transpose("time", "y", "x").values[0][inside]) for name in names}
    return xr.Dataset(row, coords={"lattice": frame["lattice"].values})


def region_table(statistics: RegionStatistics, unit: str) -> list[list[str]]:
    """Return the phase table and cell statistics of a region as text, the header first."""
    areas = statistics.area
    header = ["phase", *([] if areas is None else ["area"]), "windows", "mean probability"]
    if statistics.cell:
        header += [f"a ({unit})", f"b ({unit})", "γ (°)", "orientation (°)"]
    rows = [header]
    for i, name in enumerate(statistics.classes):
        row = [
            display_name(name),
            *([] if areas is None else ["" if np.isnan(areas[i]) else percent(float(areas[i]), float("nan"))]),
            str(statistics.count[i]),
            percent(statistics.fraction[i], statistics.fraction_std[i]),
        ]
        rows.append(row + [_median_text(statistics.cell[key][i], statistics.spread[key][i]) for key in statistics.cell])
    return rows


def _median_text(median: float, spread: float) -> str:
    if np.isnan(median):
        return ""
    return f"{median:.4g}" if np.isnan(spread) else with_error(median, spread)
