"""The figure of domains: their outlines in selected frames, and their areas over time.

The conventions are those of :mod:`bravaismap.show.axes`. A domain has the colour of its class and the number of its
track.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from bravaismap.conventions import display_name
from bravaismap.show.axes import WIDTH, class_colors, label_axes, show_frame, sized, unit_of
from bravaismap.show.curves import curve_axes, time_axis
from bravaismap.show.style import PAGE, Style

__all__ = ["outline_segments", "plot_domains"]

_NUMBERED = 8  # the largest tracks, which carry their numbers
_SMALLEST_SHARE = 0.01  # of the frame, below which a domain is too small for a number
_WIDE_RANGE = 20.0  # largest over smallest area, from which on the axis is logarithmic
_ENDS = {"merged": "x", "healed": "o", "vanished": "o"}


def plot_domains(domains: xr.Dataset, maps: xr.Dataset, images: Any = None, *, style: Style = PAGE) -> Figure:
    """Draw the outlines of the domains in selected frames, and of a movie the area of every domain over time.

    The largest domains carry the number of their track; their areas have bands of ± σ where σ is known. Where a
    track ends before the last frame a cross says that it merged into another, a circle that it healed or vanished.

    Parameters
    ----------
    domains : Dataset
        Of :func:`~bravaismap.find_domains`.
    maps : Dataset
        Of :func:`~bravaismap.domains.finding.domain_maps`: the frames to draw.
    images : movie (time, y, x), optional
        That was mapped, drawn below the outlines.
    style : Style
    """
    colors = class_colors(maps["lattice"].values)
    height, width = (np.ptp(maps[f"{dim}_edge"].values) for dim in ("y", "x"))
    numbered = _numbered(domains, float(height * width))
    panels = maps.sizes["time"]
    columns = min(panels, 3 if style.width >= WIDTH else 2)
    rows = -(-panels // columns)
    side = (style.width - 0.6) / max(columns, 2) * float(np.clip(height / width, 0.2, 3))
    single = maps.sizes["time"] == 1 and np.unique(domains["time"].values).size <= 1
    heights = [side] * rows + ([] if single else [style.curve_height(2.4)])
    figure = Figure(figsize=(style.width, sum(heights) + 0.8), layout="constrained")
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    first = None
    for i in range(panels):
        ax = first = figure.add_subplot(grid[i // columns, i % columns], sharex=first, sharey=first)
        if images is not None:
            show_frame(ax, _drawn_images(images, maps), maps, i)
        _draw_outlines(ax, maps.isel(time=i), colors, numbered, style)
        ax.set_title(_title(maps, i))
        label_axes(ax, maps, left=i % columns == 0, bottom=i + columns >= panels)
    if not single:
        _draw_areas(figure.add_subplot(grid[rows, :]), domains, colors, numbered, style)
    present = set(domains["lattice"].values.tolist())
    handles = [Line2D([], [], color=c, lw=1.6, label=display_name(n)) for n, c in colors.items() if n in present]
    fates = {_ENDS[fate]: fate for fate in domains["fate"].values.tolist() if fate in _ENDS}
    names = {"x": "merged into another", "o": "healed or vanished"}
    ends: dict[str, Any] = {"color": "0.3", "ls": "", "mfc": "none", "ms": 5}
    handles += [Line2D([], [], marker=marker, label=names[marker], **ends) for marker in names if marker in fates]
    figure.legend(handles=handles, loc="outside lower center", ncols=4 if style.width >= WIDTH else 2, frameon=False)
    return sized(figure, style.text)


def outline_segments(inside: NDArray[np.bool_], y_edge: Any, x_edge: Any) -> NDArray[np.float64]:
    """Return the borders between the cells inside a region and those outside, and the frame.

    Parameters
    ----------
    inside : bool array, shape (y, x)
    y_edge, x_edge : arrays, shapes (y + 1,) and (x + 1,)
        Where cells begin and end.

    Returns
    -------
    array, shape (segments, 2, 2)
        Ends of each segment as (x, y).
    """
    y_edge, x_edge = np.asarray(y_edge, float), np.asarray(x_edge, float)
    padded = np.pad(inside, 1)
    row, column = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = np.stack([x_edge[[column, column]], y_edge[[row, row + 1]]], axis=-1)
    above, along = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    level = np.stack([x_edge[[along, along + 1]], y_edge[[above, above]]], axis=-1)
    return np.concatenate([upright, level], axis=1).swapaxes(0, 1)


def _draw_outlines(
    ax: Axes, maps: xr.Dataset, colors: dict[str, str], numbered: set[tuple[str, int]], style: Style
) -> None:
    """Outline the domains of a frame, those of rarer classes on top, and write numbers into them."""
    y_edge, x_edge = maps["y_edge"].values, maps["x_edge"].values
    cells = np.diff(y_edge)[:, None] * np.diff(x_edge)
    tracks = {name: maps["track"].sel(lattice=name).values for name in colors}
    for name, track in sorted(tracks.items(), key=lambda item: -np.count_nonzero(item[1])):
        for number in np.unique(track[track > 0]):
            inside = track == number
            ax.add_collection(
                LineCollection(list(outline_segments(inside, y_edge, x_edge)), colors=colors[name], lw=1.1)
            )
            if (name, int(number)) in numbered and cells[inside].sum() > _SMALLEST_SHARE * cells.sum():
                y, x = _within(inside, maps)
                text = ax.text(x, y, str(number), color=colors[name], size=style.legend_text, ha="center", va="center",
                               weight="bold")  # fmt: skip
                text.set_path_effects([withStroke(linewidth=2, foreground="white")])
    ax.set(xlim=(x_edge[0], x_edge[-1]), ylim=(y_edge[-1], y_edge[0]), aspect="equal")


def _draw_areas(
    ax: Axes, domains: xr.Dataset, colors: dict[str, str], numbered: set[tuple[str, int]], style: Style
) -> None:
    """Draw the area of every track over time."""
    lattice, tracks = domains["lattice"].values, domains["track"].values
    columns = {name: domains[name].values for name in ("time", "area", "area_std", "fate")}
    last = columns["time"].max(initial=-np.inf)
    for name, color in colors.items():
        for number in np.unique(tracks[lattice == name]):
            rows = (lattice == name) & (tracks == number)
            time, area, std, fate = (column[rows] for column in columns.values())
            large = (name, int(number)) in numbered
            line: dict[str, Any] = {"color": color, "lw": 1.6 if large else 0.7, "alpha": 1.0 if large else 0.6}
            ax.plot(time, area, marker="." if len(time) == 1 else "", ms=3, **line)
            if large:
                ax.fill_between(time, area - std, area + std, color=color, alpha=0.2, lw=0)
                ax.annotate(str(number), (time[-1], area[-1]), (3, 0), textcoords="offset points", color=color,
                            size=style.legend_text, va="center", weight="bold")  # fmt: skip
            if time[-1] < last and str(fate[-1]) in _ENDS:
                ax.plot(time[-1:], area[-1:], _ENDS[str(fate[-1])], ms=4, mfc="none", mew=0.9, **line)
    area = columns["area"]
    if len(area) and area.max() > _WIDE_RANGE * area.min():
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    ax.set(ylabel=f"area ({domains['area'].attrs['units']})", xmargin=0.04)
    time_axis(ax, unit_of(domains, "time"))
    curve_axes(ax)


def _numbered(domains: xr.Dataset, frame_area: float) -> set[tuple[str, int]]:
    """Return the classes and tracks whose largest areas are largest."""
    largest: dict[tuple[str, int], float] = {}
    for name, track, area in zip(*(domains[key].values for key in ("lattice", "track", "area")), strict=True):
        key = (str(name), int(track))
        largest[key] = max(largest.get(key, 0.0), float(area))
    order = sorted(largest, key=lambda key: -largest[key])
    return {key for key in order[:_NUMBERED] if largest[key] > _SMALLEST_SHARE * frame_area}


def _within(inside: NDArray[np.bool_], maps: xr.Dataset) -> tuple[float, float]:
    """Return the place (y, x) in a region that is farthest from its border; its centroid may lie outside."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(maps["y"][row]), float(maps["x"][column])


def _drawn_images(images: Any, maps: xr.Dataset) -> Any:
    """Return the frames of a movie that are drawn."""
    numbers = maps["frame"].values
    return images.isel(time=numbers) if hasattr(images, "dims") else np.asarray(images)[numbers]


def _title(maps: xr.Dataset, index: int) -> str:
    unit = unit_of(maps, "time")
    return f"frame {int(maps['frame'][index])}" if unit == "frame" else f"t = {float(maps['time'][index]):g} {unit}"
