"""The figure of sites: a mark for every vacancy and other atom, and a dot for every site."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bravaismap.errors import InputError
from bravaismap.show.sites import plot_sites


def sites() -> xr.Dataset:
    state = ["occupied", "vacant", "vacant", "vacant", "substituted", "occupied"]
    columns = {
        "frame": [3, 3, 3, 3, 3, 4],
        "y": np.linspace(1, 6, 6),
        "x": np.linspace(6, 1, 6),
        "amplitude": [1.0, 0, 0.1, 0, 0.5, 1.1],
        "state": state,
        "missing": [0, 1, 2, 2, 0, 0],
        "vacant": [0.0, 1, 1, 1, 0.1, 0],
        "substituted": [0.3, 0, 0, 0, 0.9, 0],
    }
    return xr.Dataset(
        {name: ("site", values) for name, values in columns.items()}
        | {"area": ("measured_frame", [96.0, 96.0], {"units": "nm²"})},
        {"measured_frame": [3, 4], "measured_time": ("measured_frame", [1.5, 2.0], {"units": "s"})},
        {"spacing": 1.0, "frame_size": [40, 60], "pixel_size_nm": 0.2},
    )


def test_marks_and_dots() -> None:
    figure = plot_sites(sites(), 3, np.random.default_rng(0).random((40, 60)))
    marks = figure.axes[0].collections
    assert [len(mark.get_offsets()) for mark in marks] == [1, 2, 1]
    (dots,) = figure.axes[1].collections
    np.testing.assert_allclose(dots.get_array(), [1.0, 0, 0.1, 0, 0.5])
    np.testing.assert_allclose(dots.get_offsets()[:, 1], np.linspace(1, 6, 6)[:5])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    other = "1 other atom marked, 1 ± 1 by their probabilities"  # √(0.3 · 0.7 + 0.9 · 0.1) = 0.55
    assert texts == ["1 vacant site alone", "2 vacant sites in voids", other]
    assert "x (nm)" in {ax.get_xlabel() for ax in figure.axes}


def test_legend_has_no_zeros() -> None:
    without = sites()
    without["substituted"][:] = 0
    without = without.assign(state=without["state"].where(without["state"] != "substituted", "occupied"))
    without = without.assign(missing=without["missing"].where(without["missing"] != 1, 2))
    figure = plot_sites(without, 3, np.zeros((40, 60)))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["3 vacant sites in voids"]
    assert not plot_sites(without, 4, np.zeros((40, 60))).legends


def test_marks_that_the_probabilities_confirm_are_said_once() -> None:
    sure = sites()
    sure["substituted"] = ("site", [0.01, 0, 0, 0, 0.99, 0])
    figure = plot_sites(sure, 3, np.zeros((40, 60)))
    assert figure.legends[0].get_texts()[-1].get_text() == "1 other atom"


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="frame 5"):
        plot_sites(sites(), 5, np.zeros((40, 60)))
    with pytest.raises(InputError, match="expected"):
        plot_sites(sites(), 3, np.zeros((4, 6)))
