"""Files of the strain of every pixel: a NetCDF file, and figures of selected frames."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from bravaismap.export.exchange import write_netcdf
from bravaismap.export.figure_files import PLAIN, FigureFiles
from bravaismap.files import made_folder

__all__ = ["export_pixel_strain"]


def export_pixel_strain(
    strain: xr.Dataset,
    folder: str | os.PathLike[str],
    times: Sequence[int] | None = None,
    *,
    files: FigureFiles = PLAIN,
) -> list[Path]:
    """Write the strain of every pixel as one file, and selected frames of it as figures.

    Parameters
    ----------
    strain : Dataset
        Of :func:`~bravaismap.pixel_strain`.
    folder : str or path
        Created if it does not exist; files of the same name in it are replaced.
    times : sequence of int, optional
        Which of its frames to draw; the first, middle and last one with a lattice when not given.
    files : FigureFiles
        Style, formats and resolution.

    Returns
    -------
    list of Path
        ``strain_pixels.nc``, and ``strain_pixels_0012.png`` for frame 12.

    Raises
    ------
    InputError
        If a frame is not in the map.
    OutputError
        If the folder or a file in it cannot be written.
    """
    from bravaismap.show.axes import drawn_frames
    from bravaismap.show.cells import plot_strain

    folder = made_folder(folder)
    view = strain.rename(py="y", px="x")
    view.attrs = {key: value for key, value in strain.attrs.items() if key != "window"}  # each pixel is its own
    written = []
    for index in drawn_frames(view, times):
        stem = folder / f"strain_pixels_{int(strain['frame'][index]):04d}"
        written += files.save(plot_strain(view, index, style=files.style), stem)
    packed = {str(name): {"zlib": True, "complevel": 1} for name in strain.data_vars if strain[name].ndim == 3}
    path = folder / "strain_pixels.nc"
    write_netcdf(path, strain, "label", packed)
    return [*written, path]
