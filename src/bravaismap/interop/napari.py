"""The napari plugin: open a result, map a layer, a sample. Plain functions that return layer data.

A layer datum is ``(data, attributes, type)``, as napari takes it. Nothing here imports napari; the widget does
(:mod:`bravaismap.interop.napari_widget`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.classify.settings import DEFAULT_MODEL, DEFAULTS
from bravaismap.conventions import DIVERGING_CMAP, PROBABILITY_CMAP, SEQUENTIAL_CMAP, display_name
from bravaismap.errors import BravaismapError, InputError
from bravaismap.movie import as_movie, pixel_size
from bravaismap.read.signal import nanometres, seconds
from bravaismap.result.schema import TITLES

__all__ = [
    "LayerData",
    "film_sample",
    "get_reader",
    "layer_movie",
    "map_layer",
    "movie_layer",
    "result_layers",
    "site_layer",
]

LayerData = tuple[Any, dict[str, Any], str]

#: Variables of pixels that are layers, with their colour maps.
_PIXEL_MAPS = {
    "phase": "",
    "phase_probability": PROBABILITY_CMAP,
    "amplitude": SEQUENTIAL_CMAP,
    "exx": DIVERGING_CMAP,
    "eyy": DIVERGING_CMAP,
    "exy": DIVERGING_CMAP,
    "rotation": DIVERGING_CMAP,
}
#: What is known of each site, beside its place.
_OF_A_SITE = ("state", "amplitude", "amplitude_std", "vacant", "occupied", "substituted", "missing", "track", "lattice")
#: Diameter of the mark of a vacancy or of another atom, and of an atom where it should be, over the distance of sites.
_MARKED, _DOT = 0.8, 0.25
_UNITS = {"px": "pixel", "frame": "pixel"}


def get_reader(path: str | list[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return the function that reads a path, or None for what is not a result of this package.

    Parameters
    ----------
    path : str, or list of str
        The ``.zarr`` folder that ``bravaismap map`` or ``watch`` wrote; several at once are left to other readers.

    Returns
    -------
    callable, or None
        Takes the path and returns the layers of :func:`result_layers`.
    """
    if not isinstance(path, str | os.PathLike) or not os.path.isdir(path):
        return None
    try:
        _opened(path)
    except BravaismapError:
        return None
    return lambda given: result_layers(_opened(given))


def result_layers(result: xr.Dataset) -> list[LayerData]:
    """Return the layers of a result.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` or :func:`~bravaismap.open_result` returns it; it stays lazy.

    Returns
    -------
    list of (data, attributes, type)
        Labels (the number of the class plus 1; 0, which napari does not draw, where there is none yet) in the colours
        of the classes: of a result that holds pixels the phase of each, with what else is known of it, and hidden that
        of each window. Hidden, an image for the probability of each class in its colour; and entropy, a, b, γ and
        orientation, as far as the result has them. Axes (time, y, x), with the step between windows as scale and the
        centre of the first window as translation, in nm or pixels; the run card is in the layer's metadata. A last row
        or column of windows that lies closer than the others is drawn one step away.
    """
    from bravaismap.show.axes import class_colors

    names = [str(name) for name in result["lattice"].values]
    colors = class_colors(names)
    place = _placement(result)
    layers: list[LayerData] = [
        (
            (result["label"].transpose("time", "y", "x") + 1).astype(np.uint8).data,
            place
            | {
                "name": "lattice phase",
                "opacity": 0.6,
                "visible": "phase" not in result,
                "colormap": {None: "transparent", 0: "transparent"}
                | {i: colors[name] for i, name in enumerate(names, 1)},
                "features": {"index": list(range(1, len(names) + 1)), "class": [display_name(name) for name in names]},
            },
            "labels",
        )
    ]
    hidden = place | {"visible": False, "blending": "additive"}
    for name in names:
        maps = result["probability"].sel(lattice=name).transpose("time", "y", "x").data
        attributes = {
            "name": f"probability {display_name(name)}",
            "colormap": colors[name],
            "contrast_limits": (0.0, 1.0),
        }
        layers.append((maps, hidden | attributes, "image"))
    for variable in (name for name in TITLES if name in result):
        maps = result[variable].transpose("time", "y", "x").data
        cmap = PROBABILITY_CMAP if variable == "entropy" else SEQUENTIAL_CMAP
        layers.append((maps, hidden | {"name": variable, "colormap": cmap, "blending": "translucent"}, "image"))
    return _pixel_layers(result, colors) + layers if "phase" in result else layers


def _pixel_layers(result: xr.Dataset, colors: dict[str, str]) -> list[LayerData]:
    """Return the layers of the pixels of a result: the phase of each, and hidden what else is known of it."""
    fields = result[[name for name in _PIXEL_MAPS if name in result]].rename(py="y", px="x")
    place = _placement(fields)
    palette: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    palette |= dict(enumerate(colors.values(), 1))
    phase = (fields["phase"].transpose("time", "y", "x") + 1).astype(np.uint8).data
    named = {"index": list(range(1, len(colors) + 1)), "class": [display_name(name) for name in colors]}
    about = {"name": "phase of each pixel", "opacity": 0.5, "colormap": palette, "features": named}
    layers: list[LayerData] = [(phase, place | about, "labels")]
    hidden = place | {"visible": False, "blending": "translucent"}
    for name, cmap in _PIXEL_MAPS.items():
        if name in fields and name != "phase":
            maps = fields[name].transpose("time", "y", "x").data
            layers.append((maps, hidden | {"name": f"pixels: {name}", "colormap": cmap}, "image"))
    return layers


def site_layer(sites: xr.Dataset) -> LayerData:
    """Return the sites of a movie as a layer of points.

    Parameters
    ----------
    sites : Dataset
        Of :func:`~bravaismap.find_sites`.

    Returns
    -------
    (data, attributes, type)
        Points (time, y, x): rings around single vacancies (vermilion), vacant sites of voids (orange) and other atoms
        (blue), dots where the usual atom is. State, amplitude ± σ, probabilities and track are features of each point.
    """
    from bravaismap.show.colors import site_marks

    marked, color = site_marks(sites)
    frame, time = sites["frame"].values, sites["time"].values
    first, last = (int(index(frame)) if len(frame) else 0 for index in (np.argmin, np.argmax))
    many = len(frame) > 0 and frame[last] > frame[first]
    step = float((time[last] - time[first]) / (frame[last] - frame[first])) if many else 1.0
    start = float(time[first] - step * frame[first]) if len(frame) else 0.0
    units = [str(sites[name].attrs.get("units", "pixel")) for name in ("time", "y", "x")]
    attributes = {
        "name": "sites",
        "size": float(sites.attrs["spacing"]) * np.where(marked, _MARKED, _DOT),
        "border_color": color,
        "border_width": 0.15,
        "face_color": "transparent",
        "scale": [step, 1.0, 1.0],
        "translate": [start, 0.0, 0.0],
        "units": [_UNITS.get(name, name) for name in units],
        "axis_labels": ["time", "y", "x"],
        "features": {name: sites[name].values for name in _OF_A_SITE},
        "metadata": {"run_card": dict(sites.attrs)},
    }
    return np.column_stack([frame, sites["y"].values, sites["x"].values]).astype(float), attributes, "points"


def movie_layer(movie: xr.DataArray) -> LayerData:
    """Return the image layer of a movie (time, y, x), with its pixel size and frame time as scale."""
    place = {key: value for key, value in _placement(movie).items() if key != "metadata"}
    attributes = {"name": str(movie.name or "movie"), "colormap": "gray", "metadata": {"attributes": dict(movie.attrs)}}
    return movie.data, place | attributes, "image"


def film_sample() -> list[LayerData]:
    """Return a simulated film of six frames of 256 px that loses its atoms."""
    from bravaismap.simulate.film import simulate_film

    movie = simulate_film(6, 256, seed=0)["image"].rename("simulated film")
    return [movie_layer(movie)]


def layer_movie(layer: Any) -> xr.DataArray:
    """Return the movie that an image layer shows.

    Parameters
    ----------
    layer : napari.layers.Image
        Of two axes (y, x) or three (time, y, x). Units of length and of time become nm and s; others (pixels) leave the
        pixel size or the frame time unknown.

    Returns
    -------
    DataArray (time, y, x)

    Raises
    ------
    InputError
        For another kind of layer, a colour or multiscale image, or more axes.
    """
    kind = getattr(layer, "_type_string", type(layer).__name__)
    if kind != "image" or layer.rgb or layer.multiscale:
        what = "a colour image" if kind == "image" and layer.rgb else "a multiscale image" if kind == "image" else kind
        raise InputError(f"the layer {layer.name!r} is {what}; choose a grey image layer (y, x) or (time, y, x)")
    if layer.ndim not in (2, 3):
        raise InputError(f"the layer {layer.name!r} has {layer.ndim} axes; expected (y, x) or (time, y, x)")
    units = [str(unit) for unit in layer.units]
    size = nanometres(float(layer.scale[-1]), units[-1])
    time = seconds(float(layer.scale[0]), units[0]) if layer.ndim == 3 else None
    return as_movie(layer.data, pixel_size=size, frame_time=time, name=layer.name, attrs={"source": layer.name})


def map_layer(
    layer: Any,
    window: int | str = DEFAULTS.window,
    step: int | None = DEFAULTS.step,
    model: str = DEFAULT_MODEL,
    distortion: float | None = None,
    *,
    sites: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> list[LayerData]:
    """Map the phases of an image layer and return the layers of the result, which lie over it.

    Parameters
    ----------
    layer : napari.layers.Image
        See :func:`layer_movie`.
    window, step, model, distortion
        See :func:`bravaismap.map_phases`.
    sites : bool
        Add the sites as points, which takes about as long again.
    progress : callable, optional
        Called with the number of frames done and their total; with sites every frame counts twice.

    Raises
    ------
    InputError
        If the layer or an option cannot be used as it is.
    """
    from bravaismap.phases.map import map_phases

    movie = layer_movie(layer)
    total = len(movie) * (2 if sites else 1)

    def done(count: int, _: int | None = None) -> None:
        if progress is not None:
            progress(count, total)

    result = map_phases(movie, window=window, step=step, model=model, distortion=distortion, progress=done)
    scale, start = (np.asarray(values, float) for values in (layer.scale, layer.translate))
    over = result_layers(result)
    if sites:
        from bravaismap.phases.sites import find_sites

        over.append(site_layer(find_sites(result, movie, progress=lambda count: done(len(movie) + count))))
    layers: list[LayerData] = []
    for data, about, kind in over:
        pixels = np.array(about["scale"][1:]) / (pixel_size(movie) or 1.0)
        first = np.array(about["translate"][1:]) / (pixel_size(movie) or 1.0)
        placed = {
            "name": f"{layer.name}: {about['name']}",
            "scale": [*scale[:-2], *(scale[-2:] * pixels)],
            "translate": [*start[:-2], *(start[-2:] + scale[-2:] * first)],
            "units": [str(unit) for unit in layer.units],
            "axis_labels": list(about["axis_labels"][-layer.ndim :]),
        }
        flat = data[:, 1:] if kind == "points" else data[0]
        layers.append((data if layer.ndim == 3 else flat, about | placed, kind))
    return layers


def _opened(path: Any) -> xr.Dataset:
    from bravaismap.result.open import open_result

    return open_result(path)


def _placement(data: xr.Dataset | xr.DataArray) -> dict[str, Any]:
    """Return where data (time, y, x) lie, and the run card."""
    unit = {dim: str(data[dim].attrs.get("units", "pixel")) for dim in ("time", "y", "x")}
    return {
        "scale": [_step(data, dim) for dim in unit],
        "translate": [float(data[dim][0]) for dim in unit],
        "units": [_UNITS.get(name, name) for name in unit.values()],
        "axis_labels": list(unit),
        "metadata": {"run_card": dict(data.attrs)},
    }


def _step(data: xr.Dataset | xr.DataArray, dim: str) -> float:
    """Return the step of a coordinate; of a single window the step that its run card names, of a single frame 1."""
    values = data[dim].values
    if len(values) > 1:
        return float(np.median(np.diff(values)))
    return 1.0 if dim == "time" else float(data.attrs.get("step", 1)) * float(data.attrs.get("pixel_size_nm") or 1.0)
