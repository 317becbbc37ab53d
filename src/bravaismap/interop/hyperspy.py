"""HyperSpy: movies and results as signals with calibrated axes, and signals as movies; lazy on both sides.

A movie becomes a Signal2D with the navigation axis time; a variable of a result keeps (y, x) as signal axes and has
time and, where there is one value per class, lattice as navigation axes. The offset of a map is the centre of its first
window. HyperSpy itself is imported when the first signal is made.
"""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import DIMS, length_unit
from bravaismap.errors import InputError, warn
from bravaismap.export.exchange import signal_dictionary
from bravaismap.movie import check_pixels
from bravaismap.read.signal import ANISOTROPY, nanometres, seconds

__all__ = ["from_hyperspy", "to_hyperspy"]


@overload
def to_hyperspy(data: xr.DataArray) -> Any: ...
@overload
def to_hyperspy(data: xr.Dataset) -> dict[str, Any]: ...
def to_hyperspy(data: xr.DataArray | xr.Dataset) -> Any:
    """Return a movie, a variable of a result or a whole result as HyperSpy signals.

    Parameters
    ----------
    data : DataArray or Dataset
        A movie (time, y, x) in any order; or a variable of a result; or a result, as :func:`~bravaismap.map_phases` and
        :func:`~bravaismap.open_result` return it.

    Returns
    -------
    signal, or dict of str to signal
        A lazy signal, or one for each variable of a result that is not empty. Axes carry name, scale, offset and units
        (nm or px, s or none); coordinates that are not equally spaced, such as those of maps whose last window ends at
        the edge of the frame, become a non-uniform axis. The name, the attributes, the names of the classes (`lattice`)
        and the run card are in ``signal.original_metadata.bravaismap``.

    Raises
    ------
    InputError
        If HyperSpy is not installed, or `data` is something else.

    Examples
    --------
    >>> signals = to_hyperspy(bm.open_result("film.zarr"))  # doctest: +SKIP
    >>> signals["probability"].plot()  # doctest: +SKIP
    """
    if isinstance(data, xr.Dataset):
        variables = {str(name): variable for name, variable in data.data_vars.items() if variable.size}
        return {name: _signal(variable, dict(data.attrs)) for name, variable in variables.items()}
    if not isinstance(data, xr.DataArray) or data.ndim == 0:
        what = f"a {type(data).__name__}" if not isinstance(data, xr.DataArray) else "a DataArray without dimensions"
        raise InputError(f"{what} was given; expected a movie or a result (xarray), as read and map_phases return them")
    return _signal(data, None)


def from_hyperspy(signal: Any) -> xr.DataArray:
    """Return a HyperSpy signal of images as a movie.

    Parameters
    ----------
    signal : Signal2D
        An image, or a stack of them along one navigation axis. A lazy one stays lazy.

    Returns
    -------
    DataArray
        Dimensions (time, y, x), as :func:`~bravaismap.read` returns it: coordinates in nm and s where the axes have a
        unit of length and of time, otherwise counted in px and frames. What :func:`to_hyperspy` was given comes back
        with its name, attributes and coordinates.

    Warns
    -----
    UserWarning
        When the pixels are not square: then the width counts.

    Raises
    ------
    InputError
        If the signal does not consist of images, has several navigation axes, or holds something other than real
        numbers.
    """
    manager = getattr(signal, "axes_manager", None)
    if manager is None:
        raise InputError(f"a {type(signal).__name__} was given; expected a HyperSpy signal")
    if manager.signal_dimension != 2 or manager.navigation_dimension > 1:
        raise InputError(
            f"a signal with {manager.navigation_dimension} navigation and {manager.signal_dimension} signal axes was "
            "given; expected images (2 signal axes) along at most one navigation axis: take a part with .inav, or "
            "arrange it with .transpose"
        )
    x, y = manager.signal_axes
    order = [axis.index_in_array for axis in (*manager.navigation_axes, y, x)]
    data = signal.data.transpose(order)
    if not manager.navigation_axes:
        data = data[None]
    check_pixels(data.dtype, data.shape)
    about = _kept(signal)
    coords = _lengths(y, x) | {"time": _times(manager.navigation_axes, len(data))}
    name = about.get("name") or signal.metadata.get_item("General.title", "") or "image"
    return xr.DataArray(data, dims=DIMS, coords={dim: coords[dim] for dim in DIMS}, name=name).assign_attrs(
        about.get("attributes", {})
    )


def _signal(array: xr.DataArray, run_card: dict[str, Any] | None) -> Any:
    """Return the lazy signal of an array."""
    try:
        from hyperspy.api import signals
    except ImportError as error:
        raise InputError('HyperSpy is not installed; install it with: pip install "bravaismap[hyperspy]"') from error
    about = signal_dictionary(array, run_card)
    inner = sum(not axis["navigate"] for axis in about["axes"])
    return (signals.Signal2D if inner == 2 else signals.Signal1D)(**about).as_lazy()


def _kept(signal: Any) -> dict[str, Any]:
    """Return what `to_hyperspy` wrote about the movie."""
    node = signal.original_metadata.get_item("bravaismap", None)
    return {} if node is None else dict(node.as_dictionary())


def _lengths(y: Any, x: Any) -> dict[str, Any]:
    """Return the coordinates of the image axes, each (dim, values, attributes)."""
    steps = {dim: nanometres(_step(axis), _unit(axis)) for dim, axis in (("y", y), ("x", x))}
    height, width = steps["y"] or steps["x"], steps["x"] or steps["y"]
    if height and width and abs(height - width) > ANISOTROPY * max(height, width):
        warn(
            f"pixels of {width:.6g} nm along x and {height:.6g} nm along y; {width:.6g} nm is used for both: lattice "
            "parameters along y will be off unless you resample the image"
        )
    coords: dict[str, Any] = {}
    for dim, axis, label in (("y", y, "y, downwards"), ("x", x, "x")):
        unit = length_unit(width)
        if width and not steps[dim]:
            values = np.arange(axis.size) * width
        elif width:
            values = _scaled(axis, nanometres(1.0, _unit(axis)))
        else:
            values = _values(axis) if _unit(axis) == "px" else np.arange(axis.size, dtype=np.float64)
        coords[dim] = (dim, values, {"units": unit, "long_name": label})
    return coords


def _times(axes: Any, length: int) -> Any:
    known = [axis for axis in axes if seconds(_step(axis), _unit(axis)) is not None]
    values = np.arange(length, dtype=np.float64)
    for axis in known:
        values = _scaled(axis, seconds(1.0, _unit(axis)))
    return "time", values, {"units": "s" if known else "frame", "long_name": "time"}


def _scaled(axis: Any, factor: float | None) -> NDArray[np.float64]:
    """Return the values of an axis in another unit; those of an axis that falls are counted up from 0."""
    step = _step(axis)
    return (_values(axis) if step > 0 else np.arange(axis.size) * -step) * (factor or np.nan)


def _values(axis: Any) -> NDArray[np.float64]:
    return np.asarray(axis.axis, np.float64)


def _step(axis: Any) -> float:
    return float(getattr(axis, "scale", None) or np.diff(_values(axis)[:2]).sum())


def _unit(axis: Any) -> str:
    return axis.units if isinstance(axis.units, str) else ""
