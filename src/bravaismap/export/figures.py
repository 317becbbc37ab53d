"""Files of the figures of a result, its strain, pixels and domains, and of an unmixed movie, with their tables.

Every file is written under a temporary name beside its own and then renamed, so that a file is either whole or absent.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.export.figure_files import PLAIN, FigureFiles
from bravaismap.export.tables import area_rows, domain_rows, strain_rows
from bravaismap.files import made_folder, replacing, write_table
from bravaismap.phases.pixels import pixel_map

__all__ = [
    "export_domains",
    "export_figures",
    "export_pixels",
    "export_strain",
    "export_unmixing",
]


def export_figures(
    result: xr.Dataset,
    folder: str | os.PathLike[str],
    images: Any = None,
    times: Sequence[int] | None = None,
    *,
    files: FigureFiles = PLAIN,
    void: xr.DataArray | None = None,
) -> list[Path]:
    """Write the figures of a result: fractions, and of selected frames labels, probabilities and uncertainty.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it.
    folder : str or path
        Created if it does not exist; figures of the same name in it are replaced.
    images : movie (time, y, x), optional
        Drawn beside the label maps and under them.
    times : sequence of int, optional
        Numbers of the frames; the first, middle and last one mapped so far when not given.
    files : FigureFiles
        Style, formats and resolution.
    void : DataArray (time), optional
        True void fraction of a simulated film, drawn beside the curves.

    Returns
    -------
    list of Path
        ``labels_0012.png``, ``probability_0012.png``, ``uncertainty_0012.png`` for frame 12; of a frame in which cells
        were measured ``cells_0012.png`` and ``shapes_0012.png`` too, of a result that holds pixels ``pixels_0012.png``;
        of more than one frame, ``fractions.png``; and ``drift.png`` of a movie that was registered.

    Raises
    ------
    InputError
        If a frame is not in the result, or the images do not belong to it.
    OutputError
        If the folder or a file in it cannot be written.
    """
    from bravaismap.show.axes import drawn_frames
    from bravaismap.show.cells import plot_cells, plot_shapes, shows_cells
    from bravaismap.show.drift import drift_of, plot_drift
    from bravaismap.show.maps import plot_fractions, plot_labels, plot_probabilities, plot_uncertainty
    from bravaismap.show.pixels import plot_pixels

    indices = drawn_frames(result, times)
    folder = made_folder(folder)
    style, written = files.style, []
    pixels = pixel_map(result) if "phase" in result else None
    for index in indices:
        written += files.save(plot_labels(result, index, images, style=style), folder / f"labels_{index:04d}")
        written += files.save(plot_probabilities(result, index, style=style), folder / f"probability_{index:04d}")
        written += files.save(plot_uncertainty(result, index, style=style), folder / f"uncertainty_{index:04d}")
        if shows_cells(result, index):
            written += files.save(plot_cells(result, index, style=style), folder / f"cells_{index:04d}")
            written += files.save(plot_shapes(result, index, style=style), folder / f"shapes_{index:04d}")
        if pixels is not None:
            image = images[index] if np.ndim(images) == 3 else images
            written += files.save(plot_pixels(pixels, index, image, style=style), folder / f"pixels_{index:04d}")
    drift = drift_of(result)
    if drift is not None:
        written += files.save(plot_drift(drift, style=style), folder / "drift")
    if result.sizes["time"] > 1:
        written += files.save(plot_fractions(result, void, style=style), folder / "fractions")
    return written


def export_strain(
    strain: xr.Dataset,
    folder: str | os.PathLike[str],
    times: Sequence[int] | None = None,
    *,
    files: FigureFiles = PLAIN,
) -> list[Path]:
    """Write a strain map as a table, and selected frames of it as figures.

    Parameters
    ----------
    strain : Dataset
        Of :func:`~bravaismap.strain_map`.
    folder : str or path
        Created if it does not exist; files of the same name in it are replaced.
    times : sequence of int, optional
        Numbers of the frames to draw; the first, middle and last one mapped so far when not given.
    files : FigureFiles
        Style, formats and resolution.

    Returns
    -------
    list of Path
        ``strain_0012.png`` for frame 12; and ``strain.csv``, a line per window and frame with ``exx``, ``eyy``, ``exy``
        (%), ``rotation`` (degrees) and their σ, empty where there is no reference lattice.

    Raises
    ------
    InputError
        If a frame is not in the map.
    OutputError
        If the folder or a file in it cannot be written.
    """
    from bravaismap.show.axes import drawn_frames
    from bravaismap.show.cells import plot_strain

    indices = drawn_frames(strain, times)
    folder = made_folder(folder)
    written = []
    for index in indices:
        written += files.save(plot_strain(strain, index, style=files.style), folder / f"strain_{index:04d}")
    return [*written, write_table(folder / "strain.csv", strain_rows(strain))]


def export_domains(
    domains: xr.Dataset,
    folder: str | os.PathLike[str],
    *,
    maps: xr.Dataset | None = None,
    images: Any = None,
    files: FigureFiles = PLAIN,
) -> list[Path]:
    """Write the domains of a result as a table and, given maps, as a figure.

    Parameters
    ----------
    domains : Dataset
        Of :func:`bravaismap.domains.finding.find_domains`.
    folder : str or path
        Created if it does not exist; existing files of these names in it are replaced.
    maps : Dataset, optional
        Of :func:`bravaismap.domains.finding.domain_maps`: the frames to draw.
    images : movie (time, y, x), optional
        Drawn below the outlines of `maps`.
    files : FigureFiles
        Style, formats and resolution.

    Returns
    -------
    list of Path
        ``domains.csv``: a line per domain and frame, a column per variable with its unit, such as ``area_nm2``; with
        `maps` also ``domains.png``.

    Raises
    ------
    OutputError
        If the folder or the file cannot be written.
    """
    folder = made_folder(folder)
    table = write_table(folder / "domains.csv", domain_rows(domains))
    if maps is None:
        return [table]
    from bravaismap.show.domains import plot_domains

    return [table, *files.save(plot_domains(domains, maps, images, style=files.style), folder / "domains")]


def export_pixels(
    pixels: xr.Dataset,
    folder: str | os.PathLike[str],
    result: xr.Dataset,
    images: Any = None,
    times: Sequence[int] | None = None,
    *,
    files: FigureFiles = PLAIN,
) -> list[Path]:
    """Write a pixel map as a table of areas, selected frames of it as figures, and the whole as a file.

    Parameters
    ----------
    pixels : Dataset
        Of :func:`~bravaismap.pixel_map`.
    folder : str or path
        Created if it does not exist; files of the same name in it are replaced.
    result : Dataset
        The map that it was made of, whose mean probabilities stand beside the areas.
    images : movie (time, y, x), optional
        The frames of the map, drawn beside it and under it.
    times : sequence of int, optional
        Which frames of the map to draw; the first, middle and last one mapped so far when not given.
    files : FigureFiles
        Style, formats and resolution.

    Returns
    -------
    list of Path
        ``areas.csv``, a line per frame and class with its area fraction, its mean probability and their σ;
        ``pixels_0012.png`` for frame 12, and, where it has several grains, ``grains_0012.png``, which colours them by
        orientation; and ``pixels.nc``.

    Raises
    ------
    InputError
        If a frame is not in the map, or the images do not belong to it.
    OutputError
        If the folder or a file in it cannot be written.
    """
    from bravaismap.export.exchange import export_pixel_netcdf
    from bravaismap.show.axes import drawn_frames
    from bravaismap.show.grains import grains_of, plot_grains
    from bravaismap.show.pixels import plot_pixels

    indices = drawn_frames(pixels.rename(py="y", px="x", phase="label"), times)
    folder = made_folder(folder)
    written = [write_table(folder / "areas.csv", area_rows(pixels, result))]
    for index in indices:
        number = int(pixels["frame"][index])
        written += files.save(plot_pixels(pixels, index, images, style=files.style), folder / f"pixels_{number:04d}")
        if len(grains_of(pixels, index)) > 1:
            grains = plot_grains(pixels, index, images, style=files.style)
            written += files.save(grains, folder / f"grains_{number:04d}")
    return [*written, *export_pixel_netcdf(pixels, folder)]


def export_unmixing(unmixed: xr.Dataset, folder: str | os.PathLike[str]) -> list[Path]:
    """Write an unmixed movie (zarr), and figures of its first, middle and last frame and of its fractions.

    Parameters
    ----------
    unmixed : Dataset
        As :func:`~bravaismap.unmixing.unmix` returns it.
    folder : str or path
        Created if it does not exist; what an earlier call wrote to it is replaced.

    Returns
    -------
    list of Path
        ``unmixed.zarr``, ``unmixed_<frame>.png`` and ``unmixed_fractions.png``.

    Raises
    ------
    OutputError
        If one of them cannot be written.
    """
    from bravaismap.show.unmixing import plot_abundances, plot_endmember_fractions

    folder = made_folder(folder)
    store = folder / "unmixed.zarr"
    with replacing(store) as temporary:
        unmixed.to_zarr(temporary, mode="w", zarr_format=3, consolidated=False)
    written, last = [store], unmixed.sizes["time"] - 1
    for index in sorted({0, last // 2, last}):
        written += PLAIN.save(plot_abundances(unmixed, index), folder / f"unmixed_{index:04d}")
    return [*written, *PLAIN.save(plot_endmember_fractions(unmixed), folder / "unmixed_fractions")]
