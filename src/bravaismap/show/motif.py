"""Figures of motifs: averaged cell with columns, structure factors, probable plane groups; and these through time.

The conventions are those of :mod:`bravaismap.show.maps`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from bravaismap.conventions import COLORS, SEQUENTIAL_CMAP, display_name
from bravaismap.motif.structure_text import cell_text
from bravaismap.show.axes import sized

__all__ = ["plot_motif", "plot_motif_map"]

_CELLS = 2  # drawn along a and along b
_SHOWN_GROUPS, _LEAST = 6, 0.005
_LARGEST_SPOT = 120.0  # pt²
#: Lattices of a movie that are drawn, and the probability from which a plane group has a curve.
_SHOWN_LATTICES, _CURVE = 4, 0.05


def plot_motif(motif: xr.Dataset) -> Figure:
    """Draw the averaged cell twice along a and b with the columns, the structure factors, and the plane groups.

    Parameters
    ----------
    motif : Dataset
        Of :func:`bravaismap.motif`.
    """
    figure = Figure(figsize=(6.3, 5.6), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1))
    _draw_cell(figure.add_subplot(grid[:, 0]), motif)
    _draw_factors(figure.add_subplot(grid[0, 1]), motif)
    _draw_groups(figure.add_subplot(grid[1, 1]), motif)
    figure.suptitle(f"{motif.attrs['plane_group']}: {cell_text(motif)}")
    return sized(figure)


def plot_motif_map(motifs: xr.DataTree) -> Figure:
    """Draw for each lattice of a movie the probability of its plane groups through time, and its first and last cell.

    Parameters
    ----------
    motifs : DataTree
        Of :func:`bravaismap.motif_map`.
    """
    table = motifs.to_dataset()
    cells = {int(n): float(table["cells"].values[table["domain"].values == n].sum()) for n in table["domain"].values}
    numbers = sorted(cells, key=lambda n: -cells[n])[:_SHOWN_LATTICES]
    figure = Figure(figsize=(6.3, 1.9 * len(numbers) + 0.5), layout="constrained")
    grid = figure.add_gridspec(len(numbers), 3, width_ratios=(2, 1, 1))
    for row, number in enumerate(numbers):
        own = np.flatnonzero(table["domain"].values == number)
        _draw_curves(figure.add_subplot(grid[row, 0]), table.isel(motif=own), number)
        for place, i in enumerate(dict.fromkeys([int(own[0]), int(own[-1])]), 1):
            ax = figure.add_subplot(grid[row, place])
            motif = motifs[str(i)].to_dataset()
            _draw_patches(ax, motif)
            ax.set(xticks=[], yticks=[], aspect="equal")
            ax.set_title(f"frames {int(table['first_frame'][i])} to {int(table['last_frame'][i])}", size=8)
            ax.invert_yaxis()
    return sized(figure)


def _draw_curves(ax: Axes, table: xr.Dataset, number: int) -> None:
    """Draw the probability of each plane group that is ever probable."""
    probability, time = table["probability"].values, table["time"].values
    colors = [color for name, color in COLORS.items() if name != "none"]
    shown = np.flatnonzero(probability.max(axis=0) > _CURVE)
    for i, group in enumerate(shown[np.argsort(-probability[:, shown].max(axis=0), kind="stable")]):
        line = "-" if i < len(colors) else "--"
        name = str(table["group"].values[group])
        ax.plot(time, 100 * probability[:, group], line, marker="o", ms=3, color=colors[i % len(colors)], label=name)
    unit = table["time"].attrs.get("units", "frame")
    title = f"lattice {number}: {display_name(str(table['phase'].values[0]))}"
    ax.set(ylim=(-3, 103), xlabel=f"time ({unit})", ylabel="probability (%)", title=title)
    ax.legend(fontsize=7, loc="center left")


def _draw_cell(ax: Axes, motif: xr.Dataset) -> None:
    """Draw the cell to scale, y downwards, as it lies in the image."""
    basis = motif["basis"].values
    mesh = _draw_patches(ax, motif)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) @ basis
    ax.plot(corners[:, 1], corners[:, 0], color="white", lw=1.2)
    for x, y, height, letter in zip(
        motif["x"].values, motif["y"].values, motif["height"].values, motif["wyckoff"].values, strict=True
    ):
        for step in np.stack(np.meshgrid(*[np.arange(_CELLS + 1)] * 2), axis=-1).reshape(-1, 2):
            place = np.array([x, y]) + step
            if (place <= _CELLS - 0.5 / np.array([motif.sizes["u"], motif.sizes["v"]])).all():
                cy, cx = place @ basis
                ax.plot(cx, cy, marker="o" if height > 0 else "s", mfc="none", mec="#D55E00", ms=5)
                if not step.any():
                    ax.annotate(str(letter), (cx, cy), (4, 3), textcoords="offset points", color="white", size=7)
    unit = motif["a"].attrs["units"]
    ax.set(xlabel=f"x ({unit})", ylabel=f"y ({unit})", aspect="equal", title="averaged cell")
    ax.invert_yaxis()
    ax.figure.colorbar(mesh, ax=ax, shrink=0.6, location="bottom", label="mean of the image")


def _draw_patches(ax: Axes, motif: xr.Dataset) -> QuadMesh:
    """Draw the averaged cell twice along a and b."""
    basis = motif["basis"].values
    v, u = (np.arange(_CELLS * motif.sizes[dim] + 1) / motif.sizes[dim] for dim in ("v", "u"))
    half = 0.5 / motif.sizes["u"], 0.5 / motif.sizes["v"]  # a value belongs to the middle of its patch
    places = (u[None, :, None] - half[0]) * basis[0] + (v[:, None, None] - half[1]) * basis[1]
    values = np.tile(motif["cell"].values, (_CELLS, _CELLS))
    return ax.pcolormesh(
        places[..., 1], places[..., 0], np.ma.masked_invalid(values), cmap=SEQUENTIAL_CMAP, rasterized=True
    )


def _draw_factors(ax: Axes, motif: xr.Dataset) -> None:
    """Draw the amplitudes at their reciprocal vectors, and crosses where the group wants none."""
    index = np.stack([motif["h"].values, motif["k"].values], axis=-1)
    places = index @ np.linalg.inv(motif["basis"].values).T
    size = motif["amplitude"].values / max(float(motif["amplitude"].max()), 1e-300)
    for sign in (1, -1):
        ax.scatter(sign * places[:, 1], sign * places[:, 0], _LARGEST_SPOT * size, color=COLORS["square"], lw=0)
        gone = sign * places[motif["extinct"].values]
        ax.plot(gone[:, 1], gone[:, 0], "x", color=COLORS["oblique"], ms=5)
    ax.set(title="amplitudes; × extinct", aspect="equal", xlabel=f"k (1/{motif['a'].attrs['units']})")
    ax.invert_yaxis()


def _draw_groups(ax: Axes, motif: xr.Dataset) -> None:
    """Draw the probabilities of the most probable groups."""
    order = np.argsort(-motif["probability"].values, kind="stable")[:_SHOWN_GROUPS]
    shown = [i for i in order if motif["probability"].values[i] > _LEAST]
    names = [str(motif["group"].values[i]) for i in shown]
    ax.barh(names[::-1], 100 * motif["probability"].values[shown[::-1]], color=COLORS["hexagonal"])
    ax.set(xlim=(0, 100), xlabel="probability (%)", title="plane group")
