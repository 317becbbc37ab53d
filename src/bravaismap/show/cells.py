"""Figures of the measured cells of a result: maps of a, b, γ, orientation and strain, and the shapes of all windows.

The conventions are those of :mod:`bravaismap.show.axes`.
"""

from __future__ import annotations

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
    DIVERGING_CMAP,
    LATTICES,
    SEQUENTIAL_CMAP,
    display_name,
)
from bravaismap.lattice.shape import CENTER, shape
from bravaismap.phases.cells import orientation_period
from bravaismap.result.schema import TITLES
from bravaismap.show.axes import draw_map, figure_for_maps, frame_number, label_axes, sized, stamp

__all__ = ["draw_domain", "holds_cells", "plot_cells", "plot_shapes", "plot_strain"]

_CYCLIC = "twilight"
_STRAINS = {"exx": "ε$_{xx}$", "eyy": "ε$_{yy}$", "exy": "ε$_{xy}$", "rotation": "rotation, counter-clockwise"}


def holds_cells(result: xr.Dataset) -> bool:
    """Tell whether a result holds measured cells."""
    return {*CELL_PARAMETERS, "basis", "label"} <= set(result.variables)


def plot_cells(result: xr.Dataset, time: int = -1) -> Figure:
    """Draw the maps of a, b, γ and the orientation of a in a frame; windows without a lattice are left blank.

    a, b and γ are drawn from the 2nd to the 98th percentile of the frame; the orientation, whose period is 60° in a
    hexagonal and 90° in a square lattice, on a cyclic scale.

    Parameters
    ----------
    result : Dataset
        Of a model that measures cells.
    time : int
        Number of the frame.
    """
    index = frame_number(result, time)
    figure = figure_for_maps(result, 2, 2, beside=1.4)
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    for i, (ax, name) in enumerate(zip(axes.flat, CELL_PARAMETERS, strict=True)):
        values = np.asarray(result[name].isel(time=index).values, float)
        cyclic = name == "orientation"
        if cyclic:
            period = orientation_period(np.asarray(result["label"].isel(time=index).values))
            values = values % period
        low, high = (0.0, float(period[np.isfinite(values)].max(initial=60.0))) if cyclic else _limits(values)
        mesh: QuadMesh = draw_map(ax, result, values, _CYCLIC if cyclic else SEQUENTIAL_CMAP, high)
        mesh.set_clim(low, high)
        unit = str(result[name].attrs.get("units", ""))
        figure.colorbar(mesh, ax=ax, label="°" if unit == "degree" else unit, shrink=0.85, aspect=18)
        ax.set_title(TITLES[name])
        label_axes(ax, result, left=i % 2 == 0, bottom=i >= 2)
    figure.suptitle(stamp(result, index))
    return sized(figure)


def plot_shapes(result: xr.Dataset, time: int = -1) -> Figure:
    """Draw the shape of the lattice of every window of a frame as a point in the fundamental domain.

    Its corners are square and hexagonal, its sides rectangular and centred rectangular, its inside oblique; the colour
    of a point is that of the most probable class of the window. Windows without a lattice are left out.

    Parameters
    ----------
    result : Dataset
        Of a model that measures cells.
    time : int
        Number of the frame.
    """
    index = frame_number(result, time)
    frame = result[["basis", "label"]].isel(time=index)
    label = np.asarray(frame["label"].values).ravel()
    basis = frame["basis"].transpose("y", "x", "vector", "component").values.reshape(-1, 2, 2).astype(float)
    figure = Figure(figsize=(4.6, 4.8), layout="constrained")
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
    ax.set_title(stamp(result, index))
    marks = [
        Line2D([], [], color=COLORS[name], marker="o", ls="", ms=5, label=f"{display_name(name)} {(label == i).sum()}")
        for i, name in enumerate(LATTICES)
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return sized(figure)


def plot_strain(strain: xr.Dataset, time: int = -1) -> Figure:
    """Draw the maps of the strain and the rotation in a frame; windows without the reference lattice are left blank.

    The scales are symmetric about zero and end at the 98th percentile of the frame; the three strains share one.

    Parameters
    ----------
    strain : Dataset
        Of :func:`bravaismap.strain_map`.
    time : int
        Number of the frame.
    """
    index = frame_number(strain, time)
    figure = figure_for_maps(strain, 2, 2, beside=1.4)
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    maps = {name: np.asarray(strain[name].isel(time=index).values, float) for name in _STRAINS}
    rotation = _reach(maps["rotation"])
    stretch = _reach(np.stack([values for name, values in maps.items() if name != "rotation"]))
    for i, (ax, (name, title)) in enumerate(zip(axes.flat, _STRAINS.items(), strict=True)):
        limit = rotation if name == "rotation" else stretch
        mesh = draw_map(ax, strain, maps[name], DIVERGING_CMAP, limit)
        mesh.set_clim(-limit, limit)
        figure.colorbar(mesh, ax=ax, label="°" if name == "rotation" else "%", shrink=0.85, aspect=18)
        ax.set_title(title)
        ax.set_facecolor("0.8")  # white is no strain
        label_axes(ax, strain, left=i % 2 == 0, bottom=i >= 2)
    figure.suptitle(stamp(strain, index))
    return sized(figure)


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
