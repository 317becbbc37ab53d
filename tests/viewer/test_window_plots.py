"""The plots of an inspected window: bars with σ, spots with their opposites, and the shape with its circle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bravaismap.conventions import CLASSES, COLORS

pytest.importorskip("bokeh", reason="the extra `viewer` is not installed")

from bokeh.models.glyphs import HBar, Image, Line, Scatter, Segment

from bravaismap.viewer.plot_style import MARK
from bravaismap.viewer.window_inspection import SpotTable, WindowView
from bravaismap.viewer.window_plots import WindowPlots

PIXEL, TAU, RADIUS = 0.05, 0.5 + 0.9j, 0.2
OTHERS = np.array([0.1 + 1j, 0.2 + 1.1j]), ["#000000", "#ffffff"]
SPOTS = SpotTable(
    k_y=np.array([0.1, 0.0]), k_x=np.array([0.0, 0.2]), h=np.array([1.0, np.nan]), k=np.array([-2.0, np.nan]),
    weight=np.ones(2),
)  # fmt: skip
VIEW = WindowView(
    classes=CLASSES, probability=np.array([0.05, 0.9, 0.02, 0.01, 0.01, 0.01]), probability_std=np.full(6, 0.2),
    label="rectangular", lines=[], tau=TAU, tau_std=RADIUS, pixels=np.arange(64.0).reshape(8, 8), plane=np.eye(8),
    spots=SPOTS,
)  # fmt: skip


@pytest.fixture
def plots() -> WindowPlots:
    shown = WindowPlots(CLASSES, 220)
    shown.show(VIEW, OTHERS, "nm", PIXEL)
    return shown


def held(plot: object, kind: type, number: int = -1) -> dict[str, list[object]]:
    """Return what one of the marks of a kind holds, the last one by default."""
    data = [renderer.data_source.data for renderer in plot.renderers if type(renderer.glyph) is kind][number]
    return {name: list(values) for name, values in data.items()}


def test_bars_are_the_probabilities_and_their_errors_stay_within_0_and_1(plots: WindowPlots) -> None:
    bars, errors = held(plots.bars, HBar), held(plots.bars, Segment)
    assert bars["p"] == list(VIEW.probability)
    assert bars["color"] == [COLORS[name] for name in CLASSES]
    assert (errors["low"][0], errors["high"][1]) == (0, 1)
    assert (errors["low"][1], errors["high"][0]) == pytest.approx((0.7, 0.25))


def test_the_window_has_its_size(plots: WindowPlots) -> None:
    window = held(plots.pixels, Image)
    assert (window["dw"], window["dh"]) == ([pytest.approx(0.4)], [pytest.approx(0.4)])
    assert (window["image"][0].min(), window["image"][0].max()) == (0, 255)
    assert plots.pixels.title.text == "window, 0.4 nm"


def test_each_spot_stands_for_its_opposite_and_indexed_ones_have_their_indices(plots: WindowPlots) -> None:
    spots = held(plots.spectrum, Scatter)
    np.testing.assert_allclose(spots["y"], [2, 0, -2, 0], atol=1e-12)
    np.testing.assert_allclose(spots["x"], [0, 4, 0, -4], atol=1e-12)
    assert spots["text"] == ["1 −2", "", "−1 2", ""]
    assert spots["marker"] == ["circle", "x"] * 2
    assert spots["color"][0] == MARK != spots["color"][1]
    assert plots.spectrum.title.text == "spectrum (1/nm)"
    assert plots.spectrum.x_range.end == pytest.approx(1.4 * 2)  # of the indexed spots


def test_the_circle_about_the_shape_is_at_its_hyperbolic_distance(plots: WindowPlots) -> None:
    point, ring = held(plots.shape, Scatter), held(plots.shape, Line)
    assert (point["x"], point["y"]) == ([TAU.real], [TAU.imag])
    around = np.array(ring["x"]) + 1j * np.array(ring["y"])
    distance = np.arccosh(1 + np.abs(around - TAU) ** 2 / (2 * around.imag * TAU.imag))
    np.testing.assert_allclose(distance, RADIUS, rtol=1e-9)


def test_a_window_without_a_cell_or_pixels_and_none_at_all(plots: WindowPlots) -> None:
    bare = replace(VIEW, tau=complex(np.nan, np.nan), tau_std=np.nan, pixels=None, plane=None, spots=None)
    plots.show(bare, OTHERS, "px", 1.0)
    assert held(plots.shape, Scatter)["x"] == held(plots.shape, Line)["x"] == []
    assert held(plots.pixels, Image)["image"] == held(plots.spectrum, Image)["image"] == []
    assert held(plots.bars, HBar)["p"] == list(VIEW.probability)
    plots.show(VIEW, OTHERS, "nm", PIXEL)
    plots.show(None, OTHERS, "px", 1.0)
    assert held(plots.bars, HBar)["p"] == []
    assert held(plots.shape, Line)["x"] == []
    assert held(plots.shape, Scatter, -2)["x"] == [0.1, 0.2]  # the other windows of the frame
