"""Figures of the measured cells of a result: maps of a, b, γ, orientation and strain, and the shapes of all windows.

The conventions are those of :mod:`bravaismap.show.axes`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from bravaismap.conventions import (
    CELL_PARAMETERS,
    CLASSES,
    COLORS,
    CYCLIC_CMAP,
    DIVERGING_CMAP,
    LATTICES,
    display_name,
)
from bravaismap.lattice.shape import CENTER, shape
from bravaismap.phases.cells import orientation_scale, symmetric_cells
from bravaismap.result.schema import TITLES
from bravaismap.show.axes import (
    draw_map,
    figure_for_maps,
    frame_number,
    label_axes,
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
]

#: Grey of what has no lattice, in maps whose colour maps hold white.
WITHOUT_LATTICE: Final = "0.6"
_STRAINS = {"exx": "ε$_{xx}$", "eyy": "ε$_{yy}$", "exy": "ε$_{xy}$", "rotation": "rotation, counter-clockwise"}


def holds_cells(result: xr.Dataset) -> bool:
    """Tell whether a result holds measured cells."""
    return {*CELL_PARAMETERS, "basis", "label"} <= set(result.variables)


def plot_cells(result: xr.Dataset, time: int = -1, *, style: Style = PAGE) -> Figure:
    """Draw the maps of a, b, γ and the orientation in a frame; windows without a lattice are left grey.

    a, b and the orientation are those of the nearest lattice of the class of a window: in a hexagonal lattice a and b
    are equal and a rotation by 60° is none (``bravaismap.phases.cells.symmetric_cells``). γ is as measured. a, b
    and γ are drawn from the 2nd to the 98th percentile of the frame, the orientation on a cyclic scale; where classes
    with different periods meet, it is drawn as a share of the period.

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
            low, high = _limits(values)
            mesh = draw_map(ax, result, values, style.sequential, high)
            mesh.set_clim(low, high)
            text = "°" if unit == "degree" else unit
        figure.colorbar(mesh, ax=ax, label=text, shrink=0.85, aspect=18)
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

    The scales are symmetric about zero and end at the 98th percentile of the frame; the three strains share one.

    Parameters
    ----------
    strain : Dataset
        Of :func:`bravaismap.strain_map`.
    time : int
        Number of the frame.
    style : Style
    """
    index = frame_number(strain, time)
    rows, columns = panel_grid(strain, 4, style, beside=0.6)
    figure = figure_for_maps(strain, rows, columns, style=style, beside=0.6, below=0.2)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    maps = {name: np.asarray(strain[name].isel(time=index).values, float) for name in _STRAINS}
    rotation = _reach(maps["rotation"])
    stretch = _reach(np.stack([values for name, values in maps.items() if name != "rotation"]))
    for i, (ax, (name, title)) in enumerate(zip(axes.flat, _STRAINS.items(), strict=True)):
        limit = rotation if name == "rotation" else stretch
        mesh = draw_map(ax, strain, maps[name], DIVERGING_CMAP, limit)
        mesh.set_clim(-limit, limit)
        figure.colorbar(mesh, ax=ax, label="°" if name == "rotation" else "%", shrink=0.85, aspect=18)
        ax.set_title(title)
        ax.set_facecolor(WITHOUT_LATTICE)  # white is no strain
        label_axes(ax, strain, left=i % columns == 0, bottom=i >= 4 - columns)
    stamp_figure(figure, strain, index)
    return sized(figure, style.text)


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


def _limits(values: NDArray[np.floating]) -> tuple[float, float]:
    """Return the ends of a scale, the 2nd and the 98th percentile."""
    if not np.isfinite(values).any():
        return 0.0, 1.0
    low, high = np.nanpercentile(values, (2, 98))
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(high) + 0.5)
