"""Files of a motif: the structure as text, averaged cell and structure factors as arrays, and a figure."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import xarray as xr

from bravaismap.files import made_folder, save_figure, write_atomically
from bravaismap.motif.structure_text import structure_text

__all__ = ["export_motif"]

_ENDINGS = (".png",)


def export_motif(motif: xr.Dataset, folder: str | os.PathLike[str], name: str = "motif") -> list[Path]:
    """Write a motif as NAME.cif, NAME.npz and NAME.png.

    Parameters
    ----------
    motif : Dataset
        Of :func:`bravaismap.motif`.
    folder : str or path
        Made if it does not exist; files in it are replaced.
    name : str

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
    return [text, arrays, *save_figure(plot_motif(motif), target / name, _ENDINGS)]
