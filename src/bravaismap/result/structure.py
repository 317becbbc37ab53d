"""The structure of a store, checked before it is opened, since a store may come from anywhere.

All of this is checked before anything is loaded: entries that are no regular files or lead elsewhere, variables that
are missing or of another type, sizes that disagree or that no movie has, attributes that are no text.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from bravaismap.conventions import LENGTH_UNITS
from bravaismap.errors import InputError
from bravaismap.result.schema import AXES, FIXED_SIZES, MARKS, VARIABLES, Variable, axes_of, groups_in
from bravaismap.result.zarr_store import dims_of

__all__ = ["check_card", "check_files", "check_names", "checked_arrays"]

#: Largest numbers that a result may declare: frames, windows of a frame, its pixels, classes.
_MOST_FRAMES, _MOST_WINDOWS, _MOST_PIXELS, _MOST_CLASSES = 10**6, 10**7, 10**9, 127
_MOST_METADATA = 2**24  # bytes of a zarr.json
_MOST_AXIS_BYTES = 2**24  # of a chunk of a coordinate
_CODECS, _INDEX_CODECS = {"bytes", "zstd"}, {"bytes", "crc32c"}
#: Largest pieces of several frames: what is decoded at once, and what is in one file, in bytes before compression.
_MOST_CHUNK_BYTES, _MOST_SHARD_BYTES = 2**24, 2**30


def check_files(folder: Path) -> None:
    """Raise `InputError` unless a store consists of files and folders of its own, as far as opening it reads them."""
    entries = [folder / "zarr.json"]
    for entry in _scanned(folder):
        if not entry.is_dir(follow_symlinks=False):
            entries.append(Path(entry))
            continue
        inner = [Path(below) for below in _scanned(entry)]
        entries += [path for path in inner if path.name != "c"]
        if entry.name in AXES:
            entries += [Path(below) for path in inner if path.name == "c" for below in _scanned(path)]
        entries += [path for path in inner if path.name == "c" and path.is_symlink()]
    for path in entries:
        try:
            about = path.lstat()
        except OSError as error:
            raise InputError(f"{folder}: not a result of `bravaismap map`") from error
        if not stat.S_ISREG(about.st_mode):
            what = "a link to elsewhere" if stat.S_ISLNK(about.st_mode) else "no file"
            raise _refusal(folder, f"its {path.relative_to(folder)} is {what}")
        if path.name == "zarr.json" and about.st_size > _MOST_METADATA:
            raise _refusal(folder, f"its {path.relative_to(folder)} has {about.st_size} bytes")


def _scanned(folder: Any) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


def check_card(card: Mapping[str, Any], folder: Path) -> None:
    """Raise `InputError` if a run card holds settings that no run can have had."""
    for key in ("window", "step"):
        value = card.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise _refusal(folder, f"its run card has the {key} {_shown(value)}")
    for key in ("pixel_size_nm", "frame_time_s"):
        value = card.get(key)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and 0 < value < math.inf):
            raise _refusal(folder, f"its run card has the {key} {_shown(value)}")
    size = card.get("frame_size", [1, 1])
    if not isinstance(size, list) or len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise _refusal(folder, f"its run card has the frame_size {_shown(size)}")


def checked_arrays(group: zarr.Group, folder: Path, *, growing: bool) -> dict[str, zarr.Array[Any]]:
    """Return the arrays of a store, or raise `InputError` unless each agrees with the schema.

    Parameters
    ----------
    group : Group
    folder : Path
        Folder of the store, for the message.
    growing : bool
        Whether the arrays may differ in the number of frames, as those of a live run do after a crash.
    """
    arrays = _arrays(group, folder)
    expected = _expected(arrays)
    for name in expected:
        if name not in arrays:
            raise _refusal(folder, f"it lacks {name}")
    axes = {dim: _length(arrays[dim], folder, dim) for dim in AXES if dim in arrays}
    most = {"time": _MOST_FRAMES, "lattice": _MOST_CLASSES}
    pixels = axes.get("py", 1) * axes.get("px", 1)
    too_large = any(axes[dim] > limit for dim, limit in most.items()) or axes["y"] * axes["x"] > _MOST_WINDOWS
    if too_large or pixels > _MOST_PIXELS:
        declared = " × ".join(map(str, axes.values()))
        raise _refusal(folder, f"it declares {declared} ({', '.join(axes)}), more than any movie has")
    sizes = FIXED_SIZES | axes
    for name, array in arrays.items():
        variable = expected.get(name)
        dims = dims_of(array) if variable is None else variable.dims
        shape = tuple(sizes.get(dim, -1) for dim in dims)
        free = growing and dims[:1] == ("time",) and array.shape[0] <= _MOST_FRAMES
        right_type = variable is None or array.dtype == np.dtype(variable.dtype)
        if dims_of(array) != dims or array.shape[free:] != shape[free:] or not right_type:
            raise _refusal(folder, f"its {name!r} is {array.dtype} {array.shape} along {dims_of(array)}")
        if variable is None and array.dtype.kind not in "biuf":
            raise _refusal(folder, f"its {name!r} holds {array.dtype}, not numbers")
        _check_storage(array, name, folder)
    return arrays


def _expected(names: Iterable[str]) -> dict[str, Variable]:
    """Return the variables that a store must hold: axes, map and marks, and every group of which it has a part."""
    groups = {"map"} | groups_in(names)
    variables = [variable for variable in VARIABLES if variable.group in groups]
    axes = [Variable(dim, (dim,), dtype) for dim, dtype in axes_of(variables).items()]
    return {variable.name: variable for variable in (*axes, *variables, *MARKS)}


def _arrays(group: zarr.Group, folder: Path) -> dict[str, zarr.Array[Any]]:
    arrays = {}
    for entry in sorted(_scanned(folder), key=lambda entry: entry.name):
        if not (folder / entry.name / "zarr.json").is_file():
            continue
        node = group[entry.name]
        if not isinstance(node, zarr.Array):
            raise _refusal(folder, f"its {entry.name!r} is no array")
        arrays[entry.name] = node
    return arrays


def _length(array: zarr.Array[Any], folder: Path, name: str) -> int:
    if len(array.shape) != 1 or array.shape[0] < 1:
        raise _refusal(folder, f"its {name!r} has the shape {array.shape}")
    return int(array.shape[0])


def _check_storage(array: zarr.Array[Any], name: str, folder: Path) -> None:
    """Raise unless an array is stored as results are: whole frames, compressed, and described in words."""
    metadata = array.metadata.to_dict()
    codecs: Any = metadata["codecs"]
    if [codec["name"] for codec in codecs] == ["sharding_indexed"]:
        inner = codecs[0]["configuration"]
        codecs = [*inner["codecs"], *(codec for codec in inner["index_codecs"] if codec["name"] not in _INDEX_CODECS)]
    if {codec["name"] for codec in codecs} != _CODECS or metadata.get("storage_transformers"):
        raise _refusal(folder, f"its {name!r} is stored by {', '.join(codec['name'] for codec in codecs)}")
    if len(array.shape) == 1 and array.chunks[0] * array.dtype.itemsize > _MOST_AXIS_BYTES:
        raise _refusal(folder, f"its {name!r} is stored in pieces of {array.chunks}")
    for chunk, most in ((array.chunks, _MOST_CHUNK_BYTES), (array.shards or array.chunks, _MOST_SHARD_BYTES)):
        frames = chunk[0] == 1 or math.prod(chunk) * array.dtype.itemsize <= most
        if len(chunk) > 1 and (tuple(chunk[1:]) != array.shape[1:] or not frames):
            raise _refusal(folder, f"its {name!r} is stored in pieces of {chunk}, not frame by frame")
    for key in ("units", "long_name"):
        if not isinstance(array.attrs.get(key, ""), str):
            raise _refusal(folder, f"the {key} of its {name!r} is {_shown(array.attrs[key])}")
    if name in ("y", "x", "py", "px") and array.attrs.get("units") not in LENGTH_UNITS:
        allowed = " or ".join(LENGTH_UNITS)
        raise _refusal(folder, f"its {name!r} is in {_shown(array.attrs.get('units'))}, not in {allowed}")


def check_names(lattice: zarr.Array[Any], folder: Path) -> list[str]:
    """Return the names of the classes that the lattice axis carries, or raise `InputError`."""
    meanings, values = lattice.attrs.get("flag_meanings"), lattice.attrs.get("flag_values")
    names = meanings.split() if isinstance(meanings, str) else []
    count = lattice.shape[0]
    stored = np.asarray(lattice[:]).tolist()
    sound = len(set(names)) == count and values == list(range(count)) and stored == values
    if not sound or not all(name.isprintable() and not {"/", "\\"} & {*name} for name in names):
        raise _refusal(folder, f"its {count} classes are called {_shown(meanings)}")
    return names


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _refusal(folder: Path, what: str) -> InputError:
    return InputError(f"{folder}: a damaged or foreign result ({what}); map the movie again with --overwrite")
