"""Files of single frames: all variables of a frame in one file, until its block is complete and goes to the arrays.

A file is there whole or not at all. It is a safetensors file with the checksum of the frame, which tells whether it
still holds what was written to it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save, save_file

from bravaismap.files import patiently
from bravaismap.result.checksum import frame_checksum
from bravaismap.result.schema import CHECKSUM, DONE

__all__ = ["FrameFiles"]

_ENDING = ".safetensors"


class FrameFiles:
    """The files of the frames of a store that its arrays do not hold yet.

    Parameters
    ----------
    store : Path
        The ``.zarr`` folder.
    """

    def __init__(self, store: Path) -> None:
        self.folder = store / DONE  # no reader of zarr looks for others among the parts of an array

    def numbers(self) -> list[int]:
        """Return the numbers of the frames that have a file, in order."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return []
        stems = [name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)]
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def write(self, index: int, values: Mapping[str, NDArray[Any]]) -> int:
        """Write the variables of a frame, and return their checksum."""
        checksum = frame_checksum(values)
        # safetensors takes what lies in memory in this order and no other
        _put(self._path(index), {name: np.asarray(array, order="C") for name, array in values.items()}, checksum)
        return checksum

    def read(self, index: int) -> dict[str, NDArray[Any]] | None:
        """Return the variables of a frame; None if it has no file, or one that is damaged."""
        with suppress(OSError, SafetensorError, ValueError, KeyError), safe_open(self._path(index), "np") as file:
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return values if self._checksum(file) == frame_checksum(values) else None
        return None

    def variable(self, index: int, name: str) -> NDArray[Any] | None:
        """Return one variable of a frame, which is not compared with the checksum; None as of `read`."""
        with suppress(OSError, SafetensorError), safe_open(self._path(index), "np") as file:
            values: NDArray[Any] = file.get_tensor(name)
            return values
        return None

    def checksum(self, index: int) -> int:
        """Return the checksum of a frame, which `read` has found to be right."""
        with safe_open(self._path(index), "np") as file:
            return self._checksum(file)

    def remove(self, index: int) -> None:
        """Remove the file of a frame, if there is one."""
        patiently(lambda: self._path(index).unlink(missing_ok=True))

    def _path(self, index: int) -> Path:
        return self.folder / f"{index}{_ENDING}"

    @staticmethod
    def _checksum(file: Any) -> int:
        return int((file.metadata() or {})[CHECKSUM])


def _put(path: Path, values: dict[str, NDArray[Any]], checksum: int) -> None:
    """Write a file that appears at its path when it is complete."""
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    about = {CHECKSUM: str(checksum)}
    try:
        try:
            save_file(values, partial, about)
        except SafetensorError:  # which does not say why: writing in Python raises an OSError that does
            partial.write_bytes(save(values, about))
        patiently(lambda: os.replace(partial, path))
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
