"""What makes a fitted growth law no result."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bravaismap.kinetics.dose import physical_growth
from bravaismap.kinetics.doubt import SMALLEST_ATOM_AREA, growth_doubts
from bravaismap.kinetics.growth import compare_laws, fit_growth


def curve(values: np.ndarray) -> xr.DataArray:
    noise = np.random.default_rng(1).normal(0, 0.002, values.size)
    return xr.DataArray(values + noise, dims="time", coords={"time": ("time", np.arange(values.size), {"units": "s"})})


@pytest.mark.parametrize(("onset", "weight", "beaten"), [("none", 0.001, True), ("fitted", 0.1, False)])
def test_a_law_that_another_one_beats_is_no_result(onset: str, weight: float, beaten: bool) -> None:
    names = ["logistic", "linear with onset", "linear"]
    laws = xr.Dataset({"weight": ("law", [0.899, 0.1, 0.001])}, coords={"law": names})
    growth = xr.Dataset(attrs={"law": "linear", "onset": onset})
    doubts = growth_doubts(growth, None, laws)
    assert len(doubts) == beaten
    for doubt in doubts:
        assert f"the law linear does not describe this curve: its AICc weight is {weight:.2f}" in doubt
        assert "that of logistic is 0.90; its parameters are no result" in doubt
    assert growth_doubts(growth, None, None) == []


def test_the_exponential_of_a_curve_that_ends_is_no_result() -> None:
    time = np.arange(60.0)
    fraction = curve(0.4 / (1 + np.exp(-(time - 30) / 4)) + 0.02)
    laws = compare_laws(fraction, laws=("exponential", "logistic"))
    (doubt,) = growth_doubts(xr.Dataset(attrs={"law": "exponential", "onset": "none"}), None, laws)
    assert "the law exponential does not describe this curve: its AICc weight is 0.00" in doubt


@pytest.mark.parametrize(("area", "small"), [(216.0, True), (20_000.0, False)])
def test_a_hole_smaller_than_an_atom_is_no_hole(area: float, small: bool) -> None:
    time = np.arange(90) * 2.25
    fraction = curve(1.85e-5 * np.exp(0.0417 * time) + 0.059).assign_coords(time=("time", time, {"units": "s"}))
    growth = fit_growth(fraction)
    size = float(growth["value"].sel(parameter="A0")) * area
    assert (size < SMALLEST_ATOM_AREA) == small
    doubts = growth_doubts(growth, physical_growth(growth, area), None)
    assert len(doubts) == small
    assert all("smaller than one atom (0.026 nm² or more)" in doubt for doubt in doubts)


def test_an_atom_of_graphene_is_the_smallest() -> None:
    assert pytest.approx(np.sqrt(3) * 0.246**2 / 4, rel=0.01) == SMALLEST_ATOM_AREA


def test_a_hole_that_may_be_an_atom_is_not_doubted() -> None:
    """What is printed differs from an atom, and an interval that reaches one is no reason to doubt."""

    def physical(size: float, low: float, high: float) -> xr.Dataset:
        ends = [[[low, high], [0.0, 1.0]]]
        return xr.Dataset(
            {"value": ("quantity", [size]), "interval": (("quantity", "level", "bound"), ends)},
            coords={"quantity": ["minimum_hole_size"]},
        )

    growth = xr.Dataset(attrs={"law": "exponential", "onset": "none"})
    assert growth_doubts(growth, physical(0.0259, 0.02, 0.03), None) == []
    (doubt,) = growth_doubts(growth, physical(0.0259, 0.0258, 0.026), None)
    assert "a hole of 0.0259 nm² (68 %: 0.0258 to 0.026) is smaller than one atom (0.0262 nm² or more)" in doubt
