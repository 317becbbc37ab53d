"""The plot of the curves: what its sources hold after fractions, a law and a time were shown."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.conventions import CLASSES, COLORS

pytest.importorskip("bokeh", reason="the extra `viewer` is not installed")

from bokeh.models import Span

from bravaismap.viewer.curve_plot import CurvePlot

TIME = np.array([0.0, 2.0, 4.0, 10.0])


@pytest.fixture
def curves() -> CurvePlot:
    shown = CurvePlot(CLASSES, "s", (200, 600))
    fraction = np.linspace(0.0, 0.5, 4 * len(CLASSES)).reshape(4, -1)
    fraction[2] = np.nan
    shown.show(TIME, fraction, np.full_like(fraction, 0.1), "area")
    return shown


def test_frames_are_whole_numbers() -> None:
    assert CurvePlot(CLASSES, "frame", (200, 600)).plot.xaxis.ticker.min_interval == 1


def test_every_class_has_its_colour_its_values_and_a_band_of_one_standard_deviation(curves: CurvePlot) -> None:
    assert curves.plot.yaxis.axis_label == "area"
    assert curves.plot.xaxis.axis_label == "time (s)"
    for i, name in enumerate(CLASSES):
        band, line, points = curves.plot.renderers[3 * i : 3 * i + 3]
        assert {band.glyph.fill_color, line.glyph.line_color, points.glyph.fill_color} == {COLORS[name]}
        values = line.data_source.data[f"f{i}"]
        known = np.isfinite(values)
        assert known.tolist() == [True, True, False, True]
        np.testing.assert_allclose(band.data_source.data[f"high{i}"], values[known] + 0.1)
        np.testing.assert_allclose(band.data_source.data[f"low{i}"], values[known] - 0.1)
        assert points.data_source is line.data_source


def test_a_frame_without_fractions_is_an_open_circle(curves: CurvePlot) -> None:
    circles = curves.plot.renderers[3 * len(CLASSES)]
    assert circles.glyph.fill_alpha == 0
    assert circles.data_source.data["time"].tolist() == [4.0]


def test_the_axis_holds_all_times_and_the_cursor_one(curves: CurvePlot) -> None:
    assert (curves.plot.x_range.start, curves.plot.x_range.end) == pytest.approx((-0.3, 10.3))
    curves.mark_time(4.0)
    assert curves.plot.select_one(Span).location == 4.0
    curves.show(TIME[:1], np.zeros((1, 6)), np.zeros((1, 6)))  # of an image there is one time
    assert curves.plot.x_range.end > curves.plot.x_range.start


def test_a_law_is_shown_and_taken_away(curves: CurvePlot) -> None:
    law = curves.plot.renderers[-1]
    curves.show_fit(TIME, TIME**2)
    assert law.data_source.data["curve"].tolist() == [0, 4, 16, 100]
    curves.show_fit(np.empty(0), np.empty(0))
    assert not len(law.data_source.data["time"])
