"""Results in the formats of other programs: HyperSpy (.hspy), OME-TIFF and NetCDF.

Frames are read one at a time, so that results larger than memory can be written. A file appears under its name only
when it is complete.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.files import made_folder, replacing
from bravaismap.result.schema import FIXED_SIZES

__all__ = ["export_hspy", "export_netcdf", "export_ome_tiff", "signal_dictionary", "uniform_step", "write_netcdf"]

#: Largest deviation from equal steps, in steps, of coordinates that count as uniform: rounding.
_ROUNDING = 1e-6


def uniform_step(values: Any) -> float | None:
    """Return the step of equally spaced coordinates; None if they are not, or are fewer than two."""
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return None
    step = float(values[1] - values[0])
    steps = (values - values[0]) / step if step else np.full(len(values), np.nan)
    return step if np.abs(steps - np.arange(len(values))).max() <= _ROUNDING else None


def signal_dictionary(array: xr.DataArray, run_card: dict[str, Any] | None = None) -> dict[str, Any]:
    """Describe an array as HyperSpy and RosettaSciIO describe a signal.

    Parameters
    ----------
    array : DataArray
        A movie or a variable of a result.
    run_card : dict, optional
        Kept as text (JSON) beside the attributes of the array.

    Returns
    -------
    dict
        ``data`` (lazy if the array is), ``axes``, ``metadata`` and ``original_metadata``, where the name, the
        attributes and the names of the classes lie below ``bravaismap``. The signal axes are (y, x), or (py, px) of
        pixels, if the array has both, else time, else the last dimension; the others are navigation axes, in their
        order. An axis whose coordinates are not equally spaced carries all of them.
    """
    dims = [str(dim) for dim in array.dims]
    planes = [plane for plane in (["y", "x"], ["py", "px"]) if set(plane) <= set(dims)]
    signal_dims = planes[0] if planes else ["time"] if "time" in dims else dims[-1:]
    array = array.transpose(*[dim for dim in dims if dim not in signal_dims], *signal_dims)
    original: dict[str, Any] = {"name": str(array.name or ""), "attributes": dict(array.attrs)}
    if "lattice" in array.coords:
        original["lattice"] = [str(name) for name in np.atleast_1d(array["lattice"].values)]
    if run_card is not None:
        original["run_card"] = json.dumps(run_card, ensure_ascii=False)
    return {
        "data": array.data,
        "axes": [
            _hyperspy_axis(array, str(dim), i, navigate=dim not in signal_dims) for i, dim in enumerate(array.dims)
        ],
        "metadata": {"General": {"title": original["name"]}, "Signal": {"signal_type": ""}},
        "original_metadata": {"bravaismap": original},
    }


def _hyperspy_axis(array: xr.DataArray, dim: str, index: int, *, navigate: bool) -> dict[str, Any]:
    size = array.sizes[dim]
    values = array[dim].values if dim in array.coords else np.arange(size)
    if values.dtype.kind not in "iuf":
        values = np.arange(size)
    axis = {"name": dim, "size": size, "index_in_array": index, "navigate": navigate}
    unit = str(array[dim].attrs["units"]) if dim in array.coords and "units" in array[dim].attrs else None
    axis |= {"units": None if unit == "frame" else unit}
    step = uniform_step(values) if size > 1 else 1.0
    if step is None:
        return axis | {"_type": "DataAxis", "axis": np.asarray(values, np.float64)}
    return axis | {"_type": "UniformDataAxis", "scale": step, "offset": float(values[0])}


def export_hspy(result: xr.Dataset, folder: str | os.PathLike[str]) -> list[Path]:
    """Write every map and curve of a result as a HyperSpy signal.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it.
    folder : str or path
        Created if it does not exist; files of the same name in it are replaced.

    Returns
    -------
    list of Path
        ``<variable>.hspy``: maps with the signal axes (y, x), of pixels (py, px), and the navigation axes time and,
        where there is one value per class, lattice; fractions with the signal axis time. `basis` and its covariance,
        which only this package uses, are left out.

    Raises
    ------
    OutputError
        If the folder or a file in it cannot be written.
    """
    from rsciio.hspy import file_writer

    folder = made_folder(folder)
    writer = {"package": "bravaismap", "package_version": str(result.attrs.get("version", ""))}
    written = []
    for name in _plain_variables(result):
        path = folder / f"{name}.hspy"
        signal = signal_dictionary(result[name], dict(result.attrs))
        signal |= {"attributes": {"_lazy": hasattr(signal["data"], "dask")}, "learning_results": {}, "models": {}}
        signal |= {"package_info": writer, "tmp_parameters": {}}
        with replacing(path) as temporary:
            file_writer(str(temporary), signal, show_progressbar=False)
        written.append(path)
    return written


def export_netcdf(result: xr.Dataset, folder: str | os.PathLike[str]) -> list[Path]:
    """Write a result as one NetCDF-4 file.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it.
    folder : str or path
        Created if it does not exist; a file of the same name in it is replaced.

    Returns
    -------
    list of Path
        ``result.nc``, with all variables. ``lattice`` is stored as small integers whose names are in the
        attribute ``flag_meanings``, and the run card as JSON in the attribute ``run_card``.

    Raises
    ------
    OutputError
        If the folder or the file cannot be written.
    """
    path = made_folder(folder) / "result.nc"
    write_netcdf(path, result, "label")
    return [path]


def export_pixel_netcdf(pixels: xr.Dataset, folder: str | os.PathLike[str]) -> list[Path]:
    """Write a pixel map as one compressed NetCDF-4 file.

    Parameters
    ----------
    pixels : Dataset
        Of :func:`~bravaismap.pixel_map`.
    folder : str or path
        Created if it does not exist; a file of the same name in it is replaced.

    Returns
    -------
    list of Path
        ``pixels.nc``, with classes and run card as :func:`export_netcdf` writes them.

    Raises
    ------
    OutputError
        If the folder or the file cannot be written.
    """
    path = made_folder(folder) / "pixels.nc"
    packed = {str(name): {"zlib": True, "complevel": 1} for name in pixels.data_vars}
    write_netcdf(path, pixels, "phase", packed)
    return [path]


def write_netcdf(path: Path, data: xr.Dataset, label: str, encoding: dict[str, Any] | None = None) -> None:
    """Write a Dataset whose variable `label` holds classes; names become flags, as NetCDF has them."""
    names = [str(name) for name in data["lattice"].values]
    flags = {"flag_values": np.arange(len(names), dtype=np.int8), "flag_meanings": " ".join(names)}
    plain = (
        xr.Dataset(data.data_vars, data.coords)
        .drop_encoding()
        .assign_coords(lattice=("lattice", flags["flag_values"], {"long_name": "Bravais lattice"} | flags))
    )
    plain[label] = plain[label].assign_attrs(flags)
    plain.attrs = {"run_card": json.dumps(data.attrs, ensure_ascii=False)}
    with replacing(path) as temporary:
        plain.to_netcdf(temporary, engine="h5netcdf", encoding=encoding)


def export_ome_tiff(result: xr.Dataset, folder: str | os.PathLike[str]) -> list[Path]:
    """Write the labels and the probabilities of a result as OME-TIFF.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it.
    folder : str or path
        Created if it does not exist; files of the same name in it are replaced.

    Returns
    -------
    list of Path
        ``labels.ome.tif`` (time, y, x; int8: the number of the class, -1 where a window is not mapped) and
        ``probabilities.ome.tif`` (time, channel, y, x; float32), with a channel per class in its name and colour. A
        pixel is a window: its physical size is the step between windows, in nm or pixels, and the position of a plane
        is the centre of its first window. The last row and column may lie closer, as in the result.

    Raises
    ------
    OutputError
        If the folder or a file in it cannot be written.
    """
    from bravaismap.show.axes import class_colors

    folder = made_folder(folder)
    names = [str(name) for name in result["lattice"].values]
    channels = {"Name": names, "Color": [_ome_color(color) for color in class_colors(names).values()]}
    labels, probabilities = folder / "labels.ome.tif", folder / "probabilities.ome.tif"
    _write_ome(labels, result["label"].transpose("time", "y", "x"), "label", {"Name": ["label"]})
    _write_ome(probabilities, result["probability"].transpose("time", "lattice", "y", "x"), "probability", channels)
    return [labels, probabilities]


def _write_ome(path: Path, maps: xr.DataArray, name: str, channels: dict[str, Any]) -> None:
    import tifffile

    planes = int(np.prod(maps.shape[:-2]))
    metadata: dict[str, Any] = {"axes": "TCYX" if maps.ndim == 4 else "TYX", "Name": name}
    metadata |= {"Channel": channels, "Plane": {}}
    for dim in ("y", "x"):
        unit = "nm" if maps[dim].attrs.get("units") == "nm" else "pixel"
        letter = dim.upper()
        metadata["Plane"] |= {f"Position{letter}": [float(maps[dim][0])] * planes}
        metadata["Plane"] |= {f"Position{letter}Unit": [unit] * planes}
        if maps.sizes[dim] > 1:
            metadata |= {f"PhysicalSize{letter}": float(maps[dim][1] - maps[dim][0])}
            metadata |= {f"PhysicalSize{letter}Unit": unit}
    interval = uniform_step(maps["time"].values)
    if interval is not None and maps["time"].attrs.get("units") == "s":
        metadata |= {"TimeIncrement": interval, "TimeIncrementUnit": "s"}
    with replacing(path) as temporary:
        tifffile.imwrite(
            temporary,
            _planes(maps),
            shape=maps.shape,
            dtype=maps.dtype,
            ome=True,
            photometric="minisblack",
            metadata=metadata,
        )


def _planes(maps: xr.DataArray) -> Iterator[NDArray[Any]]:
    """Yield the images (y, x) of maps in order, reading a frame at a time."""
    for index in range(maps.sizes["time"]):
        frame = maps.isel(time=index).values
        yield from frame.reshape(-1, *frame.shape[-2:])


def _ome_color(color: str) -> int:
    """Return a colour such as #0072B2 as OME writes it: red, green, blue and opacity in a signed 32-bit integer."""
    value = int(color[1:] + "FF", 16)
    return value - 2**32 if value >= 2**31 else value


def _plain_variables(result: xr.Dataset) -> list[str]:
    return [str(name) for name, variable in result.data_vars.items() if not {*variable.dims} & {*FIXED_SIZES}]
