"""The phase map: a Dataset of phases that prints as a table first."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import IUCR_SYMBOLS, NOT_MEASURED, display_name
from bravaismap.result.doubt import doubts
from bravaismap.result.schema import image_variables, map_variables
from bravaismap.result.shares import class_shares, mean_probabilities
from bravaismap.result.undone import undone_lines

__all__ = [
    "PhaseMap",
    "aligned",
    "frames_mapped",
    "mapped_frames",
    "percent",
    "phase_summary",
    "phase_table",
    "with_error",
]


class PhaseMap(xr.Dataset):  # type: ignore[no-untyped-call]
    """A Dataset of phases that prints as a phase table first.

    In all else it is an `xarray.Dataset`, and operations on it return a PhaseMap. One that has lost a variable or axis
    of the table prints as a Dataset alone.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{phase_summary(self)}\n\n{super().__repr__()}" if _has_table(self) else super().__repr__()

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the phase table with a picture of the map, then the Dataset."""
        dataset = str(super()._repr_html_())
        if not _has_table(self):
            return dataset
        from bravaismap.result.html_summary import html_summary

        return html_summary(self, _rows(self), _notes(self)) + dataset


def mapped_frames(result: xr.Dataset) -> NDArray[np.bool_]:
    """Return whether each frame of a result is mapped."""
    return np.asarray(np.isfinite(result["fraction"].values).all(axis=-1))


def frames_mapped(result: xr.Dataset) -> str:
    """Return in a few words how many of the frames of a result are mapped, and why others may not be."""
    done = mapped_frames(result)
    others = "" if done.all() else "; the others are not mapped yet, or were never measured (NaN)"
    return f"{done.sum()} of {done.size} frames are mapped{others}"


def phase_summary(result: xr.Dataset) -> str:
    """Return the phase table of a result, and below it how far it is if unfinished, what was undone, and each doubt."""
    return "\n".join([phase_table(result), *_notes(result)])


def phase_table(result: xr.Dataset) -> str:
    """Return the phase table of a result, as text.

    For a map: the share ± σ of the first and the last mapped frame that each class has, and beside an area the mean
    probability over the windows of the last one. For classified images: a row per image with its most probable class.
    """
    return aligned(_rows(result))


def _notes(result: xr.Dataset) -> list[str]:
    """Return the lines below the phase table."""
    unfinished = "fraction" in result and not mapped_frames(result).all()
    undone = [f"undone: {line}" for line in undone_lines(result)]
    return [*([frames_mapped(result)] if unfinished else []), *undone, *(f"doubt: {line}" for line in doubts(result))]


def _rows(result: xr.Dataset) -> list[list[str]]:
    return _movie_rows(result) if "fraction" in result else _image_rows(result)


def aligned(rows: list[list[str]]) -> str:
    """Return rows of cells as text in columns, the first one underlined."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("─" * width for width in widths), *lines[1:]])


def _has_table(result: xr.Dataset) -> bool:
    """Return whether a result still has the variables of its phase table, along their axes."""
    if "fraction" in result:
        needed = [v for v in map_variables(cells=False) if v.name in ("fraction", "fraction_std")]
    else:
        needed = [v for v in image_variables(cells=False) if v.name in ("probability", "probability_std", "label")]
    return all(v.name in result and {*result[v.name].dims} == {*v.dims} for v in needed)


def _movie_rows(result: xr.Dataset) -> list[list[str]]:
    done = np.flatnonzero(mapped_frames(result))
    names = [str(name) for name in result["lattice"].values]
    if done.size == 0:
        return [["phase", "state"], *[[display_name(name), "not mapped, or not measured"] for name in names]]
    ends = list(dict.fromkeys([int(done[0]), int(done[-1])]))
    shares, means = class_shares(result), mean_probabilities(result)
    unit = result["time"].attrs.get("units", "frame")
    what = "fraction" if means is None else shares.quantity
    joint = "," if unit == "frame" and means is not None else " at"  # within 80 columns
    titles = [f"{what}{joint} {_time(result['time'].values[index], unit)}" for index in ends]
    columns = [
        (what if result.sizes["time"] == 1 else title, shares, index) for title, index in zip(titles, ends, strict=True)
    ]
    if means is not None:
        last = f"mean p{joint} {_time(result['time'].values[ends[-1]], unit)}"
        columns.append((means.quantity if result.sizes["time"] == 1 else last, means, ends[-1]))
    rows = [["phase", "symbol", *(title for title, _, _ in columns)]]
    values = [(column.fraction.values[index], column.std.values[index]) for _, column, index in columns]
    for i, name in enumerate(names):
        cells = [percent(float(fraction[i]), float(spread[i])) for fraction, spread in values]
        rows.append([display_name(name), IUCR_SYMBOLS.get(name, ""), *cells])
    return rows


def _image_rows(result: xr.Dataset) -> list[list[str]]:
    names = [str(name) for name in result["lattice"].values]
    probability, spread = result["probability"].values, result["probability_std"].values
    rows = [["image", "phase", "probability", "second"]]
    for i, image in enumerate(result["image"].values):
        if np.isnan(probability[i]).any():
            rows.append([str(image), NOT_MEASURED, "", ""])
            continue
        order = np.argsort(-probability[i], kind="stable")
        cells = [percent(probability[i, n], spread[i, n]) for n in order[:2]]
        second = [f"{display_name(names[n])} {cell}" for n, cell in zip(order[1:2], cells[1:], strict=True)]
        rows.append([str(image), display_name(names[order[0]]), cells[0], *(second or [""])])
    return rows


def percent(value: float, spread: float) -> str:
    """Return a probability or fraction with its standard deviation as it is printed."""
    return f"{100 * value:.1f} %" if np.isnan(spread) else f"{100 * value:.1f} ± {100 * spread:.1f} %"


def with_error(value: float, std: float) -> str:
    """Return a value and its standard uncertainty, which is given to two digits."""
    decimals = int(np.clip(1 - np.floor(np.log10(std)), 0, 6)) if 0 < std < np.inf else 3
    return f"{value:.{decimals}f} ± {std:.{decimals}f}"


def _time(value: Any, unit: str) -> str:
    return f"frame {int(value)}" if unit == "frame" else f"{float(value):g} {unit}"
