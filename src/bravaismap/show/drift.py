"""Figure of a drift track.

The conventions are those of :mod:`bravaismap.show.maps`.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib import color_sequences
from matplotlib.figure import Figure

from bravaismap.show.maps import sized

__all__ = ["plot_drift"]


def plot_drift(track: xr.Dataset) -> Figure:
    """Draw the displacement of the specimen over time with ± 2 σ, and below it the quality.

    Parameters
    ----------
    track : Dataset
        As :func:`bravaismap.register` returns it; without ``std`` and ``quality``, which a run card does not keep, the
        displacement alone is drawn.
    """
    known = {"std", "quality"} <= set(track)
    figure = Figure(figsize=(6.3, 4.2 if known else 3.2), layout="constrained")
    axes = figure.subplots(1 + known, 1, sharex=True, squeeze=False, height_ratios=(3, 1)[: 1 + known])[:, 0]
    above, below = axes[0], axes[-1]
    time = track["time"].values
    palette = color_sequences["okabe_ito"]
    for name, label, color in (("dy", "y, downwards", palette[5]), ("dx", "x, to the right", palette[6])):
        place = track[name].values
        above.plot(time, place, color=color, lw=1.2, marker=".", ms=4, label=label)
        if known:
            spread = 2 * track["std"].values
            above.fill_between(time, place - spread, place + spread, color=color, alpha=0.25, lw=0)
    above.axhline(0, color="0.6", lw=0.8, zorder=0)
    above.set(ylabel="displacement (px)", title="drift of the specimen" + (", ± 2 σ" if known else ""))
    above.legend(fontsize=8, frameon=False)
    if known:
        below.plot(time, track["quality"].values, color="0.3", lw=1.2, marker=".", ms=4)
        below.set(ylim=(-0.05, 1.05), ylabel="quality")
    unit = track["time"].attrs.get("units", "frame")
    below.set_xlabel("frame" if unit == "frame" else f"time ({unit})")
    for ax in axes:
        ax.set_xlim(float(np.min(time)), float(np.max(time)) if len(time) > 1 else float(np.min(time)) + 1)
    return sized(figure)
