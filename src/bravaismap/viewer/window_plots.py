"""The plots of an inspected window: its pixels, its spectrum, the probabilities of its classes, and its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import BasicTicker, ColumnDataSource, FixedTicker, LinearColorMapper, Range1d
from bokeh.models.glyphs import HBar, Image, Line, Scatter, Segment, Text
from bokeh.plotting import figure
from numpy.typing import NDArray

from bravaismap.conventions import COLORS
from bravaismap.lattice.shape import CENTER
from bravaismap.show.colors import class_colors
from bravaismap.viewer.plot_style import GREYS, INK, MARK, plain, short_name

if TYPE_CHECKING:
    from bravaismap.viewer.window_inspection import WindowView

__all__ = ["WindowPlots"]


class WindowPlots:
    """The inspected window: its pixels, spectrum, class probabilities and shape."""

    def __init__(self, classes: tuple[str, ...], side: int) -> None:
        self.classes, self._colors = classes, class_colors(classes)
        self._names = [short_name(name) for name in classes]
        self.pixels, self.spectrum = self._picture("window", side - 50), self._picture("spectrum", side - 30)
        self.pixels.axis.visible = self.spectrum.axis.visible = False
        self.bars, self.shape = self._bar_plot(side), self._shape_plot(side)

    def show(
        self, view: WindowView | None, others: tuple[NDArray[np.complexfloating], list[str]], unit: str, pixel: float
    ) -> None:
        """Show a window, and the shapes (complex) and colours of the windows of its frame."""
        self._points.data = {"x": others[0].real, "y": others[0].imag, "color": others[1]}
        if view is None:
            sources = self._window, self._plane, self._spots, self._bar_data, self._error, self._point, self._ring
            for source in sources:
                source.data = {name: [] for name in source.data}
            return
        self._show_pixels(view, unit, pixel)
        self._show_spots(view, unit, pixel)
        low, high = view.probability - view.probability_std, view.probability + view.probability_std
        names = self._names
        self._bar_data.data = {"name": names, "p": view.probability, "color": list(self._colors.values())}
        self._error.data = {"name": names, "low": low.clip(0), "high": high.clip(0, 1)}
        tau, ring = view.tau, _circle(view.tau, view.tau_std)
        measured = np.isfinite(tau.real)
        self._point.data = {"x": [tau.real] if measured else [], "y": [tau.imag] if measured else []}
        self._ring.data = {"x": ring.real, "y": ring.imag}
        if measured:
            self.shape.y_range.end = float(np.clip(tau.imag + 0.15, 1.5, 8.0))

    def _show_pixels(self, view: WindowView, unit: str, pixel: float) -> None:
        if view.pixels is None:
            self._window.data = {"image": [], "dw": [], "dh": []}
            return
        low, high = np.nanpercentile(view.pixels, (0.5, 99.5))
        shown = np.clip((view.pixels - low) * (255 / max(high - low, 1e-12)), 0, 255).astype(np.uint8)
        height, width = (side * pixel for side in shown.shape)
        self._window.data = {"image": [shown], "dw": [width], "dh": [height]}
        self.pixels.x_range.end, self.pixels.y_range.start = width, height
        self.pixels.title.text = f"window, {width:.3g} {unit}"

    def _show_spots(self, view: WindowView, unit: str, pixel: float) -> None:
        self.spectrum.axis.visible = view.plane is not None
        if view.plane is None or view.spots is None:
            self._plane.data, self._spots.data = {"image": [], "x": [], "y": [], "dw": [], "dh": []}, _no_spots()
            return
        rows, columns = view.plane.shape
        side = view.pixels.shape if view.pixels is not None else (rows, rows)
        step = 1 / side[0] / pixel, 1 / side[1] / pixel
        low, high = np.percentile(view.plane, (50, 99.95))
        scaled = np.clip((view.plane - low) * (255 / max(high - low, 1e-12)), 0, 255).astype(np.uint8)
        self._plane.data = {
            "image": [scaled], "x": [-(columns // 2 + 0.5) * step[1]], "y": [-(rows // 2 + 0.5) * step[0]],
            "dw": [columns * step[1]], "dh": [rows * step[0]],
        }  # fmt: skip
        self._spots.data, reach = _spot_columns(view, pixel)
        reach = min(reach, 0.5 / pixel)
        self.spectrum.x_range.update(start=-reach, end=reach)
        self.spectrum.y_range.update(start=reach, end=-reach)
        self.spectrum.title.text = "spectrum (1/nm)" if unit == "nm" else "spectrum (1/px)"

    def _picture(self, title: str, side: int) -> Any:
        plot: Any = figure(
            name=title, frame_width=side, frame_height=side, tools="", toolbar_location=None, title=title,
            x_range=Range1d(0, 1), y_range=Range1d(1, 0),
        )  # fmt: skip
        plain(plot)
        plot.background_fill_color = "#ececec"
        plot.title.text_font_size = "11px"  # the plots may be as small as 90 px
        plot.axis.ticker = BasicTicker(desired_num_ticks=4)
        mapper = LinearColorMapper(GREYS, low=0, high=255)
        if title == "window":
            self._window = ColumnDataSource({"image": [], "dw": [], "dh": []})
            plot.add_glyph(self._window, Image(x=0, y=0, color_mapper=mapper))
            return plot
        self._plane = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        plot.add_glyph(self._plane, Image(color_mapper=mapper))
        self._spots = ColumnDataSource(_no_spots())
        plot.add_glyph(self._spots, Scatter(marker="marker", size=9, fill_alpha=0, line_color="color", line_width=1.5))
        for color, shift in (("#000000", 1), ("#ffffff", 0)):
            indices = Text(text_color=color, text_font_size="11px", x_offset=5 + shift, y_offset=shift - 3)
            plot.add_glyph(self._spots, indices)
        return plot

    def _bar_plot(self, side: int) -> Any:
        plot: Any = figure(
            name="bars", width=165, height=side, y_range=self._names[::-1], x_range=Range1d(0, 1.03), tools="",
            toolbar_location=None, title="class ± σ",
        )  # fmt: skip
        plain(plot)
        plot.xaxis.ticker = FixedTicker(ticks=[0, 0.5, 1])
        self._bar_data = ColumnDataSource({"name": [], "p": [], "color": []})
        self._error = ColumnDataSource({"name": [], "low": [], "high": []})
        plot.add_glyph(self._bar_data, HBar(y="name", right="p", height=0.7, line_color="color", fill_color="color"))
        plot.add_glyph(self._error, Segment(
            x0="low", y0="name", x1="high", y1="name", line_color=INK, line_width=2
        ))  # fmt: skip
        return plot

    def _shape_plot(self, side: int) -> Any:
        plot: Any = figure(
            name="shape", width=135, height=side, x_range=Range1d(-0.1, 0.6), y_range=Range1d(0.8, 1.5), tools="",
            toolbar_location=None, title="shape",
        )  # fmt: skip
        plain(plot)
        plot.xaxis.ticker = FixedTicker(ticks=[0, 0.5])
        turn = np.linspace(np.pi / 3, np.pi / 2, 40)
        for name, x, y in (
            ("rectangular", [0, 0], [1, 9]), ("centered_rectangular", np.cos(turn), np.sin(turn)),
            ("centered_rectangular", [0.5, 0.5], [np.sqrt(0.75), 9]),
        ):  # fmt: skip
            plot.add_glyph(ColumnDataSource({"x": x, "y": y}), Line(line_color=COLORS[name], line_width=3))
        for name, corner in CENTER.items():
            place = ColumnDataSource({"x": [np.real(corner)], "y": [np.imag(corner)]})
            color = COLORS[name]
            plot.add_glyph(place, Scatter(marker="diamond", size=13, line_color=color, fill_color=color))
        self._points = ColumnDataSource({"x": [], "y": [], "color": []})
        plot.add_glyph(self._points, Scatter(
            size=4, line_color="color", fill_color="color", line_alpha=0.35, fill_alpha=0.35
        ))  # fmt: skip
        self._ring, self._point = ColumnDataSource({"x": [], "y": []}), ColumnDataSource({"x": [], "y": []})
        plot.add_glyph(self._ring, Line(line_color=INK, line_width=1.5))
        plot.add_glyph(self._point, Scatter(marker="x", size=11, line_color=INK, line_width=2.5))
        plot.xaxis.axis_label, plot.yaxis.axis_label = "a·b / a²", "|a × b| / a²"
        return plot


def _no_spots() -> dict[str, list[Any]]:
    return {"x": [], "y": [], "text": [], "marker": [], "color": []}


def _spot_columns(view: WindowView, pixel: float) -> tuple[dict[str, Any], float]:
    """Return the spots and their opposites for the plot, and how far it should reach."""
    spots = view.spots
    assert spots is not None
    sign = np.repeat([1, -1], len(spots.h))
    h, k = (np.tile(values, 2) * sign for values in (spots.h, spots.k))
    x, y = (np.tile(values, 2) * sign / pixel for values in (spots.k_x, spots.k_y))
    indexed = np.isfinite(h)
    text = [
        f"{int(i)} {int(j)}".replace("-", "−") if explained else ""
        for i, j, explained in zip(h, k, indexed, strict=True)
    ]
    columns = {
        "x": x, "y": y, "text": text, "marker": ["circle" if explained else "x" for explained in indexed],
        "color": [MARK if explained else COLORS["oblique"] for explained in indexed],
    }  # fmt: skip
    clear = indexed if indexed.any() else np.ones(len(x), bool)
    reach = float(np.hypot(x[clear], y[clear]).max(initial=0.0)) or 0.25 / pixel
    return columns, 1.4 * reach


def _circle(center: complex, radius: float) -> NDArray[np.complexfloating]:
    """Return the points of the upper half plane at a hyperbolic distance from one."""
    if not (np.isfinite(center.real) and np.isfinite(radius)):
        return np.empty(0, complex)
    turn = np.exp(1j * np.linspace(0, 2 * np.pi, 60))
    middle = center.real + 1j * center.imag * np.cosh(radius)
    return np.asarray(middle + center.imag * np.sinh(radius) * turn)
