"""Formats on HDF5: plain HDF5, NeXus, netCDF-4, hspy, and EMD of both kinds (NCEM and Velox).

Links that lead to another file, and datasets stored in one, are not followed.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bravaismap.errors import InputError
from bravaismap.read.arrays import calibrated, coordinate_axis, hspy_axes, in_memory, number, text
from bravaismap.read.signal import Axis, Index, Signal, reading

__all__ = ["read_emd", "read_hdf5", "read_hspy", "read_netcdf"]

#: Velox operations that make an image from others, and what such an image is called.
_DERIVED = {
    "DpcOperation": "DPC",
    "IntegrationOperation": "DCFI",
    "SurfaceReconstructionOperation": "iDPC",
    "FftOperation": "FFT",
}


def read_hdf5(path: Path) -> list[Signal]:
    """Describe every dataset of an HDF5, NeXus or netCDF-4 file by its path in the file.

    The calibration is that of whatever wrote the file, also where EMD or HyperSpy files are named .h5 or .hdf5.
    """
    with _opened(path, "HDF5") as file:
        if _is_velox(file):
            _check_self_contained(path, file)
            return _velox(path, file)
        found = _datasets(file)
        signals = [_plain(path, key, file[key]) for key in found]
        plain = {s.name for s in signals if not found[s.name]}
        return [s for s in signals if s.name in plain] or signals


def read_netcdf(path: Path) -> list[Signal]:
    """Describe the variables of a netCDF file: netCDF-4, which is HDF5, or the older netCDF-3."""
    with path.open("rb") as file:
        if file.read(3) != b"CDF":
            return read_hdf5(path)
    from scipy.io import netcdf_file

    with reading(path, "netCDF-3"), netcdf_file(str(path), "r", mmap=False) as file:
        variables = {name: (v.dimensions, np.array(v.data), v) for name, v in file.variables.items()}
        axes = {
            name: coordinate_axis(name, data[:2], getattr(v, "units", ""))
            for name, (dims, data, v) in variables.items()
            if dims == (name,)
        }
    return [
        in_memory(name, data, tuple(axes.get(dim, Axis(dim)) for dim in dims))
        for name, (dims, data, _) in variables.items()
        if name not in axes
    ]


def read_hspy(path: Path) -> list[Signal]:
    """Describe the signals of a HyperSpy file (.hspy)."""
    with _opened(path, "HDF5 (hspy)") as file:
        _check_self_contained(path, file)
        experiments = file.get("Experiments")
        if experiments is None:
            raise InputError(f"{path}: no group 'Experiments' in it; expected a file written by HyperSpy (.hspy)")
        return [_hspy_signal(path, name, group) for name, group in experiments.items() if "data" in group]


def read_emd(path: Path) -> list[Signal]:
    """Describe the images of an EMD file of Velox (Thermo Fisher) or NCEM (Berkeley) kind."""
    with _opened(path, "HDF5 (EMD)") as file:
        _check_self_contained(path, file)
        if _is_velox(file):
            return _velox(path, file)
        groups: list[str] = []
        file.visititems(lambda name, item: groups.append(name) if "emd_group_type" in item.attrs else None)
        signals = [signal for name in groups if (signal := _ncem_signal(path, name, file[name])) is not None]
    return signals or read_hdf5(path)


def _is_velox(file: Any) -> bool:
    return "Version" in file and "Image" in (file.get("Data") or {})


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[Any]:
    """Open an HDF5 file, any failure while it is open being an `InputError`."""
    with reading(path, kind):
        import h5py

        _register_filters()
        with h5py.File(path, "r") as file:
            yield file


def _check_self_contained(path: Path, file: Any) -> None:
    """Raise `InputError` if a link in the file leads to another file."""
    import h5py

    outside: list[str] = []
    file.visititems_links(lambda name, link: outside.append(name) if isinstance(link, h5py.ExternalLink) else None)
    if outside:
        raise InputError(f"{path}: its /{outside[0]} lies in another file, which is not followed; give that file")


def _lies_elsewhere(dataset: Any) -> bool:
    """Return whether the values of a dataset are stored in another file."""
    return bool(dataset.external) or (dataset.is_virtual and any(s.file_name != "." for s in dataset.virtual_sources()))


def _register_filters() -> None:
    with contextlib.suppress(ImportError):
        import hdf5plugin  # noqa: F401  (its import registers the compression filters)


def _load_hdf5(path: str, key: str, index: Index) -> np.ndarray:
    import h5py

    _register_filters()
    with h5py.File(path, "r") as file:
        return np.asarray(file[key][index])


def _signal(
    path: Path, key: str, dataset: Any, *, name: str = "", axes: tuple[Axis, ...] = (), preferred: bool = False
) -> Signal:
    """Return the signal of a dataset, unless its values lie in another file."""
    if _lies_elsewhere(dataset):
        raise InputError(f"{path}: the values of {key} lie in another file, which is not followed; give that file")
    load = partial(_load_hdf5, str(path), key)
    return Signal(name or key, tuple(dataset.shape or ()), np.dtype(dataset.dtype), load, axes, preferred)


def _datasets(file: Any) -> dict[str, bool]:
    """Return the path of every array and whether it is a coordinate (1-D or scalar); links are not followed."""
    import h5py

    found: dict[str, bool] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            found[f"/{name}"] = item.ndim < 2

    file.visititems(visit)
    return found


def _plain(path: Path, key: str, dataset: Any) -> Signal:
    size, time = (number(dataset.attrs.get(name)) for name in ("pixel_size_nm", "frame_time_s"))
    axes = calibrated(dataset.ndim, size, time) if dataset.ndim in (2, 3) else ()
    return _signal(path, key, dataset, axes=axes or _group_axes(dataset), preferred=_is_nexus_signal(dataset))


def _group_axes(dataset: Any) -> tuple[Axis, ...]:
    """Return the axes of a dataset as its group describes them: EMD, HyperSpy, NeXus or dimension scales."""
    group = dataset.parent
    if "emd_group_type" in group.attrs:
        axes = _ncem_axes(group, dataset.ndim)
    elif "axis-0" in group and dataset.name.endswith("/data"):
        axes = hspy_axes(group, dataset.ndim)
    else:
        axes = _scale_axes(dataset)
    return axes if any(axis != Axis() for axis in axes) else ()


def _scale_axes(dataset: Any) -> tuple[Axis, ...]:
    """Return the axes of a dataset from its dimension scales, or from its NXdata group.

    "." is how NeXus says that an axis has no coordinate; a name that the group does not hold says no more.
    """
    group = dataset.parent
    named = _nexus_axes(dataset)
    axes = []
    for i in range(dataset.ndim):
        scales = list(dataset.dims[i].values())
        name = scales[0].name.rsplit("/", 1)[-1] if scales else named[i] if len(named) == dataset.ndim else ""
        scale = scales[0] if scales else _held_in(group, name)
        axes.append(Axis("" if name == "." else name) if scale is None else _dim_axis(name, scale))
    return tuple(axes)


def _nexus_axes(dataset: Any) -> list[str]:
    """Return the names of the axes of an NXdata signal: of its group, or of the dataset in files before 2014."""
    if not _is_nexus_signal(dataset):
        return []
    named = _texts(dataset.parent.attrs.get("axes")) or _texts(dataset.attrs.get("axes"))
    return re.split("[:,]", named[0].strip("[]")) if len(named) == 1 and dataset.ndim > 1 else named


def _held_in(group: Any, name: str) -> Any:
    """Return the dataset of a group by its name, None if there is none or it lies in another file."""
    import h5py

    if name in ("", ".") or isinstance(group.get(name, getlink=True), h5py.ExternalLink):
        return None
    item = group.get(name)
    return item if isinstance(item, h5py.Dataset) else None


def _dim_axis(name: str, dim: Any) -> Axis:
    """Return the axis that a dataset of coordinates describes."""
    values = dim[:2] if getattr(dim, "ndim", 0) == 1 and not _lies_elsewhere(dim) else ()
    return coordinate_axis(name, values, text(dim.attrs.get("units", "")))


def _is_nexus_signal(dataset: Any) -> bool:
    signal = _texts(dataset.parent.attrs.get("signal")) or _texts(dataset.attrs.get("signal"))
    return bool(signal) and signal[0] in (dataset.name.rsplit("/", 1)[-1], "1")


def _hspy_signal(path: Path, name: str, group: Any) -> Signal:
    dataset = group["data"]
    return _signal(path, f"/Experiments/{name}/data", dataset, name=name, axes=hspy_axes(group, dataset.ndim))


def _ncem_signal(path: Path, name: str, group: Any) -> Signal | None:
    import h5py

    key = next((k for k in group if k.startswith("data") and isinstance(group.get(k), h5py.Dataset)), None)
    if key is None:
        return None
    dataset = group[key]
    return _signal(path, f"/{name}/{key}", dataset, name=name, axes=_ncem_axes(group, dataset.ndim))


def _ncem_axes(group: Any, ndim: int) -> tuple[Axis, ...]:
    """Return the axes of an EMD group from its vectors ``dim1`` and so on, or ``dim0`` since EMD 1.0."""
    first = 0 if "dim0" in group else 1
    axes = []
    for i in range(ndim):
        dim = group.get(f"dim{i + first}")
        if dim is None:
            axes.append(Axis())
            continue
        axes.append(_dim_axis(text(dim.attrs.get("name", "")), dim))
    return tuple(axes)


def _velox(path: Path, file: Any) -> list[Signal]:
    images = file["Data"].get("Image")
    if images is None:
        raise InputError(f"{path}: a Velox file without images (spectra only); expected an image or a movie")
    signals: list[Signal] = []
    for count, uuid in enumerate(images):
        metadata = _velox_metadata(images[uuid])
        label = _velox_label(file, uuid, metadata) or f"image {count}"
        taken = sum(s.name.split(" #")[0] == label for s in signals)
        name = f"{label} #{taken + 1}" if taken else label
        key = f"/Data/Image/{uuid}/Data"
        axes = _velox_axes(metadata)
        signals.append(_signal(path, key, file[key], name=name, axes=axes, preferred=name == "HAADF"))
    return signals


def _velox_metadata(group: Any) -> dict[str, Any]:
    """Return the metadata of the first frame: JSON in the bytes of the first column, padded with zeros."""
    column = np.asarray(group["Metadata"][:, 0], dtype=np.uint8)
    return dict(json.loads(column.tobytes().rstrip(b"\0").decode("utf-8", "replace")))


def _velox_axes(metadata: dict[str, Any]) -> tuple[Axis, ...]:
    binary = metadata.get("BinaryResult", {})
    size = binary.get("PixelSize", {})
    scan = metadata.get("Scan", {})
    detector = metadata.get("Detectors", {}).get(f"Detector-{binary.get('DetectorIndex')}", {})
    period = number(scan.get("FrameTime") or detector.get("ExposureTime"))
    return (
        Axis("y", number(size.get("height")), str(binary.get("PixelUnitY", binary.get("PixelUnitX", "")))),
        Axis("x", number(size.get("width")), str(binary.get("PixelUnitX", ""))),
        Axis("time", period, "s"),
    )


def _velox_label(file: Any, uuid: str, metadata: dict[str, Any]) -> str:
    binary = metadata.get("BinaryResult", {})
    detector = metadata.get("Detectors", {}).get(f"Detector-{binary.get('DetectorIndex')}", {})
    label = str(binary.get("Detector") or detector.get("DetectorName") or "")
    for kind, name in _DERIVED.items():
        for operation in file.get(f"Operations/{kind}", {}).values():
            about = json.loads(_texts(operation[()])[0])
            if uuid in str(about.get("dataPath", "")) or uuid in str(about.get("imageOutputPath", "")):
                return name
    return label


def _texts(value: Any) -> list[str]:
    return [] if value is None else [text(v) for v in np.asarray(value).reshape(-1).tolist()]
