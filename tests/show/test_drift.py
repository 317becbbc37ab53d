"""The figure of a drift track, and the track of a run card, which may hold anything."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bravaismap.show.drift import drift_of, plot_drift
from bravaismap.show.style import PAGE, SMALL

TIME = ("time", [0.0, 2.0, 4.0], {"units": "s"})


def test_drift_of_a_run_card() -> None:
    card = {"drift": {"dy_px": [0.0, 1.0, 2.5], "dx_px": [0.0, -1.0, -1.5]}}
    track = drift_of(xr.Dataset(coords={"time": TIME}, attrs=card))
    assert track is not None
    np.testing.assert_array_equal(track["dy"], [0.0, 1.0, 2.5])
    figure = plot_drift(track)
    assert len(figure.axes) == 1
    assert figure.axes[0].get_xlabel() == "time (s)"


@pytest.mark.parametrize(
    "drift", [None, "up", {"dy_px": [0.0, 1.0, 2.0]}, {"dy_px": [0.0], "dx_px": [0.0]}, {"dy_px": "a", "dx_px": "b"}]
)
def test_a_card_without_a_drift_has_none(drift: object) -> None:
    assert drift_of(xr.Dataset(coords={"time": TIME}, attrs={"drift": drift})) is None


@pytest.mark.parametrize("style", [PAGE, SMALL])
def test_style(style: object) -> None:
    columns = {name: ("time", np.linspace(0, 1, 3)) for name in ("dy", "dx", "std", "quality")}
    figure = plot_drift(xr.Dataset(columns, coords={"time": TIME}), style=style)
    assert figure.get_figwidth() == style.width
    assert figure.axes[0].title.get_fontsize() == style.text
