"""Checksums of frames, which tell whether a store still holds what was written to it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["frame_checksum", "intact_frames", "readable_frames"]

_READ_BYTES = 2**24  # of frames read together


def frame_checksum(variables: Mapping[str, NDArray[Any]]) -> int:
    """Return the CRC-32 of the names and values of the variables of a frame; all NaN count as equal."""
    crc = 0
    for name in sorted(variables):
        values = np.array(variables[name], order="C")
        if values.dtype.kind == "f":
            values[np.isnan(values)] = np.nan
        crc = zlib.crc32(name.encode(), crc)
        crc = zlib.crc32(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes(), crc)
    return crc


def intact_frames(arrays: Mapping[str, Any], checksums: Any, written: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which frames agree with their checksums.

    Parameters
    ----------
    arrays : mapping of str to array
        Stored variables, the first axis time.
    checksums : array, shape (time,)
        Checksums by `frame_checksum` when the frames were written.
    written : bool array, shape (time,)
        Which frames to look at.

    Returns
    -------
    bool array, shape (time,)
        Whether each of these frames is readable and agrees with its checksum.
    """
    stored = {**arrays, "": checksums}
    together = max(1, _READ_BYTES // max(1, sum(array.nbytes for array in stored.values()) // max(1, len(written))))
    intact = np.zeros(len(written), bool)
    for first in range(0, len(written), together):
        last = min(first + together, len(written))
        if not written[first:last].any():
            continue
        for index, frame in enumerate(readable_frames(stored, first, last), first):
            intact[index] = written[index] and frame is not None and frame.pop("") == frame_checksum(frame)
    return intact


def readable_frames(arrays: Mapping[str, Any], first: int, last: int) -> list[dict[str, NDArray[Any]] | None]:
    """Return the frames from `first` to before `last` of some arrays, None for one that cannot be read."""
    try:
        values = {name: np.asarray(array[first:last]) for name, array in arrays.items()}
    except MemoryError:
        raise
    except Exception:  # on damaged bytes the decoders raise errors of any kind
        if last - first == 1:
            return [None]
        middle = (first + last) // 2
        return readable_frames(arrays, first, middle) + readable_frames(arrays, middle, last)
    return [{name: value[i] for name, value in values.items()} for i in range(last - first)]
