"""The command that writes a result for other programs, for print and for reading: export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bravaismap.cli.options import (
    BinOption,
    ChannelOption,
    CmapOption,
    CropOption,
    DatasetOption,
    DpiOption,
    FormatOption,
    FramesOption,
    QuietOption,
    StyleOption,
    region_of,
)
from bravaismap.cli.reading import Reading, destination
from bravaismap.cli.start import app
from bravaismap.cli.terminal import note, out, progress
from bravaismap.conventions import FIGURE_DPI, counted
from bravaismap.errors import InputError, warn

if TYPE_CHECKING:
    import xarray as xr

    from bravaismap.export.figure_files import FigureFiles
    from bravaismap.files import Destination
    from bravaismap.result.phase_map import PhaseMap


__all__ = ["export"]


@app.command()
def export(
    result: Annotated[Path, typer.Argument(help="Result folder (.zarr).")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder to write to.", show_default="NAME-phases"),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Fractions as a table.")] = False,
    figures: Annotated[bool, typer.Option("--figures", help="Label map, probability maps, fraction curves.")] = False,
    strain: Annotated[
        bool,
        typer.Option(
            "--strain",
            help="Strain and rotation against a reference lattice: figures, a table; with --movie of pixels, too.",
        ),
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            help="Region of the reference lattice for --strain, y0:y1,x0:x1 in the unit of the result.",
            show_default="all windows",
        ),
    ] = None,
    reference_cell: Annotated[
        str | None,
        typer.Option(
            "--reference-cell",
            help="With --strain --movie: cell that is unstrained, a,b,γ in the unit of the result and degrees.",
        ),
    ] = None,
    kernel: Annotated[
        float | None,
        typer.Option(
            "--kernel",
            help="With --strain --movie: σ of the Gaussian in which the strain of a pixel is measured, in cells.",
            show_default="of the least error",
        ),
    ] = None,
    domains: Annotated[
        bool,
        typer.Option(
            "--domains",
            help="Connected regions of each class, followed through time, as a table, with --figures also drawn; "
            "pixel by pixel where the result holds pixels.",
        ),
    ] = False,
    areas: Annotated[
        bool,
        typer.Option(
            "--areas",
            help="Share of the frame that each class covers, asked pixel by pixel: a table, maps, pixels.nc; "
            "a result without pixels needs --movie.",
        ),
    ] = False,
    sites: Annotated[
        bool,
        typer.Option(
            "--sites",
            help="Every site of the lattice: occupied, vacant or another atom, followed through time: tables and "
            "figures; needs --movie.",
        ),
    ] = False,
    motif: Annotated[
        bool,
        typer.Option(
            "--motif",
            help="What sits in the cell of each lattice, and its plane group, through time: tables, structures (.cif), "
            "arrays and figures; needs --movie.",
        ),
    ] = False,
    straighten: Annotated[
        bool,
        typer.Option(
            "--straighten",
            help="For a crystal that is known to be straight: its images without scan distortion and drift, and how "
            "large the distortion is; needs --movie.",
        ),
    ] = False,
    report: Annotated[
        bool,
        typer.Option("--report", help="All of it on one HTML page that needs nothing else, to put beside a paper."),
    ] = False,
    formats: FormatOption = "png",
    dpi: DpiOption = FIGURE_DPI,
    style: StyleOption = "page",
    cmap: CmapOption = None,
    video: Annotated[bool, typer.Option("--video", help="Movie of the probability maps of all classes (mp4).")] = False,
    movie: Annotated[
        str | None,
        typer.Option("--movie", help="The movie that was mapped, to show its frames beside the maps."),
    ] = None,
    dataset: DatasetOption = None,
    channel: ChannelOption = None,
    frames: FramesOption = None,
    crop: CropOption = None,
    bin: BinOption = 1,
    fps: Annotated[float, typer.Option("--fps", help="Frames per second of the video.")] = 8.0,
    hspy: Annotated[bool, typer.Option("--hspy", help="A HyperSpy signal (.hspy) for each map and curve.")] = False,
    ome_tiff: Annotated[bool, typer.Option("--ome-tiff", help="Labels and probabilities as OME-TIFF.")] = False,
    netcdf: Annotated[bool, typer.Option("--netcdf", help="The whole result as one NetCDF file.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Export a result as tables, figures and video (these three when nothing is named), or in the named forms."""
    from bravaismap.export.figure_files import figure_files
    from bravaismap.export.figures import export_figures
    from bravaismap.export.report import export_report
    from bravaismap.export.tables import export_csv
    from bravaismap.result.open import open_result
    from bravaismap.result.phase_map import frames_mapped, mapped_frames

    files = figure_files(style, cmap, formats, dpi)
    region = {} if reference is None else region_of(reference, "--reference")
    if region and not strain:
        raise InputError(f"--reference {reference} was given without --strain; it is the reference of a strain map")
    cell = _cell(reference_cell)
    if (cell or kernel is not None) and (not strain or movie is None):
        raise InputError(
            "--reference-cell and --kernel are of the strain of pixels; give --strain and --movie with them"
        )
    if sites and movie is None:
        raise InputError("--sites was given without --movie; name the movie that was mapped, in which atoms are sought")
    if straighten and movie is None:
        raise InputError("--straighten was given without --movie; name the movie that was mapped, which it straightens")
    phases = open_result(result)
    if areas and movie is None and "phase" not in phases:
        raise InputError(
            f"--areas was given without --movie, and {result} holds no pixels; name the movie that was mapped"
        )
    if motif and movie is None:
        raise InputError("--motif was given without --movie; name the movie that was mapped, whose cells are averaged")
    single = phases.sizes["time"] == 1
    if video and single:
        raise InputError(f"--video was given, but {result} is of a single image; --figures draws it")
    images = None if movie is None else Reading(dataset, channel, frames, crop, bin)(movie, timed=False, result=phases)
    folder = destination(result, output)
    if not mapped_frames(phases).all():
        note(frames_mapped(phases))
    exchanged = _exchange_formats(hspy, ome_tiff, netcdf)
    everything = not (
        csv or figures or report or video or strain or domains or areas or sites or straighten or motif or exchanged
    )
    asked: list[tuple[bool, Callable[[], list[Path]]]] = []
    if images is not None:
        asked = [
            (sites, partial(_export_sites, phases, folder, images, files)),
            (motif, partial(_export_motifs, phases, folder, images, files)),
            (straighten, partial(_export_straight, phases, folder, images)),
        ]
    steps: list[tuple[bool, Callable[[], list[Path]]]] = [
        (csv or everything, lambda: export_csv(phases, folder)),
        (figures or everything, lambda: export_figures(phases, folder, images=images, files=files)),
        (strain, lambda: _export_strain(phases, folder, images, region, cell, kernel, files)),
        (domains, lambda: _export_domains(phases, folder, images, files if figures else None)),
        (areas, lambda: _export_areas(phases, folder, images, files)),
        *asked,
        (report, lambda: export_report(phases, folder, images=images)),
        (video or (everything and not single), lambda: _export_video(phases, folder, images, fps)),
        *((True, partial(write, phases, folder)) for write in exchanged),
    ]
    written, refused = _written([write for wanted, write in steps if wanted])
    for path in dict.fromkeys(written):  # --figures and --areas both draw the pixels
        note(f"wrote {path}")
    for error in refused[:-1]:
        warn(f"not written: {error}")
    if refused:
        raise refused[-1]


def _written(steps: list[Callable[[], list[Path]]]) -> tuple[list[Path], list[InputError]]:
    """Return the files that were written, and why others were not: a result without a lattice has no strain, say."""
    written: list[Path] = []
    refused: list[InputError] = []
    for write in steps:
        try:
            written += write()
        except InputError as error:
            refused.append(error)
    return written, refused


def _cell(text: str | None) -> tuple[float, ...]:
    """Return the cell that ``a,b,γ`` means."""
    if text is None:
        return ()
    try:
        a, b, gamma = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--reference-cell {text} was given; expected a,b,γ, such as 0.316,0.316,60") from None
    return a, b, gamma


def _export_pixel_strain(
    result: PhaseMap,
    folder: Destination,
    images: xr.DataArray,
    reference: Mapping[str, slice] | tuple[float, ...] | None,
    kernel: float | None,
    files: FigureFiles,
) -> list[Path]:
    """Measure the strain of every pixel, print in what Gaussian and how well, and write it."""
    from bravaismap.export.pixel_strain import export_pixel_strain
    from bravaismap.phases.pixel_strain import pixel_strain

    with progress("strain", len(images), "frames") as advance:
        strain = pixel_strain(result, images, reference, kernel=kernel, progress=advance)
    width, unit = strain["kernel"], strain["kernel"].attrs["units"]
    typical = [float(strain[name].median()) for name in ("exx_std", "rotation_std")]
    ends = dict.fromkeys(f"{float(end):.3g}" for end in (width.min(), width.max()))
    out.print(
        f"pixels: Gaussian of σ = {' to '.join(ends)} {unit}, "
        f"σ of ε {typical[0]:.2g} %, of the rotation {typical[1]:.2g}°",
        highlight=False,
        soft_wrap=True,
    )
    return export_pixel_strain(strain, folder, files=files)


def _export_strain(
    result: PhaseMap,
    folder: Destination,
    images: xr.DataArray | None,
    region: dict[str, slice],
    cell: tuple[float, ...],
    kernel: float | None,
    files: FigureFiles,
) -> list[Path]:
    """Write the strain of the windows and, given the movie, that of every pixel."""
    if images is None:
        return _export_window_strain(result, folder, region, files)
    written: list[Path] = []
    try:
        written = _export_window_strain(result, folder, region, files)
    except InputError as error:  # a pixel may show a lattice where no window does
        warn(f"no strain of the windows: {error}")
    return written + _export_pixel_strain(result, folder, images, cell or region or None, kernel, files)


def _export_window_strain(
    result: PhaseMap, folder: Destination, region: dict[str, slice], files: FigureFiles
) -> list[Path]:
    from bravaismap.conventions import display_name
    from bravaismap.export.figures import export_strain
    from bravaismap.phases.strain import reference_lattice, strain_map

    strain = strain_map(result, region or None)
    reference = reference_lattice(strain)
    out.print(
        f"reference: {display_name(reference.lattice)}, a {reference.a:.5g} {reference.unit}, "
        f"b {reference.b:.5g} {reference.unit}, γ {reference.gamma:.2f}°, from {counted(reference.windows, 'window')}"
        f"{' nearest to the region, in which no centre of one lies' if reference.nearest else ''}; "
        f"its own error: ε {reference.strain_std:.2g} %, rotation {reference.rotation_std:.2g}°",
        highlight=False,
        soft_wrap=True,
    )
    return export_strain(strain, folder, files=files)


def _export_domains(
    result: PhaseMap, folder: Destination, images: xr.DataArray | None, files: FigureFiles | None
) -> list[Path]:
    """Find the domains, say how many there are and what share of the last frame is void, and write them."""
    from bravaismap.conventions import NONE
    from bravaismap.domains.finding import domain_count, domain_maps, find_domains
    from bravaismap.export.figures import export_domains
    from bravaismap.result.phase_map import percent
    from bravaismap.result.shares import class_shares
    from bravaismap.show.axes import drawn_frames

    domains = find_domains(result)
    frames = set(domains["frame"].values.tolist())
    out.print(f"{counted(domain_count(domains), 'domain')} in {counted(len(frames), 'frame')}", highlight=False)
    if NONE in result["lattice"].values:
        last, shares = max(frames, default=0), class_shares(result)
        share = percent(*(float(values.sel(lattice=NONE)[last]) for values in (shares.fraction, shares.std)))
        out.print(f"none in frame {last}: {shares.quantity} {share}", highlight=False)
    if files is None:
        return export_domains(domains, folder)
    return export_domains(
        domains, folder, maps=domain_maps(result, drawn_frames(result)), images=images, files=files
    )  # fmt: skip


def _export_areas(result: PhaseMap, folder: Destination, images: xr.DataArray | None, files: FigureFiles) -> list[Path]:
    """Print the areas of the first and the last frame beside the mean probabilities, and write all; ask every pixel."""
    from bravaismap.export.figures import export_pixels
    from bravaismap.phases.pixels import pixel_map
    from bravaismap.result.phase_map import phase_table

    with progress("pixels", result.sizes["time"], "frames") as advance:
        pixels = pixel_map(result, images, progress=advance)
    areas = {str(name): pixels[name] for name in ("area_fraction", "area_fraction_std")}
    out.print(phase_table(result.assign(areas)), highlight=False)
    return export_pixels(pixels, folder, result, images, files=files)


def _export_straight(result: PhaseMap, folder: Destination, images: xr.DataArray) -> list[Path]:
    """Straighten the images, print how large the distortion is, and write them."""
    from bravaismap.export.straight import export_straight
    from bravaismap.phases.straightening import distortion_text, straighten

    with progress("straighten", len(images), "frames") as advance:
        straight = straighten(result, images, progress=advance)
    out.print(distortion_text(straight), highlight=False, soft_wrap=True)
    return export_straight(straight, folder)


def _export_sites(result: PhaseMap, folder: Destination, images: xr.DataArray, files: FigureFiles) -> list[Path]:
    """Find the sites, print how many are vacant in the first and the last frame and what happened, and write all."""
    from bravaismap.export.sites import export_sites
    from bravaismap.phases.sites import find_sites, site_table

    with progress("sites", len(images), "frames") as advance:
        sites = find_sites(result, images, progress=advance)
    out.print(site_table(sites), highlight=False)
    return export_sites(sites, folder, images, files=files)


def _export_motifs(result: PhaseMap, folder: Destination, images: xr.DataArray, files: FigureFiles) -> list[Path]:
    """Average the cells of each lattice, print the plane groups, and write all."""
    from bravaismap.cli.motif import print_motifs
    from bravaismap.export.motif import export_motif_map
    from bravaismap.phases.motifs import motif_map

    with progress("motifs", len(images), "frames") as advance:
        motifs = motif_map(result, images, progress=advance)
    print_motifs(motifs)
    return export_motif_map(motifs, folder, files=files)


def _export_video(result: PhaseMap, folder: Destination, images: xr.DataArray | None, fps: float) -> list[Path]:
    from bravaismap.export.video import export_video

    with progress("video", result.sizes["time"], "frames") as advance:
        return export_video(result, folder / "probabilities.mp4", images=images, fps=fps, progress=advance)


def _exchange_formats(hspy: bool, ome_tiff: bool, netcdf: bool) -> list[Callable[[PhaseMap, Destination], list[Path]]]:
    """Return the functions that write the formats of other programs that were asked for."""
    from bravaismap.export.exchange import export_hspy, export_netcdf, export_ome_tiff

    asked = ((hspy, export_hspy), (ome_tiff, export_ome_tiff), (netcdf, export_netcdf))
    return [write for wanted, write in asked if wanted]
