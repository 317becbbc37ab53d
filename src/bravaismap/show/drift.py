"""The figure of a drift track, and the track that a run card keeps.

The conventions are those of :mod:`bravaismap.show.axes`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib import color_sequences
from matplotlib.figure import Figure

from bravaismap.show.axes import sized, unit_of
from bravaismap.show.curves import time_axis
from bravaismap.show.style import PAGE, Style

__all__ = ["drift_of", "plot_drift"]


def drift_of(result: xr.Dataset) -> xr.Dataset | None:
    """Return the drift that the run card of a result keeps, None of a movie that was not registered.

    Parameters
    ----------
    result : Dataset
        As :func:`bravaismap.map_phases` returns it of a movie that :func:`bravaismap.align` has put at rest.

    Returns
    -------
    Dataset
        ``dy`` and ``dx`` (time) in px, for :func:`plot_drift`.
    """
    drift = result.attrs.get("drift")
    if not isinstance(drift, dict):
        return None
    tracks = {}
    for name in ("dy", "dx"):
        try:
            tracks[name] = np.asarray(drift.get(f"{name}_px"), float)
        except (TypeError, ValueError):  # a run card may hold anything
            return None
        if tracks[name].shape != (result.sizes["time"],):
            return None
    return xr.Dataset({name: ("time", values) for name, values in tracks.items()}, {"time": result["time"]})


def plot_drift(track: xr.Dataset, *, style: Style = PAGE) -> Figure:
    """Draw the displacement of the specimen over time with ± 2 σ, and below it the quality.

    Parameters
    ----------
    track : Dataset
        As :func:`bravaismap.register` returns it. Without ``std`` and ``quality``, which a run card does not keep,
        only the displacement is drawn.
    style : Style
    """
    complete = {"std", "quality"} <= set(track)
    figure = Figure(figsize=(style.width, style.curve_height(4.2 if complete else 3.2)), layout="constrained")
    axes = figure.subplots(1 + complete, 1, sharex=True, squeeze=False, height_ratios=(3, 1)[: 1 + complete])[:, 0]
    upper, lower = axes[0], axes[-1]
    time = track["time"].values
    palette = color_sequences["okabe_ito"]
    for name, label, color in (("dy", "y, downwards", palette[5]), ("dx", "x, to the right", palette[6])):
        displacement = track[name].values
        upper.plot(time, displacement, color=color, lw=1.2, marker=".", ms=4, label=label)
        if complete:
            half = 2 * track["std"].values
            upper.fill_between(time, displacement - half, displacement + half, color=color, alpha=0.25, lw=0)
    upper.axhline(0, color="0.6", lw=0.8, zorder=0)
    upper.set(ylabel="displacement (px)", title="drift of the specimen" + (", ± 2 σ" if complete else ""))
    upper.legend(fontsize=style.legend_text, frameon=False)
    if complete:
        lower.plot(time, track["quality"].values, color="0.3", lw=1.2, marker=".", ms=4)
        lower.set(ylim=(-0.05, 1.05), ylabel="quality")
    time_axis(lower, unit_of(track, "time"))
    for ax in axes:
        ax.set_xlim(float(np.min(time)), float(np.max(time)) if len(time) > 1 else float(np.min(time)) + 1)
    return sized(figure, style.text)
