"""Variables as they are stored: the frames of complete blocks in the arrays, the latest ones in files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from bravaismap.result.checksum import readable_frames
from bravaismap.result.frame_files import FrameFiles
from bravaismap.result.schema import DONE
from bravaismap.result.zarr_store import array_of, open_group

__all__ = ["StoredVariable", "marked_frames", "written_frames"]


class StoredVariable:
    """A variable of a store that may still be written, which is sliced as an array is.

    Parameters
    ----------
    array : zarr array, shape (time, ...)
    store : Path
        The ``.zarr`` folder.
    """

    def __init__(self, array: zarr.Array[Any], store: Path) -> None:
        self._array, self._files = array, FrameFiles(store)
        self._name = array.basename
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return a part; a frame that is written nowhere is what the array holds where nothing was written."""
        key = key if isinstance(key, tuple) else (key,)
        numbers = np.arange(self.shape[0])[key[0]]
        frames = np.atleast_1d(numbers)
        # the files before the array: a frame has no file any more only after the array has it
        in_files = {int(index): self._frame(int(index)) for index in np.intersect1d(self._files.numbers(), frames)}
        if len(frames) == 1 and (only := in_files.get(int(frames[0]))) is not None:
            values = only[None]
        else:
            values = self._in_array(frames)
            for place, index in enumerate(frames):
                if (frame := in_files.get(int(index))) is not None:
                    values[place] = frame
        return values[(0 if numbers.ndim == 0 else slice(None), *key[1:])]

    def _in_array(self, frames: NDArray[np.intp]) -> NDArray[Any]:
        """Return frames as the array has them."""
        if len(frames) > 0 and (np.diff(frames) == 1).all():
            return np.asarray(self._array[int(frames[0]) : int(frames[-1]) + 1])
        return np.asarray(self._array.oindex[frames])

    def __len__(self) -> int:
        return int(self.shape[0])

    def _frame(self, index: int) -> NDArray[Any] | None:
        """Return a frame from its file, if that holds one of this variable."""
        values = self._files.variable(index, self._name)
        fits = values is not None and values.shape == self.shape[1:] and values.dtype == self.dtype
        return values if fits else None


def written_frames(path: Path) -> NDArray[np.bool_]:
    """Return which frames of a result that `map` writes are written, in the arrays or in files of their own."""
    files = FrameFiles(path)
    numbers = files.numbers()
    written = marked_frames(array_of(open_group(path, "r"), DONE))
    # frames leave the files for the arrays, or the other way round, while this looks
    written[[index for index in {*numbers, *files.numbers()} if index < len(written)]] = True
    return written


def marked_frames(marks: zarr.Array[Any]) -> NDArray[np.bool_]:
    """Return which frames are marked as done, as far as the marks can be read."""
    frames = readable_frames({DONE: marks}, 0, marks.shape[0])
    return np.array([mark is not None and mark[DONE] == 1 for mark in frames], bool)
