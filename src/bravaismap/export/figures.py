"""Files of the figures of a result, its strain, pixels and domains, and of an unmixed movie, with their tables.

Every file is written under a temporary name beside its own and then renamed, so that a file is either whole or absent.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xarray as xr

from bravaismap.errors import InputError
from bravaismap.export.tables import area_rows, domain_rows, strain_rows
from bravaismap.files import FIGURE_DPI, made_folder, replacing, save_figure, write_table
from bravaismap.phases.pixels import pixel_map
from bravaismap.show.style import PAGE, Style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "FigureFiles",
    "export_domains",
    "export_figures",
    "export_pixels",
    "export_strain",
    "export_unmixing",
]

#: Endings of the figures that can be written: pixels, and two formats of lines and text.
ENDINGS: Final = (".png", ".pdf", ".svg")
#: Most dots per inch that journals ask for, of line art.
_LARGEST_DPI: Final = 1200


@dataclass(frozen=True)
class FigureFiles:
    """How figures are drawn and in which formats they are written.

    Attributes
    ----------
    style : Style
        See :func:`~bravaismap.show.style.style_named`.
    endings : tuple of str
        ``".png"``, ``".pdf"``, ``".svg"``: each figure is written once for each.
    dpi : int
        Dots per inch of PNG, and of the maps and images inside PDF and SVG.

    Raises
    ------
    InputError
        If there is no such format, or dpi is not from 30 to 1200.
    """

    style: Style = PAGE
    endings: tuple[str, ...] = (".png",)
    dpi: int = FIGURE_DPI

    def __post_init__(self) -> None:
        others = [ending for ending in self.endings if ending not in ENDINGS]
        if others or not self.endings:
            raise InputError(f"the format {', '.join(others) or 'none'} was given; expected some of png, pdf, svg")
        if not 30 <= self.dpi <= _LARGEST_DPI:
            raise InputError(f"{self.dpi} dpi was given; expected 30 to {_LARGEST_DPI}")

    def save(self, figure: Figure, stem: Path) -> list[Path]:
        """Write a figure in each format and return the paths."""
        return save_figure(figure, stem, self.endings, self.dpi)


def export_figures(
    result: xr.Dataset,
    folder: str | os.PathLike[str],
    images: Any = None,
    times: Sequence[int] | None = None,
    *,
    files: FigureFiles = FigureFiles(),
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
        ``labels_0012.png``, ``probability_0012.png``, ``uncertainty_0012.png`` for frame 12; of a model that measures
        cells ``cells_0012.png`` and ``shapes_0012.png`` too, and ``pixels_0012.png`` of a result that holds pixels;
        and, of more than one frame, ``fractions.png``.

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
    from bravaismap.show.pixels import plot_pixels

    indices = drawn_frames(result, times)
    folder = made_folder(folder)
    style, written = files.style, []
    for index in indices:
        written += files.save(plot_labels(result, index, images, style=style), folder / f"labels_{index:04d}")
        written += files.save(plot_probabilities(result, index, style=style), folder / f"probability_{index:04d}")
        written += files.save(plot_uncertainty(result, index, style=style), folder / f"uncertainty_{index:04d}")
        if holds_cells(result):
            written += files.save(plot_cells(result, index, style=style), folder / f"cells_{index:04d}")
            written += files.save(plot_shapes(result, index, style=style), folder / f"shapes_{index:04d}")
        if "phase" in result:
            image = images[index] if np.ndim(images) == 3 else images
            pixels = pixel_map(result, frames=[index])
            written += files.save(plot_pixels(pixels, 0, image, style=style), folder / f"pixels_{index:04d}")
    if result.sizes["time"] > 1:
        written += files.save(plot_fractions(result, void, style=style), folder / "fractions")
    return written


def export_strain(
    strain: xr.Dataset,
    folder: str | os.PathLike[str],
    times: Sequence[int] | None = None,
    *,
    files: FigureFiles = FigureFiles(),
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
    *,
    files: FigureFiles = FigureFiles(),
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
        written += save_figure(plot_abundances(unmixed, index), folder / f"unmixed_{index:04d}", (".png",))
    return [*written, *save_figure(plot_endmember_fractions(unmixed), folder / "unmixed_fractions", (".png",))]
