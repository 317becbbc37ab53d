"""The plot of a frame: its scale, the map over it, and what is marked on it."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.conventions import CLASSES, IUCR_SYMBOLS

pytest.importorskip("bokeh", reason="the extra `viewer` is not installed")

from bokeh.models import ColorBar
from bokeh.models.glyphs import Circle, Image, Quad

from bravaismap.viewer.frame_geometry import Region
from bravaismap.viewer.frame_plot import FramePlot
from bravaismap.viewer.rendering import Overlay

EXTENT = Region(0.0, 10.0, 0.0, 20.0)
CORNER = Region(1.0, 2.0, 3.0, 5.0)


@pytest.fixture
def frame() -> FramePlot:
    return FramePlot(CLASSES, EXTENT, "nm", (400, 600))


def sources(frame: FramePlot, kind: type) -> list[dict[str, list[object]]]:
    """Return what the marks of one kind hold."""
    return [{k: list(v) for k, v in r.data_source.data.items()} for r in frame.plot.renderers if type(r.glyph) is kind]


def layer(**changes: object) -> Overlay:
    of_classes = {"title": "class", "names": CLASSES, "palette": ["#000000"] * 6, "low": -0.5, "high": 5.5}
    return Overlay(np.zeros((2, 4), np.float32), CORNER, **(of_classes | changes))


def test_the_frame_is_to_scale_within_its_room_and_y_goes_down(frame: FramePlot) -> None:
    assert (frame.plot.frame_height, frame.plot.frame_width) == (300, 600)
    assert (frame.plot.y_range.start, frame.plot.y_range.end) == (10, 0)
    assert frame.plot.xaxis.axis_label == "x (nm)"


def test_a_map_lies_where_its_windows_are_and_has_its_own_bar(frame: FramePlot) -> None:
    bars = [bar for bar in frame.plot.below if isinstance(bar, ColorBar)]
    frame.show(np.zeros((5, 10), np.uint8), layer(), 0.4)
    image, shown = sources(frame, Image)
    assert np.shape(image["image"]) == (1, 5, 10)
    assert [shown[name] for name in ("x", "y", "dw", "dh")] == [[3.0], [1.0], [2.0], [1.0]]
    assert frame.overlay.glyph.global_alpha == 0.4
    assert [bar.visible for bar in bars] == [True, False]
    assert (bars[0].title, bars[0].major_label_overrides[0]) == ("class", IUCR_SYMBOLS["square"])
    frame.show(None, layer(title="a", names=(), unit="nm", low=0.2, high=0.4), 1.0)
    assert [bar.visible for bar in bars] == [False, True]
    assert (bars[1].title, bars[1].color_mapper.low, bars[1].color_mapper.high) == ("a (nm)", 0.2, 0.4)
    frame.show(None, None, 1.0)
    assert [source["image"] for source in sources(frame, Image)] == [[], []]
    assert not any(bar.visible for bar in bars)


def test_windows_and_regions_are_outlined_until_they_are_not(frame: FramePlot) -> None:
    corners = {"x0": [3.0], "x1": [5.0], "y0": [1.0], "y1": [2.0]}
    nothing = {name: [] for name in corners}
    frame.mark_window(CORNER)
    assert sources(frame, Quad) == [nothing, nothing, corners, corners]  # a line in colour on a wider one in black
    frame.mark_region(CORNER)
    frame.mark_window(None)
    assert sources(frame, Quad) == [corners, corners, nothing, nothing]


def test_sites_are_marked_and_taken_away(frame: FramePlot) -> None:
    names = ("x", "y", "radius", "color", "alpha", "ring", "state", "amplitude")
    frame.mark_sites({name: [1, 2] for name in names})
    assert all(set(source) == set(names) and source["x"] == [1, 2] for source in sources(frame, Circle))
    frame.mark_sites(None)
    assert all(source["x"] == [] for source in sources(frame, Circle))
