"""Figures of an unmixed movie: the abundance of each endmember, and the spectra of the endmembers.

The conventions are those of :mod:`bravaismap.show.axes`. Endmembers are numbered from 1 in figures; the method knows no
names for them.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib import color_sequences
from matplotlib.figure import Figure

from bravaismap.conventions import PROBABILITY_CMAP
from bravaismap.show.axes import WIDTH, draw_map, figure_for_maps, label_axes, sized, unit_of, whole_plane
from bravaismap.show.curves import curve_axes, time_axis

__all__ = ["plot_abundances", "plot_endmember_fractions"]


def plot_abundances(unmixed: xr.Dataset, time: int = -1) -> Figure:
    """Draw the spectra of the endmembers, and below them their abundances in a frame.

    Parameters
    ----------
    unmixed : Dataset
        Of :func:`bravaismap.unmixing.unmix`.
    time : int
        Number of the frame.
    """
    count = unmixed.sizes["endmember"]
    frame = unmixed.isel(time=time)
    columns = max(count, 2)
    figure = figure_for_maps(unmixed, 2, columns, beside=0.7 / columns)
    figure.set_layout_engine("constrained", hspace=0.06)
    axes = figure.subplots(2, count, squeeze=False)
    limit = float(unmixed["ky"][-1])
    mesh = None
    for i in range(count):
        spectrum = np.log1p(np.maximum(frame["spectrum"].isel(endmember=i).values, 0))
        plane = whole_plane(spectrum)
        axes[0, i].imshow(plane, cmap="gray", vmax=np.percentile(plane, 99.8), extent=(-limit, limit, limit, -limit))
        axes[0, i].set_title(f"endmember {i + 1}")
        axes[0, i].set(xlabel=f"k ({unmixed['kx'].attrs.get('units', '1/px')})")
        axes[0, i].locator_params(nbins=3)
        axes[0, i].tick_params(labelleft=False, left=False)
        mesh = draw_map(axes[1, i], unmixed, frame["abundance"].isel(endmember=i).values, PROBABILITY_CMAP)
        axes[1, i].set_title(f"{i + 1}: mean {float(frame['fraction'][i]):.2f}")
        label_axes(axes[1, i], unmixed, left=i == 0)
    if mesh is not None:
        figure.colorbar(mesh, ax=list(axes[1]), label="abundance", shrink=0.75, aspect=20)
    unit = unit_of(unmixed, "time")
    number = float(frame["time"])
    figure.suptitle(f"frame {number:.0f}" if unit == "frame" else f"t = {number:g} {unit}")
    return sized(figure)


def plot_endmember_fractions(unmixed: xr.Dataset) -> Figure:
    """Draw the mean abundance of each endmember over time."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    ax = figure.subplots()
    colors = color_sequences["okabe_ito"]
    time = unmixed["time"].values
    for i in range(unmixed.sizes["endmember"]):
        (curve,) = ax.plot(time, unmixed["fraction"].isel(endmember=i).values, lw=1.4, label=f"endmember {i + 1}")
        curve.set(color=colors[(i + 1) % len(colors)], marker="osD^vPX*"[i % 8], markersize=4)
    ax.set(ylabel="mean abundance", ylim=(-0.02, 1.02))
    time_axis(ax, unit_of(unmixed, "time"))
    curve_axes(ax)
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return sized(figure)
