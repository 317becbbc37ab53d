"""Figures of a result, and the frames of its movie.

Every figure is a :class:`matplotlib.figure.Figure` of its own: nothing here touches pyplot or the settings of
matplotlib. Maps are to scale. A window owns the area around its centre, up to half-way to the next centre. A frame that
is not mapped yet is left blank. Images may be given as a movie (time, y, x) or one frame (y, x), with or without
coordinates; ``time`` is the number of a frame, −1 being the last one.
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

from bravaismap.conventions import COLORS, DIMS, PROBABILITY_CMAP, SEQUENTIAL_CMAP, display_name
from bravaismap.errors import InputError

__all__ = [
    "cell_edges",
    "class_colors",
    "plot_classification",
    "plot_fractions",
    "plot_labels",
    "plot_probabilities",
    "plot_uncertainty",
    "probability_frames",
]

_WIDTH = 6.3  # in; at 12 cm in print the text is 7 pt and 6 pt high
_TEXT, _SMALL, _FILM_TEXT = 9.0, 8.0, 14.0  # pt
_LARGEST_IMAGE = 1000  # px along the shorter side, more than a figure can show


def class_colors(names: Iterable[str]) -> dict[str, str]:
    """Return the colour (``"#rrggbb"``) of each class; a user's class takes the next Okabe–Ito colour still free."""
    names = [str(name) for name in names]
    okabe_ito = [to_hex(color).upper() for color in color_sequences["okabe_ito"]]
    further = [to_hex(color).upper() for color in color_sequences["petroff10"]]
    unused = [color for color in (*okabe_ito[1:], okabe_ito[0], *further) if color not in COLORS.values()]
    taken = {COLORS[name] for name in names if name in COLORS}
    free = cycle([*unused[:3], *(c for c in COLORS.values() if c not in {*taken, COLORS["none"]}), *unused[3:]])
    return {name: COLORS[name] if name in COLORS else next(free) for name in names}


def cell_edges(centers: Any) -> NDArray[np.float64]:
    """Return where the areas of the windows along an axis begin and end, one value more than there are centres.

    The last distance between centres may differ from the others. A single window begins at 0 and owns all of itself.
    """
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
    index = _frame_number(result, time)
    label = np.asarray(result["label"].isel(time=index).values)
    colors = class_colors(result["lattice"].values)
    panels, alpha = (1 if image is None or overlay else 2), (0.45 if overlay and image is not None else 1.0)
    table = np.array([to_rgba(color, alpha) for color in colors.values()] + [(1, 1, 1, 0)])  # the last for label −1
    figure = _figure(result, 1, panels, width=_WIDTH if panels == 2 else 4.6, below=0.4)
    axes = figure.subplots(1, panels, sharex=True, sharey=True, squeeze=False)[0]
    if image is not None:
        frame = _frame(image, result, index)
        _draw_image(axes[0], frame)
        if panels == 2:
            corner = [(float(frame[dim][0]), 2 * float(result[dim][0] - frame[dim][0])) for dim in ("y", "x")]
            _outline(axes[0], *corner)
            axes[0].set_title("image")
    _draw_map(axes[-1], result, table[label])
    axes[-1].set_title(_stamp(result, index, mapped=bool((label >= 0).any())))
    for ax in axes:
        _label_axes(ax, result, left=ax is axes[0])
    patches = []
    for i, (name, color) in enumerate(colors.items()):
        share = 100 * (label == i).sum() / max((label >= 0).sum(), 1)
        patches.append(Patch(facecolor=color, edgecolor="0.3", lw=0.5, label=f"{display_name(name)} {share:.1f} %"))
    figure.legend(handles=patches, loc="outside lower center", ncols=1 + panels, fontsize=_SMALL, frameon=False)
    return _sized(figure)


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
    index = _frame_number(result, time)
    names = [display_name(str(name)) for name in result["lattice"].values]
    rows, columns = _grid(len(names))
    figure = _figure(result, rows * (1 + std), columns, beside=0.7)
    axes = figure.subplots(rows * (1 + std), columns, sharex=True, sharey=True, squeeze=False)
    probability = _maps(result, "probability", index)
    figure.suptitle(_stamp(result, index, mapped=not np.isnan(probability).all()))
    _draw_maps(axes[:rows], result, probability, names, PROBABILITY_CMAP, 1.0, "probability")
    if std:
        deviation, names = _maps(result, "probability_std", index), [f"σ {name}" for name in names]
        _draw_maps(axes[rows:], result, deviation, names, SEQUENTIAL_CMAP, None, "standard deviation")
    return _sized(figure)


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
    index = _frame_number(result, time)
    figure = _figure(result, 1, 2, beside=1.4)
    axes = figure.subplots(1, 2, sharex=True, sharey=True, squeeze=False)
    entropy, information = (_maps(result, name, index) for name in ("entropy", "mutual_information"))
    figure.suptitle(_stamp(result, index, mapped=not np.isnan(entropy).all()))
    limit = float(np.log(result.sizes["lattice"]))
    _draw_maps(axes[:, :1], result, entropy, ["entropy"], SEQUENTIAL_CMAP, limit, "nat")
    _draw_maps(axes[:, 1:], result, information, ["mutual information"], SEQUENTIAL_CMAP, None, "nat")
    return _sized(figure)


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
    ax.set(xlabel="frame" if unit == "frame" else f"time ({unit})", ylabel="fraction", ylim=(-0.02, 1.02))
    ax.margins(x=0.015)
    ax.grid(color="0.9", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, fontsize=_SMALL, frameon=False)
    return _sized(figure)


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
    _label_axes(axes[0], frame)
    axes[0].set_title("image")
    if spectrum is not None:
        plane = _whole_plane(np.asarray(spectrum, float))
        axes[1].imshow(plane, cmap="gray", vmax=float(np.nanpercentile(plane, 99.9)))
        axes[1].set(xticks=[], yticks=[], title="spectrum")
    colors, probability = class_colors(row["lattice"].values), np.asarray(row["probability"].values)
    std = np.asarray(row["probability_std"].values) if "probability_std" in row else np.full(probability.shape, np.nan)
    names, bars = [display_name(name) for name in colors], axes[-1]
    bars.barh(names, probability, color=list(colors.values()), xerr=std, capsize=2, error_kw={"lw": 1})
    if np.isfinite(probability).any():
        best = int(np.nanargmax(probability))
        sigma = f" ± {std[best]:.2f}" if np.isfinite(std[best]) else ""
        bars.set_title(f"{names[best]} {probability[best]:.2f}{sigma}")
    bars.set(xlim=(0, 1.05), ylim=(len(names) - 0.5, -0.5), xlabel="probability", box_aspect=1)
    return _sized(figure)


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
    figure = Figure((size[0] / 100, size[1] / 100), dpi=100, layout="compressed")
    canvas: Any = FigureCanvasAgg(figure)
    maps, picture, others = _film(figure, result, images)
    stamp = figure.suptitle(_stamp(result, 0))
    _sized(figure, _FILM_TEXT)
    canvas.draw()  # finds the layout
    figure.set_layout_engine("none")
    changing: list[Artist] = [*maps, *([] if picture is None else [picture]), *others, stamp]
    for artist in changing:
        artist.set_animated(True)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    for index in range(result.sizes["time"]):
        values = _maps(result, "probability", index)
        for mesh, one in zip(maps, values, strict=True):
            mesh.set_array(np.ma.masked_invalid(one))
        if picture is not None:
            picture.set_data(_frame(images, result, index).values)
        stamp.set_text(_stamp(result, index, mapped=not np.isnan(values).all()))
        canvas.restore_region(background)
        for artist in changing:
            figure.draw_artist(artist)
        yield np.array(canvas.buffer_rgba())[..., :3].copy()


def _film(figure: Figure, result: xr.Dataset, images: Any) -> tuple[list[QuadMesh], AxesImage | None, list[Artist]]:
    """Lay out the movie; return the maps, the image, and what lies on them."""
    names = [display_name(str(name)) for name in result["lattice"].values]
    rows, columns = _grid(len(names))
    left = 0 if images is None else 2
    grid = figure.add_gridspec(rows, columns + left)
    axes = [figure.add_subplot(grid[i // columns, left + i % columns]) for i in range(len(names))]
    blank = np.full((len(names), result.sizes["y"], result.sizes["x"]), np.nan)
    maps = _draw_maps(np.array([axes]), result, blank, names, PROBABILITY_CMAP, 1.0, "probability")
    first, picture, others = axes[0], None, []
    if images is not None:
        first = figure.add_subplot(grid[:, :left])
        first.set_title("image")
        some = np.linspace(0, result.sizes["time"] - 1, 5).astype(int)
        picture = _draw_image(first, _frame(images, result), [_frame(images, result, i).values for i in some])
        (y, bottom), (x, right) = (cell_edges(result[dim].values)[[0, -1]] for dim in ("y", "x"))
        others = _outline(first, (y, bottom - y), (x, right - x))
    for ax in [*axes, first]:
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
        ax.spines[:].set_visible(False)
    return maps, picture, [*others, *_scale_bar(first, result)]


def _frame_number(result: xr.Dataset, time: int) -> int:
    count = result.sizes["time"]
    if not -count <= time < count:
        raise InputError(f"frame {time} was asked for; the result has the frames 0 to {count - 1}")
    return time % count


def _unit(data: xr.Dataset | xr.DataArray, dim: str) -> str:
    return str(data[dim].attrs.get("units", "frame" if dim == "time" else "px"))


def _stamp(result: xr.Dataset, index: int, *, mapped: bool = True) -> str:
    time, note = np.asarray(result["time"].values, float), "" if mapped else " (not mapped yet)"
    if _unit(result, "time") == "frame":
        return f"frame {time[index]:g}{note}"
    step = abs(time[1] - time[0]) if len(time) > 1 else 1.0
    decimals = next((d for d in range(6) if np.isclose(step * 10**d, round(step * 10**d), atol=1e-6)), 6)
    return f"t = {time[index]:.{decimals}f} {_unit(result, 'time')}{note}"


def _maps(result: xr.Dataset, variable: str, index: int) -> NDArray[np.floating]:
    """Return the maps of a variable in a frame, shape (maps, y, x)."""
    values = np.asarray(result[variable].isel(time=index).values)
    return np.moveaxis(values, -1, 0) if values.ndim == 3 else values[None]


def _grid(count: int) -> tuple[int, int]:
    rows = 1 if count <= 3 else 2
    return rows, -(-count // rows)


def _figure(
    result: xr.Dataset, rows: int, columns: int, *, width: float = _WIDTH, beside: float = 0.0, below: float = 0.0
) -> Figure:
    """Return a figure as high as its maps need; `beside` and `below` (in) are left for other things."""
    y, x = (np.ptp(cell_edges(result[dim].values)) for dim in ("y", "x"))
    height = (width - 0.6 - beside) / columns * float(np.clip(y / x, 0.2, 3))
    return Figure(figsize=(width, rows * (height + 0.25) + 0.7 + below), layout="constrained")


def _draw_maps(
    axes: Any, result: xr.Dataset, maps: Any, titles: list[str], cmap: str, limit: float | None, label: str
) -> list[QuadMesh]:
    """Draw maps that share a colour bar from 0 to `limit` (or the largest value) into a grid of axes."""
    columns, used, meshes = axes.shape[1], list(axes.flat)[: len(maps)], []
    limit = limit or max(float(np.nanmax(maps, initial=0)), 1e-3)
    for i, (ax, values, title) in enumerate(zip(used, maps, titles, strict=True)):
        meshes.append(_draw_map(ax, result, values, cmap, limit))
        ax.set_title(title)
        _label_axes(ax, result, left=ax.get_subplotspec().is_first_col(), bottom=i >= len(maps) - columns)
    for ax in axes.flat[len(maps) :]:
        ax.remove()
    bar = used[0].figure.colorbar(meshes[-1], ax=used, shrink=0.75, aspect=25 if len(used) > 1 else 18)
    bar.set_label(label, labelpad=6)
    return meshes


def _draw_map(ax: Axes, result: xr.Dataset, values: Any, cmap: str | None = None, limit: float = 1.0) -> QuadMesh:
    """Draw a map (y, x), or colours (y, x, 4), to scale with y downwards; NaN is left blank."""
    y, x = cell_edges(result["y"].values), cell_edges(result["x"].values)
    shown = values if cmap is None else np.ma.masked_invalid(values)
    mesh = ax.pcolormesh(x, y, shown, cmap=cmap, vmin=0.0, vmax=limit, rasterized=True)
    if not any(other.images for other in ax.figure.axes):
        ax.set(xlim=(x[0], x[-1]), ylim=(y[-1], y[0]))
    ax.set_aspect("equal")
    return mesh


def _draw_image(ax: Axes, frame: xr.DataArray, sample: Any = None) -> AxesImage:
    """Draw a frame in grey, its contrast being that of `sample` if given, but for 0.5 % of pixels at either end."""
    low, high = np.nanpercentile(frame.values if sample is None else sample, (0.5, 99.5))
    y, x = cell_edges(frame["y"].values), cell_edges(frame["x"].values)
    extent = (x[0], x[-1], y[-1], y[0])
    return ax.imshow(frame.values, cmap="gray", vmin=low, vmax=high if high > low else low + 1, extent=extent)


def _frame(images: Any, result: xr.Dataset | None = None, index: int = 0) -> xr.DataArray:
    """Return a frame (y, x) with coordinates in the unit of the windows, large ones at a coarser pixel.

    Where a frame has no coordinates in that unit, its windows give them: together they cover it from edge to edge.
    """
    images = images if hasattr(images, "dims") else xr.DataArray(images, dims=DIMS[-np.ndim(images) :])
    if "time" in images.dims:
        count = 1 if result is None else result.sizes["time"]
        if images.sizes["time"] not in (1, count):
            raise InputError(f"{images.sizes['time']} images were given for a result of {count} frames")
        images = images.isel(time=index if images.sizes["time"] > 1 else 0)
    axes = {}
    for dim in ("y", "x"):
        length, known = images.sizes[dim], images.coords.get(dim)
        if known is None or (result is not None and _unit(images, dim) != _unit(result, dim)):
            end = length - 1 if result is None else float(result[dim][0] + result[dim][-1])
            known = xr.DataArray(np.linspace(0, end, length), dims=dim)
        axes[dim] = (dim, known.values, {"units": _unit(images if result is None else result, dim)})
    frame = xr.DataArray(np.asarray(images.values, np.float32), axes, ("y", "x"))
    factor = max(1, min(frame.shape) // _LARGEST_IMAGE)
    return frame if factor == 1 else frame.coarsen(y=factor, x=factor, boundary="trim").mean()


def _outline(ax: Axes, y: tuple[float, float], x: tuple[float, float]) -> list[Artist]:
    """Outline an area that is given by (start, length) along y and x."""
    outline = Rectangle((x[0], y[0]), x[1], y[1], fill=False, ec="white", lw=1, ls="--")
    outline.set_path_effects([withStroke(linewidth=2, foreground="black")])
    return [ax.add_patch(outline)]


def _label_axes(ax: Axes, data: xr.Dataset | xr.DataArray, *, left: bool = True, bottom: bool = True) -> None:
    ax.tick_params(labelleft=left, labelbottom=bottom)
    ax.locator_params(nbins=5)
    ax.set(xlabel=f"x ({_unit(data, 'x')})" if bottom else "", ylabel=f"y ({_unit(data, 'y')})" if left else "")


def _sized(figure: Figure, text: float = _TEXT) -> Figure:
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
    x, y = left + 0.05 * (right - left), bottom + 0.05 * (top - bottom)
    (bar,) = ax.plot([x, x + length], [y, y], color="white", lw=4, solid_capstyle="butt")
    text = ax.text(x + length / 2, y + 0.02 * (top - bottom), f"{length:g} {_unit(result, 'x')}", color="white")
    text.set(ha="center", va="bottom", size=_FILM_TEXT)
    for artist in (bar, text):
        artist.set_path_effects([withStroke(linewidth=4 if artist is text else 6, foreground="black")])
    return [bar, text]


def _whole_plane(spectrum: NDArray[np.floating]) -> NDArray[np.floating]:
    """Complete the half plane k_x ≥ 0 by Friedel's law: the amplitude at −k is that at k."""
    rows, columns = spectrum.shape
    if columns > 0.6 * rows:
        return spectrum
    mirrored = np.roll(spectrum[::-1, :0:-1], 1 if rows % 2 == 0 else 0, axis=0)
    return np.concatenate([mirrored, spectrum], axis=1)
