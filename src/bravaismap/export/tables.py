"""Tables (CSV) of fractions, areas, windows, classified images, strain and domains."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from bravaismap.conventions import CELL_PARAMETERS
from bravaismap.files import made_folder, texts, write_table
from bravaismap.phases.besides import besides_lines
from bravaismap.result.schema import WINDOWS
from bravaismap.result.shares import class_shares, mean_probabilities

__all__ = ["area_rows", "column_of", "domain_rows", "export_classification", "export_csv", "strain_rows"]


def export_csv(result: xr.Dataset, folder: str | os.PathLike[str], *, windows: bool = False) -> list[Path]:
    """Write the fraction of each class over time and, optionally, every window as tables.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it.
    folder : str or path
        Created if it does not exist; existing tables in it are replaced.
    windows : bool
        Also write ``windows.csv``: a line per window and frame, with its position, its class, and every variable of
        the result, as ``<variable>`` or ``<variable>_<class>``.

    Returns
    -------
    list of Path
        ``fractions.csv``, with the columns ``time_s`` (or ``frame``), and ``<class>`` and ``<class>_std`` for each
        class, the share of the frame that the class has (:func:`bravaismap.result.shares.class_shares`); where that is
        an area, then ``<class>_mean_probability`` and its ``_std``; and ``windows.csv``. Unknown values are left empty.

    Raises
    ------
    OutputError
        If the folder or a file in it cannot be written.
    """
    folder = made_folder(folder)
    written = [write_table(folder / "fractions.csv", _fraction_rows(result))]
    if windows:
        written.append(write_table(folder / "windows.csv", _window_rows(result)))
    return written


def export_classification(rows: Iterable[tuple[str, xr.Dataset]], path: str | os.PathLike[str]) -> Path:
    """Write classified images as a table: name, phase, probability and σ of each class, the cell, what else is seen.

    Parameters
    ----------
    rows : iterable of (str, Dataset)
        Name of an image and its result of :func:`~bravaismap.classify`, without the dimension ``image``.
    path : str or path
        Replaced if it exists.

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    rows = list(rows)
    names = [str(name) for name in rows[0][1]["lattice"].values]
    header = ["image", "phase", *(f"{name}{ending}" for name in names for ending in ("", "_std")), "entropy_nat"]
    cells = [f"{name}{ending}" for name in CELL_PARAMETERS for ending in ("", "_std")]
    measured = all("deviation" in row for _, row in rows)
    if measured:
        units = [str(rows[0][1][name].attrs["units"]) for name in cells]
        header += [f"{name}_{unit}" for name, unit in zip(cells, units, strict=True)]
        header += [*(f"deviation_{name}_percent" for name in names[:-1]), "deviation_std_percent"]
        header += ["share", "besides"]
    table = [header]
    for image, row in rows:
        pairs = np.stack([row["probability"].values, row["probability_std"].values], axis=-1)
        values = np.append(pairs.ravel(), row["entropy"].values)
        label = int(row["label"])
        line = [image, names[label] if label >= 0 else "", *texts(values)]
        if measured:
            line += [*texts(np.array([row[name].values for name in cells]))]
            line += [*texts(row["deviation"].values[:-1]), *texts(row["deviation_std"].values[None])]
            besides = [text.partition(" ")[2].strip() for text in besides_lines(row) if not text.startswith("share")]
            line += [*texts(row["share"].values[None]), "; ".join(besides)]
        table.append(line)
    target = Path(path)
    made_folder(target.parent)
    return write_table(target, table)


def _fraction_rows(result: xr.Dataset) -> Iterator[list[str]]:
    names = [str(name) for name in result["lattice"].values]
    columns = {"": class_shares(result)}
    means = mean_probabilities(result)
    if means is not None:
        columns["_mean_probability"] = means
    header = (f"{name}{what}{ending}" for what in columns for name in names for ending in ("", "_std"))
    yield [column_of(result, "time"), *header]
    pairs = [np.stack([shares.fraction.values, shares.std.values], axis=-1) for shares in columns.values()]
    table = np.stack(pairs, axis=1).reshape(result.sizes["time"], -1)
    for time, row in zip(texts(result["time"].values), table, strict=True):
        yield [time, *texts(row)]


def _window_rows(result: xr.Dataset) -> Iterator[list[str]]:
    """Yield a line per window and frame, holding one frame at a time."""
    names = [str(name) for name in result["lattice"].values]
    maps = [str(v) for v in result.data_vars if {*result[v].dims} == {*WINDOWS} and v != "label"]
    stacks = [str(v) for v in result.data_vars if {*result[v].dims} == {*WINDOWS, "lattice"}]
    header = [column_of(result, dim) for dim in WINDOWS]
    yield [*header, "label", *maps, *(f"{stack}_{name}" for stack in stacks for name in names)]
    y, x = np.meshgrid(result["y"].values, result["x"].values, indexing="ij")
    for index, time in enumerate(texts(result["time"].values)):
        frame = result[["label", *maps, *stacks]].isel(time=index).load()
        labels = [names[i] if i >= 0 else "" for i in frame["label"].transpose("y", "x").values.ravel()]
        columns = [texts(frame[v].transpose("y", "x").values.ravel()) for v in maps]
        for stack in stacks:
            columns += [texts(values.ravel()) for values in frame[stack].transpose("lattice", "y", "x").values]
        for row in zip(texts(y.ravel()), texts(x.ravel()), labels, *columns, strict=True):
            yield [time, *row]


def strain_rows(strain: xr.Dataset) -> Iterator[list[str]]:
    """Yield the header of a strain map, and a line per window and frame."""
    units = {"%": "percent"}
    names = [f"{name}{ending}" for name in ("exx", "eyy", "exy", "rotation") for ending in ("", "_std")]
    headed = [f"{name}_{units.get(unit, unit)}" for name in names for unit in [str(strain[name].attrs["units"])]]
    yield [*(column_of(strain, dim) for dim in WINDOWS), *headed]
    y, x = np.meshgrid(strain["y"].values, strain["x"].values, indexing="ij")
    for index, time in enumerate(texts(strain["time"].values)):
        columns = [texts(strain[name].isel(time=index).values.ravel()) for name in names]
        for row in zip(texts(y.ravel()), texts(x.ravel()), *columns, strict=True):
            yield [time, *row]


def area_rows(pixels: xr.Dataset, result: xr.Dataset) -> Iterator[list[str]]:
    """Yield the header of a table of areas, and a line per frame and class, with the mean probability of its windows.

    Parameters
    ----------
    pixels : Dataset
        Of :func:`~bravaismap.pixel_map`.
    result : Dataset
        The map that it was made of.
    """
    names = [str(name) for name in pixels["lattice"].values]
    unit = column_of(pixels, "time")
    timed = [] if unit == "frame" else [unit]
    columns = ["area_fraction", "area_fraction_std", "mean_probability", "mean_probability_std"]
    yield ["frame", *timed, "class", *columns]
    frames = pixels["frame"].values
    stacks = [pixels[name].values for name in ("area_fraction", "area_fraction_std")]
    stacks += [
        result[name].transpose("time", "lattice").isel(time=frames).values for name in ("fraction", "fraction_std")
    ]
    for place, (frame, time) in enumerate(zip(frames, texts(pixels["time"].values), strict=True)):
        for i, name in enumerate(names):
            yield [
                str(frame),
                *([time] if timed else []),
                name,
                *texts(np.array([stack[place, i] for stack in stacks])),
            ]


def domain_rows(domains: xr.Dataset) -> Iterator[list[str]]:
    """Yield the header of a table of domains, and a line per domain and frame."""
    units = {name: str(column.attrs.get("units", "")).replace("²", "2") for name, column in domains.items()}
    units["time"] = "" if units["time"] == "frame" else units["time"]
    yield [f"{name}_{unit}" if unit else str(name) for name, unit in units.items()]
    columns = [column.values for column in domains.values()]
    words = [[str(v) for v in column] if column.dtype.kind in "OUTb" else texts(column) for column in columns]
    yield from (list(row) for row in zip(*words, strict=True))


def column_of(result: xr.Dataset, dim: str) -> str:
    """Return the title of the column of a coordinate: its name and unit."""
    unit = str(result[dim].attrs.get("units", "frame" if dim == "time" else "px"))
    return unit if unit == "frame" else f"{dim}_{unit}"
