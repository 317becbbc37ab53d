"""The style of the viewer's plots."""

from __future__ import annotations

import pytest

from bravaismap.conventions import CLASSES, display_name
from bravaismap.viewer.plot_style import GREYS, INK, plain, short_name


def test_greys_go_from_black_to_white_in_even_steps() -> None:
    shades = [int(grey[1:3], 16) for grey in GREYS]
    assert shades == list(range(256))
    assert all(grey == f"#{3 * grey[1:3]}" for grey in GREYS)


def test_names_that_are_short_are_left() -> None:
    long = [name for name in CLASSES if short_name(name) != display_name(name)]
    assert long == ["centered_rectangular"]
    assert max(len(short_name(name)) for name in CLASSES) <= 11


def test_a_plain_plot_has_dark_type_and_no_grid() -> None:
    plotting = pytest.importorskip("bokeh.plotting", reason="the extra `viewer` is not installed")
    plot = plotting.figure(title="t")
    plain(plot)
    assert plot.toolbar.logo is None
    assert plot.title.text_color == INK
    assert [grid.grid_line_color for grid in plot.grid] == [None, None]
    assert {axis.major_label_text_font_size for axis in plot.axis} == {"11px"}
