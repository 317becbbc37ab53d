"""Figures of a result: labels, probabilities, uncertainty and fractions of a movie, and the classes of one image.

The conventions are those of :mod:`bravaismap.show.axes`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bravaismap.conventions import NOT_MEASURED, display_name
from bravaismap.result.shares import AREA, MEAN_PROBABILITY, class_shares, mean_probabilities
from bravaismap.show.axes import (
    HATCHING,
    WIDTH,
    class_colors,
    class_handles,
    draw_image,
    draw_map,
    draw_maps,
    figure_for_maps,
    frame_number,
    frame_of,
    hatch_unmeasured,
    label_axes,
    legend_height,
    name_handles,
    outline,
    panel_grid,
    scale_bar,
    sized,
    stamp_figure,
    unit_of,
    whole_plane,
)
from bravaismap.show.curves import curve_axes, time_axis
from bravaismap.show.style import PAGE, Style

__all__ = ["plot_classification", "plot_fractions", "plot_labels", "plot_probabilities", "plot_uncertainty"]


def plot_labels(
    result: xr.Dataset, time: int = -1, image: Any = None, *, overlay: bool = False, style: Style = PAGE
) -> Figure:
    """Draw the most probable class of every window of a frame.

    Of a result with pixels the legend names the classes, whose areas are those of pixels and not of windows; of one
    without it gives the mean probability ± σ of each class over windows.

    Parameters
    ----------
    result : Dataset
        With ``label`` (time, y, x) and ``fraction`` (time, lattice).
    time : int
        Number of the frame.
    image : array (y, x) or movie (time, y, x), optional
        Drawn beside the map, with the outline of a window, and under it.
    overlay : bool
        Leave out the image beside the map.
    style : Style
    """
    index = frame_number(result, time)
    label = np.asarray(result["label"].isel(time=index).values)
    colors = class_colors(result["lattice"].values)
    panels, alpha = (1 if image is None or overlay else 2), (1.0 if image is None else 0.45)
    table = np.array([to_rgba(color, alpha) for color in colors.values()] + [(1, 1, 1, 0)])  # the last for label −1
    rows, columns = panel_grid(result, panels, style)
    by_pixels = class_shares(result).quantity == AREA
    handles = name_handles(colors, label) if by_pixels else class_handles(result.isel(time=index), colors, label)
    below = legend_height(len(handles) + 1, 1 + columns, style)
    figure = figure_for_maps(result, rows, columns, style=style, below=below)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    if image is not None:
        frame = frame_of(image, result, index)
        for ax in axes:
            draw_image(ax, frame)
    if panels == 2:
        starts = [(float(frame[dim][0]), float(result[dim][0])) for dim in ("y", "x")]
        outline(axes[0], *([begin, 2 * center - begin] for begin, center in starts))
        axes[0].set_title("image, a window")
    draw_map(axes[-1], result, table[label])
    unmeasured = hatch_unmeasured(axes[-1], result, label)
    axes[-1].set_title("class of every window")
    stamp_figure(figure, result, index)
    scale_bar(axes[0], result, style.text)
    for i, ax in enumerate(axes):
        label_axes(ax, result, left=i % columns == 0, bottom=i >= panels - columns)
    if unmeasured:
        handles.append(Patch(fc="none", ec=HATCHING["edgecolor"], hatch=HATCHING["hatch"], label=NOT_MEASURED))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=1 + columns, frameon=False, handlelength=1.4,
        title=None if by_pixels else f"{MEAN_PROBABILITY} over windows",
    )  # fmt: skip
    return sized(figure, style.text)


def plot_probabilities(result: xr.Dataset, time: int = -1, *, std: bool = False, style: Style = PAGE) -> Figure:
    """Draw the probability map of every class in a frame, on one scale from 0 to 1.

    Parameters
    ----------
    result : Dataset
        With ``probability`` (and ``probability_std``) (time, y, x, lattice).
    time : int
        Number of the frame.
    std : bool
        Draw the maps of the standard deviation below, on a scale of their own.
    style : Style
    """
    index = frame_number(result, time)
    names = [display_name(str(name)) for name in result["lattice"].values]
    rows, columns = panel_grid(result, len(names), style, beside=0.25)
    if std:  # two blocks share the height
        columns = max(columns, min(3, len(names)))
        rows = -(-len(names) // columns)
    figure = figure_for_maps(result, rows * (1 + std), columns, style=style, beside=0.25, below=0.2)
    axes = figure.subplots(rows * (1 + std), columns, sharex=True, sharey=True, squeeze=False)
    blocks = [("probability", style.probability, 1.0), ("probability_std", style.sequential, None)]
    for i, (variable, cmap, limit) in enumerate(blocks[: 1 + std]):
        maps = np.asarray(result[variable].isel(time=index).transpose("lattice", ...).values)
        draw_maps(axes[i * rows :][:rows], result, maps, names, cmap, limit, ("probability", "σ of probability")[i])
    if "label" in result:
        for ax in axes.ravel()[: len(names)]:
            hatch_unmeasured(ax, result, np.asarray(result["label"].isel(time=index).values))
    stamp_figure(figure, result, index)
    return sized(figure, style.text)


def plot_uncertainty(result: xr.Dataset, time: int = -1, *, style: Style = PAGE) -> Figure:
    """Draw the predictive entropy and the mutual information of a frame, in nat.

    The scale of the entropy ends at the logarithm of the number of classes, where all are equally probable.

    Parameters
    ----------
    result : Dataset
        With ``entropy`` and ``mutual_information`` (time, y, x).
    time : int
        Number of the frame.
    style : Style
    """
    index = frame_number(result, time)
    rows, columns = panel_grid(result, 2, style, beside=0.6)
    figure = figure_for_maps(result, rows, columns, style=style, beside=0.6, below=0.2)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    limits = {"entropy": np.log(result.sizes["lattice"]), "mutual_information": None}
    for ax, (variable, limit) in zip(axes.flat, limits.items(), strict=True):
        values = np.asarray(result[variable].isel(time=index).values)
        panel = np.array([[ax]])
        draw_maps(panel, result, values[None], [display_name(variable)], style.sequential, limit, "nat")
        label_axes(ax, result, left=ax in axes[:, 0], bottom=ax in axes[-1])
    stamp_figure(figure, result, index)
    return sized(figure, style.text)


def plot_fractions(result: xr.Dataset, void: xr.DataArray | None = None, *, style: Style = PAGE) -> Figure:
    """Draw the share of every class over time with bands of ±1 σ, beside an area the mean probability as a thin line.

    Parameters
    ----------
    result : Dataset
        With the shares of :func:`bravaismap.result.shares.class_shares`; no band is drawn where σ is NaN.
    void : DataArray (time,), optional
        True fraction of void, drawn as a dashed line.
    style : Style
    """
    figure = Figure(figsize=(style.width, 0.35 * style.width + 1.6), layout="constrained")
    ax = figure.subplots()
    time, unit = np.asarray(result["time"].values, float), unit_of(result, "time")
    shares, means = class_shares(result), mean_probabilities(result)
    fraction, std = (np.asarray(values.values, float) for values in (shares.fraction, shares.std))
    interval = max(1, len(time) // 8)
    for i, (name, color) in enumerate(class_colors(result["lattice"].values).items()):
        ax.fill_between(time, fraction[:, i] - std[:, i], fraction[:, i] + std[:, i], color=color, alpha=0.25, lw=0)
        (curve,) = ax.plot(time, fraction[:, i], color=color, lw=1.4, label=display_name(name))
        curve.set(marker="osD^vPX*"[i % 8], markersize=4, markevery=(i * interval // fraction.shape[1], interval))
        if means is not None:
            ax.plot(time, means.fraction.values[:, i], color=color, lw=0.8, ls=":")
    if means is not None:
        ax.plot([], [], color="0.3", lw=0.8, ls=":", label=means.quantity)
    if void is not None:
        void_time = void["time"].values if "time" in void.coords else time[: void.size]
        ax.plot(void_time, void.values, color="black", ls="--", lw=1.2, label="void (true)")
    quantity = f"{MEAN_PROBABILITY} over windows" if means is None else "share of the frame"
    ax.set(ylabel=quantity, ylim=(-0.02, 1.02), xmargin=0.015)
    time_axis(ax, unit)
    curve_axes(ax)
    figure.legend(loc="outside lower center", ncols=4 if style.width > 5 else 2, frameon=False)
    return sized(figure, style.text)


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
    figure = Figure(figsize=(WIDTH if spectrum is not None else 4.6, 2.3), layout="constrained")
    axes = figure.subplots(1, 2 if spectrum is None else 3)
    frame, row = frame_of(image), row.squeeze()
    draw_image(axes[0], frame)
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
