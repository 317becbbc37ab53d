"""Curves: the axes on which quantities are drawn over time."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

__all__ = ["curve_axes", "time_axis"]


def curve_axes(ax: Axes) -> None:
    """Give axes a light grid behind the curves, and no frame above and on the right."""
    ax.set_axisbelow(True)
    ax.grid(color="0.9", lw=0.6)
    ax.spines[["top", "right"]].set_visible(False)


def time_axis(ax: Axes, unit: str) -> None:
    """Label the axis along x: time or dose in its unit, or frames, which are whole numbers."""
    if unit == "frame":
        ax.set_xlabel(unit)
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    else:
        ax.set_xlabel(f"{'dose' if 'e⁻' in unit else 'time'} ({unit})")
