"""The command for what sits in the cell: motif."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bravaismap.classify.settings import DEFAULT_DISTORTION
from bravaismap.cli.options import (
    BinOption,
    ChannelOption,
    CropOption,
    DatasetOption,
    FramesOption,
    JsonOption,
    PixelOption,
    QuietOption,
    ResultDistortionOption,
    fraction_of,
    region_of,
)
from bravaismap.cli.reading import Reading, destination
from bravaismap.cli.start import app
from bravaismap.cli.terminal import note, out, print_json, print_table, progress
from bravaismap.conventions import counted
from bravaismap.errors import InputError
from bravaismap.motif.settings import SYSTEMATIC

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["motif", "print_motifs"]


@app.command()
def motif(
    source: Annotated[
        str, typer.Argument(metavar="IMAGE|OUT.zarr", help="Image file, or a result of `map`; of a movie, see --frame.")
    ],
    frame: Annotated[int, typer.Option("--frame", help="Number of the frame of a movie; −1 is the last one.")] = 0,
    movie: Annotated[
        str | None,
        typer.Option("--movie", help="Of a result: the movie that was mapped.", show_default="where it was then"),
    ] = None,
    together: Annotated[
        int | None,
        typer.Option(
            "--together", help="Of a result: frames that are averaged; 1 for each alone.", show_default="a sixth of all"
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option("--region", help="Of a result: y0:y1,x0:x1 in its unit.", show_default="the whole frame"),
    ] = None,
    distortion: ResultDistortionOption = None,
    systematic: Annotated[
        float,
        typer.Option(
            "--systematic",
            help="Errors of structure factors besides noise, such as 20%; 0 for a simulation.",
            parser=fraction_of,
            metavar="PERCENT",
            show_default=f"{100 * SYSTEMATIC:g}%",
        ),
    ] = SYSTEMATIC,
    pixel_size: PixelOption = None,
    dataset: DatasetOption = None,
    channel: ChannelOption = None,
    frames: FramesOption = None,
    crop: CropOption = None,
    bin: BinOption = 1,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Also write the structure (.cif), arrays (.npz) and a figure here."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Average the cell of a crystal: plane group with probabilities, atomic columns, structure factors.

    Of a result, that of each of its lattices, in groups of frames.
    """
    if _is_result(source):
        reading = Reading(dataset, channel, frames, crop, bin)
        motifs = _motifs(Path(source), movie, reading, together, region, distortion, systematic)
        _show_motifs(motifs, Path(source), output, json)
        return
    for name, value in (("--movie", movie), ("--together", together), ("--region", region)):
        if value is not None:
            raise InputError(f"{name} {value} was given, but {source} is no result of `map`, only an image")
    reading = Reading(dataset, channel, frames, crop, bin, pixel_size)
    result = _motif(source, frame, reading, DEFAULT_DISTORTION if distortion is None else distortion, systematic)
    if not json:
        _print(result)
    written: list[Path] = []
    if output is not None:
        from bravaismap.export.motif import export_motif

        written = export_motif(result, output, Path(source).stem)
    if json:
        from bravaismap.cli.answers import motif_answer

        print_json(motif_answer(result, written))
    for path in written:
        note(f"wrote {path}")


def _is_result(source: str) -> bool:
    """Return whether a path is a folder with a run card."""
    folder = Path(source)
    if not folder.is_dir():
        return False
    import zarr

    from bravaismap.result.card import card_of

    try:
        card_of(zarr.open_group(folder, mode="r"), folder)
    except Exception:  # whatever another kind of folder makes a library raise
        return False
    return True


def _motif(source: str, frame: int, reading: Reading, distortion: float, systematic: float) -> xr.Dataset:
    from bravaismap.motif.motif import motif as motif_of

    images = reading(source, timed=False)
    if not -len(images) <= frame < len(images):
        raise InputError(f"--frame {frame} was given for {source}, which has {counted(len(images), 'frame')}")
    index = frame % len(images)
    try:
        return motif_of(images[index : index + 1], distortion=distortion, systematic=systematic)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def _motifs(
    source: Path, movie: str | None, reading: Reading, together: int | None, region: str | None,
    distortion: float | None, systematic: float,
) -> xr.DataTree:  # fmt: skip
    """Return the motifs of a result, whose movie is read again."""
    from bravaismap.phases.motifs import motif_map
    from bravaismap.result.open import open_result

    result = open_result(source)
    mapped = str(result.attrs.get("input", ""))
    if movie is None and not Path(mapped).exists():
        raise InputError(f"the movie of {source} is no longer at {mapped}; give it with --movie")
    images = reading(movie or mapped, timed=False, result=result)
    inside = None if region is None else region_of(region, "--region")
    with progress("motifs", len(images), "frames") as advance:
        return motif_map(
            result, images, together=together, region=inside, distortion=distortion, systematic=systematic,
            progress=advance,
        )  # fmt: skip


def _show_motifs(motifs: xr.DataTree, source: Path, output: Path | None, json: bool) -> None:
    """Print the motifs of a result, and write them."""
    written: list[Path] = []
    if not json:
        print_motifs(motifs)
    if output is not None:
        from bravaismap.export.motif import export_motif_map

        written = export_motif_map(motifs, destination(source, output))
    if json:
        from bravaismap.cli.answers import motif_map_answer

        print_json(motif_map_answer(motifs, written))
    for path in written:
        note(f"wrote {path}")


def print_motifs(motifs: xr.DataTree) -> None:
    """Print a line for each motif of a result: frames, lattice, cells, plane groups, cell."""
    from rich.table import Table

    from bravaismap.conventions import IUCR_SYMBOLS
    from bravaismap.motif.structure_text import number_text
    from bravaismap.motif.summary import probable_groups

    root = motifs.to_dataset()
    unit = root["a"].attrs["units"]
    table = Table("frames", "lattice", "cells", "plane group", f"a ({unit})", f"b ({unit})", "γ (°)", box=None)
    for i in range(root.sizes["motif"]):
        row = root.isel(motif=i)
        numbers = [number_text(float(row[key]), float(row[f"{key}_std"])) for key in ("a", "b", "gamma")]
        first, last, number = (int(row[key]) for key in ("first_frame", "last_frame", "domain"))
        lattice = f"{number} {IUCR_SYMBOLS[str(row['phase'].item())]}"
        frames = f"{first}" if first == last else f"{first}–{last}"
        probable = probable_groups(row["group"].values, row["probability"].values, 0.05, 0)
        table.add_row(frames, lattice, f"{float(row['cells']):.0f}", probable, *numbers)
    print_table(table)
    for i in range(root.sizes["motif"]):
        first, last, number = (int(root[key][i]) for key in ("first_frame", "last_frame", "domain"))
        _print_doubts(motifs[str(i)].to_dataset(), f"lattice {number} in frames {first} to {last}: ")


def _print_doubts(motif: xr.Dataset, of: str = "") -> None:
    """Print the reasons to doubt a motif."""
    from bravaismap.motif.doubt import motif_doubts

    for doubt in motif_doubts(motif):
        out.print(f"doubt: {of}{doubt}", highlight=False, markup=False, soft_wrap=True)


def _print(result: xr.Dataset) -> None:
    """Print the cell, the groups and the columns."""
    from rich.table import Table

    from bravaismap.motif.summary import column_rows, summary_lines

    for name, line in summary_lines(result):
        out.print(f"{name:<14}{line}", highlight=False, markup=False)
    head, *rows = column_rows(result)
    table = Table(*head)
    for row in rows:
        table.add_row(*row)
    print_table(table)
    _print_doubts(result)
