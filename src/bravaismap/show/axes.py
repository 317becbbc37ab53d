"""Common parts of all figures: axes to scale, colours of classes, frames in grey, the size of text, a scale bar.

No function touches pyplot or its settings. Maps are to scale, each window owning the area up to half-way to the next,
the outer ones up to the edge of the frame; what is not mapped is blank. Images may be a movie or one frame, with or
without coordinates; frame −1 is the last one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from bravaismap.conventions import DIMS, NONE, UNMAPPED, display_name
from bravaismap.errors import InputError
from bravaismap.result.phase_map import percent
from bravaismap.result.shares import class_shares
from bravaismap.show.colors import class_colors
from bravaismap.show.edges import edges, map_edges
from bravaismap.show.style import PAGE, Style

__all__ = [
    "HATCHING",
    "MOVIE_TEXT",
    "SMALL_TEXT",
    "TEXT",
    "WIDTH",
    "class_colors",
    "class_handles",
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
    "legend_height",
    "leveled_picture",
    "map_edges",
    "name_handles",
    "outline",
    "panel_grid",
    "scale_bar",
    "show_frame",
    "sized",
    "stamp",
    "stamp_figure",
    "unit_of",
    "whole_plane",
]

WIDTH = PAGE.width  # in, of a figure
TEXT, SMALL_TEXT, MOVIE_TEXT = PAGE.text, PAGE.legend_text, 14.0  # pt: titles, labels; legends; all text in a movie
HATCHING: dict[str, Any] = {"hatch": "////", "edgecolor": "0.7"}  # of areas that were never measured
#: Share of the variance of an image that a plane must hold to be a tilt: of a single step it holds 3/4 at most.
_TILT = 0.8
#: Share of the variance that the levels of rows must hold to hide the atoms, and the mean square difference between
#: neighbouring rows over the variance of the levels from which on they are no picture: 2 of independent levels, 0 of
#: what varies slowly.
_LEVELS, _UNORDERED = 0.5, 0.5
#: What the legend leaves out where it is not drawn, as a share of the frame: it would be shown as 0.0 %.
_LEAST_SHARE = 0.0005
_IMAGE = "image"  # instead of the time of a single frame
_PANEL_TEXT = 0.3  # in, title and labels of a panel


def class_handles(frame: xr.Dataset, colors: dict[str, str], drawn: NDArray[Any]) -> list[Patch]:
    """Return the entries of a legend: each class with its colour and the share ± σ of the frame that it has.

    The share is the area by pixels where the frame holds it, else the mean probability of its windows: the number that
    tables and curves give. A class that is not drawn and has next to no share is left out, `none` never.

    Parameters
    ----------
    frame : Dataset
        One frame of a result or of a pixel map.
    colors : dict of str to str
        Colour of each class.
    drawn : array of int
        Numbers of the classes of a map, in any shape; others are passed over.
    """
    found = class_shares(frame)
    shares, spreads = (np.asarray(values.values, float) for values in (found.fraction, found.std))
    shown = (shares >= _LEAST_SHARE) | np.isin(np.arange(len(shares)), drawn)
    return [
        Patch(fc=color, ec="0.3", lw=0.5, label=f"{display_name(lattice)} {_share_text(float(share), float(spread))}")
        for (lattice, color), share, spread, listed in zip(colors.items(), shares, spreads, shown, strict=True)
        if listed or (lattice == NONE and np.isfinite(share))
    ]


def name_handles(colors: dict[str, str], drawn: NDArray[Any]) -> list[Patch]:
    """Return the entries of a legend without shares: each class that is drawn, with its colour."""
    return [
        Patch(fc=color, ec="0.3", lw=0.5, label=display_name(lattice))
        for number, (lattice, color) in enumerate(colors.items())
        if (drawn == number).any()
    ]


def _share_text(share: float, spread: float) -> str:
    """Return a share in %; one that would be shown as 0.0 % although there is some says so."""
    return "< 0.1 %" if 0 < share < _LEAST_SHARE else percent(share, spread)


def legend_height(entries: int, columns: int, style: Style) -> float:
    """Return the height of a legend below the panels in inches."""
    return 1.8 * style.text / 72 * (-(-entries // columns) + 0.5)


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
    step = abs(time[1] - time[0]) if len(time) > 1 else abs(time[0])
    decimals = next((d for d in range(6) if np.isclose(step * 10**d, round(step * 10**d), atol=1e-6)), 6)
    number, unit = f"{time[index]:.{decimals}f}", unit_of(result, "time")
    if len(time) == 1 and mapped:
        return _IMAGE
    return (f"frame {number}" if unit == "frame" else f"t = {number} {unit}") + ("" if mapped else " (not mapped yet)")


def stamp_figure(figure: Figure, result: xr.Dataset, index: int) -> None:
    """Write the time of a frame above the panels; an image alone has none."""
    text = stamp(result, index)
    if text != _IMAGE:
        figure.suptitle(text)


def panel_grid(result: xr.Dataset, panels: int, style: Style = PAGE, *, beside: float = 0.0) -> tuple[int, int]:
    """Return the rows and columns in which panels of the shape of the frame are largest.

    Parameters
    ----------
    result : Dataset
        With the coordinates of the maps.
    panels : int
    style : Style
    beside : float
        Width of what stands beside each panel, such as a colour bar, in inches.
    """
    room = style.width - _labels(style)
    most = max(1, int(room // (_title_width(style) + beside)))
    grids = [(-(-panels // columns), columns) for columns in range(1, min(panels, most) + 1)]
    return max(
        grids, key=lambda grid: (round(_panel_width(result, grid[0], grid[1], style, beside), 2), -grid[0] * grid[1])
    )


def figure_for_maps(
    result: xr.Dataset,
    rows: int,
    columns: int,
    *,
    style: Style = PAGE,
    beside: float = 0.0,
    below: float = 0.0,
) -> Figure:
    """Return a figure as large as its maps need.

    Parameters
    ----------
    result : Dataset
        With the coordinates of the maps.
    rows, columns : int
        Panels.
    style : Style
    beside : float
        Width of what stands beside each panel, such as a colour bar, in inches.
    below : float
        Height of what stands below all of them, such as a legend, in inches.
    """
    panel = _panel_width(result, rows, columns, style, beside)
    pitch = max(panel, _title_width(style)) + beside
    width = columns * pitch + _labels(style)
    height = rows * (panel * _slope(result) + _PANEL_TEXT) + _labels(style) + below
    size = (max(width, 0.5 * style.width), height)
    wide = pitch == panel + beside
    return Figure(figsize=size, layout="compressed" if wide else "constrained")  # which leaves room for titles


def _panel_width(result: xr.Dataset, rows: int, columns: int, style: Style, beside: float) -> float:
    """Return the width in inches that a panel can have in the width and the height that a style leaves."""
    room = (style.width - _labels(style)) / columns - beside
    return float(min(room, (style.height / rows - _PANEL_TEXT) / _slope(result)))


def _labels(style: Style) -> float:
    """Return the room for the labels of axes in inches: five lines of text."""
    return 5 * style.text / 72


def _title_width(style: Style) -> float:
    """Return the width of the longest title of a panel, *centered rectangular*, in inches."""
    return 11 * style.text / 72


def _slope(result: xr.Dataset) -> float:
    """Return the height of a frame over its width."""
    y, x = (np.ptp(map_edges(result, dim)) for dim in ("y", "x"))
    return float(y / x)


def sized(figure: Figure, text: float = TEXT) -> Figure:
    """Set titles and labels to the size `text` in pt, legends and numbers on axes to one less; return the figure."""
    for legend in figure.legends:
        for entry in (*legend.get_texts(), legend.get_title()):
            entry.set_fontsize(text - 1)
    for ax in figure.axes:
        ax.tick_params(labelsize=text - 1)
        for label in (ax.title, ax.xaxis.label, ax.yaxis.label, *figure.texts):
            label.set_fontsize(text)
    return figure


def label_axes(ax: Axes, data: xr.Dataset | xr.DataArray, *, left: bool = True, bottom: bool = True) -> None:
    """Label the axes of a map with their names and units."""
    ax.tick_params(labelleft=left, labelbottom=bottom)
    across, down = (abs(end - begin) for begin, end in (ax.get_xlim(), ax.get_ylim()))
    ax.locator_params("x", nbins=int(np.clip(round(8 * across / down), 1, 5)))
    ax.locator_params("y", nbins=int(np.clip(round(8 * down / across), 1, 5)))
    ax.set(xlabel=f"x ({unit_of(data, 'x')})" if bottom else "", ylabel=f"y ({unit_of(data, 'y')})" if left else "")


def draw_maps(
    axes: Any, result: xr.Dataset, maps: Any, titles: list[str], cmap: str, limit: float | None, label: str
) -> list[QuadMesh]:
    """Draw maps that share a colour bar from 0 to `limit` (or the 98th percentile) into a grid of axes."""
    columns, panels, meshes = axes.shape[1], list(axes.flat)[: len(maps)], []
    if limit is None:
        limit = max(float(np.nanpercentile(maps, 98)), 1e-3) if np.isfinite(maps).any() else 1.0
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
    y, x = map_edges(result, "y"), map_edges(result, "x")
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
    y, x = map_edges(result, "y"), map_edges(result, "x")
    ax.pcolor(x, y, np.ma.masked_where(~unmeasured, unmeasured), facecolor="none", lw=0, **HATCHING)
    return True


def draw_image(ax: Axes, frame: xr.DataArray, sample: Any = None) -> AxesImage:
    """Draw a frame in grey from the 0.5th to the 99.5th percentile of `sample`, by default of the frame itself.

    Without `sample` it is levelled where that shows more: see :func:`leveled_picture`.
    """
    if sample is None:
        frame = frame.copy(data=leveled_picture(frame.values))
    values = np.asarray(frame.values if sample is None else sample)
    low, high = np.nanpercentile(values, (0.5, 99.5)) if np.isfinite(values).any() else (0.0, 1.0)
    if not np.isfinite(frame.values).all():
        ax.patch.set(**HATCHING)  # shows through pixels that were never measured
    extent: Any = (*edges(frame["x"].values)[[0, -1]], *edges(frame["y"].values)[[-1, 0]])
    return ax.imshow(frame.values, cmap="gray", vmin=low, vmax=high if high > low else low + 1, extent=extent)


def leveled_picture(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return an image without its tilt, and without the levels of its rows, where these hide the atoms.

    A plane is taken out if it holds nearly all of the variance, as in the topography of a tilted sample; then the
    medians of the rows, if they hold most of what is left and vary from row to row without order. For looking only:
    nothing is measured on it.

    Parameters
    ----------
    image : array, shape (y, x)
        NaN and infinite pixels stay as they are.
    """
    measured = np.isfinite(image)
    if measured.sum() < 3 or not image[measured].std():
        return image
    scale = float(np.abs(image[measured]).max())
    shown = np.where(measured, image / scale, np.nan).astype(float)
    place = np.stack([np.ones(image.shape), *np.indices(image.shape)], axis=-1)
    plane = place @ np.linalg.lstsq(place[measured], shown[measured], rcond=None)[0]
    tilted = bool(np.nanvar(shown - plane) < (1 - _TILT) * np.nanvar(shown))
    if tilted:
        shown = shown - plane
    levels = np.nanmedian(np.where(measured.any(1, keepdims=True), shown, 0), axis=1)
    hiding = np.nanvar(shown - levels[:, None]) < (1 - _LEVELS) * np.nanvar(shown)
    uneven = hiding and bool((np.diff(levels) ** 2).mean() > _UNORDERED * levels.var())
    if uneven:
        shown = shown - levels[:, None]
    return shown * scale if tilted or uneven else image


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


def scale_bar(ax: Axes, result: xr.Dataset, text_size: float = MOVIE_TEXT) -> list[Artist]:
    """Draw a scale bar of 1, 2 or 5 times a power of ten, at most a third as long as the axes are wide."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    power = 10.0 ** np.floor(np.log10((right - left) / 3))
    length = max(step * power for step in (1, 2, 5) if step * power <= (right - left) / 3)
    x, y = left + 0.05 * (right - left), bottom + 0.03 * (top - bottom)
    (bar,) = ax.plot([x, x + length], [y, y], color="white", lw=0.28 * text_size, solid_capstyle="butt")
    text = ax.text(x + length / 2, y + 0.015 * (top - bottom), f"{length:g} {unit_of(result, 'x')}", color="white")
    text.set(ha="center", va="bottom", size=text_size)
    for artist in (bar, text):
        artist.set_path_effects(
            [withStroke(linewidth=(0.2 if artist is text else 0.42) * text_size, foreground="black")]
        )
    return [bar, text]


def whole_plane(spectrum: NDArray[np.floating]) -> NDArray[np.floating]:
    """Complete the half plane k_x ≥ 0 by Friedel's law: the amplitude at −k is that at k."""
    mirrored = np.roll(spectrum[::-1, :0:-1], 1 - len(spectrum) % 2, axis=0)
    return spectrum if spectrum.shape[1] > 0.6 * len(spectrum) else np.hstack([mirrored, spectrum])
