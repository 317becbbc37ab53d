"""Files written atomically: at a path there is the old file or the new one, never a part of one."""

from __future__ import annotations

import csv
import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from bravaismap.conventions import FIGURE_DPI
from bravaismap.errors import OutputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "TEXT_AS_TEXT",
    "Destination",
    "advice",
    "made_folder",
    "patiently",
    "put_in_place",
    "remove",
    "replacing",
    "save_figure",
    "texts",
    "write_atomically",
    "write_table",
]

#: Whether a file that a program has open can be neither replaced nor removed by another.
WINDOWS: Final = os.name == "nt"

#: Settings of Matplotlib with which text in vector figures is text, to be searched and edited, not outlines.
TEXT_AS_TEXT: Final[dict[Any, Any]] = {"svg.fonttype": "none", "pdf.fonttype": 42}
_PATIENCE = 1.0  # s for which a reader or a virus scanner may keep a file open
_PAUSE = 0.02  # s between two tries

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Destination:
    """A folder in which the name of every file begins with that of the result it belongs to.

    It is given wherever a folder is, so that files of two results in one folder never have the same name.

    Attributes
    ----------
    folder : Path
    stem : str
        Name of the result; names stay as they are without one.
    """

    folder: Path
    stem: str = ""

    def __fspath__(self) -> str:
        """Return the path of the folder."""
        return os.fspath(self.folder)

    def __truediv__(self, name: str) -> Path:
        """Return the path of a file: ``film_fractions.csv`` for ``fractions.csv`` of film."""
        return self.folder / (f"{self.stem}_{name}" if self.stem else name)


def save_figure(figure: Figure, stem: Path, endings: Iterable[str], dpi: int = FIGURE_DPI) -> list[Path]:
    """Write a figure once for each ending, with text as text in PDF and SVG, and return the paths."""
    from matplotlib import rc_context

    paths = [stem.with_name(stem.name + ending) for ending in endings]
    for path in paths:
        with replacing(path) as temporary, rc_context(TEXT_AS_TEXT):
            figure.savefig(temporary, dpi=dpi, bbox_inches="tight", pad_inches=0.05)
    return paths


def write_table(path: Path, rows: Iterable[list[str]]) -> Path:
    """Write rows as CSV, and return the path."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def made_folder(folder: str | os.PathLike[str]) -> Destination:
    """Make a folder, if need be, and return it as a destination."""
    target = folder if isinstance(folder, Destination) else Destination(Path(folder))
    with advice(target.folder):
        target.folder.mkdir(parents=True, exist_ok=True)
    return target


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a file or folder, which replaces `path` at the end, or is removed after an error."""
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        with advice(path):
            yield temporary
            put_in_place(temporary, path)
    finally:
        with suppress(OSError):
            remove(temporary)


def patiently(action: Callable[[], Answer]) -> Answer:
    """Replace, rename or remove a file, and try again for a second where Windows refuses because it is open elsewhere.

    On other systems an open file can be replaced, and a refusal is final.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return action()
        except PermissionError:
            if not WINDOWS or time.monotonic() > end:
                raise
        time.sleep(_PAUSE)


def put_in_place(whole: Path, target: Path) -> None:
    """Move a complete file or folder to its path.

    A folder takes the place of a folder, which is moved aside first, as it cannot be replaced. A file does not: what is
    in the folder is nobody's to remove.

    Raises
    ------
    IsADirectoryError
        If the file is to be where a folder is.
    """
    if target.is_dir() and whole.is_file():
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(target))
    if not target.is_dir():
        patiently(lambda: whole.replace(target))
        return
    aside = target.with_name(f".{target.stem}.{uuid.uuid4().hex[:8]}.old")
    patiently(lambda: target.rename(aside))
    try:
        patiently(lambda: whole.rename(target))
    except OSError:
        aside.rename(target)
        raise
    remove(aside)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        patiently(lambda: path.unlink(missing_ok=True))


@contextmanager
def advice(path: Path) -> Iterator[None]:
    """Turn a failure to write `path` into an `OutputError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "free some space, or choose a folder on another disk"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            remedy = "choose a folder you may write to, or close the program that has the file open"
        else:
            remedy = "choose another folder or name"
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); {remedy}") from error


def texts(values: np.ndarray) -> list[str]:
    """Return each number in the fewest digits that restore it, whole numbers without a point, NaN as empty text."""
    return ["" if value != value else str(value).removesuffix(".0") for value in np.asarray(values)]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that appears at its path only when it is complete, or raise `OutputError`."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        patiently(lambda: os.replace(partial, path))
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        remedy = "give a folder that can be written to"
        if isinstance(error, PermissionError):
            remedy += ", or close the program that has the file open"
        raise OutputError(f"{path}: {error.strerror or error}; {remedy}") from error
