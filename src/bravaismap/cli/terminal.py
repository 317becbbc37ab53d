"""What the commands show on the terminal: tables and paragraphs, progress bars, warnings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from bravaismap.result.phase_map import PhaseMap

__all__ = ["err", "out", "print_classification", "progress", "show_warning", "stages"]

#: Standard output, and standard error for progress, warnings and errors.
out = Console(soft_wrap=True)
err = Console(stderr=True)


def show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Show a warning that is meant for the user in one line; stands in for `warnings.showwarning`."""
    if issubclass(category, UserWarning):
        text = f"warning: {' '.join(str(message).split())}"
        err.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)


def print_classification(rows: list[tuple[str, PhaseMap, int]]) -> None:
    """Print a table of probabilities, or a paragraph for each image where the terminal is too narrow, and the cells."""
    from rich.table import Table

    from bravaismap.conventions import display_name
    from bravaismap.result.phase_map import percent

    names = [display_name(str(name)) for name in rows[0][1]["lattice"].values]
    table = Table("image", "phase", *names)
    cells = []
    for name, result, i in rows:
        probability, spread = result["probability"].values[i], result["probability_std"].values[i]
        cells.append([percent(p, s) for p, s in zip(probability, spread, strict=True)])
        table.add_row(name, names[int(result["label"].values[i])], *cells[-1])
    wide = Console(width=None if out.is_terminal else 200)
    narrow = Console(width=1000).measure(table).maximum > wide.width
    if not narrow:
        wide.print(table)
    for (name, result, i), shares in zip(rows, cells, strict=True):
        lines = []
        if narrow:
            lines.append("probable   " + ", ".join(f"{n} {share}" for n, share in zip(names, shares, strict=True)))
        if "basis" in result:
            from bravaismap.phases.verdict import cell_lines

            lines += cell_lines(result.isel(image=i))
        if lines:
            _print_paragraph(f"\n{name}" + (f": {names[int(result['label'].values[i])]}" if narrow else ""), lines)


def _print_paragraph(title: str, lines: list[str]) -> None:
    from textwrap import wrap

    out.print(title, highlight=False, markup=False)
    width = min(max(out.width, 60), 100) if out.is_terminal else 100
    for line in lines:
        whole = line.replace(" ± ", "\xa0±\xa0").replace(" %", "\xa0%")  # a line does not end between these
        for part in wrap(whole, width - 2, subsequent_indent=" " * 11):
            out.print("  " + part.replace("\xa0", " "), highlight=False, markup=False)


@contextmanager
def progress(label: str, total: int, unit: str) -> Iterator[Any]:
    """Show a progress bar with rate and time left; yields a function that takes how much is done."""
    with stages(unit) as advance:
        yield lambda done, *_: advance(label, done, total)


@contextmanager
def stages(unit: str = "") -> Iterator[Any]:
    """Show a progress bar per stage; yields a function of the stage's name, how much is done, and of how much."""
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if not task.speed else f"{task.speed:,.0f} {unit}/s".replace(" /", " "))

    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"), Rate(),
        TimeRemainingColumn(),
    )  # fmt: skip
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=err, disable=not err.is_terminal) as bar:

        def advance(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bar.add_task(label, total=total)
            bar.update(tasks[label], completed=done)

        yield advance
