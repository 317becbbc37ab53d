"""Figures of a result, and the frames of its movie.

Nothing here touches pyplot or its settings. Maps are to scale, each window owning the area up to half-way to the next;
what is not mapped is blank. Images may be a movie or one frame, with or without coordinates; frame −1 is the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import cycle
from typing import Any

import numpy as np
import xarray as xr
from matplotlib import color_sequences
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from bravaismap.conventions import (
    COLORS,
    DIMS,
    NONE,
    NOT_MEASURED,
    PROBABILITY_CMAP,
    SEQUENTIAL_CMAP,
    UNMAPPED,
    display_name,
)
from bravaismap.errors import InputError

__all__ = [
    "class_colors",
    "edges",
    "plot_classification",
    "plot_fractions",
    "plot_labels",
    "plot_probabilities",
    "plot_uncertainty",
    "probability_frames",
    "show_frame",
    "whole_plane",
]

_WIDTH = 6.3  # in; at 12 cm in print the text is 7 pt and 6 pt high
_TEXT, _SMALL, _FILM_TEXT = 9.0, 8.0, 14.0  # pt
_HATCHED: dict[str, Any] = {"hatch": "////", "edgecolor": "0.7"}  # what was never measured


def class_colors(names: Iterable[str]) -> dict[str, str]:
    """Return the colour (``"#rrggbb"``) of each class; a user's class takes the next Okabe–Ito colour still free."""
    names = [str(name) for name in names]
    palette = [to_hex(color).upper() for key in ("okabe_ito", "petroff10") for color in color_sequences[key]]
    taken = {COLORS[NONE], *(COLORS[name] for name in names if name in COLORS)}
    order = (palette[2], *COLORS.values(), palette[0], palette[4], *palette[8:])  # yellow late: faint on white
    free = cycle([color for color in order if color not in taken])
    return {name: COLORS[name] if name in COLORS else next(free) for name in names}


def edges(centers: Any) -> NDArray[np.float64]:
    """Return where the areas of the windows along an axis begin and end; a single window begins at 0."""
    centers = np.asarray(centers, float)
    half = (centers[1] - centers[0]) / 2 if centers.size > 1 else abs(centers[0]) or 0.5
    return np.concatenate([centers[:1] - half, (centers[1:] + centers[:-1]) / 2, centers[-1:] + half])


def plot_labels(result: xr.Dataset, time: int = -1, image: Any = None, *, overlay: bool = False) -> Figure:
    """Draw the label map of a frame, with the share of its windows that each class has.

    Parameters
    ----------
    result : Dataset
        With ``label`` (time, y, x).
    time : int
        Number of the frame.
    image : array (y, x) or movie (time, y, x), optional
        Drawn beside the map, with the outline of a window.
    overlay : bool
        Draw the map half transparent on `image`, and not beside it.
    """
    index = frame_number(result, time)
    label = np.asarray(result["label"].isel(time=index).values)
    colors = class_colors(result["lattice"].values)
    panels, alpha = (1 if image is None or overlay else 2), (0.45 if overlay and image is not None else 1.0)
    table = np.array([to_rgba(color, alpha) for color in colors.values()] + [(1, 1, 1, 0)])  # the last for label −1
    figure = figure_for_maps(result, 1, panels, below=0.4)
    axes = figure.subplots(1, panels, sharex=True, sharey=True, squeeze=False)[0]
    if image is not None:
        frame = _frame(image, result, index)
        _draw_image(axes[0], frame)
        if panels == 2:
            starts = [(float(frame[dim][0]), float(result[dim][0])) for dim in ("y", "x")]
            _outline(axes[0], *([begin, 2 * center - begin] for begin, center in starts))
            axes[0].set_title("image, window outlined")
    draw_map(axes[-1], result, table[label])
    unmeasured = _hatch_unmeasured(axes[-1], result, label)
    axes[-1].set_title(stamp(result, index))
    for ax in axes:
        label_axes(ax, result, left=ax is axes[0])
    shares = [100 * (label == i).sum() / max((label >= 0).sum(), 1) for i in range(len(colors))]
    texts = [f"{display_name(name)} {share:.1f} %" for name, share in zip(colors, shares, strict=True)]
    patches = [Patch(fc=c, ec="0.3", lw=0.5, label=text) for c, text in zip(colors.values(), texts, strict=True)]
    if unmeasured:
        patches.append(Patch(fc="none", ec=_HATCHED["edgecolor"], hatch=_HATCHED["hatch"], label=NOT_MEASURED))
    figure.legend(handles=patches, loc="outside lower center", ncols=1 + panels, fontsize=_SMALL, frameon=False)
    return sized(figure)


def plot_probabilities(result: xr.Dataset, time: int = -1, *, std: bool = False) -> Figure:
    """Draw the probability map of every class in a frame, on one scale from 0 to 1.

    Parameters
    ----------
    result : Dataset
        With ``probability`` (and ``probability_std``) (time, y, x, lattice).
    time : int
        Number of the frame.
    std : bool
        Draw the maps of the standard deviation below, on a scale of their own.
    """
    index = frame_number(result, time)
    names = [display_name(str(name)) for name in result["lattice"].values]
    rows = 1 if len(names) <= 3 else 2
    columns = -(-len(names) // rows)
    figure = figure_for_maps(result, rows * (1 + std), columns, beside=0.7)
    axes = figure.subplots(rows * (1 + std), columns, sharex=True, sharey=True, squeeze=False)
    blocks = [("probability", PROBABILITY_CMAP, 1.0), ("probability_std", SEQUENTIAL_CMAP, None)]
    for i, (variable, cmap, limit) in enumerate(blocks[: 1 + std]):
        maps = np.asarray(result[variable].isel(time=index).transpose("lattice", ...).values)
        _draw_maps(axes[i * rows :][:rows], result, maps, names, cmap, limit, ("probability", "σ of probability")[i])
    if "label" in result:
        for ax in axes.ravel()[: len(names)]:
            _hatch_unmeasured(ax, result, np.asarray(result["label"].isel(time=index).values))
    figure.suptitle(stamp(result, index))
    return sized(figure)


def plot_uncertainty(result: xr.Dataset, time: int = -1) -> Figure:
    """Draw the predictive entropy and the mutual information of a frame, in nat.

    The scale of the entropy ends at ln(number of classes), which is complete ignorance.

    Parameters
    ----------
    result : Dataset
        With ``entropy`` and ``mutual_information`` (time, y, x).
    time : int
        Number of the frame.
    """
    index = frame_number(result, time)
    figure = figure_for_maps(result, 1, 2, beside=1.4)
    axes = figure.subplots(1, 2, sharex=True, sharey=True, squeeze=False)
    for i, (variable, limit) in enumerate((("entropy", np.log(result.sizes["lattice"])), ("mutual_information", None))):
        values = np.asarray(result[variable].isel(time=index).values)
        _draw_maps(axes[:, i : i + 1], result, values[None], [display_name(variable)], SEQUENTIAL_CMAP, limit, "nat")
    figure.suptitle(stamp(result, index))
    return sized(figure)


def plot_fractions(result: xr.Dataset, void: xr.DataArray | None = None) -> Figure:
    """Draw the fraction of every class over time with bands of ±1 σ.

    Parameters
    ----------
    result : Dataset
        With ``fraction`` and ``fraction_std`` (time, lattice); no band is drawn where σ is NaN.
    void : DataArray (time,), optional
        True fraction of void, drawn as a dashed line.
    """
    figure = Figure(figsize=(_WIDTH, 3.8), layout="constrained")
    ax = figure.subplots()
    time, unit = np.asarray(result["time"].values, float), _unit(result, "time")
    fraction, std = (np.asarray(result[name].values, float) for name in ("fraction", "fraction_std"))
    every = max(1, len(time) // 8)
    for i, (name, color) in enumerate(class_colors(result["lattice"].values).items()):
        ax.fill_between(time, fraction[:, i] - std[:, i], fraction[:, i] + std[:, i], color=color, alpha=0.25, lw=0)
        (curve,) = ax.plot(time, fraction[:, i], color=color, lw=1.4, label=display_name(name))
        curve.set(marker="osD^vPX*"[i % 8], markersize=4, markevery=(i * every // fraction.shape[1], every))
    if void is not None:
        known = void["time"].values if "time" in void.coords else time[: void.size]
        ax.plot(known, void.values, color="black", ls="--", lw=1.2, label="void (true)")
    ax.set(xlabel="frame" if unit == "frame" else f"time ({unit})", ylabel="fraction")
    ax.set(ylim=(-0.02, 1.02), xmargin=0.015, axisbelow=True)
    ax.grid(color="0.9", lw=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, fontsize=_SMALL, frameon=False)
    return sized(figure)


def plot_classification(image: Any, row: xr.Dataset, spectrum: Any = None) -> Figure:
    """Draw an image, its spectrum, and the probability of each class with ±1 σ.

    Parameters
    ----------
    image : array (y, x)
        A DataArray gives its axes their units.
    row : Dataset
        ``probability`` and, if known, ``probability_std`` over ``lattice``; other dimensions have length 1.
    spectrum : array (rows, columns), optional
        With k = 0 at ``(rows // 2, columns // 2)``; or, at most 0.6 times as wide as high, the half plane from
        ``k_x = 0`` on, which is then completed.
    """
    figure = Figure(figsize=(_WIDTH if spectrum is not None else 4.6, 2.3), layout="constrained")
    axes = figure.subplots(1, 2 if spectrum is None else 3)
    frame, row = _frame(image), row.squeeze()
    _draw_image(axes[0], frame)
    label_axes(axes[0], frame)
    axes[0].set_title("image")
    if spectrum is not None:
        plane = whole_plane(np.asarray(spectrum, float))
        axes[1].imshow(plane, cmap="gray", vmax=float(np.nanpercentile(plane, 99.9)))
        axes[1].set(xticks=[], yticks=[], title="spectrum")
    colors, probability = class_colors(row["lattice"].values), np.asarray(row["probability"].values)
    std = np.asarray(row.get("probability_std", row["probability"] * np.nan).values)
    names, bars = [display_name(name) for name in colors], axes[-1]
    bars.barh(names, probability, color=list(colors.values()), xerr=std, capsize=2, error_kw={"lw": 1})
    best = int(np.argmax(np.nan_to_num(probability)))
    sigma = f" ± {std[best]:.2f}" if np.isfinite(std[best]) else ""
    bars.set_title(f"{names[best]}\n{probability[best]:.2f}{sigma}")
    bars.set(xlim=(0, 1.05), ylim=(len(names) - 0.5, -0.5), xlabel="probability", box_aspect=1)
    return sized(figure)


def probability_frames(
    result: xr.Dataset, images: Any = None, *, size: tuple[int, int] = (1280, 720)
) -> Iterator[NDArray[np.uint8]]:
    """Draw the movie of the probability maps of all classes, one frame at a time.

    Parameters
    ----------
    result : Dataset
        With ``probability`` (time, y, x, lattice).
    images : movie (time, y, x), optional
        Drawn beside the maps with the same contrast in all frames; the mapped area is outlined.
    size : (int, int)
        Width and height of a frame in px.

    Yields
    ------
    uint8 array, shape (height, width, 3)
    """
    figure = Figure((size[0] / 100, size[1] / 100), dpi=100, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    maps, picture, others = _film(figure, result, images)
    title = figure.suptitle(stamp(result, 0))
    sized(figure, _FILM_TEXT)
    canvas.draw()  # finds the layout
    figure.set_layout_engine("none")
    changing: list[Artist] = [*maps, *([] if picture is None else [picture]), *others, title]
    for artist in changing:
        artist.set_animated(True)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    for index in range(result.sizes["time"]):
        values = np.asarray(result["probability"].isel(time=index).transpose("lattice", ...).values)
        for mesh, one in zip(maps, values, strict=True):
            mesh.set_array(np.ma.masked_invalid(one))
        if picture is not None:
            picture.set_data(_frame(images, result, index).values)
        title.set_text(stamp(result, index))
        canvas.restore_region(background)
        for artist in changing:
            figure.draw_artist(artist)
        yield np.array(canvas.buffer_rgba())[..., :3].copy()


def _film(figure: Figure, result: xr.Dataset, images: Any) -> tuple[list[QuadMesh], AxesImage | None, list[Artist]]:
    """Lay out the movie; return the maps, the image, and what lies on them."""
    names = [display_name(str(name)) for name in result["lattice"].values]
    rows = 1 if len(names) <= 3 else 2
    columns = -(-len(names) // rows)
    left = 0 if images is None else 2
    grid = figure.add_gridspec(rows, columns + left)
    axes = [figure.add_subplot(grid[i // columns, left + i % columns]) for i in range(len(names))]
    blank = np.full((len(names), result.sizes["y"], result.sizes["x"]), np.nan)
    maps = _draw_maps(np.array([axes]), result, blank, names, PROBABILITY_CMAP, 1.0, "probability")
    first, picture, others = axes[0], None, []
    if images is not None:
        first = figure.add_subplot(grid[:, :left])
        first.set_title("image, mapped area outlined")
        some = np.linspace(0, result.sizes["time"] - 1, 5).astype(int)
        picture = _draw_image(first, _frame(images, result), [_frame(images, result, i).values for i in some])
        others = [_outline(first, *(edges(result[dim].values)[[0, -1]] for dim in ("y", "x")))]
    for i, ax in enumerate(dict.fromkeys([*axes, first])):
        ax.set_anchor("C" if rows == 1 or i == len(names) else "S" if i < columns else "N")
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
        ax.spines[:].set_visible(False)
    return maps, picture, [*others, *_scale_bar(first, result)]


def frame_number(result: xr.Dataset, time: int) -> int:
    """Return the number of a frame counted from the first; `InputError` if there is none."""
    count = result.sizes["time"]
    if not -count <= time < count:
        raise InputError(f"frame {time} was asked for; the result has the frames 0 to {count - 1}")
    return time % count


def _unit(data: xr.Dataset | xr.DataArray, dim: str) -> str:
    return str(data[dim].attrs.get("units", "frame" if dim == "time" else "px"))


def stamp(result: xr.Dataset, index: int) -> str:
    """Return the time of a frame as a title."""
    time, mapped = np.asarray(result["time"].values, float), (result["label"].isel(time=index) >= 0).any()
    step = abs(time[1] - time[0]) if len(time) > 1 else 1.0
    decimals = next((d for d in range(6) if np.isclose(step * 10**d, round(step * 10**d), atol=1e-6)), 6)
    number, unit = f"{time[index]:.{decimals}f}", _unit(result, "time")
    return (f"frame {number}" if unit == "frame" else f"t = {number} {unit}") + ("" if mapped else " (not mapped yet)")


def figure_for_maps(result: xr.Dataset, rows: int, columns: int, *, beside: float = 0.0, below: float = 0.0) -> Figure:
    """Return a figure as high as its maps need; `beside` and `below` (in) are left for other things."""
    y, x = (np.ptp(edges(result[dim].values)) for dim in ("y", "x"))
    width = _WIDTH if columns > 1 else 4.6
    height = (width - 0.6 - beside) / columns * float(np.clip(y / x, 0.2, 3))
    return Figure(figsize=(width, rows * (height + 0.25) + 0.7 + below), layout="constrained")


def _draw_maps(
    axes: Any, result: xr.Dataset, maps: Any, titles: list[str], cmap: str, limit: float | None, label: str
) -> list[QuadMesh]:
    """Draw maps that share a colour bar from 0 to `limit` (or the largest value) into a grid of axes."""
    columns, used, meshes = axes.shape[1], list(axes.flat)[: len(maps)], []
    limit = limit or max(float(np.nanmax(maps, initial=0)), 1e-3)
    for i, (ax, values, title) in enumerate(zip(used, maps, titles, strict=True)):
        meshes.append(draw_map(ax, result, values, cmap, limit))
        ax.set_title(title)
        label_axes(ax, result, left=ax.get_subplotspec().is_first_col(), bottom=i >= len(maps) - columns)
    for ax in axes.flat[len(maps) :]:
        ax.remove()
    used[0].figure.colorbar(meshes[-1], ax=used, label=label, shrink=0.75, aspect=25 if len(used) > 1 else 18)
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


def _hatch_unmeasured(ax: Axes, result: xr.Dataset, label: NDArray[Any]) -> bool:
    """Hatch the windows of a mapped frame of which too little was measured, and return whether there are any."""
    missing = label == UNMAPPED
    if missing.all() or not missing.any():
        return False
    y, x = edges(result["y"].values), edges(result["x"].values)
    ax.pcolor(x, y, np.ma.masked_where(~missing, missing), facecolor="none", lw=0, **_HATCHED)
    return True


def _draw_image(ax: Axes, frame: xr.DataArray, sample: Any = None) -> AxesImage:
    """Draw a frame in grey, its contrast being that of `sample` if given, but for 0.5 % of pixels at either end."""
    values = np.asarray(frame.values if sample is None else sample)
    low, high = np.nanpercentile(values, (0.5, 99.5)) if np.isfinite(values).any() else (0.0, 1.0)
    if not np.isfinite(frame.values).all():
        ax.patch.set(**_HATCHED)  # shows through what was never measured
    extent: Any = (*edges(frame["x"].values)[[0, -1]], *edges(frame["y"].values)[[-1, 0]])
    return ax.imshow(frame.values, cmap="gray", vmin=low, vmax=high if high > low else low + 1, extent=extent)


def _frame(images: Any, result: xr.Dataset | None = None, index: int = 0) -> xr.DataArray:
    """Return a frame (y, x) with coordinates in the unit of the windows, which cover it from edge to edge."""
    images = images if hasattr(images, "dims") else xr.DataArray(images, dims=DIMS[-np.ndim(images) :])
    if "time" in images.dims:
        count, expected = images.sizes["time"], 1 if result is None else result.sizes["time"]
        if count not in (1, expected):
            raise InputError(f"{count} images were given for a result of {expected} frames; give one for each frame")
        images = images.isel(time=index if count > 1 else 0)
    axes = {}
    for dim in ("y", "x"):
        length, known = images.sizes[dim], images.coords.get(dim)
        if known is None or (result is not None and _unit(images, dim) != _unit(result, dim)):
            end = length - 1 if result is None else float(result[dim][0] + result[dim][-1])
            known = xr.DataArray(np.linspace(0, end, length), dims=dim)
        axes[dim] = (dim, known.values, {"units": _unit(images if result is None else result, dim)})
    frame = xr.DataArray(np.asarray(images.values, np.float32), axes, ("y", "x"))
    factor = max(1, min(frame.shape) // 1000)  # more px than a figure can show
    return frame if factor == 1 else frame.coarsen(y=factor, x=factor, boundary="trim").mean()


def _outline(ax: Axes, y: Any, x: Any) -> Artist:
    """Outline an area that is given by (begin, end) along y and x."""
    return ax.add_patch(Rectangle((x[0], y[0]), x[1] - x[0], y[1] - y[0], fill=False, ec="#F0E442", lw=1.2))


def label_axes(ax: Axes, data: xr.Dataset | xr.DataArray, *, left: bool = True, bottom: bool = True) -> None:
    """Name the axes of a map."""
    ax.tick_params(labelleft=left, labelbottom=bottom)
    ax.locator_params(nbins=5)
    ax.set(xlabel=f"x ({_unit(data, 'x')})" if bottom else "", ylabel=f"y ({_unit(data, 'y')})" if left else "")


def sized(figure: Figure, text: float = _TEXT) -> Figure:
    """Give titles and labels the size `text` (pt), and the numbers on the axes one less."""
    for ax in figure.axes:
        ax.tick_params(labelsize=text - 1)
        for label in (ax.title, ax.xaxis.label, ax.yaxis.label, *figure.texts):
            label.set_fontsize(text)
    return figure


def _scale_bar(ax: Axes, result: xr.Dataset) -> list[Artist]:
    """Draw a scale bar of 1, 2 or 5 times a power of ten, at most a third as long as the axes are wide."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    power = 10.0 ** np.floor(np.log10((right - left) / 3))
    length = max(step * power for step in (1, 2, 5) if step * power <= (right - left) / 3)
    x, y = left + 0.05 * (right - left), bottom + 0.03 * (top - bottom)
    (bar,) = ax.plot([x, x + length], [y, y], color="white", lw=4, solid_capstyle="butt")
    text = ax.text(x + length / 2, y + 0.015 * (top - bottom), f"{length:g} {_unit(result, 'x')}", color="white")
    text.set(ha="center", va="bottom", size=_FILM_TEXT)
    for artist in (bar, text):
        artist.set_path_effects([withStroke(linewidth=4 if artist is text else 6, foreground="black")])
    return [bar, text]


def whole_plane(spectrum: NDArray[np.floating]) -> NDArray[np.floating]:
    """Complete the half plane k_x ≥ 0 by Friedel's law: the amplitude at −k is that at k."""
    mirrored = np.roll(spectrum[::-1, :0:-1], 1 - len(spectrum) % 2, axis=0)
    return spectrum if spectrum.shape[1] > 0.6 * len(spectrum) else np.hstack([mirrored, spectrum])


def show_frame(ax: Axes, images: Any, result: xr.Dataset, index: int) -> AxesImage:
    """Draw a frame of a movie in grey, to scale with the maps of a result of as many frames."""
    return _draw_image(ax, _frame(images, result, index))
