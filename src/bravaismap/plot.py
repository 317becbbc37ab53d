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
from matplotlib import color_sequences, colormaps
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
    index, beside = _frame_number(result, time), image is not None and not overlay
    label = np.asarray(result["label"].isel(time=index).values)
    colors = class_colors(result["lattice"].values)
    table = np.array([to_rgba(color) for color in colors.values()] + [(1, 1, 1, 0)])  # the last one for label −1
    figure = _figure(result, 1, 2 if beside else 1, width=_WIDTH if beside else 4.6, below=0.7)
    axes = figure.subplots(1, 2 if beside else 1, sharex=True, sharey=True, squeeze=False)[0]
    if image is not None:
        frame = _frame(image, result, index)
        _draw_image(axes[0], frame)
        if beside:
            _outline_window(axes[0], result, frame)
            axes[0].set_title("image", fontsize=_TEXT)
            axes[1].set_title("lattice", fontsize=_TEXT)
    mesh = _draw_map(axes[-1], result, table[label])
    mesh.set_alpha(0.45 if overlay and image is not None else None)
    for ax in axes:
        _label_axes(ax, result, left=ax is axes[0])
    figure.suptitle(_stamp(result, index, mapped=bool((label >= 0).any())), fontsize=_TEXT)
    share = [(label == i).sum() / max((label >= 0).sum(), 1) for i in range(len(colors))]
    patches = [
        Patch(facecolor=color, edgecolor="0.3", lw=0.5, label=f"{display_name(name)} {100 * part:.1f} %")
        for (name, color), part in zip(colors.items(), share, strict=True)
    ]
    columns = 3 if beside else 2
    figure.legend(handles=patches, loc="outside lower center", ncols=columns, fontsize=_SMALL, frameon=False)
    return figure


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
    blocks = [("probability", "", PROBABILITY_CMAP)] + [("probability_std", "σ ", SEQUENTIAL_CMAP)] * std
    maps = {name: np.asarray(result[name].isel(time=index).values) for name, _, _ in blocks}
    names = [display_name(str(name)) for name in result["lattice"].values]
    rows, columns = _grid(len(names))
    figure = _figure(result, rows * len(blocks), columns, beside=0.7)
    axes = figure.subplots(rows * len(blocks), columns, sharex=True, sharey=True, squeeze=False)
    for block, (variable, prefix, cmap) in enumerate(blocks):
        limit = _largest(maps[variable]) if block else 1.0
        own = list(axes[block * rows : (block + 1) * rows].flat)
        for i, (ax, name) in enumerate(zip(own, names, strict=False)):
            mesh = _draw_map(ax, result, maps[variable][..., i], cmap, limit)
            ax.set_title(prefix + name, fontsize=_TEXT)
            lowest = block == len(blocks) - 1 and i + columns >= len(names)
            _label_axes(ax, result, left=i % columns == 0, bottom=lowest)
        _color_bar(figure, mesh, own[: len(names)], "standard deviation" if block else "probability")
        for ax in own[len(names) :]:
            ax.remove()
    figure.suptitle(_stamp(result, index, mapped=not np.isnan(maps["probability"]).all()), fontsize=_TEXT)
    return figure


def plot_uncertainty(result: xr.Dataset, time: int = -1) -> Figure:
    """Draw the predictive entropy and the mutual information of a frame, in nat.

    Parameters
    ----------
    result : Dataset
        With ``entropy`` and ``mutual_information`` (time, y, x).
    time : int
        Number of the frame.

    Returns
    -------
    Figure
        The scale of the entropy ends at ln(number of classes), which is complete ignorance.
    """
    index = _frame_number(result, time)
    figure = _figure(result, 1, 2, beside=1.4)
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, variable in zip(axes, ("entropy", "mutual_information"), strict=True):
        values = np.asarray(result[variable].isel(time=index).values)
        limit = float(np.log(result.sizes["lattice"])) if variable == "entropy" else _largest(values)
        mesh = _draw_map(ax, result, values, SEQUENTIAL_CMAP, limit)
        ax.set_title(display_name(variable), fontsize=_TEXT)
        _label_axes(ax, result, left=ax is axes[0])
        _color_bar(figure, mesh, [ax], "nat")
    mapped = not bool(np.isnan(result["entropy"].isel(time=index).values).all())
    figure.suptitle(_stamp(result, index, mapped=mapped), fontsize=_TEXT)
    return figure


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
        style: dict[str, Any] = {"marker": "osD^vPX*"[i % 8], "markersize": 4, "markevery": (i * every // fraction.shape[1], every)}
        ax.plot(time, fraction[:, i], color=color, lw=1.4, label=display_name(name), **style)
    if void is not None:
        known = void["time"].values if "time" in void.coords else time[: void.size]
        ax.plot(known, void.values, color="black", ls="--", lw=1.2, label="void (true)")
    ax.set_xlabel("frame" if unit == "frame" else f"time ({unit})", fontsize=_TEXT)
    ax.set_ylabel("fraction", fontsize=_TEXT)
    ax.set_ylim(-0.02, 1.02)
    ax.margins(x=0.015)
    ax.tick_params(labelsize=_SMALL)
    ax.grid(color="0.9", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=4, fontsize=_SMALL, frameon=False)
    return figure


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
    figure = Figure(figsize=(_WIDTH if spectrum is not None else 4.6, 2.5), layout="constrained")
    axes = figure.subplots(1, 2 if spectrum is None else 3)
    frame = _frame(image)
    _draw_image(axes[0], frame)
    _label_axes(axes[0], frame)
    axes[0].set_title("image", fontsize=_TEXT)
    if spectrum is not None:
        plane = _whole_plane(np.asarray(spectrum, float))
        axes[1].imshow(plane, cmap="gray", vmax=float(np.nanpercentile(plane, 99.9)))
        axes[1].set(xticks=[], yticks=[])
        axes[1].set_title("spectrum", fontsize=_TEXT)
    row = row.squeeze()
    colors = class_colors(row["lattice"].values)
    std = row["probability_std"].values if "probability_std" in row else None
    bars = {"color": list(colors.values()), "xerr": std, "capsize": 2, "error_kw": {"lw": 1}}
    axes[-1].barh([display_name(name) for name in colors], row["probability"].values, **bars)
    axes[-1].invert_yaxis()
    axes[-1].set_xlim(0, 1.05)
    axes[-1].set_box_aspect(1)
    axes[-1].set_xlabel("probability", fontsize=_TEXT)
    axes[-1].tick_params(labelsize=_SMALL)
    return figure


def probability_frames(
    result: xr.Dataset, images: Any = None, *, size: tuple[int, int] = (1280, 720)
) -> Iterator[NDArray[np.uint8]]:
    """Draw the movie of the probability maps of all classes, one frame at a time.

    Parameters
    ----------
    result : Dataset
        With ``probability`` (time, y, x, lattice).
    images : movie (time, y, x), optional
        Drawn beside the maps, with the same contrast in all frames.
    size : (int, int)
        Width and height of a frame in px.

    Yields
    ------
    uint8 array, shape (height, width, 3)
    """
    figure = Figure((size[0] / 100, size[1] / 100), dpi=100, layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    maps, picture, changing = _film(figure, result, images)
    canvas.draw()  # finds the layout
    figure.set_layout_engine("none")
    for artist in changing:
        artist.set_animated(True)
    canvas.draw()
    background = canvas.copy_from_bbox(figure.bbox)
    for index in range(result.sizes["time"]):
        values = np.asarray(result["probability"].isel(time=index).values)
        for i, mesh in enumerate(maps):
            mesh.set_array(np.ma.masked_invalid(values[..., i]))
        if picture is not None:
            picture.set_data(_frame(images, result, index).values)
        figure.suptitle(_stamp(result, index, mapped=not np.isnan(values).all()))
        canvas.restore_region(background)
        for artist in changing:
            figure.draw_artist(artist)
        yield np.array(canvas.buffer_rgba())[..., :3].copy()


def _film(figure: Figure, result: xr.Dataset, images: Any) -> tuple[list[QuadMesh], AxesImage | None, list[Artist]]:
    """Lay out the movie; return the maps, the image, and all that changes or lies on what changes."""
    names = [display_name(str(name)) for name in result["lattice"].values]
    rows, columns = _grid(len(names))
    shift = 0 if images is None else 2
    grid = figure.add_gridspec(rows, columns + shift)
    axes = [figure.add_subplot(grid[i // columns, shift + i % columns], title=name) for i, name in enumerate(names)]
    blank = np.full((result.sizes["y"], result.sizes["x"]), np.nan)
    maps = [_draw_map(ax, result, blank, PROBABILITY_CMAP) for ax in axes]
    _color_bar(figure, maps[-1], axes, "probability", text=_FILM_TEXT)
    picture = None
    if images is not None:
        axes.insert(0, figure.add_subplot(grid[:, :shift], title="image"))
        some = np.linspace(0, result.sizes["time"] - 1, 5).astype(int)
        picture = _draw_image(axes[0], _frame(images, result, 0), [_frame(images, result, i).values for i in some])
    for ax in axes:
        ax.set(xticks=[], yticks=[])
        ax.title.set_fontsize(_FILM_TEXT)
    stamp = figure.suptitle(_stamp(result, 0), fontsize=_FILM_TEXT + 4)
    return maps, picture, [*maps, *([picture] if picture else []), *_scale_bar(axes[0], result), stamp]


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


def _largest(values: NDArray[np.floating]) -> float:
    return max(float(np.nanmax(values, initial=0)), 1e-3)


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


def _draw_map(ax: Axes, result: xr.Dataset, values: Any, cmap: str | None = None, limit: float = 1.0) -> QuadMesh:
    """Draw a map (y, x), or colours (y, x, 4), to scale with y downwards; NaN is left blank."""
    y, x = cell_edges(result["y"].values), cell_edges(result["x"].values)
    shown = values if cmap is None else np.ma.masked_invalid(values)
    mesh = ax.pcolormesh(x, y, shown, cmap=cmap and colormaps[cmap], vmin=0.0, vmax=limit, rasterized=True)
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


def _outline_window(ax: Axes, result: xr.Dataset, frame: xr.DataArray) -> None:
    y, x = (float(frame[dim][0]) for dim in ("y", "x"))
    side = [2 * (float(result[dim][0]) - begin) for dim, begin in (("x", x), ("y", y))]
    outline = Rectangle((x, y), *side, fill=False, ec="white", lw=1, ls="--")
    ax.add_patch(outline).set_path_effects([withStroke(linewidth=2, foreground="black")])


def _label_axes(ax: Axes, data: xr.Dataset | xr.DataArray, *, left: bool = True, bottom: bool = True) -> None:
    ax.tick_params(labelsize=_SMALL, labelleft=left, labelbottom=bottom)
    ax.locator_params(nbins=5)
    ax.set_xlabel(f"x ({_unit(data, 'x')})" if bottom else "", fontsize=_TEXT)
    ax.set_ylabel(f"y ({_unit(data, 'y')})" if left else "", fontsize=_TEXT)


def _color_bar(figure: Figure, mesh: QuadMesh, axes: list[Axes], label: str, *, text: float = _TEXT) -> None:
    bar = figure.colorbar(mesh, ax=axes, shrink=0.75, aspect=25 if len(axes) > 1 else 18)
    bar.set_label(label, fontsize=text)
    bar.ax.tick_params(labelsize=text - 1)


def _scale_bar(ax: Axes, result: xr.Dataset) -> list[Artist]:
    """Draw a scale bar of 1, 2 or 5 times a power of ten, about a quarter as long as the map is wide."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    power = 10.0 ** np.floor(np.log10((right - left) / 3))
    length = max(step * power for step in (1, 2, 5) if step * power <= (right - left) / 3)
    outline = [withStroke(linewidth=4, foreground="black")]
    x, y = left + 0.05 * (right - left), bottom + 0.05 * (top - bottom)
    bar = ax.plot([x, x + length], [y, y], color="white", lw=4, solid_capstyle="butt", path_effects=outline)[0]
    bar.set_path_effects([withStroke(linewidth=6, foreground="black")])
    text = f"{length:g} {_unit(result, 'x')}"
    place = (x + length / 2, y + 0.02 * (top - bottom))
    return [bar, ax.text(*place, text, color="white", ha="center", va="bottom", size=_FILM_TEXT, path_effects=outline)]


def _whole_plane(spectrum: NDArray[np.floating]) -> NDArray[np.floating]:
    """Complete the half plane k_x ≥ 0 by Friedel's law: the amplitude at −k is that at k."""
    rows, columns = spectrum.shape
    if columns > 0.6 * rows:
        return spectrum
    mirrored = np.roll(spectrum[::-1, :0:-1], 1 if rows % 2 == 0 else 0, axis=0)
    return np.concatenate([mirrored, spectrum], axis=1)
