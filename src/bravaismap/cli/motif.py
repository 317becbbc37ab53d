"""The command for what sits in the cell: motif."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bravaismap.classify.settings import DEFAULTS
from bravaismap.cli.answers import motif_answer
from bravaismap.cli.options import (
    BinOption,
    ChannelOption,
    CropOption,
    DatasetOption,
    DistortionOption,
    JsonOption,
    PixelOption,
    QuietOption,
)
from bravaismap.cli.reading import Reading
from bravaismap.cli.start import app
from bravaismap.cli.terminal import note, out, print_json, print_table
from bravaismap.conventions import counted
from bravaismap.errors import InputError
from bravaismap.motif.settings import SYSTEMATIC

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["motif"]

_LEAST = 0.001  # probability of a group that is printed


@app.command()
def motif(
    image: Annotated[str, typer.Argument(help="Image file; of a movie, see --frame.")],
    frame: Annotated[int, typer.Option("--frame", help="Number of the frame of a movie; −1 is the last one.")] = 0,
    distortion: DistortionOption = DEFAULTS.distortion,
    systematic: Annotated[
        float,
        typer.Option(
            "--systematic", help="Errors of structure factors besides noise, as a fraction; 0 for a simulation."
        ),
    ] = SYSTEMATIC,
    pixel_size: PixelOption = None,
    dataset: DatasetOption = None,
    channel: ChannelOption = None,
    crop: CropOption = None,
    bin: BinOption = 1,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Also write the structure (.cif), arrays (.npz) and a figure here."),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Average the cell of a crystal: plane group with probabilities, atomic columns, structure factors."""
    from bravaismap.motif.motif import motif as motif_of

    movie = Reading(dataset, channel, None, crop, bin, pixel_size)(image, timed=False)
    if not -len(movie) <= frame < len(movie):
        raise InputError(f"--frame {frame} was given for {image}, which has {counted(len(movie), 'frame')}")
    index = frame % len(movie)
    try:
        result = motif_of(movie[index : index + 1], distortion=distortion, systematic=systematic)
    except InputError as error:
        raise InputError(f"{image}: {error}") from error
    written: list[Path] = []
    if output is not None:
        from bravaismap.export.motif import export_motif

        written = export_motif(result, output, Path(image).stem)
    if json:
        print_json(motif_answer(result, written))
        return
    _print(result)
    for path in written:
        note(f"wrote {path}")


def _print(result: xr.Dataset) -> None:
    """Print the cell, the groups and the columns."""
    import numpy as np
    from rich.table import Table

    from bravaismap.conventions import display_name
    from bravaismap.motif.structure_text import cell_text, number_text

    about = result.attrs
    lines = [f"cell          {cell_text(result)}; {about['cells']:.0f} cells averaged"]
    order = np.argsort(-result["probability"].values, kind="stable")
    probable = [
        f"{result['group'].values[i]} {100 * result['probability'].values[i]:.1f} %"
        for i in order
        if result["probability"].values[i] > _LEAST
    ]
    lines.append(f"plane group   {', '.join(probable)}")
    motif_class, metric = display_name(about["motif_lattice"]), display_name(about["metric_lattice"])
    lines.append(f"point group   {about['point_group']}; Laue class {about['laue_class']}; lattice {motif_class}")
    if metric != motif_class:
        lines.append(f"              the lattice is {metric} within the distortion; the motif is not")
    if about["pseudosymmetry"]:
        lines.append(f"nearly        {about['pseudosymmetry']} (share of the amplitude that breaks it)")
    gone = np.flatnonzero(result["extinct"].values)[:8]
    if len(gone):
        orders = [f"{int(result['h'][i])} {int(result['k'][i])}" for i in gone]
        lines.append(f"extinct       {', '.join(orders)}{', …' if int(result['extinct'].sum()) > 8 else ''}")
    for line in lines:
        out.print(line, highlight=False, markup=False)
    unit = result["width"].attrs["units"]
    table = Table("column", "Wyckoff", "x", "y", "height", f"width ({unit})")
    for i in range(result.sizes["column"]):
        column = result.isel(column=i)
        numbers = [
            number_text(float(column[key]), float(column[f"{key}_std"])) for key in ("x", "y", "height", "width")
        ]
        table.add_row(str(int(column["site"]) + 1), str(column["wyckoff"].item()), *numbers)
    print_table(table)
