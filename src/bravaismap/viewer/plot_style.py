"""The style of the viewer's plots: small, dark type, and nothing that is no data.

The plots are Bokeh figures that are made once and then given new data, which is fast.
"""

from __future__ import annotations

from typing import Any, Final

from bravaismap.conventions import display_name

__all__ = ["GREYS", "INK", "MARK", "plain", "short_name"]

#: Colours of text and lines, and of what is selected or indexed on an image.
INK: Final = "#222222"
MARK: Final = "#F0E442"
#: Colours from black to white.
GREYS: Final = [f"#{i:02x}{i:02x}{i:02x}" for i in range(256)]
_FAINT: Final = "#d9d9d9"


def short_name(name: str) -> str:
    """Return the name of a class where there is little room."""
    return "centered r." if name == "centered_rectangular" else display_name(name)


def plain(plot: Any) -> None:
    """Give a plot small, dark type and no decoration."""
    plot.toolbar.logo = None
    plot.title.text_font_size, plot.title.text_color, plot.title.standoff = "12px", INK, 3
    plot.outline_line_color = _FAINT
    plot.min_border = 4
    plot.grid.grid_line_color = None
    for axis in plot.axis:
        axis.axis_label_text_font_size, axis.major_label_text_font_size = "12px", "11px"
        axis.axis_label_text_font_style, axis.axis_label_standoff = "normal", 3
        axis.axis_label_text_color = axis.major_label_text_color = INK
        axis.minor_tick_line_color = None
        axis.major_tick_in = 0
