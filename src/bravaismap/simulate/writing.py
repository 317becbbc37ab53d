"""Files of simulated films and windows with their truth: zarr, HDF5, NPZ and ImageJ TIFF.

A file appears under its name only when it is complete. Films can be read with :func:`bravaismap.read`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from bravaismap.errors import BravaismapError, InputError, OutputError
from bravaismap.files import put_in_place, remove
from bravaismap.movie import frame_time, pixel_size

__all__ = ["write_film", "write_windows"]

_FILM: Final = ("image", "void", "void_fraction", "primitive_vectors_px")
_WINDOWS: Final = ("image", "label", "primitive_vectors_px")


def write_film(dataset: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
    """Write a simulated film and its truth in a format that other programs open.

    Parameters
    ----------
    dataset : xarray.Dataset
        As :func:`bravaismap.simulate.film.simulate_film` gives it.
    path : str or path
        The suffix chooses the format: ``.zarr`` (all of the dataset), ``.h5`` or ``.hdf5`` and ``.npz`` (all variables,
        and ``pixel_size_nm`` and ``frame_time_s`` with ``image``), or ``.tif`` or ``.tiff`` (the movie as an ImageJ
        stack in nm and s, with the truth beside it in ``NAME_truth.npz``).
    overwrite : bool
        Replace existing files.

    Returns
    -------
    list of path
        The files written, the movie first.

    Raises
    ------
    InputError
        If the suffix is unknown, or the dataset is not a film.
    OutputError
        If the target exists, or cannot be written.
    """
    _check(dataset, _FILM, "a film as simulate_film makes it")
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in (".zarr", ".h5", ".hdf5", ".npz", ".tif", ".tiff"):
        raise InputError(
            f"{target}: a film cannot be written as {suffix or 'a file without a suffix'}; "
            "name it .zarr, .h5, .npz or .tif"
        )
    truth = target.with_name(f"{target.stem}_truth.npz")
    targets = [target, truth] if suffix in (".tif", ".tiff") else [target]
    with _written(targets, overwrite=overwrite) as parts:
        if suffix == ".zarr":
            frame = {"chunks": (1, *dataset.image.shape[1:])}
            encoding = {"image": frame, "void": frame}
            dataset.to_zarr(parts[0], mode="w", zarr_format=3, consolidated=False, encoding=encoding)
        elif suffix in (".h5", ".hdf5"):
            _write_hdf5(dataset, parts[0])
        elif suffix == ".npz":
            np.savez_compressed(parts[0], **_arrays(dataset))
        else:
            _write_tiff(dataset, parts[0])
            np.savez_compressed(parts[1], **{key: value for key, value in _arrays(dataset).items() if key != "image"})
    return targets


def write_windows(dataset: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write simulated windows as an NPZ file.

    It holds ``image`` uint8 (n, y, x), ``label`` int8 (n,), ``classes`` (the names that labels count), ``lattice`` (n,)
    (the name of each window's class) and ``primitive_vectors_px`` (n, 2, 2), rows = vectors, components (y, x); of a
    book with faults also ``faults`` (n,), their names joined by ``+``.

    Parameters
    ----------
    dataset : xarray.Dataset
        As :func:`bravaismap.simulate.windows.simulate` gives it.
    path : str or path
        Ends in ``.npz``.
    overwrite : bool
        Replace existing files.

    Returns
    -------
    path
        The file written.

    Raises
    ------
    InputError
        If the suffix is another, or the dataset holds no windows.
    OutputError
        If the target exists, or cannot be written.
    """
    _check(dataset, _WINDOWS, "windows as simulate makes them")
    target = Path(path)
    if target.suffix.lower() != ".npz":
        raise InputError(
            f"{target}: windows cannot be written as {target.suffix or 'a file without a suffix'}; name it .npz"
        )
    classes = np.array(dataset.attrs["classes"], dtype=str)
    stored = [*_WINDOWS, *(["faults"] if "faults" in dataset else [])]
    arrays: dict[str, Any] = {name: dataset[name].values for name in stored}
    with _written([target], overwrite=overwrite) as (part,):
        np.savez_compressed(part, **arrays, lattice=classes[arrays["label"]], classes=classes)
    return target


def _check(dataset: xr.Dataset, names: tuple[str, ...], expected: str) -> None:
    missing = [name for name in names if name not in dataset]
    if missing:
        raise InputError(f"a dataset without {', '.join(missing)} was given; expected {expected}")


@contextmanager
def _written(targets: list[Path], *, overwrite: bool) -> Iterator[list[Path]]:
    """Yield a temporary name for each target; rename all of them when the body is done, and none when it fails."""
    for target in targets:
        if not target.parent.is_dir():
            raise OutputError(f"{target}: the folder {target.parent} does not exist; create it, or choose another")
        if target.exists() and not overwrite:
            raise OutputError(f"{target}: exists already; choose another name, or give --overwrite (overwrite=True)")
        if target.is_dir() and not (target.suffix.lower() == ".zarr" and (target / "image" / "zarr.json").is_file()):
            raise OutputError(f"{target}: is a folder, and no simulated film; choose another name")
    mark = uuid.uuid4().hex[:8]
    parts = [target.with_name(f".{target.stem}.{mark}{target.suffix}") for target in targets]
    try:
        yield parts
        for part, target in zip(parts, targets, strict=True):
            put_in_place(part, target)
    except BravaismapError:
        raise
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:160]
        raise OutputError(
            f"{targets[0]}: cannot be written ({reason}); choose another folder or free some space"
        ) from error
    finally:
        for part in parts:
            with suppress(OSError):
                remove(part)


def _calibration(dataset: xr.Dataset) -> dict[str, float]:
    """Return ``pixel_size_nm`` and ``frame_time_s`` where known; a film of one frame has them as attributes."""
    steps = {"pixel_size_nm": pixel_size(dataset.image), "frame_time_s": frame_time(dataset.image)}
    steps = {key: dataset.attrs.get(key) if value is None else value for key, value in steps.items()}
    return {key: float(value) for key, value in steps.items() if value is not None}


def _arrays(dataset: xr.Dataset) -> dict[str, Any]:
    """Return every variable and every numeric attribute of a film by name."""
    numbers = {key: value for key, value in dataset.attrs.items() if isinstance(value, int | float)}
    return {**{str(name): dataset[name].values for name in dataset.data_vars}, **numbers, **_calibration(dataset)}


def _write_hdf5(dataset: xr.Dataset, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs.update(dataset.attrs)
        file.attrs.update({"signal": "image", "axes": ["time", "y", "x"]})  # NeXus: the data that a reader shows first
        for name, coordinate in dataset.coords.items():
            file[name] = coordinate.values
            file[name].make_scale(name)
            file[name].attrs["units"] = coordinate.attrs.get("units", "")
        for name, variable in dataset.data_vars.items():
            options: dict[str, Any] = {}
            if variable.ndim == 3:
                options = {"chunks": (1, *variable.shape[1:]), "compression": "gzip", "compression_opts": 1}
            stored = file.create_dataset(name, data=variable.values, **options)
            stored.attrs.update(variable.attrs)
            for axis, dim in enumerate(variable.dims):
                stored.dims[axis].label = dim
                if dim in dataset.coords:
                    stored.dims[axis].attach_scale(file[dim])
        file["image"].attrs.update(_calibration(dataset))


def _write_tiff(dataset: xr.Dataset, path: Path) -> None:
    import tifffile

    image = dataset.image.transpose("time", "y", "x").values
    if image.dtype not in (np.uint8, np.uint16, np.float32):
        image = image.astype(np.float32)
    if image.nbytes > 2**32 - 2**25:
        raise InputError(
            f"a film of {image.nbytes / 2**30:.1f} GB was given; TIFF holds up to 4 GB: name it .zarr or .h5"
        )
    calibration = _calibration(dataset)
    metadata: dict[str, Any] = {"axes": "TYX"}
    if "frame_time_s" in calibration:
        metadata |= {"finterval": calibration["frame_time_s"], "tunit": "s"}
    scale: dict[str, Any] = {}
    if "pixel_size_nm" in calibration:
        metadata["unit"] = "nm"
        scale["resolution"] = (1 / calibration["pixel_size_nm"],) * 2
    tifffile.imwrite(path, image, imagej=True, metadata=metadata, **scale)
