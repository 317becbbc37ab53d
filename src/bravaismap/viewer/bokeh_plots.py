"""The plots of the viewer: Bokeh figures that are made once and then given new data, which is fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from bokeh.models import (
    BasicTicker,
    BoxSelectTool,
    ColorBar,
    ColumnDataSource,
    CustomJSHover,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    PanTool,
    Range1d,
    ResetTool,
    Span,
    WheelZoomTool,
)
from bokeh.models.glyphs import Circle, HBar, Image, Line, Quad, Scatter, Segment, Text, VArea
from bokeh.plotting import figure
from numpy.typing import NDArray

from bravaismap.conventions import COLORS, Floats, display_name
from bravaismap.lattice.shape import CENTER
from bravaismap.show.colors import class_colors
from bravaismap.viewer.frame_geometry import Region
from bravaismap.viewer.rendering import Overlay, scale_bar

if TYPE_CHECKING:
    from bravaismap.viewer.window_inspection import WindowView

__all__ = ["CurvePlot", "FramePlot", "WindowPlots"]


_SHORT = {"centered_rectangular": "centered r."}
_INK, _FAINT, _MARK = "#222222", "#d9d9d9", "#F0E442"
_DASHES = ("solid", "dashed", "dotted", "dotdash", "solid", "dashed")
_MARKERS = ("circle", "square", "diamond", "inverted_triangle", "triangle", "plus")
_GREYS = [f"#{i:02x}{i:02x}{i:02x}" for i in range(256)]


#: Text beside the pointer (the names of classes come as data, since a file may hold any).
_POINTED = """
if (names.length) return names[Math.round(value)] || ''
return isNaN(value) ? 'no lattice' : value.toPrecision(4) + ' ' + unit
"""


class FramePlot:
    """A frame with a map over it, the inspected window, and the selected region.

    Parameters
    ----------
    classes : tuple of str
    extent : Region
        Edges of the frame.
    unit : str
    room : (int, int)
        Height and width in screen px that the frame may take before the browser says how large it is.
    name : str
        Of the plot, in the page.
    """

    def __init__(
        self, classes: tuple[str, ...], extent: Region, unit: str, room: tuple[int, int], name: str = "frame"
    ) -> None:
        size = extent.y1 - extent.y0, extent.x1 - extent.x0
        scale = min(room[0] / size[0], room[1] / size[1])
        wheel, box = WheelZoomTool(), BoxSelectTool(persistent=False, renderers=[])
        plot: Any = figure(
            frame_width=round(size[1] * scale), frame_height=round(size[0] * scale),
            x_range=Range1d(extent.x0, extent.x1), y_range=Range1d(extent.y1, extent.y0),
            tools=[box, PanTool(), wheel, ResetTool()], active_drag=box, active_scroll=wheel,
            name=name, toolbar_location="right", x_axis_label=f"x ({unit})", y_axis_label=f"y ({unit})",
        )  # fmt: skip
        _plain(plot)
        plot.background_fill_color = "#ececec"
        self.plot = plot
        self._kind: tuple[tuple[str, ...], str] | None = None
        self._grey = ColumnDataSource({"image": []})
        greys = LinearColorMapper(_GREYS, low=0, high=255)
        plot.add_glyph(self._grey, Image(x=extent.x0, y=extent.y0, dw=size[1], dh=size[0], color_mapper=greys),
                       level="image")  # fmt: skip
        self._map = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._mapper = LinearColorMapper(_GREYS, low=0, high=1, nan_color="rgba(0, 0, 0, 0)")
        self.overlay: Any = plot.add_glyph(self._map, Image(color_mapper=self._mapper))
        self._add_color_bars(classes)
        self._hover = HoverTool(renderers=[self.overlay], tooltips=[("", "@image{custom}")])
        plot.add_tools(self._hover)
        self._window, self._region = (ColumnDataSource({k: [] for k in ("x0", "x1", "y0", "y1")}) for _ in range(2))
        for source, color, dash in ((self._region, "#ffffff", "dashed"), (self._window, _MARK, "solid")):
            for width, ink in ((4, "#000000"), (2, color)):
                plot.add_glyph(source, Quad(
                    left="x0", right="x1", top="y0", bottom="y1", fill_alpha=0, line_color=ink, line_width=width,
                    line_dash=dash if width == 2 else "solid",
                ))  # fmt: skip
        self._add_sites()
        self._add_scale_bar(extent, unit)

    def show(self, grey: NDArray[np.uint8] | None, layer: Overlay | None, opacity: float) -> None:
        """Show a frame and its map; None for either that is missing."""
        self._grey.data = {"image": [] if grey is None else [grey]}
        if layer is None:
            self._map.data = {"image": [], "x": [], "y": [], "dw": [], "dh": []}
            self._class_bar.visible = self._number_bar.visible = False
            return
        b = layer.bounds
        self._mapper.update(palette=layer.palette, low=layer.low, high=layer.high)
        self._map.data = {
            "image": [layer.values], "x": [b.x0], "y": [b.y0], "dw": [b.x1 - b.x0], "dh": [b.y1 - b.y0],
        }  # fmt: skip
        self.overlay.glyph.global_alpha = opacity
        self._label(layer)

    def _add_color_bars(self, classes: tuple[str, ...]) -> None:
        """Add a bar for classes and one for numbers, of which one is shown at a time."""
        style: dict[str, Any] = {
            "height": 10, "width": "auto", "padding": 2, "title_text_font_size": "11px", "title_standoff": 3,
            "major_label_text_font_size": "11px", "background_fill_color": None, "visible": False,
        }  # fmt: skip
        colors = list(class_colors(classes).values())
        names = {i: _SHORT.get(name, display_name(name)) for i, name in enumerate(classes)}
        self._class_bar = ColorBar(
            color_mapper=LinearColorMapper(colors, low=-0.5, high=len(classes) - 0.5),
            ticker=FixedTicker(ticks=list(names)), major_label_overrides=names, title="most probable class", **style,
        )  # fmt: skip
        self._number_bar = ColorBar(color_mapper=self._mapper, ticker=BasicTicker(desired_num_ticks=5), **style)
        for bar in (self._class_bar, self._number_bar):
            self.plot.add_layout(bar, "below")

    def _label(self, layer: Overlay) -> None:
        """Name the colours and what the pointer shows."""
        self._class_bar.visible, self._number_bar.visible = bool(layer.names), not layer.names
        self._number_bar.title = f"{layer.title} ({layer.unit})" if layer.unit else layer.title
        kind = layer.names, layer.unit
        if kind != self._kind:
            self._kind = kind
            args = {"names": [display_name(name) for name in layer.names], "unit": layer.unit}
            self._hover.formatters = {"@image": CustomJSHover(args=args, code=_POINTED)}

    def mark_window(self, bounds: Region | None) -> None:
        """Outline the inspected window."""
        self._window.data = _corners(bounds)

    def mark_region(self, bounds: Region | None) -> None:
        """Outline the selected region."""
        self._region.data = _corners(bounds)

    def mark_sites(self, columns: dict[str, Any] | None) -> None:
        """Mark the sites of the frame: see :func:`bravaismap.viewer.site_layer.site_columns`; None for none."""
        self._sites.data = {name: [] for name in self._sites.data} if columns is None else columns

    def _add_sites(self) -> None:
        names = ("x", "y", "radius", "color", "alpha", "ring", "state", "amplitude")
        self._sites = ColumnDataSource({name: [] for name in names})
        for ink, alpha, width in (("#000000", "ring", 3), ("color", "alpha", 1.5)):
            circle = Circle(radius="radius", fill_alpha=0, line_color=ink, line_alpha=alpha, line_width=width)
            marks = self.plot.add_glyph(self._sites, circle)
        self.plot.add_tools(HoverTool(renderers=[marks], tooltips=[("", "@state, amplitude @amplitude")]))

    def _add_scale_bar(self, extent: Region, unit: str) -> None:
        height, width = extent.y1 - extent.y0, extent.x1 - extent.x0
        length = scale_bar(width)
        x, y = extent.x0 + 0.04 * width, extent.y0 + 0.955 * height
        ends = ColumnDataSource({"x": [x, x + length], "y": [y, y]})
        for thickness, color in ((7, "#000000"), (4, "#ffffff")):
            self.plot.add_glyph(ends, Line(line_color=color, line_width=thickness), level="overlay")
        middle = ColumnDataSource({"x": [x + length / 2], "y": [y - 0.012 * height], "text": [f"{length:g} {unit}"]})
        for color, shift in (("#000000", 1), ("#ffffff", 0)):
            self.plot.add_glyph(middle, Text(
                text_color=color, text_align="center", text_font_size="13px", text_font_style="bold", x_offset=shift,
                y_offset=shift,
            ), level="overlay")  # fmt: skip


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
        _plain(plot)
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
        self._cursor = Span(location=0, dimension="height", line_color=_INK, line_width=2)
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


class WindowPlots:
    """The inspected window: its pixels, spectrum, class probabilities and shape."""

    def __init__(self, classes: tuple[str, ...], side: int) -> None:
        self.classes, self._colors = classes, class_colors(classes)
        self._names = [_SHORT.get(name, display_name(name)) for name in classes]
        self.pixels, self.spectrum = self._picture("window", side - 50), self._picture("spectrum", side - 30)
        self.pixels.axis.visible = self.spectrum.axis.visible = False
        self.bars, self.shape = self._bar_plot(side), self._shape_plot(side)

    def show(
        self, view: WindowView | None, others: tuple[NDArray[np.complexfloating], list[str]], unit: str, pixel: float
    ) -> None:
        """Show a window, and the shapes (complex) and colours of the windows of its frame."""
        self._points.data = {"x": others[0].real, "y": others[0].imag, "color": others[1]}
        if view is None:
            for source in (self._window, self._plane, self._spots, self._bar_data, self._error, self._point):
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
        _plain(plot)
        plot.background_fill_color = "#ececec"
        mapper = LinearColorMapper(_GREYS, low=0, high=255)
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
        _plain(plot)
        plot.xaxis.ticker = FixedTicker(ticks=[0, 0.5, 1])
        self._bar_data = ColumnDataSource({"name": [], "p": [], "color": []})
        self._error = ColumnDataSource({"name": [], "low": [], "high": []})
        plot.add_glyph(self._bar_data, HBar(y="name", right="p", height=0.7, line_color="color", fill_color="color"))
        plot.add_glyph(self._error, Segment(
            x0="low", y0="name", x1="high", y1="name", line_color=_INK, line_width=2
        ))  # fmt: skip
        return plot

    def _shape_plot(self, side: int) -> Any:
        plot: Any = figure(
            name="shape", width=135, height=side, x_range=Range1d(-0.1, 0.6), y_range=Range1d(0.8, 1.5), tools="",
            toolbar_location=None, title="shape",
        )  # fmt: skip
        _plain(plot)
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
        plot.add_glyph(self._ring, Line(line_color=_INK, line_width=1.5))
        plot.add_glyph(self._point, Scatter(marker="x", size=11, line_color=_INK, line_width=2.5))
        plot.xaxis.axis_label, plot.yaxis.axis_label = "a·b / a²", "|a × b| / a²"
        return plot


def _plain(plot: Any) -> None:
    """Give a plot small, dark type and no decoration."""
    plot.toolbar.logo = None
    plot.title.text_font_size, plot.title.text_color, plot.title.standoff = "12px", _INK, 3
    plot.outline_line_color = _FAINT
    plot.min_border = 4
    plot.grid.grid_line_color = None
    for axis in plot.axis:
        axis.axis_label_text_font_size, axis.major_label_text_font_size = "12px", "11px"
        axis.axis_label_text_font_style, axis.axis_label_standoff = "normal", 3
        axis.axis_label_text_color = axis.major_label_text_color = _INK
        axis.minor_tick_line_color = None
        axis.major_tick_in = 0


def _corners(bounds: Region | None) -> dict[str, list[float]]:
    return {name: [] if bounds is None else [getattr(bounds, name)] for name in ("x0", "x1", "y0", "y1")}


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
        "color": [_MARK if explained else COLORS["oblique"] for explained in indexed],
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
