"""Blocks of frames: how the frames of a result get into the arrays of its store.

A file for each variable of each frame would be thirty-five files a frame, and a cluster's file system suffers from
their number. So a frame is first written to one file of its own (`bravaismap.result.frame_files`), and when all frames
of a block are there, the block goes to the arrays: each variable of it to one file, in which a frame is one chunk of
its own if it is large. Then the files of the frames are removed. At every moment a frame is in its file or in the
arrays.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from bravaismap.files import patiently
from bravaismap.result.checksum import intact_frames, readable_frames
from bravaismap.result.frame_files import FrameFiles
from bravaismap.result.schema import CHECKSUM, DONE, Variable, write_order
from bravaismap.result.stored import marked_frames
from bravaismap.result.zarr_store import array_of, frames_together, put

__all__ = ["FrameBlocks"]


class FrameBlocks:
    """The frames of a store, which are written one by one, in any order, and gathered in blocks.

    Parameters
    ----------
    path : Path
        The ``.zarr`` folder.
    group : Group
        The same, opened to be written.
    variables : iterable of Variable
        Those of a frame.

    Raises
    ------
    KeyError, ValueError or TypeError
        If the store lacks one of the variables.
    """

    def __init__(self, path: Path, group: zarr.Group, variables: Iterable[Variable]) -> None:
        self.path = path
        self.files = FrameFiles(path)
        held = [v for v in write_order(variables) if v.group != "undone" or v.name in group]  # older ones lack it
        self._arrays = {v.name: array_of(group, v.name) for v in held}
        self._checksums, self._marks = (array_of(group, name) for name in (CHECKSUM, DONE))
        self.length = frames_together(self._marks)

    def write(self, index: int, values: Mapping[str, Any]) -> None:
        """Write a frame to a file of its own."""
        typed = {name: np.asarray(values[name], array.dtype) for name, array in self._arrays.items()}
        for name, array in self._arrays.items():
            if typed[name].shape != array.shape[1:]:
                raise ValueError(f"a frame of shape {typed[name].shape} for {name} of {array.shape}")
        self.files.write(index, typed)

    def marked(self) -> NDArray[np.bool_]:
        """Return which frames the arrays hold, as far as their marks can be read."""
        return marked_frames(self._marks)

    def intact(self, written: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which of these frames the arrays hold as their checksums say."""
        return intact_frames(self._arrays, self._checksums, written)

    def gather(self, block: int) -> None:
        """Move a block of frames from files of their own to the arrays."""
        first, last = self._range(block)
        if np.asarray(self._marks[first:last]).any():
            self._take_apart(block, self.marked())
        numbers = [index for index in self.files.numbers() if first <= index < last]
        for name, array in self._arrays.items():
            values = np.full((last - first, *array.shape[1:]), array.fill_value, array.dtype)
            for index in numbers:
                frame = self.files.variable(index, name)
                if frame is None:
                    raise OSError(f"frame {index} cannot be read again")
                values[index - first] = frame
            put(array, slice(first, last), values)
        checksums, marks = np.zeros(last - first, np.uint32), np.zeros(last - first, np.uint8)
        for index in numbers:
            checksums[index - first], marks[index - first] = self.files.checksum(index), 1
        put(self._checksums, slice(first, last), checksums)
        put(self._marks, slice(first, last), marks)
        for index in numbers:
            self.files.remove(index)

    def gather_all(self) -> None:
        """Gather every block of which a frame has a file."""
        for block in sorted({index // self.length for index in self.files.numbers()}):
            self.gather(block)

    def settle(self, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Bring a store that an earlier run has left into order; no other may write to it.

        What is half written is removed. A block of which the arrays hold some frames only is taken apart, so that each
        of them has a file again; one whose frames all have files is gathered.

        Parameters
        ----------
        kept : bool array, shape (time,)
            Which frames the arrays hold, and hold right.

        Returns
        -------
        bool array, shape (time,)
            Which frames are written.
        """
        self._remove_partial()
        written = kept.copy()
        for index in self.files.numbers():
            if index < len(written) and self.files.read(index) is not None:
                written[index] = True
            else:
                self.files.remove(index)
        with_files = {index // self.length for index in self.files.numbers()}
        for block in range(-(-len(kept) // self.length)):
            first, last = self._range(block)
            if kept[first:last].all() and block not in with_files:
                continue
            self._take_apart(block, kept)
            if written[first:last].all():
                self.gather(block)
        return written

    def _take_apart(self, block: int, kept: NDArray[np.bool_]) -> None:
        """Move the frames of a block that are kept to files of their own, and remove the block from the arrays."""
        first, last = self._range(block)
        present = set(self.files.numbers())
        lost = [index for index in range(first, last) if kept[index] and index not in present]
        for index in lost:
            (values,) = readable_frames(self._arrays, index, index + 1)
            if values is not None:
                self.files.write(index, values)
        for name in (*self._arrays, CHECKSUM, DONE):
            chunk = self.path / name / "c" / str(block)
            if chunk.is_dir():
                shutil.rmtree(chunk)
            else:
                patiently(lambda chunk=chunk: chunk.unlink(missing_ok=True))  # type: ignore[misc]

    def _remove_partial(self) -> None:
        """Remove the files that a killed process has not given their names, but for those within blocks."""
        for pattern in ("*.partial", "*/*.partial", "*/c/*.partial", f"{DONE}/.tmp*"):
            for file in self.path.glob(pattern):
                with suppress(OSError):
                    file.unlink()

    def _range(self, block: int) -> tuple[int, int]:
        first = block * self.length
        return first, min(first + self.length, self._marks.shape[0])
