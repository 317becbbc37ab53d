"""Figures of motifs: averaged cell with columns, structure factors, probable plane groups; and these through time.

The conventions are those of :mod:`bravaismap.show.maps`.
"""

from __future__ import annotations

from textwrap import wrap

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from scipy.ndimage import map_coordinates

from bravaismap.conventions import COLORS, SEQUENTIAL_CMAP, display_name
from bravaismap.motif.doubt import motif_doubts
from bravaismap.motif.structure_text import cell_text
from bravaismap.show.axes import SMALL_TEXT, sized
from bravaismap.show.curves import time_axis
from bravaismap.show.style import PAGE, Style

__all__ = ["aligned_cell", "plot_motif", "plot_motif_map"]

_CELLS, _BEGIN = 2, -0.5  # drawn along a and along b, and where they begin, in cells
_POINTS = 400  # of the drawn pattern, along each side
_SHOWN_GROUPS, _LEAST = 6, 0.005
_LARGEST_SPOT = 120.0  # pt²
_LETTERS = 13  # of the title in an inch
#: Inches: width of the averaged cell, what stands above and below it, and limits of the height of a figure.
_CELL_WIDTH, _ABOVE_AND_BELOW, _HEIGHTS = 2.9, 1.2, (3.9, 6.0)
#: Height in inches of the structure factors, and of the plane groups, where they lie below the cell; and what the cell
#: then takes less than beside them.
_BELOW, _SPARED = 1.8, 1.6
#: Lattices of a movie that are drawn, and the probability from which a plane group has a curve.
_SHOWN_LATTICES, _CURVE = 4, 0.05


def plot_motif(motif: xr.Dataset, *, style: Style = PAGE) -> Figure:
    """Draw the averaged cell twice along a and b with the columns, the structure factors, and the plane groups.

    Parameters
    ----------
    motif : Dataset
        Of :func:`bravaismap.motif`.
    style : Style
        In a narrow one the three lie below one another.

    The title names the plane group and the cell, and what makes them doubtful.
    """
    height, narrow = _figure_height(motif), style.width < PAGE.width
    if narrow:
        figure = Figure(figsize=(style.width, height - _SPARED + 2 * _BELOW), layout="constrained")
        grid = figure.add_gridspec(3, 1, height_ratios=(height - _SPARED, _BELOW, _BELOW))
        places = [grid[row, 0] for row in range(3)]
    else:
        figure = Figure(figsize=(style.width, height), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1))
        places = [grid[:, 0], grid[0, 1], grid[1, 1]]
    for place, draw in zip(places, (_draw_cell, _draw_factors, _draw_groups), strict=True):
        draw(figure.add_subplot(place), motif)
    lines = [f"{motif.attrs['plane_group']}: {cell_text(motif)}"]
    for doubt in motif_doubts(motif):
        lines += wrap(f"doubt: {doubt}", int(_LETTERS * style.width))
    figure.suptitle("\n".join(lines))
    return sized(figure, style.text)


def plot_motif_map(motifs: xr.DataTree, *, style: Style = PAGE) -> Figure:
    """Draw for each lattice of a movie the probability of its plane groups through time, and its first and last cell.

    Parameters
    ----------
    motifs : DataTree
        Of :func:`bravaismap.motif_map`.
    style : Style
    """
    table = motifs.to_dataset()
    cells = {int(n): float(table["cells"].values[table["domain"].values == n].sum()) for n in table["domain"].values}
    numbers = sorted(cells, key=lambda n: -cells[n])[:_SHOWN_LATTICES]
    figure = Figure(figsize=(style.width, style.curve_height(1.9 * len(numbers) + 0.5)), layout="constrained")
    grid = figure.add_gridspec(len(numbers), 3, width_ratios=(2, 1, 1))
    for row, number in enumerate(numbers):
        own = np.flatnonzero(table["domain"].values == number)
        ax = figure.add_subplot(grid[row, 0])
        ax.set_title(f"lattice {number}: {display_name(str(table['phase'].values[own[0]]))}")
        first, last = (motifs[str(own[end])].to_dataset() for end in (0, -1))
        if len(own) > 1:
            _draw_curves(ax, table.isel(motif=own))
            pictures = [first, aligned_cell(last, first)]
        else:
            _draw_bars(ax, first)
            pictures = [first]
        axes = [figure.add_subplot(grid[row, place]) for place in range(1, 1 + len(pictures))]
        images = [_draw_pattern(ax, motif) for ax, motif in zip(axes, pictures, strict=True)]
        low, high = (end(image.get_clim()[i] for image in images) for i, end in enumerate((min, max)))
        for ax, image, i in zip(axes, images, (own[0], own[-1]), strict=False):
            image.set_clim(low, high)
            ax.set(xticks=[], yticks=[], xlim=axes[0].get_xlim(), ylim=axes[0].get_ylim())
            ax.set_title(_frames_text(int(table["first_frame"][i]), int(table["last_frame"][i])), size=8)
    return sized(figure, style.text)


def _figure_height(motif: xr.Dataset) -> float:
    """Return the height in inches that the averaged cell, as it lies in the image, needs beside the other panels."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) @ motif["basis"].values
    high, wide = np.ptp(corners, axis=0)
    return float(np.clip(_CELL_WIDTH * high / wide + _ABOVE_AND_BELOW, *_HEIGHTS))


def aligned_cell(motif: xr.Dataset, model: xr.Dataset) -> xr.Dataset:
    """Return the averaged cell and the basis of a motif in the setting, the sampling and the origin of another.

    Of the bases of its lattice the one nearest to that of `model` is taken, and the origin at which the cells agree
    best. A motif of another lattice, whose cell is not the same times whole numbers, is returned as it is.
    """
    basis, wanted = np.asarray(motif["basis"].values, float), np.asarray(model["basis"].values, float)
    setting = np.rint(wanted @ np.linalg.inv(basis))
    if round(abs(float(np.linalg.det(setting)))) != 1:
        return motif
    cell, target = (np.asarray(data["cell"].values, float) for data in (motif, model))
    filled, shown = (np.where(np.isfinite(values), values, np.nanmean(values)) for values in (cell, target))
    v, u = (np.arange(count) / count for count in target.shape)
    places = np.stack(np.meshgrid(u, v), axis=-1) @ setting  # in cells along the old u and v
    rows, columns = places[..., 1] * cell.shape[0], places[..., 0] * cell.shape[1]
    drawn = map_coordinates(filled, [rows, columns], order=1, mode="grid-wrap")
    spectra = [np.fft.rfft2(values - values.mean()) for values in (shown, drawn)]
    agreement = np.fft.irfft2(spectra[0] * spectra[1].conj(), s=drawn.shape)
    shift = np.unravel_index(int(agreement.argmax()), drawn.shape)
    values = np.roll(drawn, shift, axis=(0, 1))
    return xr.Dataset(
        {"cell": (("v", "u"), values), "basis": (("vector", "component"), setting @ basis)}, attrs=dict(motif.attrs)
    )


def _frames_text(first: int, last: int) -> str:
    return f"frame {first}" if first == last else f"frames {first} to {last}"


def _draw_curves(ax: Axes, table: xr.Dataset) -> None:
    """Draw the probability of each plane group that is ever probable."""
    probability, time = table["probability"].values, table["time"].values
    colors = [color for name, color in COLORS.items() if name != "none"]
    shown = np.flatnonzero(probability.max(axis=0) > _CURVE)
    for i, group in enumerate(shown[np.argsort(-probability[:, shown].max(axis=0), kind="stable")]):
        line = "-" if i < len(colors) else "--"
        name = str(table["group"].values[group])
        ax.plot(time, 100 * probability[:, group], line, marker="o", ms=3, color=colors[i % len(colors)], label=name)
    ax.set(ylim=(-3, 103), ylabel="probability (%)")
    time_axis(ax, str(table["time"].attrs.get("units", "frame")))
    ax.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, handlelength=1.2)


def _draw_cell(ax: Axes, motif: xr.Dataset) -> None:
    """Draw the cell to scale, y downwards, as it lies in the image."""
    basis = motif["basis"].values
    image = _draw_pattern(ax, motif)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]) @ basis
    ax.plot(corners[:, 1], corners[:, 0], color="white", lw=1.2)
    edge = [withStroke(linewidth=2, foreground="black")]
    for x, y, height, letter in zip(
        motif["x"].values, motif["y"].values, motif["height"].values, motif["wyckoff"].values, strict=True
    ):
        for step in np.stack(np.meshgrid(*[np.arange(-_CELLS, 2 * _CELLS)] * 2), axis=-1).reshape(-1, 2):
            cy, cx = (np.array([x, y]) + step) @ basis
            if left <= cx <= right and top <= cy <= bottom:
                ax.plot(cx, cy, marker="o" if height > 0 else "s", mfc="none", mec="#D55E00", ms=5)
                if not step.any():
                    text = ax.annotate(str(letter), (cx, cy), (5, 4), textcoords="offset points", color="white")
                    text.set(size=SMALL_TEXT, weight="bold", path_effects=edge)
    unit = motif["a"].attrs["units"]
    ax.set(xlabel=f"x ({unit})", ylabel=f"y ({unit})", title="averaged cell")
    ax.figure.colorbar(image, ax=ax, shrink=0.6, aspect=22, label="mean of the image")


def _draw_pattern(ax: Axes, motif: xr.Dataset) -> AxesImage:
    """Draw the periodic pattern of the averaged cell, over the rectangle that holds it twice along a and b."""
    basis = np.asarray(motif["basis"].values, float)
    corners = (_BEGIN + _CELLS * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])) @ basis
    (top, left), (bottom, right) = corners.min(axis=0), corners.max(axis=0)
    y, x = (low + (np.arange(_POINTS) + 0.5) * (high - low) / _POINTS for low, high in ((top, bottom), (left, right)))
    places = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1) @ np.linalg.inv(basis)
    cell = motif["cell"].transpose("v", "u").values
    row, column = (
        np.floor(places[..., i] * count + 0.5).astype(int) % count  # a value stands in the middle of its patch
        for i, count in zip((1, 0), cell.shape, strict=True)
    )
    return ax.imshow(
        np.ma.masked_invalid(cell[row, column]), cmap=SEQUENTIAL_CMAP, extent=(left, right, bottom, top),
        interpolation="nearest",
    )  # fmt: skip


def _draw_factors(ax: Axes, motif: xr.Dataset) -> None:
    """Draw the amplitudes at their reciprocal vectors, and crosses where the group wants none."""
    index = np.stack([motif["h"].values, motif["k"].values], axis=-1)
    places = index @ np.linalg.inv(motif["basis"].values).T
    size = motif["amplitude"].values / max(float(motif["amplitude"].max()), 1e-300)
    extinct = motif["extinct"].values
    for sign in (1, -1):
        ax.scatter(sign * places[:, 1], sign * places[:, 0], _LARGEST_SPOT * size, color=COLORS["square"], lw=0)
        gone = sign * places[extinct]
        ax.plot(gone[:, 1], gone[:, 0], "x", color=COLORS["oblique"], ms=5)
    unit = motif["a"].attrs["units"]
    title = "amplitudes; × extinct" if extinct.any() else "amplitudes"
    ax.set(title=title, aspect="equal", xlabel=f"k$_x$ (1/{unit})", ylabel=f"k$_y$ (1/{unit})")
    ax.invert_yaxis()


def _draw_groups(ax: Axes, motif: xr.Dataset) -> None:
    """Draw the probabilities of the most probable groups."""
    _draw_bars(ax, motif)
    ax.set(title="plane group")


def _draw_bars(ax: Axes, motif: xr.Dataset) -> None:
    """Draw the probability of each of the most probable groups as a bar."""
    order = np.argsort(-motif["probability"].values, kind="stable")[:_SHOWN_GROUPS]
    shown = [i for i in order if motif["probability"].values[i] > _LEAST]
    names = [str(motif["group"].values[i]) for i in shown]
    ax.barh(names[::-1], 100 * motif["probability"].values[shown[::-1]], color=COLORS["hexagonal"])
    ax.set(xlim=(0, 100), xlabel="probability (%)")
