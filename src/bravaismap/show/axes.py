"""Common parts of all figures: axes to scale, colours of classes, frames in grey, the size of text, a scale bar.

No function touches pyplot or its settings. Maps are to scale, each window owning the area up to half-way to the next;
what is not mapped is blank. Images may be a movie or one frame, with or without coordinates; frame −1 is the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import color_sequences
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from bravaismap.conventions import COLORS, DIMS, NONE, UNMAPPED
from bravaismap.errors import InputError

__all__ = [
    "HATCHING",
    "MOVIE_TEXT",
    "SMALL_TEXT",
    "TEXT",
    "WIDTH",
    "class_colors",
    "draw_image",
    "draw_map",
    "draw_maps",
    "drawn_frames",
    "edges",
    "figure_for_maps",
    "frame_number",
    "frame_of",
    "hatch_unmeasured",
    "label_axes",
    "outline",
    "scale_bar",
    "show_frame",
    "sized",
    "stamp",
    "unit_of",
    "whole_plane",
]

WIDTH = 6.3  # in, of a figure; at 12 cm in print the text is 7 pt and 6 pt high
TEXT, SMALL_TEXT, MOVIE_TEXT = 9.0, 8.0, 14.0  # pt: titles and labels, legends, and all text in a movie
HATCHING: dict[str, Any] = {"hatch": "////", "edgecolor": "0.7"}  # of areas that were never measured


def class_colors(names: Iterable[str]) -> dict[str, str]:
    """Return the colour (``"#rrggbb"``) of each class; a user's class takes the next free Okabe–Ito colour."""
    names = [str(name) for name in names]
    palette = [to_hex(color).upper() for key in ("okabe_ito", "petroff10") for color in color_sequences[key]]
    taken = {COLORS[NONE], *(COLORS[name] for name in names if name in COLORS)}
    order = (palette[2], *COLORS.values(), palette[0], palette[4], *palette[8:])  # yellow late: faint on white
    free = cycle([color for color in order if color not in taken])
    return {name: COLORS[name] if name in COLORS else next(free) for name in names}


def edges(centers: Any) -> NDArray[np.float64]:
    """Return the edges of the areas of windows along an axis, n + 1 for n centres; a single window begins at 0."""
    centers = np.asarray(centers, float)
    half = (centers[1] - centers[0]) / 2 if centers.size > 1 else abs(centers[0]) or 0.5
    return np.concatenate([centers[:1] - half, (centers[1:] + centers[:-1]) / 2, centers[-1:] + half])


def frame_number(result: xr.Dataset, time: int) -> int:
    """Return the number of a frame counted from the first; `InputError` if there is none."""
    count = result.sizes["time"]
    if not -count <= time < count:
        raise InputError(f"frame {time} was asked for; the result has the frames 0 to {count - 1}")
    return time % count


def drawn_frames(result: xr.Dataset, times: Sequence[int] | None = None) -> list[int]:
    """Return the numbers of the frames to draw: those asked for, or the first, middle and last one that is mapped.

    Frame 0 if none is mapped. `InputError` if a frame that was asked for is not in the result.
    """
    if times is not None:
        return [frame_number(result, int(time)) for time in times]
    mapped = np.flatnonzero((result["label"] >= 0).any(("y", "x")).values)
    return [int(i) for i in sorted({mapped[0], mapped[len(mapped) // 2], mapped[-1]})] if mapped.size else [0]


def unit_of(data: xr.Dataset | xr.DataArray, dim: str) -> str:
    """Return the unit of a coordinate: ``"frame"`` or ``"px"`` where none is stated."""
    return str(data[dim].attrs.get("units", "frame" if dim == "time" else "px"))


def stamp(result: xr.Dataset, index: int) -> str:
    """Return the time of a frame as a title; a single frame is an image, without a time."""
    time, mapped = np.asarray(result["time"].values, float), (result["label"].isel(time=index) >= 0).any()
    step = abs(time[1] - time[0]) if len(time) > 1 else 1.0
    decimals = next((d for d in range(6) if np.isclose(step * 10**d, round(step * 10**d), atol=1e-6)), 6)
    number, unit = f"{time[index]:.{decimals}f}", unit_of(result, "time")
    if len(time) == 1 and mapped:
        return "image"
    return (f"frame {number}" if unit == "frame" else f"t = {number} {unit}") + ("" if mapped else " (not mapped yet)")


def figure_for_maps(result: xr.Dataset, rows: int, columns: int, *, beside: float = 0.0, below: float = 0.0) -> Figure:
    """Return a figure as high as its maps need; `beside` and `below` are room for other parts, in inches."""
    y, x = (np.ptp(edges(result[dim].values)) for dim in ("y", "x"))
    width = WIDTH if columns > 1 else 4.6
    height = (width - 0.6 - beside) / columns * float(np.clip(y / x, 0.2, 3))
    return Figure(figsize=(width, rows * (height + 0.25) + 0.7 + below), layout="constrained")


def sized(figure: Figure, text: float = TEXT) -> Figure:
    """Set titles and labels to the size `text` in pt and the numbers on the axes to one less; return the figure."""
    for ax in figure.axes:
        ax.tick_params(labelsize=text - 1)
        for label in (ax.title, ax.xaxis.label, ax.yaxis.label, *figure.texts):
            label.set_fontsize(text)
    return figure


def label_axes(ax: Axes, data: xr.Dataset | xr.DataArray, *, left: bool = True, bottom: bool = True) -> None:
    """Label the axes of a map with their names and units."""
    ax.tick_params(labelleft=left, labelbottom=bottom)
    ax.locator_params(nbins=5)
    ax.set(xlabel=f"x ({unit_of(data, 'x')})" if bottom else "", ylabel=f"y ({unit_of(data, 'y')})" if left else "")


def draw_maps(
    axes: Any, result: xr.Dataset, maps: Any, titles: list[str], cmap: str, limit: float | None, label: str
) -> list[QuadMesh]:
    """Draw maps that share a colour bar from 0 to `limit` (or the largest value) into a grid of axes."""
    columns, panels, meshes = axes.shape[1], list(axes.flat)[: len(maps)], []
    limit = limit or max(float(np.nanmax(maps, initial=0)), 1e-3)
    for i, (ax, values, title) in enumerate(zip(panels, maps, titles, strict=True)):
        meshes.append(draw_map(ax, result, values, cmap, limit))
        ax.set_title(title)
        label_axes(ax, result, left=ax.get_subplotspec().is_first_col(), bottom=i >= len(maps) - columns)
    for ax in axes.flat[len(maps) :]:
        ax.remove()
    panels[0].figure.colorbar(meshes[-1], ax=panels, label=label, shrink=0.75, aspect=25 if len(panels) > 1 else 18)
    return meshes


def draw_map(ax: Axes, result: xr.Dataset, values: Any, cmap: str | None = None, limit: float = 1.0) -> QuadMesh:
    """Draw a map (y, x), or colours (y, x, 4), to scale with y downwards; NaN is left blank."""
    y, x = edges(result["y"].values), edges(result["x"].values)
    shown = values if cmap is None else np.ma.masked_invalid(values)
    mesh = ax.pcolormesh(x, y, shown, cmap=cmap, vmin=0.0, vmax=limit, rasterized=True)
    if not any(other.images for other in ax.figure.axes):
        ax.set(xlim=(x[0], x[-1]), ylim=(y[-1], y[0]))
    ax.set_aspect("equal")
    return mesh


def hatch_unmeasured(ax: Axes, result: xr.Dataset, label: NDArray[Any]) -> bool:
    """Hatch the windows of a mapped frame of which too little was measured, and return whether there are any."""
    unmeasured = label == UNMAPPED
    if unmeasured.all() or not unmeasured.any():
        return False
    y, x = edges(result["y"].values), edges(result["x"].values)
    ax.pcolor(x, y, np.ma.masked_where(~unmeasured, unmeasured), facecolor="none", lw=0, **HATCHING)
    return True


def draw_image(ax: Axes, frame: xr.DataArray, sample: Any = None) -> AxesImage:
    """Draw a frame in grey from the 0.5th to the 99.5th percentile of `sample`, by default of the frame itself."""
    values = np.asarray(frame.values if sample is None else sample)
    low, high = np.nanpercentile(values, (0.5, 99.5)) if np.isfinite(values).any() else (0.0, 1.0)
    if not np.isfinite(frame.values).all():
        ax.patch.set(**HATCHING)  # shows through pixels that were never measured
    extent: Any = (*edges(frame["x"].values)[[0, -1]], *edges(frame["y"].values)[[-1, 0]])
    return ax.imshow(frame.values, cmap="gray", vmin=low, vmax=high if high > low else low + 1, extent=extent)


def show_frame(ax: Axes, images: Any, result: xr.Dataset, index: int) -> AxesImage:
    """Draw a frame of a movie in grey, to scale with the maps of a result with as many frames."""
    return draw_image(ax, frame_of(images, result, index))


def frame_of(images: Any, result: xr.Dataset | None = None, index: int = 0) -> xr.DataArray:
    """Return a frame (y, x) with coordinates in the unit of the windows, which cover it from edge to edge."""
    images = images if hasattr(images, "dims") else xr.DataArray(images, dims=DIMS[-np.ndim(images) :])
    if "time" in images.dims:
        count, expected = images.sizes["time"], 1 if result is None else result.sizes["time"]
        if count not in (1, expected):
            raise InputError(f"{count} images were given for a result of {expected} frames; give one for each frame")
        images = images.isel(time=index if count > 1 else 0)
    axes = {}
    for dim in ("y", "x"):
        length, coordinate = images.sizes[dim], images.coords.get(dim)
        if coordinate is None or (result is not None and unit_of(images, dim) != unit_of(result, dim)):
            end = length - 1 if result is None else float(result[dim][0] + result[dim][-1])
            coordinate = xr.DataArray(np.linspace(0, end, length), dims=dim)
        axes[dim] = (dim, coordinate.values, {"units": unit_of(images if result is None else result, dim)})
    frame = xr.DataArray(np.asarray(images.values, np.float32), axes, ("y", "x"))
    factor = max(1, min(frame.shape) // 1000)  # above about 1000 px, which a figure cannot show
    return frame if factor == 1 else frame.coarsen(y=factor, x=factor, boundary="trim").mean()


def outline(ax: Axes, y: Any, x: Any) -> Artist:
    """Outline a rectangle that is given by (begin, end) along y and x."""
    return ax.add_patch(Rectangle((x[0], y[0]), x[1] - x[0], y[1] - y[0], fill=False, ec="#F0E442", lw=1.2))


def scale_bar(ax: Axes, result: xr.Dataset) -> list[Artist]:
    """Draw a scale bar of 1, 2 or 5 times a power of ten, at most a third as long as the axes are wide."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    power = 10.0 ** np.floor(np.log10((right - left) / 3))
    length = max(step * power for step in (1, 2, 5) if step * power <= (right - left) / 3)
    x, y = left + 0.05 * (right - left), bottom + 0.03 * (top - bottom)
    (bar,) = ax.plot([x, x + length], [y, y], color="white", lw=4, solid_capstyle="butt")
    text = ax.text(x + length / 2, y + 0.015 * (top - bottom), f"{length:g} {unit_of(result, 'x')}", color="white")
    text.set(ha="center", va="bottom", size=MOVIE_TEXT)
    for artist in (bar, text):
        artist.set_path_effects([withStroke(linewidth=4 if artist is text else 6, foreground="black")])
    return [bar, text]


def whole_plane(spectrum: NDArray[np.floating]) -> NDArray[np.floating]:
    """Complete the half plane k_x ≥ 0 by Friedel's law: the amplitude at −k is that at k."""
    mirrored = np.roll(spectrum[::-1, :0:-1], 1 - len(spectrum) % 2, axis=0)
    return spectrum if spectrum.shape[1] > 0.6 * len(spectrum) else np.hstack([mirrored, spectrum])
