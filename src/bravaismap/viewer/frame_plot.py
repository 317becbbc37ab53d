"""The plot of a frame: its image, a map over it, the inspected window, the selected region, and its sites."""

from __future__ import annotations

from typing import Any

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
    WheelZoomTool,
)
from bokeh.models.glyphs import Circle, Image, Line, Quad, Text
from bokeh.plotting import figure
from numpy.typing import NDArray

from bravaismap.conventions import IUCR_SYMBOLS, display_name
from bravaismap.show.colors import class_colors
from bravaismap.viewer.frame_geometry import Region
from bravaismap.viewer.plot_style import GREYS, MARK, plain, short_name
from bravaismap.viewer.rendering import Overlay, scale_bar

__all__ = ["FramePlot"]


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
        plain(plot)
        plot.background_fill_color = "#ececec"
        self.plot = plot
        self._kind: tuple[tuple[str, ...], str] | None = None
        self._grey = ColumnDataSource({"image": []})
        greys = LinearColorMapper(GREYS, low=0, high=255)
        plot.add_glyph(self._grey, Image(x=extent.x0, y=extent.y0, dw=size[1], dh=size[0], color_mapper=greys),
                       level="image")  # fmt: skip
        self._map = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []})
        self._mapper = LinearColorMapper(GREYS, low=0, high=1, nan_color="rgba(0, 0, 0, 0)")
        self.overlay: Any = plot.add_glyph(self._map, Image(color_mapper=self._mapper))
        self._add_color_bars(classes)
        self._hover = HoverTool(renderers=[self.overlay], tooltips=[("", "@image{custom}")])
        plot.add_tools(self._hover)
        self._window, self._region = (ColumnDataSource({k: [] for k in ("x0", "x1", "y0", "y1")}) for _ in range(2))
        for source, color, dash in ((self._region, "#ffffff", "dashed"), (self._window, MARK, "solid")):
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
        names = {i: IUCR_SYMBOLS.get(name) or short_name(name) for i, name in enumerate(classes)}
        self._class_bar = ColorBar(
            color_mapper=LinearColorMapper(colors, low=-0.5, high=len(classes) - 0.5),
            ticker=FixedTicker(ticks=list(names)), major_label_overrides=names, **style,
        )  # fmt: skip
        self._number_bar = ColorBar(color_mapper=self._mapper, ticker=BasicTicker(desired_num_ticks=5), **style)
        for bar in (self._class_bar, self._number_bar):
            self.plot.add_layout(bar, "below")

    def _label(self, layer: Overlay) -> None:
        """Name the colours and what the pointer shows."""
        self._class_bar.visible, self._number_bar.visible = bool(layer.names), not layer.names
        self._class_bar.title = layer.title
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


def _corners(bounds: Region | None) -> dict[str, list[float]]:
    return {name: [] if bounds is None else [getattr(bounds, name)] for name in ("x0", "x1", "y0", "y1")}
