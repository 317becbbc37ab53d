"""A drift track as a table and as a figure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import xarray as xr

from bravaismap.export.figure_files import PLAIN, FigureFiles
from bravaismap.export.tables import column_of
from bravaismap.files import made_folder, texts, write_table

__all__ = ["export_track"]


def export_track(track: xr.Dataset, folder: str | os.PathLike[str], *, files: FigureFiles = PLAIN) -> list[Path]:
    """Write a drift track as ``drift.csv`` and ``drift.png``.

    Parameters
    ----------
    track : Dataset
        As :func:`bravaismap.register` returns it.
    folder : str or path
        Created if it does not exist; existing files of these names are replaced.
    files : FigureFiles
        Style, formats and resolution of the figure.

    Returns
    -------
    list of Path
        The table has the columns ``time_s`` (or ``frame``), ``dy_px``, ``dx_px``, ``std_px`` and ``quality``.

    Raises
    ------
    OutputError
        If the folder or a file in it cannot be written.
    """
    from bravaismap.show.drift import plot_drift

    folder = made_folder(folder)
    table = write_table(folder / "drift.csv", _rows(track))
    return [table, *files.save(plot_drift(track, style=files.style), folder / "drift")]


def _rows(track: xr.Dataset) -> Iterator[list[str]]:
    yield [column_of(track, "time"), "dy_px", "dx_px", "std_px", "quality"]
    columns = [track[name].values.round(4) for name in ("dy", "dx", "std", "quality")]
    for row in zip(texts(track["time"].values), *map(texts, columns), strict=True):
        yield list(row)
