"""The curve of a fraction: frames that are mapped, their σ, and the problem with and without a baseline."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bravaismap.errors import InputError
from bravaismap.kinetics.curve import Curve, curve_of, frame_scatter, growth_problem
from bravaismap.kinetics.laws import growth_law


def fraction(values: np.ndarray) -> xr.DataArray:
    return xr.DataArray(values, {"time": ("time", 2.0 * np.arange(len(values)), {"units": "s"})}, ("time",))


def test_scatter_is_that_of_white_noise_on_a_line() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 4000)
    assert frame_scatter(np.linspace(0, 1, 4000) + noise) == pytest.approx(0.01, rel=0.05)
    assert frame_scatter(np.zeros(2)) == 0.0


def test_unmapped_frames_are_left_out_and_errors_add_in_quadrature() -> None:
    values = 0.1 + np.random.default_rng(1).normal(0, 0.003, 40)
    values[7] = np.nan
    curve = curve_of(fraction(values), xr.DataArray(np.full(40, 0.02), dims="time"))
    assert len(curve.time) == 39
    assert 14.0 not in curve.time
    assert curve.sigma == pytest.approx(np.hypot(0.02, frame_scatter(values[np.isfinite(values)])))


def test_a_frame_without_error_does_not_outweigh_the_others() -> None:
    std = np.full(30, 0.05)
    std[3] = 0.0
    curve = curve_of(fraction(np.full(30, 0.2)), xr.DataArray(std, dims="time"))
    assert curve.sigma[3] == pytest.approx(0.1 * 0.05)


def test_the_baseline_is_one_datum_with_its_standard_error() -> None:
    values = np.random.default_rng(2).normal(0.1, 0.01, 50)
    problem = growth_problem(growth_law("exponential"), Curve(np.arange(50.0), values, np.full(50, 0.01)), (0, 20))
    assert problem.baseline is not None
    assert problem.baseline.mean == pytest.approx(values[:20].mean())
    assert problem.baseline.mean_std == pytest.approx(values[:20].std(ddof=1) / np.sqrt(20))
    assert problem.count == 31
    assert problem.pivot == 49.0


def test_too_few_frames_are_refused() -> None:
    curve = Curve(np.arange(9.0), np.linspace(0, 1, 9), np.full(9, 0.1))
    with pytest.raises(InputError, match="1 frame in the baseline"):
        growth_problem(growth_law("linear"), curve, (0, 1))
    with pytest.raises(InputError, match="left after the baseline"):
        growth_problem(growth_law("linear"), curve, (0, 6))
