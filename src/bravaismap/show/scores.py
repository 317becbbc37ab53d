"""The reliability diagram: how often models are right, over how sure they are.

The conventions are those of :mod:`bravaismap.show.axes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib import color_sequences
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from bravaismap.evaluate.reliability import Reliability
from bravaismap.show.axes import sized

__all__ = ["plot_reliability"]

_MARKERS = "osD^vP"


def plot_reliability(curves: Mapping[str, Reliability], title: str = "") -> Figure:
    """Draw the share of right answers over the confidence, and below it the number of windows of each confidence.

    Parameters
    ----------
    curves : mapping of str to Reliability
        By the name of the model. The error bars are binomial 95 % intervals; on the diagonal lies a calibrated model.
        Bins without windows are left out.
    title : str
        Of the figure.
    """
    figure = Figure(figsize=(4.6, 5.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", zorder=1)
    for (name, curve), color, marker in zip(curves.items(), cycle(_colors()), cycle(_MARKERS), strict=False):
        filled = curve.count > 0
        confidence, right = curve.confidence[filled], curve.right[filled]
        bars = np.abs(np.stack([right - curve.low[filled], curve.high[filled] - right]))
        upper.plot(confidence, right, color=color, lw=1, alpha=0.35)
        upper.errorbar(
            confidence, right, bars, color=color, marker=marker, ms=4, ls="", elinewidth=1, capsize=2, label=name
        )
        lower.stairs(curve.count, curve.edges, color=color, lw=1.5)
    upper.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="share right", title=title)
    lower.set(xlabel="confidence (probability of the most probable class)", ylabel="windows", yscale="symlog")
    lower.set_ylim(0, 2 * max(int(curve.count.max()) for curve in curves.values()))
    upper.legend(loc="upper left", fontsize=8, frameon=False)
    return sized(figure)


def _colors() -> list[str]:
    """Return the Okabe–Ito colours, the bright yellow late, since it is faint on white."""
    colors: list[Any] = list(color_sequences["okabe_ito"][:8])
    return [to_hex(colors[i]) for i in (5, 6, 3, 7, 1, 2, 0, 4)]
