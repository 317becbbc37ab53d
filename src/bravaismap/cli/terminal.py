"""Output on the terminal: tables and paragraphs, progress bars, warnings, or one JSON object."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bravaismap.errors import BravaismapWarning

if TYPE_CHECKING:
    from rich.table import Table

    from bravaismap.result.phase_map import PhaseMap

__all__ = [
    "be_quiet",
    "err",
    "note",
    "opening",
    "out",
    "print_classification",
    "print_error",
    "print_json",
    "print_table",
    "progress",
    "show_warning",
    "stages",
    "write_unicode",
]

_UNLIMITED = 10_000  # columns: where nobody watches, a line is never too long
_quiet = False
_held: list[str] = []  # what was read, until there is an answer


class _Answers(Console):
    """Standard output; what was read is said before the first answer."""

    def print(self, *objects: Any, **options: Any) -> None:
        _say_held()
        super().print(*objects, **options)


#: Standard output, and standard error for progress, warnings and errors.
out = _Answers(soft_wrap=True)
err = Console(stderr=True)


def write_unicode() -> None:
    """Have ± and σ written as UTF-8 where the system says otherwise, as Windows does of a file or a pipe."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(encoding="utf-8")


def opening(text: str) -> None:
    """Say on standard error what was read: at once on a terminal, else before the first answer or warning.

    A command that fails writes one line alone to where nobody watches, which says what to do.
    """
    if not _quiet:
        _held.append(text)
        if err.is_terminal:
            _say_held()


def _say_held() -> None:
    while _held:
        err.print(_held.pop(0), highlight=False, markup=False, soft_wrap=True)


def be_quiet(value: bool = True) -> None:
    """Show answers, warnings and errors alone from now on, or again all there is."""
    global _quiet
    _quiet = value
    _held.clear()


def note(text: str) -> None:
    """Print a line that is no answer: what was written, what comes next."""
    if not _quiet:
        out.print(text, highlight=False, markup=False, soft_wrap=True)


def print_table(table: Table) -> None:
    """Print a table: as wide as it is into a file or a pipe, as wide as the terminal on one."""
    (out if out.is_terminal else _Answers(width=_UNLIMITED)).print(table)


def print_json(answer: dict[str, Any]) -> None:
    """Print an answer as one JSON object; a number that is none is null."""
    out.file.write(json.dumps(_plain(answer), ensure_ascii=False, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    """Return what JSON can hold."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """Show a warning that is meant for the user in one line; stands in for `warnings.showwarning`."""
    if issubclass(category, BravaismapWarning):
        _say_held()
        text = f"warning: {' '.join(str(message).split())}"
        err.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)


def print_error(message: str) -> None:
    """Print an error for the user in one line."""
    err.print(f"error: {' '.join(message.split())}", style="red", highlight=False, markup=False, soft_wrap=True)


#: What ± stands for in a table of probabilities; of the shares that a map prints it is another σ.
_WHICH_SIGMA = "± is the σ of a probability: what the noise of the image leaves open"


def print_classification(rows: list[tuple[str, PhaseMap, int]]) -> None:
    """Print a table of probabilities, or a paragraph for each image where the terminal is too narrow, and the cells."""
    from rich.table import Table

    from bravaismap.conventions import NOT_MEASURED, UNMAPPED, display_name
    from bravaismap.result.phase_map import percent

    names = [display_name(str(name)) for name in rows[0][1]["lattice"].values]
    table = Table("image", "phase", *names, caption_justify="left", caption_style="")
    cells: list[list[str]] = []
    labels: list[str] = []
    for name, result, i in rows:
        probability, spread = result["probability"].values[i], result["probability_std"].values[i]
        cells.append([percent(p, s) for p, s in zip(probability, spread, strict=True)])
        label = int(result["label"].values[i])
        if label == UNMAPPED:
            cells[-1] = [""] * len(names)
        labels.append(NOT_MEASURED if label == UNMAPPED else names[label])
        table.add_row(name, labels[-1], *cells[-1])
    if any("±" in share for shares in cells for share in shares):
        table.caption = _WHICH_SIGMA
    narrow = out.is_terminal and Console(width=_UNLIMITED).measure(table).maximum > out.width
    if not narrow:
        print_table(table)
    for (name, result, i), label_name, shares in zip(rows, labels, cells, strict=True):
        lines = []
        if narrow and label_name != NOT_MEASURED:
            lines.append("probable   " + ", ".join(f"{n} {share}" for n, share in zip(names, shares, strict=True)))
        if "basis" in result and label_name != NOT_MEASURED:
            from bravaismap.phases.verdict import cell_lines

            lines += cell_lines(result.isel(image=i))
        if lines:
            _print_paragraph(f"\n{name}" + (f": {label_name}" if narrow else ""), lines)


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
    with Progress(*columns, console=err, disable=_quiet or not err.is_terminal) as bar:

        def advance(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bar.add_task(label, total=total)
            bar.update(tasks[label], completed=done)

        yield advance
