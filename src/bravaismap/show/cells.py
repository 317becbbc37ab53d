"""Figures of the measured cells of a result: maps of a, b, γ, orientation and strain, and the shapes of all windows.

The conventions are those of :mod:`bravaismap.show.axes`.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from bravaismap.conventions import (
    CELL_PARAMETERS,
    CLASSES,
    COLORS,
    CYCLIC_CMAP,
    DIVERGING_CMAP,
    LATTICES,
    NONE,
    display_name,
)
from bravaismap.lattice.shape import CENTER, shape
from bravaismap.phases.cells import orientation_scale, symmetric_cells
from bravaismap.result.schema import TITLES
from bravaismap.show.axes import (
    HATCHING,
    draw_map,
    figure_for_maps,
    frame_number,
    label_axes,
    map_edges,
    panel_grid,
    sized,
    stamp_figure,
)
from bravaismap.show.style import PAGE, Style

__all__ = [
    "WITHOUT_LATTICE",
    "draw_domain",
    "holds_cells",
    "plot_cells",
    "plot_shapes",
    "plot_strain",
    "shows_cells",
]

#: Grey of what has no lattice, in maps whose colour maps hold white.
WITHOUT_LATTICE: Final = "0.6"
#: σ of a pixel's strain that is large, over the median of the frame; least σ of a window, over the median of its class.
_LARGE, _LEAST_SIGMA = 3.0, 0.25
_STRAINS = {"exx": "ε$_{xx}$", "eyy": "ε$_{yy}$", "exy": "ε$_{xy}$", "rotation": "rotation, counter-clockwise"}


def holds_cells(result: xr.Dataset) -> bool:
    """Tell whether a result holds measured cells."""
    return {*CELL_PARAMETERS, "basis", "label"} <= set(result.variables)


def shows_cells(result: xr.Dataset, index: int) -> bool:
    """Tell whether a result holds a measured cell of a frame, which maps of cells can show."""
    return holds_cells(result) and bool(np.isfinite(result["a"].isel(time=index).values).any())


def plot_cells(result: xr.Dataset, time: int = -1, *, style: Style = PAGE) -> Figure:
    """Draw the maps of a, b, γ and the orientation in a frame; windows without a lattice are left grey.

    a, b and the orientation are those of the nearest lattice of the class of a window: in a hexagonal lattice a and b
    are equal and a rotation by 60° is none (``bravaismap.phases.cells.symmetric_cells``). γ is as measured. a, b
    and γ are drawn from the 2nd to the 98th percentile of the frame, in which a window weighs with 1/σ² among those of
    its class: windows at a boundary do not set the scale. The orientation has a cyclic scale that ends at the period of
    most windows; those of other periods are taken modulo this one.

    Parameters
    ----------
    result : Dataset
        Of a model that measures cells.
    time : int
        Number of the frame.
    style : Style
    """
    index = frame_number(result, time)
    frame = result[["basis", "gamma", "label"]].isel(time=index)
    label = np.asarray(frame["label"].values)
    cells = symmetric_cells(frame["basis"].transpose("y", "x", "vector", "component").values, label)
    rows, columns = panel_grid(result, 4, style, beside=0.6)
    figure = figure_for_maps(result, rows, columns, style=style, beside=0.6, below=0.2)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    gamma = np.where(np.isfinite(cells.a), np.asarray(frame["gamma"].values, float), np.nan)
    maps = {"a": cells.a, "b": cells.b, "gamma": gamma, "orientation": cells.orientation}
    for i, (ax, (name, values)) in enumerate(zip(axes.flat, maps.items(), strict=True)):
        unit = str(result[name].attrs.get("units", ""))
        if name == "orientation":
            values, high, text = orientation_scale(cells)
            mesh: QuadMesh = draw_map(ax, result, values, CYCLIC_CMAP, high)
        else:
            std = result[f"{name}_std"].isel(time=index).values if f"{name}_std" in result else np.ones(values.shape)
            low, high = _limits(values, np.asarray(std, float), label)
            mesh = draw_map(ax, result, values, style.sequential, high)
            mesh.set_clim(low, high)
            text = "°" if unit == "degree" else unit
        extend: Any = "neither" if name == "orientation" else "both"
        figure.colorbar(mesh, ax=ax, label=text, shrink=0.85, aspect=18, extend=extend)
        ax.set_title("orientation" if name == "orientation" else TITLES[name])
        ax.set_facecolor(WITHOUT_LATTICE)
        label_axes(ax, result, left=i % columns == 0, bottom=i >= 4 - columns)
    stamp_figure(figure, result, index)
    return sized(figure, style.text)


def plot_shapes(result: xr.Dataset, time: int = -1, *, style: Style = PAGE) -> Figure:
    """Draw the shape of the lattice of every window of a frame as a point in the fundamental domain.

    Its corners are square and hexagonal, its sides rectangular and centred rectangular, its inside oblique; the colour
    of a point is that of the most probable class of the window. Windows without a lattice are left out.

    Parameters
    ----------
    result : Dataset
        Of a model that measures cells.
    time : int
        Number of the frame.
    style : Style
    """
    index = frame_number(result, time)
    frame = result[["basis", "label"]].isel(time=index)
    label = np.asarray(frame["label"].values).ravel()
    basis = frame["basis"].transpose("y", "x", "vector", "component").values.reshape(-1, 2, 2).astype(float)
    width = min(4.6, style.width)
    figure = Figure(figsize=(width, width + 0.2), layout="constrained")
    ax = figure.subplots()
    drawn = (label >= 0) & (label < len(LATTICES)) & np.isfinite(basis).all(axis=(1, 2))
    tau = shape(basis[drawn])
    top = float(np.clip(tau.imag.max(initial=1.0) + 0.1, 1.5, 3.0))
    draw_domain(ax, top)
    colors = [COLORS[CLASSES[i]] for i in label[drawn]]
    ax.scatter(tau.real, tau.imag, c=colors, s=12, linewidths=0.3, edgecolors="white", zorder=3)
    ax.set(
        xlim=(-0.06, 0.56),
        ylim=(0.8, top),
        xlabel="τ, part along a  (a·b / a²)",
        ylabel="τ, part across  (|a × b| / a²)",
    )
    ax.set_title("shape of the lattice of every window")
    stamp_figure(figure, result, index)
    marks = [
        Line2D([], [], color=COLORS[name], marker="o", ls="", ms=5, label=f"{display_name(name)} {(label == i).sum()}")
        for i, name in enumerate(LATTICES)
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=3 if style.width > 4 else 2, frameon=False)
    return sized(figure, style.text)


def plot_strain(strain: xr.Dataset, time: int = -1, *, style: Style = PAGE) -> Figure:
    """Draw the maps of the strain and the rotation in a frame; windows without the reference lattice are left blank.

    The scales are symmetric about zero and end at the 98th percentile of the frame; the three strains share one. Of the
    strain of pixels, what is within the Gaussian's σ of a pixel without lattice, or has a σ of several times the usual
    one, is hatched and does not count for the scales, and neither does what is as near to the edge of the frame. Beside
    each scale stands the usual σ, the median over what counts.

    Parameters
    ----------
    strain : Dataset
        Of :func:`bravaismap.strain_map`, or of :func:`bravaismap.pixel_strain` with its axes named y and x.
    time : int
        Number of the frame.
    style : Style
    """
    index = frame_number(strain, time)
    rows, columns = panel_grid(strain, 4, style, beside=0.6)
    figure = figure_for_maps(strain, rows, columns, style=style, beside=0.6, below=0.4)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    maps = {name: np.asarray(strain[name].isel(time=index).values, float) for name in _STRAINS}
    doubtful, inner = _doubtful_pixels(strain.isel(time=index))
    rotation = _reach(maps["rotation"][inner])
    stretch = _reach(np.stack([values[inner] for name, values in maps.items() if name != "rotation"]))
    for i, (ax, (name, title)) in enumerate(zip(axes.flat, _STRAINS.items(), strict=True)):
        limit = rotation if name == "rotation" else stretch
        mesh = draw_map(ax, strain, maps[name], DIVERGING_CMAP, limit)
        mesh.set_clim(-limit, limit)
        label = _with_usual("°" if name == "rotation" else "%", strain[f"{name}_std"].isel(time=index).values[inner])
        figure.colorbar(mesh, ax=ax, label=label, shrink=0.85, aspect=18, extend="both")
        ax.set_title(title)
        ax.set_facecolor(WITHOUT_LATTICE)  # white is no strain
        _hatch(ax, strain, doubtful)
        label_axes(ax, strain, left=i % columns == 0, bottom=i >= 4 - columns)
    stamp_figure(figure, strain, index)
    if doubtful.any():
        text = f"within the Gaussian's σ of {display_name(NONE)}, or σ large"
        patch = Patch(fc="white", ec=HATCHING["edgecolor"], hatch=HATCHING["hatch"], label=text)
        figure.legend(handles=[patch], loc="outside lower center", frameon=False)
    return sized(figure, style.text)


def _with_usual(unit: str, std: NDArray[np.floating]) -> str:
    """Return the label of a scale: its unit, and the median σ of what is drawn."""
    return f"{unit}, usual σ {np.nanmedian(std):.2g}" if np.isfinite(std).any() else unit


def _doubtful_pixels(frame: xr.Dataset) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which pixels of a frame of strain are doubtful, and which of the others lie inside the frame.

    Windows, which have no Gaussian, are never doubtful.
    """
    known = np.isfinite(frame["exx"].values)
    if "kernel" not in frame or not np.isfinite(frame["kernel"]):
        return np.zeros(known.shape, bool), np.ones(known.shape, bool)
    width = float(frame["kernel"])
    steps = [float(np.diff(frame[dim].values[:2]).sum()) or 1.0 for dim in ("y", "x")]
    spread = np.sqrt(sum(np.asarray(frame[f"{name}_std"].values, float) ** 2 for name in ("exx", "eyy", "exy")))
    large = spread > _LARGE * np.nanmedian(spread) if known.any() else ~known
    beside = distance_transform_edt(known, sampling=steps) <= width if not known.all() else ~known
    doubtful = known & (beside | large)
    border = np.pad(np.ones(np.subtract(known.shape, 2).clip(0), bool), 1)[: known.shape[0], : known.shape[1]]
    inner = known & ~doubtful & (distance_transform_edt(border, sampling=steps) > width)
    return doubtful, inner if inner.any() else known


def _hatch(ax: Axes, strain: xr.Dataset, doubtful: NDArray[np.bool_]) -> None:
    """Cover the doubtful pixels of a map with white and hatch them."""
    if not doubtful.any() or min(doubtful.shape) < 2:
        return
    blank = np.ma.masked_where(~doubtful, np.ones(doubtful.shape))
    ends = (map_edges(strain, "x"), map_edges(strain, "y"))
    ax.pcolormesh(*ends, blank, cmap=ListedColormap(["white"]), rasterized=True)
    hatched = ax.contourf(
        strain["x"].values, strain["y"].values, doubtful.astype(float), levels=[0.5, 1.5], colors="none",
        hatches=[HATCHING["hatch"]],
    )  # fmt: skip
    hatched.set(edgecolor=HATCHING["edgecolor"], linewidth=0)


def draw_domain(ax: Axes, top: float) -> None:
    """Draw the fundamental domain: its sides in the colours of their classes, and its two corners."""
    arc = np.linspace(np.pi / 3, np.pi / 2, 60)
    ax.plot([0, 0], [1, top], color=COLORS["rectangular"], lw=2.5)
    for x, y in ((np.cos(arc), np.sin(arc)), ([0.5, 0.5], [np.sqrt(0.75), top])):
        ax.plot(x, y, color=COLORS["centered_rectangular"], lw=2.5)
    for name, corner in CENTER.items():
        ax.plot(np.real(corner), np.imag(corner), marker="D", ms=9, color=COLORS[name], zorder=4, mec="white")


def _reach(values: NDArray[np.floating]) -> float:
    """Return the end of a scale that is symmetric about zero."""
    return max(float(np.nanpercentile(np.abs(values), 98)), 1e-3) if np.isfinite(values).any() else 1.0


def _limits(values: NDArray[np.floating], std: NDArray[np.floating], label: NDArray[np.integer]) -> tuple[float, float]:
    """Return the ends of a scale, the 2nd and the 98th percentile, windows of a class weighed by 1/σ² among them."""
    known = np.isfinite(values)
    if not known.any():
        return 0.0, 1.0
    weight = np.zeros(values.shape)
    for number in np.unique(label[known]):
        own = known & (label == number)
        spread = np.where(np.isfinite(std[own]), std[own], np.inf)
        usual = float(np.median(spread))
        if not 0 < usual < np.inf:  # σ is not known
            weight[own] = 1
            continue
        weight[own] = np.maximum(spread, _LEAST_SIGMA * usual) ** -2.0
        weight[own] *= own.sum() / weight[own].sum()
    order = np.argsort(values[known])
    share = np.cumsum(weight[known][order])
    low, high = np.interp((0.02, 0.98), (share - 0.5 * weight[known][order]) / share[-1], values[known][order])
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(high) + 0.5)
