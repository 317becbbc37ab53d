"""The figure of a growth law: its legend names the law in words."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bravaismap.kinetics.growth import fit_growth
from bravaismap.kinetics.laws import LAWS, printed
from bravaismap.show.growth import plot_growth
from bravaismap.show.style import SMALL


@pytest.mark.parametrize(("law", "words"), [("linear", "linear growth"), ("power", "power law")])
def test_law_in_words(law: str, words: str) -> None:
    time = np.arange(1.0, 30.0)
    noise = 0.002 * np.random.default_rng(0).normal(size=time.size)
    values = xr.DataArray(0.01 * time + noise, dims="time", coords={"time": ("time", time, {"units": "s"})})
    figure = plot_growth(fit_growth(values, law=law))
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert any(text.startswith(f"{words}: {printed(LAWS[law].formula)}") for text in texts)


def test_legend_begins_with_what_was_measured() -> None:
    time = np.arange(40.0)
    curve = 0.05 + 0.002 * np.exp(0.12 * time) + 0.001 * np.random.default_rng(2).normal(size=time.size)
    values = xr.DataArray(curve, dims="time", coords={"time": ("time", time, {"units": "s"})})
    figure = plot_growth(fit_growth(values, baseline=(0, 5)), {"thresholded": values})
    texts = [text.get_text().split(":")[0] for text in figure.axes[0].get_legend().get_texts()]
    assert texts == ["fraction ± σ of the fit", "exponential growth", "baseline", "thresholded"]


def test_small_figure_has_small_text() -> None:
    time = np.arange(1.0, 30.0)
    noise = 0.002 * np.random.default_rng(0).normal(size=time.size)
    values = xr.DataArray(0.01 * time + noise, dims="time", coords={"time": ("time", time, {"units": "s"})})
    figure = plot_growth(fit_growth(values, law="linear"), style=SMALL)
    assert figure.get_figwidth() == SMALL.width
    assert {text.get_fontsize() for text in figure.axes[0].get_legend().get_texts()} == {SMALL.legend_text}


@pytest.mark.parametrize(("name", "axis"), [("area_fraction", "area (share of the frame)"), (None, "fraction")])
def test_the_axis_names_what_grows(name: str | None, axis: str) -> None:
    time = np.arange(1.0, 30.0)
    noise = 0.002 * np.random.default_rng(0).normal(size=time.size)
    values = xr.DataArray(0.01 * time + noise, dims="time", coords={"time": ("time", time)}, name=name)
    assert plot_growth(fit_growth(values, law="linear")).axes[0].get_ylabel() == axis
