"""The figure of a pixel map: the phase of every pixel of a frame on its image, with the share of each class.

The conventions are those of :mod:`bravaismap.show.axes`. Several lattices, such as those of grains, have lines between
them, and each carries its number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from bravaismap.conventions import NONE, NOT_MEASURED
from bravaismap.errors import InputError
from bravaismap.movie import as_movie
from bravaismap.show.axes import (
    HATCHING,
    SMALL_TEXT,
    class_colors,
    class_handles,
    draw_image,
    figure_for_maps,
    frame_number,
    frame_of,
    label_axes,
    legend_height,
    panel_grid,
    scale_bar,
    sized,
    stamp_figure,
)
from bravaismap.show.style import PAGE, Style

__all__ = ["draw_domains", "draw_field", "map_panels", "pixel_view", "plot_pixels"]

#: Opacity of the colour of a lattice and of none on an image: what is none is to be seen at a glance, and so are atoms.
_LATTICE_ALPHA, _NONE_ALPHA = 0.38, 0.6
#: Share of the frame from which on a grain carries its number.
_NUMBERED = 0.01


def plot_pixels(pixels: xr.Dataset, time: int = -1, image: Any = None, *, style: Style = PAGE) -> Figure:
    """Draw the phase of every pixel of a frame, to the edge of the frame, with the share ± σ of each class.

    Parameters
    ----------
    pixels : Dataset
        Of :func:`~bravaismap.pixel_map`.
    time : int
        Which of its frames.
    image : array (y, x) or movie (time, y, x), optional
        The frame, or as many frames as the map has: drawn beside the map and under it.
    style : Style
    """
    index = frame_number(pixels, time)
    view = pixel_view(pixels)
    names = [str(name) for name in pixels["lattice"].values]
    colors = class_colors(names)
    phase, domain = (np.asarray(pixels[name].isel(time=index).values) for name in ("phase", "domain"))
    handles = class_handles(pixels.isel(time=index), colors, phase)
    title, entries = "phase of every pixel", len(handles) + 1
    figure, axes = map_panels(view, index, image, title, entries=entries, more_columns=1, style=style)
    ax = axes.flat[-1]
    alphas = [1.0] * len(names) if image is None else [_NONE_ALPHA if n == NONE else _LATTICE_ALPHA for n in names]
    table = [to_rgba(color, alpha) for color, alpha in zip(colors.values(), alphas, strict=True)]
    missing = draw_field(ax, view, np.array([*table, (1, 1, 1, 0)])[phase], phase < 0)  # the last for phase −1
    draw_domains(ax, view, domain, phase)
    if missing:
        handles.append(Patch(fc="none", ec=HATCHING["edgecolor"], hatch=HATCHING["hatch"], label=NOT_MEASURED))
    ncols = 1 + axes.shape[1]
    figure.legend(handles=handles, loc="outside lower center", ncols=ncols, frameon=False, handlelength=1.4)
    return sized(figure, style.text)


def map_panels(
    view: xr.Dataset,
    index: int,
    image: Any,
    title: str,
    *,
    entries: int,
    more_columns: int = 0,
    beside: float = 0.0,
    style: Style,
) -> tuple[Figure, NDArray[Any]]:
    """Return a figure with room for a map of pixels, and its axes (rows, columns): the last one is for the map.

    Parameters
    ----------
    view : Dataset
        Of :func:`pixel_view`.
    index : int
        Which of its frames.
    image : array (y, x) or movie (time, y, x), optional
        Drawn beside the map and under it; without it there is one panel.
    title : str
        Of the map.
    entries : int
        Of the legend below.
    more_columns : int
        By how many the legend has more columns than the figure.
    beside : float
        Room in inches for a colour bar.
    style : Style
    """
    panels = 1 if image is None else 2
    rows, columns = panel_grid(view, panels, style, beside=beside)
    below = legend_height(entries, columns + more_columns, style)
    figure = figure_for_maps(view, rows, columns, style=style, beside=beside, below=below)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    if image is not None:
        frame = _frame_beside(image, view, index)
        for ax in axes.flat:
            draw_image(ax, frame)
        axes.flat[0].set_title("image")
    left, right, bottom, top = _extent(view)
    axes.flat[-1].set(xlim=(left, right), ylim=(bottom, top), title=title)  # the axes share them
    axes.flat[-1].set_aspect("equal")
    stamp_figure(figure, view, index)
    scale_bar(axes.flat[0], view, style.text)
    for (row, column), ax in np.ndenumerate(axes):
        label_axes(ax, view, left=column == 0, bottom=row == rows - 1)
    return figure, axes


def pixel_view(pixels: xr.Dataset) -> xr.Dataset:
    """Return a pixel map with the names of a map of windows, of which each is a pixel."""
    view = pixels.rename(py="y", px="x", phase="label")
    view.attrs = {key: value for key, value in pixels.attrs.items() if key != "window"}
    return view


def _frame_beside(image: Any, view: xr.Dataset, index: int) -> xr.DataArray:
    """Return the frame with coordinates in the unit of the map; those of the image may be in another."""
    if np.ndim(image) == 3:
        if len(image) != view.sizes["time"]:
            raise InputError(
                f"{len(image)} images were given for a map of {view.sizes['time']} frames; give one for each frame"
            )
        image = image[index]
    if np.shape(image) != tuple(view.attrs["frame_size"]):
        raise InputError(f"an image of {np.shape(image)} was given; expected {tuple(view.attrs['frame_size'])}")
    return frame_of(as_movie(np.asarray(image), pixel_size=view.attrs.get("pixel_size_nm")))


def _extent(view: xr.Dataset) -> tuple[float, float, float, float]:
    """Return the edges of the frame: left, right, bottom, top."""
    size = view.attrs.get("pixel_size_nm") or 1.0
    height, width = view.attrs["frame_size"]
    return -0.5 * size, (width - 0.5) * size, (height - 0.5) * size, -0.5 * size


def _at_every_pixel(view: xr.Dataset, field: NDArray[Any]) -> NDArray[Any]:
    """Return a field of the grid at every pixel of the frame, each as the nearest point of the grid."""
    nearest = [
        np.minimum((np.arange(length) + view.attrs["pixel_step"] // 2) // view.attrs["pixel_step"], count - 1)
        for length, count in zip(view.attrs["frame_size"], field.shape[:2], strict=True)
    ]
    return np.asarray(field[np.ix_(*nearest)])


def draw_field(ax: Axes, view: xr.Dataset, colors: NDArray[Any], unknown: NDArray[np.bool_]) -> bool:
    """Draw the colours of a frame, hatch what was not measured, and return whether there is any."""
    missing = bool(unknown.any() and not unknown.all())
    if missing:
        ax.patch.set(**HATCHING)  # shows through
    ax.imshow(_at_every_pixel(view, colors), extent=_extent(view), interpolation="nearest")
    return missing


def draw_domains(ax: Axes, view: xr.Dataset, domain: NDArray[Any], phase: NDArray[Any]) -> None:
    """Draw lines around grains, and the numbers of the larger ones where there are several."""
    y, x = (np.asarray(view[dim].values, float) for dim in ("y", "x"))
    numbers, counts = np.unique(domain[domain >= 0], return_counts=True)
    for number in numbers:
        inside = domain == number
        if min(inside.shape) > 1 and not inside.all():
            ax.contour(x, y, inside.astype(float), levels=[0.5], colors="white", linewidths=0.8)
    large = numbers[counts >= _NUMBERED * max((phase >= 0).sum(), 1)]
    for number in large if len(large) > 1 else ():
        depth = distance_transform_edt(np.pad(domain == number, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        text = ax.text(x[column], y[row], f"{number}", color="white", ha="center", va="center", size=SMALL_TEXT)
        text.set_path_effects([withStroke(linewidth=2, foreground="black")])
