"""Rendering: frames as grey values, maps as colours with their scale."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import (
    CYCLIC_CMAP,
    DIVERGING_CMAP,
    LATTICES,
    PROBABILITY_CMAP,
    SEQUENTIAL_CMAP,
    display_name,
)
from bravaismap.phases.cells import orientation_scale, symmetric_cells
from bravaismap.result.schema import TITLES
from bravaismap.show.colors import class_colors
from bravaismap.show.edges import map_edges
from bravaismap.viewer.frame_geometry import Region

__all__ = [
    "Overlay", "contrast", "first_layer", "grey", "is_of_pixels", "layers_of", "overlay", "overlay_or_none",
    "scale_bar",
]  # fmt: skip

_MOST = 1024  # px along a side, more than a screen shows of a frame
_SHADES = 256
#: Maps of pixels: variable → title in the menu and key.
_PIXEL_LAYERS = {
    "phase": ("phase of every pixel", "phase"),
    "phase_probability": ("probability of that phase", "phase_probability"),
    "amplitude": ("amplitude of the lattice", "amplitude"),
    "exx": ("strain along x", "exx"),
    "eyy": ("strain along y", "eyy"),
    "exy": ("shear strain", "exy"),
    "rotation": ("rotation", "rotation"),
}


@dataclass(frozen=True)
class Overlay:
    """A map, ready to be drawn.

    Attributes
    ----------
    values : array, shape (rows, columns)
        On a regular grid; NaN is left blank.
    bounds : Region
        What it covers.
    palette : list of str
        Colours from `low` to `high`.
    low, high : float
    title, unit : str
    names : tuple of str
        Of a map of classes: their names; empty for numbers.
    """

    values: NDArray[np.float32]
    bounds: Region
    palette: list[str]
    low: float
    high: float
    title: str
    unit: str = ""
    names: tuple[str, ...] = field(default=())


def layers_of(variables: Any, classes: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Return the maps that can be laid over a frame: group → title → key, a variable or ``variable:class``."""
    groups = {"Class": {"most probable class": "label"}}
    if "phase" in variables:
        groups = {"Pixels": dict(_PIXEL_LAYERS.values())} | groups
    groups["Probability of"] = {display_name(name): f"probability:{name}" for name in classes}
    groups["Map of"] = {title: name for name, title in TITLES.items() if name in variables}
    if "deviation" in variables:
        groups["Deviation from"] = {
            display_name(name): f"deviation:{name}" for name in LATTICES if name in classes and name != "oblique"
        }
    return {group: options for group, options in groups.items() if options}


def first_layer(variables: Any) -> str:
    """Return the key of the map that is shown first: the phase of every pixel, or the class of every window."""
    return "phase" if "phase" in variables else "label"


def contrast(
    samples: list[NDArray[np.floating]], percentiles: tuple[float, float] = (0.5, 99.5)
) -> tuple[float, float]:
    """Return the limits of the grey scale, by default those of all but 0.5 % of the pixels at either end."""
    low, high = np.nanpercentile(np.concatenate([np.asarray(s, float).ravel()[:: s.size // 100_000 + 1]
                                                 for s in samples]), percentiles)  # fmt: skip
    return float(low), float(high if high > low else low + 1)


def grey(pixels: NDArray[np.floating], limits: tuple[float, float], gamma: float = 1.0) -> NDArray[np.uint8]:
    """Return a frame as grey values from 0 to 255, at most 1024 px a side (block means).

    Grey is the share between the limits to the power `gamma`: below 1 what is dark becomes brighter.
    """
    factor = -(-max(pixels.shape) // _MOST)
    shown = np.asarray(pixels, np.float32)
    if factor > 1:
        height, width = (side // factor for side in shown.shape)
        shown = shown[: height * factor, : width * factor].reshape(height, factor, width, factor).mean(axis=(1, 3))
    scaled = ((np.nan_to_num(shown, nan=limits[0]) - limits[0]) / (limits[1] - limits[0])).clip(0, 1)
    return np.asarray(255 * (scaled if gamma == 1 else scaled**gamma), np.uint8)


def overlay(frame: xr.Dataset, key: str) -> Overlay:
    """Return the map of a frame (time axis of length 1) that a key of :func:`layers_of` names.

    Probabilities are drawn from 0 to 1, entropy from 0 to ln(number of classes), orientations on a cyclic scale, and
    everything else from the 2nd to the 98th percentile of the frame.
    """
    name, _, lattice = key.partition(":")
    classes = tuple(str(item) for item in frame["lattice"].values)
    if is_of_pixels(name):
        return _pixel_overlay(frame, name, classes)
    data = frame[name] if not lattice else frame[name].sel(lattice=lattice)
    values = data.transpose("time", "y", "x").values[0].astype(np.float32)
    unit = _unit(data)
    ends = [map_edges(frame, dim) for dim in ("y", "x")]
    bounds = Region(*(float(end) for axis in ends for end in axis[[0, -1]]))
    if name == "label":
        shown = np.where(values < 0, np.nan, values)
        colors = list(class_colors(classes).values())
        return Overlay(
            _regular(shown, *ends), bounds, colors, -0.5, len(classes) - 0.5, "most probable class", names=classes
        )
    cmap, low, high = SEQUENTIAL_CMAP, *_limits(values)
    title = TITLES.get(name, name) if not lattice else f"{name} {_joining(name)} {display_name(lattice)}"
    if name == "probability":
        cmap, low, high = PROBABILITY_CMAP, 0.0, 1.0
    elif name == "entropy":
        low, high = 0.0, float(np.log(len(classes)))
    elif name == "deviation":
        low = 0.0
        high = max(high, 1e-3)
    elif name in ("a", "b", "orientation"):
        basis = frame["basis"].isel(time=0).transpose("y", "x", "vector", "component").values
        cells = symmetric_cells(basis, frame["label"].values[0])
        if name == "orientation":
            values, high, unit = orientation_scale(cells)
            cmap, low = CYCLIC_CMAP, 0.0
        else:
            values = cells.a if name == "a" else cells.b
            low, high = _limits(values)
    palette = _shades(cmap)
    return Overlay(_regular(values, *ends), bounds, palette, low, high, title, unit)


def overlay_or_none(frame: xr.Dataset, key: str) -> Overlay | None:
    """Return the map that a key names, None where the frame, perhaps of another result, has none of that name."""
    name, _, lattice = key.partition(":")
    known = name in frame and (not lattice or lattice in frame["lattice"].values)
    return overlay(frame, key) if known else None


def is_of_pixels(key: str) -> bool:
    """Return whether a key of :func:`layers_of` names a map of pixels, which no other distortion changes."""
    return key in _PIXEL_LAYERS


def _pixel_overlay(frame: xr.Dataset, name: str, classes: tuple[str, ...]) -> Overlay:
    """Return a map of the pixels of a frame, each as large as the step between them."""
    values = frame[name].transpose("time", "py", "px").values[0].astype(np.float32)
    half = 0.5 * float(frame.attrs["pixel_step"]) * float(frame.attrs.get("pixel_size_nm") or 1.0)
    y, x = (frame[dim].values for dim in ("py", "px"))
    bounds = Region(float(y[0]) - half, float(y[-1]) + half, float(x[0]) - half, float(x[-1]) + half)
    title = _PIXEL_LAYERS[name][0]
    if name == "phase":
        shown = np.where(values < 0, np.nan, values)
        colors = list(class_colors(classes).values())
        return Overlay(shown, bounds, colors, -0.5, len(classes) - 0.5, title, names=classes)
    cmap, (low, high) = SEQUENTIAL_CMAP, _limits(values)
    if name == "phase_probability":
        cmap, low, high = PROBABILITY_CMAP, 0.0, 1.0
    elif name == "amplitude":
        low, high = 0.0, max(high, 1.0)
    else:
        cmap, high = DIVERGING_CMAP, max(abs(low), abs(high))
        low = -high
    palette = _shades(cmap)
    unit = _unit(frame[name])
    return Overlay(values, bounds, palette, low, high, title, unit)


def _shades(cmap: str) -> list[str]:
    """Return the colours of a colour map; Matplotlib is not imported before one is drawn."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(color) for color in colormaps[cmap](np.linspace(0, 1, _SHADES))]


def scale_bar(width: float) -> float:
    """Return the length of a scale bar: 1, 2 or 5 times a power of ten, at most a quarter of a width."""
    power = 10.0 ** np.floor(np.log10(width / 4))
    return float(max(step * power for step in (1, 2, 5) if step * power <= width / 4))


def _unit(data: xr.DataArray) -> str:
    unit = str(data.attrs.get("units", ""))
    return {"degree": "°", "1": ""}.get(unit, unit)


def _joining(name: str) -> str:
    return "from" if name == "deviation" else "of"


def _limits(values: NDArray[np.floating]) -> tuple[float, float]:
    if not np.isfinite(values).any():
        return 0.0, 1.0
    low, high = (float(v) for v in np.nanpercentile(values, (2, 98)))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _regular(values: NDArray[np.floating], y: NDArray[np.floating], x: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return a map on a regular grid; the windows, between the edges `y` and `x`, own areas of different sizes."""
    for axis, ends in enumerate((y, x)):
        sides = np.diff(ends)
        if not np.allclose(sides, sides[0], rtol=1e-3):
            count = min(_MOST, int(np.ceil((ends[-1] - ends[0]) / sides.min())) * 8)
            place = ends[0] + (np.arange(count) + 0.5) * (ends[-1] - ends[0]) / count
            values = values.take(np.clip(np.searchsorted(ends, place) - 1, 0, len(sides) - 1), axis=axis)
    return np.ascontiguousarray(values, np.float32)
