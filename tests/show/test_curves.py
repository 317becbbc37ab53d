"""Axes of curves: what stands along x, and that frames are whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from bravaismap.show.curves import curve_axes, time_axis


@pytest.mark.parametrize(
    ("unit", "label"), [("frame", "frame"), ("s", "time (s)"), ("e⁻/Å²", "dose (e⁻/Å²)"), ("min", "time (min)")]
)
def test_label(unit: str, label: str) -> None:
    ax = Figure().subplots()
    time_axis(ax, unit)
    assert ax.get_xlabel() == label


def test_frames_are_whole_numbers() -> None:
    ax = Figure().subplots()
    ax.plot([0, 1, 2], [0.0, 0.1, 0.2])
    assert not np.allclose(ax.get_xticks() % 1, 0)
    time_axis(ax, "frame")
    np.testing.assert_allclose(ax.get_xticks() % 1, 0)


def test_grid_lies_behind() -> None:
    ax = Figure().subplots()
    curve_axes(ax)
    assert ax.get_axisbelow()
    assert not ax.spines["top"].get_visible()
