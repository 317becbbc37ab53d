"""Fractions at another distortion, and the law fitted to one of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.result.phase_map import PhaseMap
from bravaismap.viewer.fraction_curves import Curves, fit_of
from bravaismap.viewer.result_source import HeldResult


def test_curves_are_classified_anew_in_the_background(result: PhaseMap, until: Callable[..., None]) -> None:
    source = HeldResult(result)
    curves = Curves(source)
    np.testing.assert_array_equal(curves.values()[0], result["area_fraction"].values)
    curves.change(0.004)
    until(lambda: curves.left() == 0)
    expected = bm.reclassify(result, 0.004)
    np.testing.assert_array_equal(curves.values()[0], expected["fraction"].values)
    np.testing.assert_array_equal(curves.values()[1], expected["fraction_std"].values)
    curves.change(result.attrs["distortion"])
    assert curves.left() == 0
    np.testing.assert_array_equal(curves.dataset()["area_fraction"].values, result["area_fraction"].values)
    curves.close()


def curve(values: np.ndarray) -> xr.Dataset:
    time = ("time", np.arange(len(values)) * 2.0, {"units": "s"})
    both = np.stack([1 - values, values], axis=1)
    return xr.Dataset(
        {"fraction": (("time", "lattice"), both), "fraction_std": (("time", "lattice"), np.full_like(both, 0.01))},
        coords={"time": time, "lattice": ["hexagonal", "none"]},
    )


def test_a_fit_says_its_parameters() -> None:
    noise = np.random.default_rng(1).normal(0, 0.003, 40)
    fit = fit_of(curve(0.02 * np.exp(0.025 * np.arange(40) * 2.0) + noise), "none", "exponential")
    assert fit.text.startswith("mean probability of none = A₀ exp(ρ t) + C: A₀ = ")
    rate = float(fit.growth["value"].sel(parameter="rho"))
    assert rate == pytest.approx(0.025, rel=0.1)
    assert f"ρ = {rate:.3g} (" in fit.text
    assert "1/s" in fit.text
    assert len(fit.curve) == 40


@pytest.mark.parametrize(
    ("baseline", "said"), [("", "rho is not determined"), ("x", "expected t0:t1"), ("0:1", "expected at least 2")]
)
def test_a_refused_fit_says_why(baseline: str, said: str) -> None:
    flat = 0.1 + np.random.default_rng(0).normal(0, 0.01, 20)
    fit = fit_of(curve(flat), "none", "exponential", baseline)
    assert fit.text.startswith("none: no fit: ")
    assert said in fit.text
    assert fit.growth is None
    assert not len(fit.curve)
