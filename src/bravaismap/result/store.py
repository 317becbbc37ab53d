"""A result as it is mapped: a store whose frames are written one by one, in any order.

A frame is complete when its mark in `frame_done` is set, which is written after all variables of the frame and their
checksum. So a store that a crash leaves behind tells which frames it holds, and can be continued.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from bravaismap.errors import OutputError, warn
from bravaismap.result.card import card_difference, card_of, set_card
from bravaismap.result.checksum import frame_checksum, intact_frames, readable_frames
from bravaismap.result.chunks import plain_chunks, write_chunk
from bravaismap.result.schema import CHECKSUM, DONE, Variable, map_variables, write_order
from bravaismap.result.zarr_store import (
    CONTINUED,
    array_of,
    consolidate,
    create_store,
    locked,
    open_group,
    put,
    remove_leftovers,
    remove_unfinished,
    write_axes,
    writing,
)

__all__ = ["ResultStore"]


class ResultStore:
    """The store of a result that is being mapped, with one writer at a time.

    Use it in a ``with`` block, or `close` it; the end of the object or of the process closes it too.

    Parameters
    ----------
    path : Path
        The ``.zarr`` folder.
    coords : mapping of str to DataArray
        ``time``, ``y``, ``x`` with their ``units``, and ``lattice`` (class names).
    card : mapping
        The run card. A result that exists is continued when its card is the same; its frames are verified first. One
        that is complete is left as it is.
    overwrite : bool
        Replace a result that exists.
    variables : iterable of Variable, optional
        Those of a map without cells when not given.

    Attributes
    ----------
    done : bool array, shape (time,)
        Whether each frame is written.

    Raises
    ------
    OutputError
        If the path cannot be written, is being written by another, holds something else, or a result with another
        run card (the difference is named).

    Warns
    -----
    UserWarning
        If frames of a result that is continued are damaged; they are no longer `done`.
    """

    def __init__(
        self,
        path: Path,
        coords: Mapping[str, xr.DataArray],
        card: Mapping[str, Any],
        *,
        overwrite: bool = False,
        variables: Iterable[Variable] | None = None,
    ) -> None:
        self.path = path
        held = map_variables(cells=False) if variables is None else tuple(variables)
        with locked(path) as self._lock:
            remove_leftovers(path)
            self._created = overwrite or not path.exists()
            if self._created:
                create_store(path, coords, card, held)
            self._group = open_group(path, "r+")
            if not self._created:
                self._refuse_other(card)
            self._open(held)
            if not self._created:
                self._continue(coords, card)

    def __enter__(self) -> ResultStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock, so that others can write."""
        self._lock.release()

    def write_frame(self, index: int, variables: Mapping[str, NDArray[Any]]) -> None:
        """Write the variables of a frame, then their checksum, then its mark."""
        values = {name: np.asarray(variables[name], array.dtype) for name, array in self._arrays.items()}
        with writing(self.path, CONTINUED):
            for name, array in self._arrays.items():
                self._put(name, array, index, values[name])
            self._put(CHECKSUM, self._checksum, index, frame_checksum(values))
            self._put(DONE, self._mark, index, 1)
        self.done[index] = True

    def _put(self, name: str, array: zarr.Array[Any], index: int, values: Any) -> None:
        """Write a frame of an array, the short way if it is laid out as one that is made today."""
        compressor = self._compressors[name]
        if compressor is None:
            put(array, index, values)
        else:
            write_chunk(self.path / name, array, compressor, index, values)

    def verify(self) -> list[int]:
        """Compare the written frames with their checksums, and unmark those that differ.

        Returns
        -------
        list of int
            Numbers of the damaged frames, which are no longer marked as done.
        """
        wrong = self.done & ~intact_frames(self._arrays, self._checksum, self.done)
        damaged = [int(index) for index in np.flatnonzero(wrong)]
        for index in damaged:
            put(self._mark, index, 0)
        self.done &= ~wrong
        return damaged

    def discard_if_empty(self) -> None:
        """Remove a store that this object has created and that holds no frame yet."""
        if self._created and not self.done.any():
            shutil.rmtree(self.path, ignore_errors=True)

    def _refuse_other(self, card: Mapping[str, Any]) -> None:
        """Raise `OutputError` if the store was made by another run."""
        difference = card_difference(card_of(self._group, self.path), card)
        if difference:
            raise OutputError(
                f"{self.path} exists and was made differently ({difference}); give --overwrite or another output"
            )

    def _open(self, variables: Iterable[Variable]) -> None:
        try:
            self._arrays = {v.name: array_of(self._group, v.name) for v in write_order(variables)}
            self._checksum, self._mark = (array_of(self._group, name) for name in (CHECKSUM, DONE))
        except (KeyError, ValueError, TypeError) as error:
            raise OutputError(f"{self.path} exists and is damaged ({error}); give --overwrite") from error
        stored = self._arrays | {CHECKSUM: self._checksum, DONE: self._mark}
        self._compressors = {name: plain_chunks(array) for name, array in stored.items()}
        marks = readable_frames({DONE: self._mark}, 0, self._mark.shape[0])
        self.done = np.array([mark is not None and mark[DONE] == 1 for mark in marks], bool)

    def _continue(self, coords: Mapping[str, xr.DataArray], card: Mapping[str, Any]) -> None:
        damaged = self.verify()
        if damaged:
            named = ", ".join(map(str, damaged[:5])) + (", …" if len(damaged) > 5 else "")
            which = "1 frame is" if len(damaged) == 1 else f"{len(damaged)} frames are"
            warn(f"{self.path}: {which} damaged (frame {named}: not what was written), mapped again")
        write_axes(self._group, coords)
        if self.done.all():
            return
        remove_unfinished(self.path, self._arrays, self.done)
        set_card(self._group, card)
        consolidate(self.path)
