"""The zarr store of a result: made whole or not at all, locked while it is written, opened only if it is a result.

Every file is written under another name and then renamed, so that a store that a crash leaves behind opens.
The `lattice` axis is stored as small integers with CF `flag_values` and `flag_meanings`, so that any zarr or NetCDF
reader can open it.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from bravaismap.errors import InputError, OutputError
from bravaismap.files import patiently
from bravaismap.result.card import set_card
from bravaismap.result.lock import WriterLock
from bravaismap.result.schema import AXES, DONE, FIXED_SIZES, MARKS, Variable, axes_of

__all__ = [
    "CONTINUED",
    "WRITABLE",
    "array_of",
    "consolidate",
    "create_store",
    "dims_of",
    "frames_together",
    "locked",
    "open_group",
    "remove_leftovers",
    "write_axes",
    "write_problem",
    "writing",
]

_FORMAT = 1
#: Frames whose values of a variable are stored in one file, at most; so many bytes of a variable, before compression,
#: that are held while a block is written. A single frame is a chunk of its own in it above a size, in bytes, at which
#: reading one frame is not slowed by the others.
_MOST_TOGETHER, _BLOCK_BYTES, _SMALL_FRAME = 32, 2**28, 2**16
#: Endings of the folders beside a store while it is made: the new store, and the one that it replaces.
_LEFTOVERS = (".partial", ".replaced")
#: Remedies where a store cannot be made, and where writing to it cannot go on.
WRITABLE = "give -o a folder that can be written to"
CONTINUED = "the same command continues it"


@contextmanager
def writing(path: Path, remedy: str) -> Iterator[None]:
    """Turn a failure to write to a store into an `OutputError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise OutputError(write_problem(path, error, remedy)) from error


@contextmanager
def locked(path: Path) -> Iterator[WriterLock]:
    """Lock a path, making its folder if need be, while a store there is made or opened to be written.

    The lock outlives the block and is released at its end only if the block fails. Raises `OutputError` if the path
    cannot be written or is being written by another process.
    """
    with writing(path, WRITABLE):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(path)
        try:
            yield lock
        except BaseException:
            lock.release()
            raise


def write_problem(path: Path, error: OSError, remedy: str) -> str:
    """Return in one line why a path cannot be written, and what to do."""
    what = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error)).lower()
    return f"{path}: cannot be written ({what}); {remedy}"


def open_group(path: Path, mode: str) -> zarr.Group:
    """Return an opened store; raises `InputError` if it is not a result, `OutputError` without permission."""
    try:
        group = zarr.open_group(path, mode=mode, zarr_format=3, use_consolidated=False)  # type: ignore[arg-type]
    except PermissionError as error:
        raise OutputError(write_problem(path, error, "check the permissions of the folder")) from error
    except (OSError, ValueError, KeyError, AssertionError) as error:  # the last is zarr 3.1.0's, of an array
        raise InputError(f"{path}: not a result of `bravaismap map`") from error
    if group.attrs.get("format") != _FORMAT or DONE not in group:
        raise InputError(f"{path}: a zarr store, but not a result of `bravaismap map`")
    return group


def array_of(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Return an array of a store; raises KeyError or TypeError if there is none."""
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"{name} is no array")
    return array


def put(array: zarr.Array[Any], index: slice, values: Any) -> None:
    """Write a part of a stored array, which a reader may have open."""
    patiently(lambda: array.__setitem__(index, values))


def frames_together(array: zarr.Array[Any]) -> int:
    """Return how many frames of a stored array are in one file."""
    return int((array.shards or array.chunks)[0])


def dims_of(array: zarr.Array[Any]) -> tuple[str, ...]:
    """Return the dimensions of a stored array."""
    return tuple(str(dim) for dim in getattr(array.metadata, "dimension_names", None) or ())


def create_store(
    path: Path,
    coords: Mapping[str, xr.DataArray],
    card: Mapping[str, Any],
    variables: Iterable[Variable],
    empty_file: str | None = None,
) -> None:
    """Make an empty store, which appears under its name when it is complete, and replaces one that exists.

    `empty_file` is the path within it of a file that must be there from the start. Raises OSError.
    """
    partial, replaced = (path.with_name(f".{path.name}.{os.getpid()}{ending}") for ending in _LEFTOVERS)
    if path.exists():
        _check_result(path)
    try:
        group = zarr.open_group(partial, mode="w", zarr_format=3)
        group.attrs["format"] = _FORMAT
        set_card(group, card)
        write_axes(group, coords)
        _create_arrays(group, coords, (*variables, *MARKS))
        if empty_file is not None:
            (partial / empty_file).touch()
        else:
            consolidate(partial)
        if path.exists():
            patiently(lambda: os.rename(path, replaced))
        patiently(lambda: os.rename(partial, path))
    except OSError:
        if replaced.exists() and not path.exists():
            os.rename(replaced, path)
        raise
    finally:
        for leftover in (partial, replaced):
            shutil.rmtree(leftover, ignore_errors=True)


def _check_result(path: Path) -> None:
    """Raise `OutputError` unless there is a result at a path: anything else is not to be replaced."""
    try:
        open_group(path, "r")
    except InputError as error:
        raise OutputError(f"{path} exists and is not a result of `bravaismap map`; give another output") from error


def consolidate(path: Path) -> None:
    """Consolidate the metadata of all arrays, for `xarray.open_zarr`; their shapes do not change any more."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        patiently(lambda: zarr.consolidate_metadata(str(path), zarr_format=3))


def write_axes(group: zarr.Group, coords: Mapping[str, xr.DataArray]) -> None:
    """Write the coordinates that are missing or damaged."""
    for dim, dtype in AXES.items():
        if dim not in coords:
            continue
        if dim == "lattice":
            attributes = {"long_name": "Bravais lattice"} | _flags(coords)
            values = np.arange(coords[dim].size, dtype=dtype)
        else:
            values, attributes = np.asarray(coords[dim].values, dtype), dict(coords[dim].attrs)
        with suppress(Exception):  # whatever damaged bytes make the decoder raise
            if np.array_equal(array_of(group, dim)[:], values):
                continue
        group.create_array(
            dim, data=values, chunks=values.shape, dimension_names=(dim,), attributes=attributes, overwrite=True
        )


def _flags(coords: Mapping[str, xr.DataArray]) -> dict[str, Any]:
    names = [str(name) for name in coords["lattice"].values]
    return {"flag_values": list(range(len(names))), "flag_meanings": " ".join(names)}


def _create_arrays(group: zarr.Group, coords: Mapping[str, xr.DataArray], variables: Iterable[Variable]) -> None:
    variables = tuple(variables)
    sizes = FIXED_SIZES | {dim: coords[dim].size for dim in axes_of(variables)}
    shapes = {variable.name: tuple(sizes[dim] for dim in variable.dims) for variable in variables}
    largest = max(math.prod(shapes[v.name][1:]) * np.dtype(v.dtype).itemsize for v in variables)
    together = max(1, min(_MOST_TOGETHER, sizes["time"], _BLOCK_BYTES // largest))
    for variable in variables:
        shape = shapes[variable.name]
        group.create_array(
            variable.name,
            shape=shape,
            dtype=variable.dtype,
            **_layout(shape, np.dtype(variable.dtype), together),
            fill_value=variable.missing,
            dimension_names=variable.dims,
            attributes=variable.attributes | (_flags(coords) if variable.is_label else {}),
        )


def _layout(shape: tuple[int, ...], dtype: np.dtype[Any], together: int) -> dict[str, Any]:
    """Return how an array is divided: a file for each block, and in it a chunk for each frame that is large."""
    block = (together, *shape[1:])
    if together == 1 or math.prod(shape[1:]) * dtype.itemsize <= _SMALL_FRAME:
        return {"chunks": block}
    return {"chunks": (1, *shape[1:]), "shards": block}


def remove_leftovers(path: Path) -> None:
    """Remove the folders that a killed process has left beside a store."""
    for entry in path.parent.iterdir():
        if entry.name.startswith(f".{path.name}.") and entry.name.endswith(_LEFTOVERS):
            shutil.rmtree(entry, ignore_errors=True)
