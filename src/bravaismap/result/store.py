"""A result as it is mapped: a store whose frames are written one by one, in any order.

A frame is complete when the file of its own has its name, and later when its mark in `frame_done` is set, which is
written after its block (see `bravaismap.result.blocks`). So a store that a crash leaves behind tells which frames it
holds, and can be continued.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.errors import OutputError, warn
from bravaismap.result.blocks import FrameBlocks
from bravaismap.result.card import card_difference, card_of, set_card
from bravaismap.result.schema import Variable, map_variables
from bravaismap.result.zarr_store import (
    CONTINUED,
    consolidate,
    create_store,
    locked,
    open_group,
    remove_leftovers,
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

    done: NDArray[np.bool_]

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
        """Bring the frames of blocks that are not complete to the arrays, too, and let others write."""
        try:
            with suppress(OSError):  # each of them has a file
                self._blocks.gather_all()
        finally:
            self._lock.release()

    def write_frame(self, index: int, variables: Mapping[str, NDArray[Any]]) -> None:
        """Write the variables of a frame; with the last of its block the block goes to the arrays."""
        with writing(self.path, CONTINUED):
            self._blocks.write(index, variables)
            self.done[index] = True
            block = index // self._blocks.length
            if self.done[block * self._blocks.length : (block + 1) * self._blocks.length].all():
                self._blocks.gather(block)

    def verify(self) -> list[int]:
        """Compare the written frames with their checksums, and put the store in order.

        Returns
        -------
        list of int
            Numbers of the damaged frames, which are no longer marked as done.
        """
        with writing(self.path, CONTINUED):
            intact = self._blocks.settle(self._blocks.intact(self._blocks.marked()))
        damaged = [int(index) for index in np.flatnonzero(self.done & ~intact)]
        self.done = intact
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
            self._blocks = FrameBlocks(self.path, self._group, variables)
        except (KeyError, ValueError, TypeError) as error:
            raise OutputError(f"{self.path} exists and is damaged ({error}); give --overwrite") from error
        self.done = self._blocks.marked()
        self.done[[index for index in self._blocks.files.numbers() if index < len(self.done)]] = True

    def _continue(self, coords: Mapping[str, xr.DataArray], card: Mapping[str, Any]) -> None:
        damaged = self.verify()
        if damaged:
            named = ", ".join(map(str, damaged[:5])) + (", …" if len(damaged) > 5 else "")
            which = "1 frame is" if len(damaged) == 1 else f"{len(damaged)} frames are"
            warn(f"{self.path}: {which} damaged (frame {named}: not what was written), mapped again")
        write_axes(self._group, coords)
        if self.done.all():
            return
        set_card(self._group, card)
        consolidate(self.path)
