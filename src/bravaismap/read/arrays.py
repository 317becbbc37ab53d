"""Arrays written by NumPy and zarr: npy, npz, zarr with its kinds OME-Zarr and zspy."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np

from bravaismap.errors import InputError
from bravaismap.read.signal import Axis, Index, Signal, channels, reading, take

__all__ = [
    "PREFERRED",
    "calibrated",
    "coordinate_axis",
    "hspy_axes",
    "in_memory",
    "is_zarr",
    "number",
    "read_npy",
    "read_npz",
    "read_zarr",
    "read_zip",
    "text",
]

#: Names that are taken first when a file holds several arrays.
PREFERRED = ("image", "images", "movie")
#: Files one of which lies at the root of a zarr store.
_ZARR_FILES = ("zarr.json", ".zgroup", ".zarray")


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
    return path.is_dir() and any((path / name).exists() for name in _ZARR_FILES)


def read_zarr(path: Path) -> list[Signal]:
    """Describe the arrays of a zarr store: one array, or a group of xarray, HyperSpy (zspy) or OME-Zarr.

    Level 0 of an OME-Zarr image, its full resolution, is preferred; the others are there by their paths.
    """
    import zarr

    with reading(path, "zarr"):
        node = _zarr_node(str(path))
        if isinstance(node, zarr.Array):
            return [_zarr_signal(path, "", node, None)]
        arrays: dict[str, Any] = {}
        groups: dict[str, Any] = {"": node}
        _collect(node, "", arrays, groups)
        if "probability" in arrays:
            raise InputError(
                f"{path}: a result of bravaismap, not a movie; open it with open_result, or view it with "
                f"'bravaismap view {path}'"
            )
        described = _hspy_signals(path, node) or [s for n, g in groups.items() for s in _ome_signals(path, n, g)]
        if described:
            return described
        coordinates = {name for name, array in arrays.items() if array.ndim < 2}
        first = next((key for key in PREFERRED if key in arrays), None)
        return [
            _zarr_signal(path, name, array, node, preferred=name == first)
            for name, array in arrays.items()
            if name not in coordinates or len(coordinates) == len(arrays)
        ]


def read_zip(path: Path) -> list[Signal]:
    """Describe the arrays of a zarr store in one ZIP file, at its root or in a folder of it."""
    with reading(path, "ZIP"):
        if _root_in_zip(str(path)) is None:
            raise InputError(f"{path}: a ZIP file without a zarr store in it; unpack it, and give what was in it")
    return read_zarr(path)


def _zarr_node(path: str) -> Any:
    """Open a zarr store, a folder or one ZIP file."""
    import zarr

    if Path(path).is_dir():
        return zarr.open(path, mode="r")
    return zarr.open(zarr.storage.ZipStore(path, mode="r"), mode="r", path=_root_in_zip(path) or "")


def _root_in_zip(path: str) -> str | None:
    """Return in which folder of a ZIP file a zarr store lies, "" for its root, None where there is none."""
    with ZipFile(path) as archive:
        places = [name.rpartition("/") for name in archive.namelist()]
    folders = [folder for folder, _, name in places if name in _ZARR_FILES]
    return min(folders, key=lambda folder: (folder.count("/") + bool(folder), folder), default=None)


def _collect(group: Any, prefix: str, arrays: dict[str, Any], groups: dict[str, Any]) -> None:
    """Add every array and group below a zarr group to `arrays` and `groups` by its path."""
    for name, array in group.arrays():
        arrays[prefix + name] = array
    for name, below in group.groups():
        groups[prefix + name] = below
        _collect(below, f"{prefix}{name}/", arrays, groups)


def _hspy_signals(path: Path, node: Any) -> list[Signal]:
    """Describe the signals of a store that HyperSpy wrote (.zspy)."""
    if "Experiments" not in node:
        return []
    signals = []
    for name, group in node["Experiments"].groups():
        if "data" in group:
            array = group["data"]
            axes = hspy_axes(group, array.ndim)
            signals.append(_stored(path, f"Experiments/{name}/data", array, axes, name=name))
    return signals


def _ome_signals(path: Path, name: str, group: Any) -> list[Signal]:
    """Describe the levels of an OME-Zarr image, each split into its channels."""
    about = group.attrs.get("ome", group.attrs)
    signals: list[Signal] = []
    for image in about.get("multiscales") or []:
        labels = [str(c.get("label", "")) for c in (about.get("omero") or {}).get("channels") or []]
        for level, one in enumerate(image["datasets"]):
            key = f"{name}/{one['path']}".strip("/")
            array = group[one["path"]]
            axes = _ome_axes(image, one, array.ndim)
            signal = _stored(path, key, array, axes, preferred=level == 0)
            where = next((i for i, axis in enumerate(axes) if axis.name == "c" and array.shape[i] > 1), None)
            if where is None:
                signals.append(signal)
                continue
            given = len(labels) == array.shape[where] and len({*labels}) == len(labels) and all(labels)
            names = labels if given else [f"channel {c}" for c in range(array.shape[where])]
            signals += channels(signal, where, names, "" if level == 0 and not name else f"{key} ")
    return signals


def _ome_axes(image: dict[str, Any], level: dict[str, Any], ndim: int) -> tuple[Axis, ...]:
    """Return the axes of a level: names and units of the image, steps from the scales of the level and of the image."""
    given = image.get("axes") or ["t", "c", "z", "y", "x"][-ndim:]
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in given]
    steps: np.ndarray = np.ones(ndim)
    scaled = False
    for change in [*(level.get("coordinateTransformations") or []), *(image.get("coordinateTransformations") or [])]:
        if change.get("type") == "scale" and len(change.get("scale") or []) == ndim:
            steps, scaled = steps * np.asarray(change["scale"], float), True
    return tuple(
        Axis("time" if axis["name"] == "t" else axis["name"], float(step) if scaled else None, axis.get("unit") or "")
        for axis, step in zip(axes, steps, strict=True)
    )


def _zarr_signal(path: Path, name: str, array: Any, group: Any, *, preferred: bool = False) -> Signal:
    attrs = dict(array.attrs)
    dims = getattr(array.metadata, "dimension_names", None) or attrs.get("_ARRAY_DIMENSIONS")
    if dims and group is not None and len(dims) == array.ndim:
        folder = name.rpartition("/")[0]
        axes = tuple(_zarr_axis(group, f"{folder}/{dim}".strip("/"), str(dim)) for dim in dims)
    else:
        axes = calibrated(array.ndim, attrs.get("pixel_size_nm"), attrs.get("frame_time_s"))
        axes = axes if len(axes) == array.ndim else ()
    return _stored(path, name, array, axes, preferred=preferred)


def _stored(
    path: Path, key: str, array: Any, axes: tuple[Axis, ...], *, name: str = "", preferred: bool = False
) -> Signal:
    """Return the signal of the array that lies at `key` in a store."""
    load = partial(_load_zarr, str(path), key)
    label = name or key or path.stem.removesuffix(".zarr")
    return Signal(label, tuple(array.shape), np.dtype(array.dtype), load, axes, preferred)


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
    node = _zarr_node(path)
    return np.asarray((node[name] if name else node)[index])


def hspy_axes(group: Any, ndim: int) -> tuple[Axis, ...]:
    """Return the axes that HyperSpy describes in the groups ``axis-0`` and so on, of HDF5 or of zarr."""
    axes = []
    for i in range(ndim):
        attrs = group[f"axis-{i}"].attrs if f"axis-{i}" in group else {}
        label, unit = (text(attrs.get(key, "")) for key in ("name", "units"))
        axes.append(Axis(label, number(attrs.get("scale")), unit))
    return tuple(axes)


def number(value: Any) -> float | None:
    """Return an attribute as a number, None if it is none."""
    try:
        return None if value is None else float(np.asarray(value).reshape(-1)[0])
    except (ValueError, TypeError, IndexError):
        return None


def text(value: Any) -> str:
    """Return an attribute as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def in_memory(name: str, array: np.ndarray, axes: tuple[Axis, ...] = ()) -> Signal:
    """Return the signal of an array that is in memory already."""
    return Signal(name, array.shape, array.dtype, partial(take, array), axes)
