"""The command that makes the paper again: reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bravaismap.classify.settings import DEFAULT_MODEL
from bravaismap.cli.options import QuietOption
from bravaismap.cli.start import app
from bravaismap.cli.terminal import note, out, stages

__all__ = ["reproduce"]


@app.command()
def reproduce(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write to.")] = Path("bravaismap-paper"),
    quick: Annotated[
        bool, typer.Option("--quick", help="A first look in minutes: fewer images, passes and frames.")
    ] = False,
    model: Annotated[
        str, typer.Option("--model", help="Model beside the paper's network (see `models`), or a .safetensors file.")
    ] = DEFAULT_MODEL,
    image: Annotated[
        str | None, typer.Option("--image", help="An image of yours for Fig. 5, instead of simulated graphene.")
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train the paper's network first, instead of taking the shipped one.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Make every figure and number of the paper, and a report that sets them beside it; continues where it stopped."""
    from bravaismap.reproduce import FULL, QUICK
    from bravaismap.reproduce import reproduce as reproduce_paper
    from bravaismap.reproduce.paper_table import shown

    with stages() as advance:
        results = reproduce_paper(
            output, QUICK if quick else FULL, model=model, image=image, train=train, progress=advance
        )  # fmt: skip
    names = results["models"]
    rows = [["", "the paper", *names]]
    for row in results["table"]:
        ours = [f"{shown(row['values'][name], row['unit'])} {_mark(row['verdicts'][name])}".rstrip() for name in names]
        rows.append([row["quantity"], shown(row["paper"], row["unit"]), *ours])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.print(line.rstrip(), highlight=False)
    more = ", ".join(["report.html", "results.json", "figures", *results["videos"]])
    note(f"\nwrote {output}: {more}{' (a quick run)' if quick else ''}")
    note(f"next: open {output / 'report.html'} in a browser")


def _mark(verdict: str) -> str:
    return "" if verdict == "not applicable" else f"({verdict})"
