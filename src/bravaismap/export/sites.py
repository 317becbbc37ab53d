"""Files of the sites of a movie: the sites, their numbers and what happens to them as tables, and figures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.export.figure_files import PLAIN, FigureFiles
from bravaismap.files import made_folder, texts, write_table
from bravaismap.phases.sites import count_sites, site_events

__all__ = ["count_rows", "event_rows", "export_sites", "site_rows"]


def export_sites(
    sites: xr.Dataset,
    folder: str | os.PathLike[str],
    images: Any,
    frames: Sequence[int] | None = None,
    *,
    files: FigureFiles = PLAIN,
) -> list[Path]:
    """Write the sites of a movie as tables, and selected frames as figures.

    Parameters
    ----------
    sites : Dataset
        Of :func:`~bravaismap.find_sites`.
    folder : str or path
        Created if it does not exist; files of the same name in it are replaced.
    images : movie (time, y, x)
        That was mapped.
    frames : sequence of int, optional
        Which of its frames to draw; the first, middle and last one with sites when not given.
    files : FigureFiles
        Style, formats and resolution.

    Returns
    -------
    list of Path
        ``sites.csv``, a line per site and frame; ``site_counts.csv``, a line per frame; ``site_events.csv``, a line per
        vacancy that opens, heals or hops and per atom that is exchanged, if there are several frames; and
        ``sites_0012.png`` for frame 12.

    Raises
    ------
    InputError
        If a frame is not among those of the sites.
    OutputError
        If the folder or a file in it cannot be written.
    """
    from bravaismap.show.sites import plot_sites

    folder = made_folder(folder)
    written = [write_table(folder / "sites.csv", site_rows(sites))]
    written.append(write_table(folder / "site_counts.csv", count_rows(sites)))
    if sites.sizes["measured_frame"] > 1:
        written.append(write_table(folder / "site_events.csv", event_rows(sites)))
    drawn = np.unique(sites["frame"].values)
    if frames is None:
        frames = sorted({int(drawn[i]) for i in (0, len(drawn) // 2, -1)}) if len(drawn) else []
    for frame in frames:
        figure = plot_sites(sites, frame, np.asarray(images[frame]), style=files.style)
        written += files.save(figure, folder / f"sites_{frame:04d}")
    return written


def site_rows(sites: xr.Dataset) -> Iterator[list[str]]:
    """Yield the header of a table of sites, and a line per site and frame."""
    yield from _rows(sites, "site")


def count_rows(sites: xr.Dataset) -> Iterator[list[str]]:
    """Yield the header of a table of the numbers of sites, and a line per frame."""
    counts = count_sites(sites)
    frames = {name: counts[f"measured_{name}"].variable for name in ("frame", "time")}
    yield from _rows(xr.Dataset(frames | {name: column.variable for name, column in counts.items()}), "measured_frame")


def event_rows(sites: xr.Dataset) -> Iterator[list[str]]:
    """Yield the header of a table of what happens to sites, and a line per event."""
    yield from _rows(site_events(sites), "event")


def _rows(table: xr.Dataset, dim: str) -> Iterator[list[str]]:
    """Yield the columns of a table along a dimension, titled by name and unit."""
    columns = {str(name): column for name, column in table.data_vars.items() if column.dims == (dim,)}
    yield [_title(name, str(column.attrs.get("units", ""))) for name, column in columns.items()]
    words = [
        [str(value) for value in column.values] if column.dtype.kind in "OUT" else texts(column.values)
        for column in columns.values()
    ]
    yield from (list(row) for row in zip(*words, strict=True))


def _title(name: str, unit: str) -> str:
    if unit in ("", "1") or (name == "time" and unit == "frame"):
        return name
    return f"{name}_{unit.replace('²', '2').replace('1/', 'per_')}"
