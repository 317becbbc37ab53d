"""Read an image or movie of any supported format: `read`."""

from __future__ import annotations

import glob
import importlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from bravaismap.errors import InputError, warn
from bravaismap.movie import as_movie, check_pixels
from bravaismap.read import signal as stored
from bravaismap.read.excerpt import frame_slice, part_of, square_pixels
from bravaismap.read.scale import scale_of
from bravaismap.read.signal import Signal

__all__ = ["FORMATS", "frame_count", "natural_key", "read", "signals_of", "supported"]

#: Extension, and the function of `bravaismap.read` that describes the arrays of such a file.
FORMATS: Final = {
    **dict.fromkeys(("dm3", "dm4"), "micrograph.read_dm"),
    "ser": "micrograph.read_ser",
    **dict.fromkeys(("mrc", "mrcs"), "micrograph.read_mrc"),
    "emd": "hdf5.read_emd",
    "hspy": "hdf5.read_hspy",
    **dict.fromkeys(("h5", "hdf5", "he5", "nxs", "nx"), "hdf5.read_hdf5"),
    "nc": "hdf5.read_netcdf",
    **dict.fromkeys(("tif", "tiff", "btf"), "pictures.read_tiff"),
    **dict.fromkeys(("png", "jpg", "jpeg", "bmp", "gif"), "pictures.read_picture"),
    "npy": "arrays.read_npy",
    "npz": "arrays.read_npz",
    **dict.fromkeys(("zarr", "zspy"), "arrays.read_zarr"),
    **dict.fromkeys(("zip", "ozx"), "arrays.read_zip"),
    **dict.fromkeys(("mp4", "avi", "mov", "mkv"), "video.read_video"),
    "gwy": "spm.read_gwy",
    "gsf": "spm.read_gsf",
    "sxm": "spm.read_sxm",
    "3ds": "spm.read_3ds",
    "mtrx": "spm.read_mtrx",
}
_ALIKE: Final = {"jpeg": "jpg", "tiff": "tif"}
Path_ = str | os.PathLike[str]


def read(
    source: Path_ | Sequence[Path_],
    *,
    dataset: str | None = None,
    channel: str | None = None,
    frames: str | slice | None = None,
    crop: str | tuple[slice, slice] | None = None,
    bin: int = 1,
    pixel_size: float | None = None,
    frame_time: float | None = None,
) -> xr.DataArray:
    """Read an image or movie, or a part of it.

    Parameters
    ----------
    source : str, path, or sequence of them
        A file, a zarr store, a folder of images, a pattern such as ``"run3/*.tif"``, or several files. Several files
        are the frames of one movie; a folder and a pattern are taken in natural order (2 before 10), a sequence as it
        is given. ``"file.h5:/path/in/file"`` names the dataset as well.
    dataset : str, optional
        Which array of a file with several: the path in an HDF5, NeXus or zarr file, the key of an npz, or the name or
        number (from 0) of an image or channel elsewhere, for example ``"Z backward"``.
    channel : str, optional
        Name or number (from 0) of a channel or detector; red, green or blue of a picture in colour.
    frames : str or slice, optional
        Frames to read, ``"first:end"`` or ``"first:end:step"``, from 0 on and without the end; a number is one frame.
    crop : str or pair of slices, optional
        Rows and columns to read, ``"y0:y1,x0:x1"`` in px, or in nm with ``nm`` behind it, from the upper left corner.
    bin : int
        Pixels of each frame that become one, along both axes; the mean of those that were measured.
    pixel_size : float, optional
        Side of a pixel of the file in nm (before binning), instead of the one in the file; the pixels are then square.
    frame_time : float, optional
        Time from one frame of the file to the next in s, instead of the one in the file.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(time, y, x)``; one frame for an image. Coordinates in nm and s as far as the file or the arguments
        give them, otherwise in px and frames; they begin at 0 whatever part is read, but that ``time`` keeps the times
        of the file. Lazy (dask, blocks of whole frames) above 100 MB. The attributes are ``source``, as it is named
        from any folder, ``format``, ``dataset``, if the file holds more ``available``, where the calibration is from
        (``pixel_size_from``, ``frame_time_from``), and which part was read (``frames``, ``crop``, ``bin``).

    Warns
    -----
    UserWarning
        When colour was turned into luminance (Rec. 601), when pixels that are not square were resampled to square ones
        of their shorter side, and for a pixel size that shows no atoms: above 1 nm, or below 0.1 pm.

    Raises
    ------
    InputError
        If the source is missing, unreadable, damaged or not an image or movie, or holds several and none is chosen.
        The message is one line that names the file, what was found and what to do.

    Examples
    --------
    >>> movie = read("decomposition.dm4")  # doctest: +SKIP
    >>> movie = read("scan.sxm", dataset="Z backward")  # doctest: +SKIP
    """
    if isinstance(source, str | os.PathLike):
        paths, dataset = _resolve(os.fspath(source), dataset)
        place = _place(source)
    else:
        paths, place = (
            [_resolve_one(Path(one).expanduser()) for one in source],
            ", ".join(_place(one) for one in source),
        )
        if not paths:
            raise InputError("an empty list of files was given; expected at least one")
    available = [signals_of(path) for path in paths]
    chosen = [stored.choose(signals, dataset, path, channel) for signals, path in zip(available, paths, strict=True)]
    for signal, path in zip(chosen, paths, strict=True):
        _check(signal, path)
    _check_alike(chosen, paths)
    attrs: dict[str, Any] = {"source": place, "format": _format(paths[0]) or "zarr", "dataset": chosen[0].name}
    others = [s.name for s in available[0] if s.is_image and s.name != chosen[0].name]
    if others:
        attrs["available"] = ", ".join(others)
    _warn_of_colour(chosen, paths)
    scale = scale_of(chosen[0], paths[0], pixel_size, frame_time)
    data = _gather(chosen, paths)
    if scale.aspect != 1:
        data = square_pixels(data, scale.aspect)
    with _about(paths[0]):
        part = part_of(data, scale.size, frames, crop, bin)
    name = paths[0].stem if len(paths) == 1 else paths[0].resolve().parent.name or paths[0].stem
    movie = as_movie(part.data, pixel_size=scale.size and scale.size * bin, frame_time=scale.time, name=name)
    movie.attrs = attrs | scale.sources | part.attrs
    if frames is not None:
        times = np.arange(*part.frames.indices(data.shape[0])) * (scale.time or 1)
        movie = movie.assign_coords(time=("time", times, movie["time"].attrs))
    return movie


def frame_count(
    source: Path_, *, dataset: str | None = None, channel: str | None = None, frames: str | slice | None = None
) -> int:
    """Return how many frames :func:`read` would return, without loading them; it raises what `read` does."""
    paths, dataset = _resolve(os.fspath(source), dataset)
    count = 0
    for path in paths:
        signal = stored.choose(signals_of(path), dataset, path, channel)
        _check(signal, path)
        count += _frame_shape(signal)[0]
    with _about(paths[0]):
        return len(range(*frame_slice(frames, count).indices(count)))


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Name the file in an error about a part of it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def supported() -> str:
    """Return the extensions that can be read, joined by commas."""
    return ", ".join(sorted(FORMATS))


def _place(source: Path_) -> str:
    """Return a source as it is named from any folder."""
    return str(Path(source).expanduser().absolute())


def _resolve(source: str, dataset: str | None) -> tuple[list[Path], str | None]:
    """Return the files that a source names, and the dataset if it names one too."""
    path = Path(source).expanduser()
    if path.exists():
        return (_folder(path) if path.is_dir() and not _is_store(path) else [_resolve_one(path)]), dataset
    holds = "h5|hdf5|nxs|nx|nc|npz|emd|zarr|zspy|zip|ozx"
    inner = re.fullmatch(rf"(.+\.(?:{holds})):(/?[^:\\]+)", source, flags=re.IGNORECASE)
    if inner and Path(inner[1]).exists():
        return [_resolve_one(Path(inner[1]))], dataset or inner[2]
    if glob.has_magic(source):
        matching = sorted((Path(p) for p in glob.glob(_pattern(path))), key=natural_key)
        if not matching:
            raise InputError(f"{source}: no file matches{_near(path)}")
        return [_resolve_one(p) for p in matching], dataset
    return [_resolve_one(path)], dataset


def _pattern(path: Path) -> str:
    """Return a pattern in which the names of folders that exist stand for themselves, brackets and all."""
    before = Path(path.anchor)
    pattern = glob.escape(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        before = before / part
        pattern = os.path.join(pattern, glob.escape(part) if before.exists() else part)
    return pattern


def _resolve_one(path: Path) -> Path:
    """Return a file that exists, holds something and may be read."""
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file{_near(path)}")
        if path.is_dir():
            if _is_store(path):
                return path
            raise InputError(f"{path}: a folder; expected a file (give the folder alone to read it as a movie)")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: an empty file (0 bytes); copy or save it again")
        with path.open("rb") as file:
            file.read(1)
    except PermissionError as error:
        raise InputError(f"{path}: no permission to read it; ask its owner, or copy it to a folder of yours") from error
    return path


def _near(path: Path) -> str:
    """Return the names in the same folder that are most like that of a missing file, as part of a message."""
    folder = path.parent
    if not folder.is_dir():
        return f"; the folder {folder} does not exist"
    try:
        names = [p.name for p in folder.iterdir() if not p.name.startswith(".")]
    except PermissionError:
        return f"; no permission to list the folder {folder}"
    if not names:
        return f"; the folder {folder} is empty"
    likely = sorted((n for n in names if _format(Path(n)) in FORMATS), key=lambda n: natural_key(Path(n))) or names
    near = get_close_matches(path.name, likely, n=5, cutoff=0.4) or likely
    listed = sorted(near[:5], key=lambda n: natural_key(Path(n)))
    return f"; in {folder} there is {', '.join(listed)}" + (", …" if len(near) > 5 else "")


def _folder(path: Path) -> list[Path]:
    """Return the images of a folder in natural order."""
    try:
        files = [p for p in path.iterdir() if p.is_file() and not p.name.startswith(".") and _format(p) in FORMATS]
        files = [p for p in files if _format(p) != "zip"]  # beside images it is a copy of them, or something else
    except PermissionError as error:
        raise InputError(f"{path}: no permission to list this folder; ask its owner") from error
    if not files:
        raise InputError(f"{path}: no images in this folder; expected files of type {supported()}")
    kinds = sorted({_ALIKE.get(_format(p), _format(p)) for p in files})
    if len(kinds) > 1:
        raise InputError(
            f"{path}: files of several types in this folder ({', '.join(kinds)}); "
            f"choose one with a pattern such as {path / ('*.' + kinds[0])}"
        )
    return [_resolve_one(p) for p in sorted(files, key=natural_key)]


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Return a key that sorts numbers in names by value: frame2 before frame10."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts]


def _is_store(path: Path) -> bool:
    from bravaismap.read.arrays import is_zarr

    return _format(path) in ("zarr", "zspy") or is_zarr(path)


def _format(path: Path) -> str:
    """Return the extension of a file in lower case without its dot."""
    extension = path.suffix[1:].lower()
    return "mtrx" if extension.endswith("_mtrx") else extension


def signals_of(path: Path) -> list[Signal]:
    """Describe the arrays of one file."""
    extension = "zarr" if path.is_dir() else _format(path)
    if extension not in FORMATS:
        what = f"the type .{extension}" if extension else "a file without an extension"
        raise InputError(f"{path}: {what} cannot be read; expected one of {supported()}")
    module, function = FORMATS[extension].split(".")
    describe: Callable[[Path], list[Signal]] = getattr(importlib.import_module(f"bravaismap.read.{module}"), function)
    return describe(path)


def _check(signal: Signal, path: Path) -> None:
    """Raise `InputError` unless a signal is an image or a movie of real numbers."""
    try:
        if signal.dtype.kind not in "buif" or 0 in signal.shape:
            check_pixels(signal.dtype, signal.shape[:3] if len(signal.shape) > 1 else signal.shape)
        stored.roles(signal)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _frame_shape(signal: Signal) -> tuple[int, int, int]:
    sizes = dict(zip(stored.roles(signal), signal.shape, strict=True))
    return sizes.get("time", 1), sizes["y"], sizes["x"]


def _check_alike(signals: list[Signal], paths: list[Path]) -> None:
    """Raise `InputError` unless all files hold frames of one size."""
    first = _frame_shape(signals[0])[1:]
    for signal, path in zip(signals, paths, strict=True):
        size = _frame_shape(signal)[1:]
        if size != first:
            raise InputError(
                f"{path}: a frame of {size[0]} × {size[1]} px, but {paths[0].name} has {first[0]} × {first[1]} px; "
                "the frames of a movie must have one size: leave out or crop those that differ"
            )


def _warn_of_colour(signals: list[Signal], paths: list[Path]) -> None:
    for signal, path in zip(signals, paths, strict=True):
        if signal.colour or "rgb" in stored.roles(signal):
            warn(f"{path}: colour was turned into luminance (Rec. 601); export a colour-mapped image in grey")
            return


def _gather(signals: list[Signal], paths: list[Path]) -> Any:
    """Return the frames of all files as one array, lazy when they are large."""
    lengths = [_frame_shape(signal) for signal in signals]
    dtype = np.result_type(*(_dtype(signal) for signal in signals))
    frame_bytes = lengths[0][1] * lengths[0][2] * dtype.itemsize
    if frame_bytes * sum(n for n, _, _ in lengths) <= stored.LAZY_BYTES:
        parts = [_load(s, p, slice(None)) for s, p in zip(signals, paths, strict=True)]
        return parts[0] if len(parts) == 1 else np.concatenate([part.astype(dtype, copy=False) for part in parts])
    from dask.delayed import delayed

    da: Any = importlib.import_module("dask.array")  # its functions have no types

    load = delayed(_load, pure=False)
    per_block = max(1, stored.CHUNK_BYTES // frame_bytes)
    blocks = [
        da.from_delayed(
            load(signal, path, slice(start, min(start + per_block, shape[0]))),
            (min(per_block, shape[0] - start), *shape[1:]),
            dtype=_dtype(signal),
        )
        for signal, path, shape in zip(signals, paths, lengths, strict=True)
        for start in range(0, shape[0], per_block)
    ]
    return da.concatenate(blocks).astype(dtype, copy=False)


def _dtype(signal: Signal) -> np.dtype[Any]:
    """Return the type that the frames of a signal have once loaded."""
    if "rgb" in stored.roles(signal):
        return np.dtype(np.float32)
    return np.dtype(np.uint8) if signal.dtype.kind == "b" else signal.dtype.newbyteorder("=")


def _load(signal: Signal, path: Path, index: slice) -> np.ndarray:
    """Load frames of one file, any failure of which is an `InputError`."""
    try:
        return stored.frames(signal, index)
    except (InputError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(
            f"{path}: its values cannot be read ({reason}); it may be truncated or damaged: copy or save it again"
        ) from error
