"""Arrays written by NumPy and zarr: npy, npz, zarr."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from bravaismap.errors import InputError
from bravaismap.read.signal import Axis, Index, Signal, reading, take

__all__ = ["PREFERRED", "calibrated", "coordinate_axis", "in_memory", "is_zarr", "read_npy", "read_npz", "read_zarr"]

#: Names that are taken first when a file holds several arrays.
PREFERRED = ("image", "images", "movie")


def read_npy(path: Path) -> list[Signal]:
    """Describe the array of a .npy file; pickled objects are refused."""
    with reading(path, "NPY"):
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            if "mmap length" in str(error):
                raise InputError(
                    f"{path}: truncated: {path.stat().st_size} bytes, fewer than its header announces; "
                    "copy or save it again"
                ) from error
            if "Python objects" in str(error):
                raise InputError(f"{path}: an array of Python objects; save an array of numbers") from error
            raise
    return [Signal(path.stem, array.shape, array.dtype, partial(_load_npy, str(path)))]


def _load_npy(path: str, index: Index) -> np.ndarray:
    return np.array(np.load(path, mmap_mode="r", allow_pickle=False)[index])


def read_npz(path: Path) -> list[Signal]:
    """Describe the arrays of a .npz file; ``pixel_size_nm`` and ``frame_time_s`` in it are its calibration."""
    with reading(path, "NPZ (ZIP)"), path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        scalars = ("pixel_size_nm", "frame_time_s")
        size, time = (float(archive[key]) if key in archive.files else None for key in scalars)
        heads = {key: _npz_header(str(path), key)[1:] for key in archive.files if key not in scalars}
    first = next((key for key in PREFERRED if key in heads), None)
    return [
        Signal(
            key,
            shape,
            dtype,
            partial(_load_npz, str(path), key),
            calibrated(len(shape), size, time) if len(shape) in (2, 3) else (),
            preferred=key == first,
        )
        for key, (shape, dtype) in heads.items()
    ]


def _npz_header(path: str, key: str) -> tuple[bool, tuple[int, ...], np.dtype[Any]]:
    with ZipFile(path) as archive, archive.open(_member(archive, key)) as member:
        shape, fortran, dtype = _npy_header(member)
    return fortran, shape, dtype


def _member(archive: ZipFile, key: str) -> str:
    return f"{key}.npy" if f"{key}.npy" in archive.namelist() else key


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(file)
    return tuple(shape), bool(fortran), np.dtype(dtype)


def _load_npz(path: str, key: str, index: Index) -> np.ndarray:
    """Load a part of an array without holding more of it: what comes before is decompressed and dropped."""
    with ZipFile(path) as archive, archive.open(_member(archive, key)) as member:
        shape, fortran, dtype = _npy_header(member)
        start, stop, step = index[0].indices(shape[0])
        if not fortran and step == 1 and stop > start:
            per_row = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
            member.seek(start * per_row, os.SEEK_CUR)
            rows = np.frombuffer(member.read((stop - start) * per_row), dtype).reshape(stop - start, *shape[1:])
            return rows[(slice(None), *index[1:])]
    with np.load(path, allow_pickle=False) as whole:
        return np.asarray(whole[key][index])


def calibrated(ndim: int, size: float | None, time: float | None) -> tuple[Axis, ...]:
    """Return the axes of an image or movie in (time, y, x) order with a pixel size in nm and a frame time in s."""
    pixel = (Axis("y", size, "nm"), Axis("x", size, "nm"))
    return () if size is None and time is None else (Axis("time", time, "s"), *pixel)[-ndim:]


def is_zarr(path: Path) -> bool:
    """Return whether a folder is a zarr store."""
    return path.is_dir() and any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zarray"))


def read_zarr(path: Path) -> list[Signal]:
    """Describe the arrays of a zarr store, which may be one array, or a group such as xarray writes."""
    import zarr

    with reading(path, "zarr"):
        node = zarr.open(str(path), mode="r")
        if isinstance(node, zarr.Array):
            return [_zarr_signal(path, "", node, None)]
        arrays: dict[str, Any] = {}
        _collect(node, "", arrays)
        if "probability" in arrays:
            raise InputError(
                f"{path}: a result of bravaismap, not a movie; open it with open_result, or view it with "
                f"'bravaismap view {path}'"
            )
        coordinates = {name for name, array in arrays.items() if array.ndim < 2}
        first = next((key for key in PREFERRED if key in arrays), None)
        return [
            _zarr_signal(path, name, array, node, preferred=name == first)
            for name, array in arrays.items()
            if name not in coordinates or len(coordinates) == len(arrays)
        ]


def _collect(group: Any, prefix: str, arrays: dict[str, Any]) -> None:
    """Add every array below a zarr group to `arrays` by its path."""
    for name, array in group.arrays():
        arrays[prefix + name] = array
    for name, below in group.groups():
        _collect(below, f"{prefix}{name}/", arrays)


def _zarr_signal(path: Path, name: str, array: Any, group: Any, *, preferred: bool = False) -> Signal:
    attrs = dict(array.attrs)
    dims = getattr(array.metadata, "dimension_names", None) or attrs.get("_ARRAY_DIMENSIONS")
    if dims and group is not None and len(dims) == array.ndim:
        folder = name.rpartition("/")[0]
        axes = tuple(_zarr_axis(group, f"{folder}/{dim}".strip("/"), str(dim)) for dim in dims)
    else:
        axes = calibrated(array.ndim, attrs.get("pixel_size_nm"), attrs.get("frame_time_s"))
        axes = axes if len(axes) == array.ndim else ()
    return Signal(
        name or path.stem,
        tuple(array.shape),
        np.dtype(array.dtype),
        partial(_load_zarr, str(path), name),
        axes,
        preferred,
    )


def _zarr_axis(group: Any, key: str, dim: str) -> Axis:
    if key not in group or not hasattr(group[key], "ndim"):
        return Axis(dim)
    coordinate = group[key]
    return coordinate_axis(dim, coordinate[:2] if coordinate.ndim == 1 else (), coordinate.attrs.get("units", ""))


def coordinate_axis(name: str, values: Any, unit: Any) -> Axis:
    """Return the axis whose first coordinate values are given."""
    unit = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else str(unit)
    values = np.asarray(values)
    if values.size < 2 or values.dtype.kind not in "iuf":
        return Axis(name, None, unit)
    return Axis(name, float(values[1]) - float(values[0]), unit)


def _load_zarr(path: str, name: str, index: Index) -> np.ndarray:
    import zarr

    node: Any = zarr.open(path, mode="r")
    return np.asarray((node[name] if name else node)[index])


def in_memory(name: str, array: np.ndarray, axes: tuple[Axis, ...] = ()) -> Signal:
    """Return the signal of an array that is in memory already."""
    return Signal(name, array.shape, array.dtype, partial(take, array), axes)
