"""The figure of sites: vacancies and other atoms marked on the image, and how much of an atom each site holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bravaismap.conventions import counted
from bravaismap.errors import InputError
from bravaismap.movie import as_movie
from bravaismap.phases.sites import count_sites, count_text
from bravaismap.show.axes import (
    draw_image,
    figure_for_maps,
    frame_of,
    label_axes,
    legend_height,
    panel_grid,
    scale_bar,
    sized,
)
from bravaismap.show.colors import OTHER_ATOM, SINGLE_VACANCY, VOID_SITE
from bravaismap.show.style import PAGE, Style

__all__ = ["plot_sites"]

#: Diameter of a mark, over the distance between neighbouring sites.
_MARK = 0.8
#: Highest amplitude of the colour scale: the usual atom is in its middle.
_BRIGHTEST = 2.0
_COLOR_BAR = 0.7  # in


def plot_sites(sites: xr.Dataset, frame: int, image: Any, *, style: Style = PAGE) -> Figure:
    """Draw the vacancies and the other atoms of a frame on its image, and beside it the amplitude of every site.

    Parameters
    ----------
    sites : Dataset
        Of :func:`~bravaismap.find_sites`.
    frame : int
        Its number in the movie.
    image : array (y, x)
    style : Style
    """
    if frame not in sites["measured_frame"].values:
        raise InputError(f"frame {frame} was asked for; the sites are of {sites['measured_frame'].values.tolist()}")
    if np.shape(image) != tuple(sites.attrs["frame_size"]):
        raise InputError(f"an image of {np.shape(image)} was given; expected {tuple(sites.attrs['frame_size'])}")
    picture = frame_of(as_movie(np.asarray(image), pixel_size=sites.attrs.get("pixel_size_nm")))
    rows = sites.isel(site=(sites["frame"] == frame).values)
    view = picture.to_dataset(name="image")
    grid = panel_grid(view, 2, style, beside=_COLOR_BAR)
    figure = figure_for_maps(view, *grid, style=style, beside=_COLOR_BAR, below=legend_height(3, grid[1], style))
    axes = figure.subplots(*grid, sharex=True, sharey=True, squeeze=False).ravel()
    for i, ax in enumerate(axes):
        draw_image(ax, picture)
        label_axes(ax, view, left=i % grid[1] == 0, bottom=i >= 2 - grid[1])
    left, right = axes[0].get_xlim()
    panel = (figure.get_figwidth() - _COLOR_BAR) / grid[1] - _COLOR_BAR / 2
    across = _MARK * float(sites.attrs["spacing"]) / abs(right - left) * 72 * panel  # pt
    missing, other = rows["missing"].values, rows["state"].values == "substituted"
    marks = (
        (missing == 1, SINGLE_VACANCY, counted(int((missing == 1).sum()), "vacant site") + " alone"),
        (missing > 1, VOID_SITE, counted(int((missing > 1).sum()), "vacant site") + " in voids"),
        (other, OTHER_ATOM, _other_atoms(sites, frame, int(other.sum()))),
    )
    y, x = rows["y"].values, rows["x"].values
    for chosen, color, _ in marks:
        size, line = max(across, 3.0) ** 2, float(np.clip(across / 5, 0.6, 1.2))
        axes[0].scatter(x[chosen], y[chosen], s=size, facecolors="none", edgecolors=color, linewidths=line)
    dots = axes[1].scatter(
        x,
        y,
        s=max(across, 1.2) ** 2,
        c=rows["amplitude"].values,
        cmap=style.sequential,
        vmin=0.0,
        vmax=_BRIGHTEST,
        linewidths=0,
    )
    figure.colorbar(dots, ax=axes[1], label="amplitude (1: the usual atom)", shrink=0.85, aspect=18, extend="both")
    scale_bar(axes[0], view, style.text)
    axes[0].set_title(f"frame {frame}: {len(x)} sites")
    handles = [
        Line2D([], [], ls="", marker="o", mfc="none", mec=color, label=name)
        for chosen, color, name in marks
        if chosen.any()
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=grid[1], frameon=False)
    return sized(figure, style.text)


def _other_atoms(sites: xr.Dataset, frame: int, marked: int) -> str:
    """Return how many other atoms are marked, and the sum of their probabilities where it says something else."""
    counts = count_sites(sites).sel(measured_frame=frame)
    expected = count_text(float(counts["substituted"]), float(counts["substituted_std"]))
    atoms = counted(marked, "other atom")
    return atoms if expected == count_text(marked, 0) else f"{atoms} marked, {expected} by their probabilities"
