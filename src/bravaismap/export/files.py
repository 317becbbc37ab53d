"""A result and what follows from it, for print and for other programs: figures, the report, the movie of the maps.

Tables come from `bravaismap.export.tables`. Every file is written under a temporary name beside its own and then
renamed, so that a file is either whole or absent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.errors import InputError
from bravaismap.export.tables import domain_rows, export_classification, export_csv, strain_rows
from bravaismap.files import advice, made_folder, replacing, save_figure, write_table

__all__ = [
    "export_classification",
    "export_csv",
    "export_domains",
    "export_figures",
    "export_report",
    "export_strain",
    "export_unmixing",
    "export_video",
    "some_frames",
]


def export_figures(
    result: xr.Dataset,
    folder: str | os.PathLike[str],
    images: Any = None,
    times: Sequence[int] | None = None,
    *,
    svg: bool = False,
    void: xr.DataArray | None = None,
) -> list[Path]:
    """Write the figures of a result: fractions, and for some frames labels, probabilities and uncertainty.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it.
    folder : str or path
        Made if it does not exist; figures of the same name in it are replaced.
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
        ``fractions.png``, and ``labels_0012.png``, ``probability_0012.png``, ``uncertainty_0012.png`` for frame 12; of
        a model that measures cells ``cells_0012.png`` and ``shapes_0012.png`` too.

    Raises
    ------
    InputError
        If a frame is not in the result, or the images do not belong to it.
    OutputError
        If the folder or a file in it cannot be written.
    """
    from bravaismap.show import cells as cellplot
    from bravaismap.show import maps as plot

    count = result.sizes["time"]
    chosen = some_frames(result) if times is None else [int(time) for time in times]
    for index in chosen:
        if not -count <= index < count:
            raise InputError(f"frame {index} was asked for; the result has the frames 0 to {count - 1}")
    folder = made_folder(folder)
    endings = (".png", ".svg") if svg else (".png",)
    written = []
    for index in (index % count for index in chosen):
        written += save_figure(plot.plot_labels(result, index, images), folder / f"labels_{index:04d}", endings)
        written += save_figure(plot.plot_probabilities(result, index), folder / f"probability_{index:04d}", endings)
        written += save_figure(plot.plot_uncertainty(result, index), folder / f"uncertainty_{index:04d}", endings)
        if cellplot.holds_cells(result):
            written += save_figure(cellplot.plot_cells(result, index), folder / f"cells_{index:04d}", endings)
            written += save_figure(cellplot.plot_shapes(result, index), folder / f"shapes_{index:04d}", endings)
    return [*written, *save_figure(plot.plot_fractions(result, void), folder / "fractions", endings)]


def export_report(result: xr.Dataset, folder: str | os.PathLike[str], images: Any = None) -> list[Path]:
    """Write the report of a result, one HTML page that needs nothing else.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it; it may be unfinished.
    folder : str or path
        Made if it does not exist; an existing report in it is replaced.
    images : movie (time, y, x), optional
        Drawn beside the label maps.

    Returns
    -------
    list of Path
        ``report.html``.

    Raises
    ------
    InputError
        If the result is not of a movie, or the images do not belong to it.
    OutputError
        If the folder or the file cannot be written.
    """
    from bravaismap.export.report import report

    path = made_folder(folder) / "report.html"
    text = report(result, images)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return [path]


def export_unmixing(unmixed: xr.Dataset, folder: str | os.PathLike[str]) -> list[Path]:
    """Write an unmixed movie (zarr), and figures of its first, middle and last frame and of its fractions.

    Parameters
    ----------
    unmixed : Dataset
        As :func:`~bravaismap.unmixing.unmix` returns it.
    folder : str or path
        Made if it does not exist; what an earlier call wrote to it is replaced.

    Returns
    -------
    list of Path
        ``unmixed.zarr``, ``unmixed_<frame>.png`` and ``unmixed_fractions.png``.

    Raises
    ------
    OutputError
        If one of them cannot be written.
    """
    from bravaismap.show import unmixing as unmixingplot

    folder = made_folder(folder)
    store = folder / "unmixed.zarr"
    with replacing(store) as temporary:
        unmixed.to_zarr(temporary, mode="w", zarr_format=3, consolidated=False)
    written, last = [store], unmixed.sizes["time"] - 1
    for index in sorted({0, last // 2, last}):
        written += save_figure(unmixingplot.plot_abundances(unmixed, index), folder / f"unmixed_{index:04d}", (".png",))
    return [
        *written,
        *save_figure(unmixingplot.plot_endmember_fractions(unmixed), folder / "unmixed_fractions", (".png",)),
    ]


def export_strain(strain: xr.Dataset, folder: str | os.PathLike[str], times: Sequence[int] | None = None) -> list[Path]:
    """Write a strain map as a table, and for some frames as figures.

    Parameters
    ----------
    strain : Dataset
        Of :func:`~bravaismap.strain_map`.
    folder : str or path
        Made if it does not exist; files of the same name in it are replaced.
    times : sequence of int, optional
        Numbers of the frames to draw; the first, middle and last one mapped so far when not given.

    Returns
    -------
    list of Path
        ``strain_0012.png`` for frame 12; and ``strain.csv``, a line per window and frame with ``exx``, ``eyy``, ``exy``
        (%), ``rotation`` (degrees) and their σ, empty where the reference lattice is not.

    Raises
    ------
    InputError
        If a frame is not in the map.
    OutputError
        If the folder or a file in it cannot be written.
    """
    from bravaismap.show import cells as cellplot
    from bravaismap.show import maps as plot

    chosen = [plot.frame_number(strain, int(time)) for time in (some_frames(strain) if times is None else times)]
    folder = made_folder(folder)
    written = []
    for index in chosen:
        written += save_figure(cellplot.plot_strain(strain, index), folder / f"strain_{index:04d}", (".png",))
    return [*written, write_table(folder / "strain.csv", strain_rows(strain))]


def export_domains(
    domains: xr.Dataset, folder: str | os.PathLike[str], *, maps: xr.Dataset | None = None, images: Any = None
) -> list[Path]:
    """Write the domains of a result as a table, and if asked for as a figure.

    Parameters
    ----------
    domains : Dataset
        Of :func:`bravaismap.domains.finding.find_domains`.
    folder : str or path
        Made if it does not exist; existing files of these names in it are replaced.
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


def export_video(
    result: xr.Dataset,
    path: str | os.PathLike[str],
    images: Any = None,
    fps: float = 8.0,
    *,
    progress: Callable[[int], object] | None = None,
) -> list[Path]:
    """Write the movie of the probability maps of all classes.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it; a frame at a time is read.
    path : str or path
        Ends in ``.mp4``. Its folder is made if it does not exist; an existing file is replaced.
    images : movie (time, y, x), optional
        Drawn beside the maps.
    fps : float
        Frames per second at which it plays.
    progress : callable, optional
        Called with the number of frames written so far.

    Returns
    -------
    list of Path
        The one file written.

    Raises
    ------
    InputError
        If the images do not belong to the result, or `fps` is not positive.
    OutputError
        If imageio-ffmpeg is missing, or the file cannot be written.
    """
    from bravaismap.read.video import write_video
    from bravaismap.show.maps import probability_frames

    path = Path(path)
    made_folder(path.parent)
    with advice(path):
        write_video(path, _counted(probability_frames(result, images), progress), fps)
    return [path]


def _counted(frames: Iterable[np.ndarray], progress: Callable[[int], object] | None) -> Iterator[np.ndarray]:
    for done, frame in enumerate(frames, 1):
        yield frame
        if progress is not None:
            progress(done)


def some_frames(result: xr.Dataset) -> list[int]:
    """Return the first, middle and last frame that is mapped, or frame 0 if none is."""
    mapped = np.flatnonzero((result["label"] >= 0).any(("y", "x")).values)
    return [int(i) for i in sorted({mapped[0], mapped[len(mapped) // 2], mapped[-1]})] if mapped.size else [0]
