"""The plot of the curves: fractions over time, the law fitted to one of them, and the time of the current frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, PanTool, Range1d, ResetTool, Span, WheelZoomTool
from bokeh.models.glyphs import Line, Scatter, VArea
from bokeh.plotting import figure

from bravaismap.conventions import Floats
from bravaismap.show.colors import class_colors
from bravaismap.viewer.plot_style import INK, plain

__all__ = ["CurvePlot"]

#: Of the curves of classes in their order, so that these are told apart without colours.
_DASHES = ("solid", "dashed", "dotted", "dotdash", "solid", "dashed")
_MARKERS = ("circle", "square", "diamond", "inverted_triangle", "triangle", "plus")


class CurvePlot:
    """Fractions over time with ± σ, the law fitted to one of them, and the time of the current frame."""

    def __init__(self, classes: tuple[str, ...], time_unit: str, room: tuple[int, int]) -> None:
        label = "frame" if time_unit == "frame" else f"time ({time_unit})"
        wheel = WheelZoomTool(dimensions="width")
        plot: Any = figure(
            name="curves", width=room[1], height=room[0], x_range=Range1d(0, 1), y_range=Range1d(-0.03, 1.03),
            tools=[PanTool(), wheel, ResetTool()], active_scroll=None, toolbar_location="right",
            x_axis_label=label, y_axis_label="fraction",
        )  # fmt: skip
        plain(plot)
        if time_unit == "frame":  # which are whole numbers
            plot.xaxis.ticker = BasicTicker(min_interval=1)
        self.plot = plot
        self._line, self._bands = ColumnDataSource({"time": []}), ColumnDataSource({"time": []})
        self._fit, self._open = ColumnDataSource({"time": [], "curve": []}), ColumnDataSource({"time": []})
        self._ends = (np.nan, np.nan)
        for i, color in enumerate(class_colors(classes).values()):
            spread = VArea(x="time", y1=f"low{i}", y2=f"high{i}", fill_color=color, fill_alpha=0.22)
            line = Line(x="time", y=f"f{i}", line_color=color, line_width=2, line_dash=_DASHES[i % 6])
            points = Scatter(x="time", y=f"f{i}", line_color=color, fill_color=color, size=5, marker=_MARKERS[i % 6])
            plot.add_glyph(self._bands, spread)
            plot.add_glyph(self._line, line)
            plot.add_glyph(self._line, points)
        plot.add_glyph(self._open, Scatter(x="time", y=0, size=5, fill_alpha=0, line_color="#888888"))
        plot.add_glyph(self._fit, Line(x="time", y="curve", line_color="#000000", line_width=2.5, line_dash=[2, 2]))
        self._cursor = Span(location=0, dimension="height", line_color=INK, line_width=2)
        plot.add_layout(self._cursor)
        plot.xgrid.grid_line_color = plot.ygrid.grid_line_color = "#e8e8e8"

    def show(self, time: Floats, fraction: Floats, std: Floats, quantity: str = "fraction") -> None:
        """Show the fractions (time, lattice) that are known, and an open circle for a frame that has none."""
        self.plot.yaxis.axis_label = quantity
        ends = float(time[0]), float(time[-1] if len(time) > 1 else time[0] + 1)
        if ends != self._ends:
            self._ends, margin = ends, 0.03 * (ends[1] - ends[0])
            self.plot.x_range.update(start=ends[0] - margin, end=ends[1] + margin, reset_start=ends[0] - margin,
                                     reset_end=ends[1] + margin)  # fmt: skip
        mapped = np.isfinite(fraction).all(axis=1)
        self._open.data = {"time": time[~mapped]}
        spread = np.nan_to_num(std[mapped])
        columns = range(fraction.shape[1])
        low, high = fraction[mapped] - spread, fraction[mapped] + spread
        self._bands.data = {"time": time[mapped]} | {
            f"{name}{i}": values[:, i] for i in columns for name, values in (("low", low), ("high", high))
        }
        self._line.data = {"time": time} | {f"f{i}": fraction[:, i] for i in columns}

    def show_fit(self, time: Floats, curve: Floats) -> None:
        """Show a fitted curve; empty arrays for none."""
        self._fit.data = {"time": time, "curve": curve}

    def mark_time(self, time: float) -> None:
        """Move the cursor."""
        self._cursor.location = time
