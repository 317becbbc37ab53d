"""Figures of how good models are: the reliability diagram.

The conventions are those of :mod:`bravaismap.show.maps`.
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
from bravaismap.show.maps import sized

__all__ = ["plot_reliability"]

_MARKERS = "osD^vP"


def plot_reliability(curves: Mapping[str, Reliability], title: str = "") -> Figure:
    """Draw the share of right answers over the confidence, and below it how often a confidence is stated.

    Parameters
    ----------
    curves : mapping of str to Reliability
        By the name of the model. The error bars are binomial 95 % intervals; on the diagonal a model is as often right
        as it is sure. Bins without windows are left out.
    title : str
    """
    figure = Figure(figsize=(4.6, 5.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", zorder=1)
    for (name, curve), color, marker in zip(curves.items(), cycle(_colors()), cycle(_MARKERS), strict=False):
        some = curve.count > 0
        right = curve.right[some]
        bars = np.abs(np.stack([right - curve.low[some], curve.high[some] - right]))
        at = curve.confidence[some]
        above.plot(at, right, color=color, lw=1, alpha=0.35)
        above.errorbar(at, right, bars, color=color, marker=marker, ms=4, ls="", elinewidth=1, capsize=2, label=name)
        below.stairs(curve.count, curve.edges, color=color, lw=1.5)
    above.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="share right", title=title)
    below.set(xlabel="confidence (probability of the most probable class)", ylabel="windows", yscale="symlog")
    below.set_ylim(0, 2 * max(int(curve.count.max()) for curve in curves.values()))
    above.legend(loc="upper left", fontsize=8, frameon=False)
    return sized(figure)


def _colors() -> list[str]:
    """The Okabe–Ito colours, yellow last: it is faint on white."""
    colors: list[Any] = list(color_sequences["okabe_ito"][:8])
    return [to_hex(colors[i]) for i in (5, 6, 3, 7, 1, 2, 0, 4)]
