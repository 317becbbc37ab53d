"""Frames as grey values, maps as colours, and the scale bar."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.conventions import CLASSES
from bravaismap.result.phase_map import PhaseMap
from bravaismap.viewer.rendering import contrast, grey, layers_of, overlay, scale_bar


def test_grey_values_and_scale_bar() -> None:
    frame = np.linspace(0, 1, 64).reshape(8, 8)
    picture = grey(frame, (0.25, 0.75))
    assert picture.dtype == np.uint8
    assert (picture[0, 0], picture[-1, -1]) == (0, 255)
    assert grey(np.zeros((2500, 2100)), (0, 1)).shape == (833, 700)
    assert contrast([np.full((9, 9), 3.0)]) == (3.0, 4.0)
    assert [scale_bar(width) for width in (14.7, 512, 0.9)] == pytest.approx([2, 100, 0.2])


def test_overlays(result: PhaseMap) -> None:
    frame = result.isel(time=[0])
    classes = overlay(frame, "label")
    assert (classes.low, classes.high, len(classes.palette)) == (-0.5, 5.5, 6)
    bounds = classes.bounds
    assert bounds.y0 < float(result["y"][0]) < float(result["y"][-1]) < bounds.y1
    # on a regular grid, each window has the share of the map that lies nearest to it
    rows = len(classes.values)
    for i, y in enumerate(result["y"].values):
        place = int((y - bounds.y0) / (bounds.y1 - bounds.y0) * rows)
        place_x = int((float(result["x"][0]) - bounds.x0) / (bounds.x1 - bounds.x0) * classes.values.shape[1])
        assert classes.values[place, place_x] == int(frame["label"][0, i, 0])
    probability = overlay(frame, "probability:hexagonal")
    assert (probability.low, probability.high) == (0, 1)
    assert overlay(frame, "entropy").high == pytest.approx(np.log(6))
    assert overlay(frame, "deviation:square").unit == "%"
    phase = overlay(frame, "phase")
    np.testing.assert_array_equal(phase.values, frame["phase"].values[0])
    assert phase.names == CLASSES
    half = float(result.attrs["pixel_step"] * result.attrs["pixel_size_nm"]) / 2
    ends = [float(end) for dim in ("py", "px") for end in (result[dim][0] - half, result[dim][-1] + half)]
    assert [phase.bounds.y0, phase.bounds.y1, phase.bounds.x0, phase.bounds.x1] == pytest.approx(ends)
    stretched = overlay(frame, "exx")
    assert stretched.low == -stretched.high
    assert stretched.unit == "%"
    assert overlay(frame, "amplitude").high >= 1
    turned = overlay(frame, "orientation")
    assert np.nanmax(turned.values) <= turned.high
    keys = [key for group in layers_of(set(result.variables), CLASSES).values() for key in group.values()]
    assert len(keys) == 7 + 1 + 6 + 5 + 4
    for key in keys:
        assert np.isfinite(overlay(frame, key).low)
