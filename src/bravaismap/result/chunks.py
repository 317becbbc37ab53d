"""Chunks: the file that holds one frame of a stored array, the same bytes that zarr writes, without its detours.

Zarr hands each chunk from thread to thread several times, 2 ms for each of the variables of a frame, and more while
another thread computes in Python. What a chunk holds is the values in little-endian order, compressed by Zstandard.
"""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs.zstd import Zstd
from numpy.typing import ArrayLike, NDArray
from zarr.codecs import BytesCodec, Endian, ZstdCodec
from zarr.core.metadata import ArrayV3Metadata

from bravaismap.files import patiently

__all__ = ["plain_chunks", "write_chunk"]


def plain_chunks(array: zarr.Array[Any]) -> Zstd | None:
    """Return what compresses the chunks of an array if each is one frame, laid out as here is said; None if not."""
    metadata = array.metadata
    if not isinstance(metadata, ArrayV3Metadata) or array.chunks != (1, *array.shape[1:]):
        return None
    match metadata.codecs:
        case (BytesCodec(endian=None | Endian.little), ZstdCodec(level=level, checksum=checksum)):
            return Zstd(level, checksum)
    return None


def write_chunk(folder: Path, array: zarr.Array[Any], compressor: Zstd, index: int, values: ArrayLike) -> None:
    """Write a frame of a stored array: the file is there whole or not at all.

    Parameters
    ----------
    folder : Path
        Of the array.
    array : zarr array, shape (time, ...)
    compressor : Zstd
        As :func:`plain_chunks` returns it.
    index : int
    values : array_like
        Of the shape and type of a frame.
    """
    frame = np.asarray(values, array.dtype.newbyteorder("<"), order="C")
    if frame.shape != array.shape[1:]:
        raise ValueError(f"a frame of shape {frame.shape} for an array of {array.shape}")
    path = folder.joinpath("c", str(index), *("0" for _ in frame.shape))
    if _is_fill(frame, array.fill_value):
        with suppress(FileNotFoundError):
            patiently(path.unlink)
        return
    _put(path, compressor.encode(frame))


def _put(path: Path, content: bytes) -> None:
    """Write a file that appears at its path when it is complete."""
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.write_bytes(content)
        patiently(lambda: os.replace(partial, path))
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _is_fill(frame: NDArray[Any], fill: Any) -> bool:
    """Whether a frame is what a reader takes where there is no file."""
    return np.array_equal(frame, np.full_like(frame, fill), equal_nan=frame.dtype.kind == "f") and not (
        frame.dtype.kind == "f" and bool((np.signbit(frame) != np.signbit(fill))[~np.isnan(frame)].any())
    )
