"""Files of the figures of a result, its strain, pixels and domains, and of an unmixed movie, with their tables.

Every file is written under a temporary name beside its own and then renamed, so that a file is either whole or absent.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from bravaismap.export.tables import area_rows, domain_rows, strain_rows
from bravaismap.files import made_folder, replacing, save_figure, write_table

__all__ = ["export_domains", "export_figures", "export_pixels", "export_strain", "export_unmixing"]


def export_figures(
    result: xr.Dataset,
    folder: str | os.PathLike[str],
    images: Any = None,
    times: Sequence[int] | None = None,
    *,
    svg: bool = False,
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
        Drawn beside the label maps.
    times : sequence of int, optional
        Numbers of the frames; the first, middle and last one mapped so far when not given.
    svg : bool
        Write every figure as SVG too.
    void : DataArray (time), optional
        True void fraction of a simulated film, drawn beside the curves.

    Returns
    -------
    list of Path
        ``fractions.png``, but for a single image, and ``labels_0012.png``, ``probability_0012.png``,
        ``uncertainty_0012.png`` for frame 12; of a model that measures cells ``cells_0012.png`` and ``shapes_0012.png``
        too.

    Raises
    ------
    InputError
        If a frame is not in the result, or the images do not belong to it.
    OutputError
        If the folder or a file in it cannot be written.
    """
    from bravaismap.show.axes import drawn_frames
    from bravaismap.show.cells import holds_cells, plot_cells, plot_shapes
    from bravaismap.show.maps import plot_fractions, plot_labels, plot_probabilities, plot_uncertainty

    indices = drawn_frames(result, times)
    folder = made_folder(folder)
    endings = (".png", ".svg") if svg else (".png",)
    written = []
    for index in indices:
        written += save_figure(plot_labels(result, index, images), folder / f"labels_{index:04d}", endings)
        written += save_figure(plot_probabilities(result, index), folder / f"probability_{index:04d}", endings)
        written += save_figure(plot_uncertainty(result, index), folder / f"uncertainty_{index:04d}", endings)
        if holds_cells(result):
            written += save_figure(plot_cells(result, index), folder / f"cells_{index:04d}", endings)
            written += save_figure(plot_shapes(result, index), folder / f"shapes_{index:04d}", endings)
    if result.sizes["time"] == 1:
        return written
    return [*written, *save_figure(plot_fractions(result, void), folder / "fractions", endings)]


def export_strain(strain: xr.Dataset, folder: str | os.PathLike[str], times: Sequence[int] | None = None) -> list[Path]:
    """Write a strain map as a table, and selected frames of it as figures.

    Parameters
    ----------
    strain : Dataset
        Of :func:`~bravaismap.strain_map`.
    folder : str or path
        Created if it does not exist; files of the same name in it are replaced.
    times : sequence of int, optional
        Numbers of the frames to draw; the first, middle and last one mapped so far when not given.

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
        written += save_figure(plot_strain(strain, index), folder / f"strain_{index:04d}", (".png",))
    return [*written, write_table(folder / "strain.csv", strain_rows(strain))]


def export_domains(
    domains: xr.Dataset, folder: str | os.PathLike[str], *, maps: xr.Dataset | None = None, images: Any = None
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

    return [table, *save_figure(plot_domains(domains, maps, images), folder / "domains", (".png",))]


def export_pixels(
    pixels: xr.Dataset,
    folder: str | os.PathLike[str],
    result: xr.Dataset,
    images: Any = None,
    times: Sequence[int] | None = None,
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

    Returns
    -------
    list of Path
        ``areas.csv``, a line per frame and class with its area fraction, its mean probability and their σ;
        ``pixels_0012.png`` for frame 12; and ``pixels.nc``.

    Raises
    ------
    InputError
        If a frame is not in the map, or the images do not belong to it.
    OutputError
        If the folder or a file in it cannot be written.
    """
    from bravaismap.export.exchange import export_pixel_netcdf
    from bravaismap.show.axes import drawn_frames
    from bravaismap.show.pixels import plot_pixels

    indices = drawn_frames(pixels.rename(py="y", px="x", phase="label"), times)
    folder = made_folder(folder)
    written = [write_table(folder / "areas.csv", area_rows(pixels, result))]
    for index in indices:
        stem = folder / f"pixels_{int(pixels['frame'][index]):04d}"
        written += save_figure(plot_pixels(pixels, index, images), stem, (".png",))
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
        written += save_figure(plot_abundances(unmixed, index), folder / f"unmixed_{index:04d}", (".png",))
    return [*written, *save_figure(plot_endmember_fractions(unmixed), folder / "unmixed_fractions", (".png",))]
