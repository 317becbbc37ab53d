"""Files of motifs: the structure as text, averaged cell and structure factors as arrays, tables and figures."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from bravaismap.export.figure_files import PLAIN, FigureFiles
from bravaismap.files import made_folder, texts, write_atomically, write_table
from bravaismap.motif.structure_text import structure_text

__all__ = ["export_motif", "export_motif_map", "motif_rows"]


def export_motif(
    motif: xr.Dataset, folder: str | os.PathLike[str], name: str = "motif", *, files: FigureFiles = PLAIN
) -> list[Path]:
    """Write a motif as NAME.cif, NAME.npz and NAME.png.

    Parameters
    ----------
    motif : Dataset
        Of :func:`bravaismap.motif`.
    folder : str or path
        Made if it does not exist; files in it are replaced.
    name : str
    files : FigureFiles
        Style, formats and resolution of the figure.

    Returns
    -------
    list of Path
        The npz holds every variable of the dataset under its name, and its attributes as ``attribute_<name>``.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    from bravaismap.show.motif import plot_motif

    target = made_folder(folder)
    text, arrays = target / f"{name}.cif", target / f"{name}.npz"
    write_atomically(text, structure_text(motif, name).encode())
    held = {str(key): np.asarray(variable.values) for key, variable in motif.variables.items()}
    held |= {f"attribute_{key}": np.asarray(value) for key, value in motif.attrs.items()}
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **held)
    write_atomically(arrays, content.getvalue())
    return [text, arrays, *files.save(plot_motif(motif, style=files.style), target / name)]


def export_motif_map(motifs: xr.DataTree, folder: str | os.PathLike[str], *, files: FigureFiles = PLAIN) -> list[Path]:
    """Write the motifs of a movie: a table, a figure of the plane groups through time, and the files of each motif.

    Parameters
    ----------
    motifs : DataTree
        Of :func:`bravaismap.motif_map`.
    folder : str or path
        Made if it does not exist; files of the same name in it are replaced.
    files : FigureFiles
        Style, formats and resolution of the figures.

    Returns
    -------
    list of Path
        ``motifs.csv``, a line per motif; ``motifs.png``; and ``motif_0000-0014_lattice0.cif``, ``.npz`` and ``.png``
        of lattice 0 in the frames 0 to 14.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    from bravaismap.show.motif import plot_motif_map

    target = made_folder(folder)
    table = motifs.to_dataset()
    written = [write_table(target / "motifs.csv", motif_rows(table))]
    written += files.save(plot_motif_map(motifs, style=files.style), target / "motifs")
    for i in range(table.sizes["motif"]):
        first, last, number = (int(table[name][i]) for name in ("first_frame", "last_frame", "domain"))
        name = f"motif_{first:04d}-{last:04d}_lattice{number}"
        written += export_motif(motifs[str(i)].to_dataset(), folder, name, files=files)
    return written


def motif_rows(table: xr.Dataset) -> Iterator[list[str]]:
    """Yield the head and the lines of the table of motifs: what each is, the cell, and every group's probability."""
    names = [name for name in table.data_vars if table[name].dims == ("motif",)]
    groups = [str(group) for group in table["group"].values]
    unit = table["a"].attrs["units"]
    heads = [f"{name}_{unit}" if str(name).split("_")[0] in ("a", "b") else str(name) for name in names]
    yield [*heads, *(f"probability_{group}" for group in groups)]
    for i in range(table.sizes["motif"]):
        yield [
            *(str(table[name].values[i].item()) for name in names),
            *texts(table["probability"].values[i]),
        ]
