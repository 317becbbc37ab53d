"""Where the frames of a live run come from: a folder in which images appear, or one file that grows."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from bravaismap.classify.settings import PATIENCE, SETTLE
from bravaismap.errors import InputError, warn
from bravaismap.live.arrivals import Arrivals, Stamp
from bravaismap.live.growing import GrowingStack
from bravaismap.read.reading import FORMATS, read

__all__ = ["FolderSource", "StackSource"]

Begun = TypeVar("Begun")


class FolderSource:
    """A folder whose images are classified in natural order, as they become complete.

    Parameters
    ----------
    folder : Path
    pattern : str
        Pattern of the names of files, for example ``"*.tif"``.
    settle, patience : float
        See :class:`bravaismap.live.arrivals.Arrivals`.
    options
        Those of :func:`bravaismap.read`: ``dataset``, ``channel``, ``crop``, ``bin``, ``pixel_size``.

    Attributes
    ----------
    place : Path
        Where the folder is, from whatever folder it is looked for.
    pixel_size : float or None
        Side in nm of the pixels that are classified, if it is given.
    waiting : int
        Number of frames that were ready when the last one was begun, with it.
    """

    def __init__(
        self, folder: Path, pattern: str = "*", settle: float = SETTLE, patience: float = PATIENCE, **options: Any
    ) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; make it first, or give --follow FILE for a stack")
        self.folder, self._pattern, self._options = folder, pattern, options
        self.place = folder.expanduser().absolute()
        self._arrivals = Arrivals(settle, patience)
        self._listed: dict[str, Stamp] = {}
        self._tried: tuple[str, Stamp] | None = None
        self.pixel_size = _given_size(options)
        self.waiting = 0

    def __str__(self) -> str:
        return str(self.folder)

    def ready(
        self, taken: Collection[str], now: float, begin: Callable[[xr.DataArray], Begun]
    ) -> Iterator[tuple[str, Begun]]:
        """Begin each new frame and yield its name and what was begun; stop at a file that is not complete yet."""
        self._listed = self._listing()
        names = self._arrivals.ready(self._listed, now)
        for left, name in zip(range(len(names), 0, -1), names, strict=True):
            self.waiting = left
            if name in taken:
                self._arrivals.finish(name)
                continue
            try:
                movie = read(self.folder / name, **self._options)
                for i in range(len(movie)):
                    key = name if len(movie) == 1 else f"{name} [{i}]"
                    if key not in taken:
                        yield key, begin(movie[i])
            except (InputError, FileNotFoundError) as error:
                if not self._arrivals.fail(name, now):
                    return
                warn(f"left out: {error}")
            else:
                self._arrivals.finish(name)

    def early(self, taken: Collection[str]) -> xr.DataArray | None:
        """Return the frame of the next file before it counts as complete, once for each state of it; None if not."""
        name = self._arrivals.following(self._listed)
        if name is None or name in taken or self._tried == (name, self._listed[name]):
            return None
        self._tried = name, self._listed[name]
        with suppress(InputError, FileNotFoundError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what there is to say is said when it is complete
            movie = read(self.folder / name, **self._options)
            return movie[0] if len(movie) == 1 else None
        return None

    def waits(self) -> bool:
        """Tell whether a file is there that is neither classified nor left out."""
        return self._arrivals.waits(self._listing())

    def _listing(self) -> dict[str, Stamp]:
        stamps = {}
        with os.scandir(self.folder) as entries:
            new = [entry for entry in entries if not self._arrivals.is_done(entry.name)]
        for entry in new:
            kind = Path(entry.name).suffix[1:].lower()
            if not entry.name.startswith(".") and kind in FORMATS and fnmatch(entry.name, self._pattern):
                try:
                    stamp = _stamp(self.folder / entry.name)
                except OSError:  # gone again
                    continue
                if entry.is_file():
                    stamps[entry.name] = stamp
        return stamps


class StackSource:
    """A file that grows, whose frames are classified as they become complete.

    Parameters
    ----------
    path : Path
    dataset : str, optional
        Name of the array in a file with several.
    settle : float
        Seconds for which the file must not have changed before its last frame counts as complete.
    options
        Those of :class:`bravaismap.live.growing.GrowingStack`: ``pixel_size``, ``crop``, ``bin``.

    Attributes
    ----------
    place, pixel_size, waiting
        As of a :class:`FolderSource`.
    """

    def __init__(self, path: Path, dataset: str | None = None, settle: float = SETTLE, **options: Any) -> None:
        self.path, self._settle = path, settle
        self.place = path.expanduser().absolute()
        self._stack = GrowingStack(path, dataset, **options)
        self.pixel_size = _given_size(options)
        self.waiting = 0
        self._tried: Stamp | None = None
        self._stamp, self._since = Stamp(0, 0), 0.0

    def __str__(self) -> str:
        return str(self.path)

    def ready(
        self, taken: Collection[str], now: float, begin: Callable[[xr.DataArray], Begun]
    ) -> Iterator[tuple[str, Begun]]:
        """Begin each new frame and yield its name and what was begun; the last one waits until the file has settled."""
        if not self.path.exists():
            return
        stamp = _stamp(self.path)
        if stamp != self._stamp:
            self._stamp, self._since = stamp, now
        settled = now - self._since >= self._settle
        count, index = self._stack.length(), len(taken)
        frame = self._stack.frame(index) if index < count else None
        while frame is not None:
            following = self._stack.frame(index + 1) if index + 1 < count else None
            complete = settled and not _is_blank(frame)
            if not complete and (following is None or _is_blank(following)):
                return
            self.waiting = count - index
            yield f"{self.path.name} [{index}]", begin(frame)
            index, frame = index + 1, following

    def early(self, taken: Collection[str]) -> xr.DataArray | None:
        """Return the last frame before it counts as complete, once for each state of the file; None if not."""
        if self._tried == self._stamp or not self.path.exists():
            return None
        self._tried = self._stamp
        index = len(taken)
        frame = self._stack.frame(index) if index < self._stack.length() else None
        return None if frame is None or _is_blank(frame) else frame

    def waits(self) -> bool:
        """Tell whether a file is waited for: never, since a stack is one file."""
        return False


def _given_size(options: dict[str, Any]) -> float | None:
    """Return the side in nm of the pixels that are classified, if it is given, from the options of a source."""
    size: float | None = options.get("pixel_size")
    return size and size * options.get("bin", 1)


def _stamp(path: Path) -> Stamp:
    """Return the size and the time of the last change of a file; `OSError` if it is not there."""
    state = path.stat()
    return Stamp(state.st_size, state.st_mtime_ns)


def _is_blank(frame: xr.DataArray) -> bool:
    """Tell whether nothing has been written to a frame yet."""
    values = np.asarray(frame)
    return bool(values.max() == values.min())
