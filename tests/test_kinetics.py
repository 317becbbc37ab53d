"""Growth laws on curves whose parameters are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import minimize

import bravaismap as bm
from bravaismap.errors import InputError
from bravaismap.kinetics import LAWS, Growth, fit_growth, frame_scatter

TIME = np.arange(90) * 2.25
PAPER = {"A0": 1.85e-5, "rho": 0.0417, "C": 0.059}


def curve(values: np.ndarray, unit: str = "s") -> xr.DataArray:
    """Return a fraction over the paper's times."""
    return xr.DataArray(values, {"time": ("time", TIME[: len(values)], {"units": unit})}, ("time",))


def paper_curve(noise: float = 0.003, seed: int = 0, A0: float = 1.85e-5, rho: float = 0.0417) -> xr.DataArray:
    """Return the paper's curve with white noise."""
    return curve(A0 * np.exp(rho * TIME) + 0.059 + np.random.default_rng(seed).normal(0, noise, 90))


@pytest.mark.filterwarnings("ignore:intervals from the covariance")
def test_the_papers_curve_without_noise_is_recovered() -> None:
    for baseline in ((0.0, 100.0), None):
        growth = bm.fit_growth(paper_curve(0.0), baseline=baseline)
        for name, true in PAPER.items():
            assert float(growth["value"].sel(parameter=name)) == pytest.approx(true, rel=1e-3)
        np.testing.assert_allclose(growth["curve"], growth["fraction"], atol=1e-5)


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    inside = np.zeros((3, 2))
    for seed in range(24):
        found = fit_growth(paper_curve(seed=seed), baseline=(0, 100))["interval"].values
        true = np.array(list(PAPER.values()))[:, None]
        inside += (found[..., 0] <= true) & (true <= found[..., 1])
    assert (np.abs(inside[:, 0] / 24 - 0.68) < 0.25).all(), inside
    assert (inside[:, 1] >= 20).all(), inside


def test_amplitude_and_rate_are_what_direct_minimisation_finds() -> None:
    data = paper_curve(seed=3)
    growth = fit_growth(data, baseline=(0, 100))
    late = data["time"].values >= 100
    y, early = data.values[late], data.values[~late]

    def misfit(p: np.ndarray) -> float:
        growing = np.exp(p[0] + p[1] * (TIME - 200))
        error = early.std(ddof=1) / np.sqrt(early.size)
        # σ from frame to frame, as the fit weighs the frames
        scatter = frame_scatter(data.values)
        return float(
            (((y - growing[late] - p[2]) / scatter) ** 2).sum()
            + ((early.mean() - p[2] - growing[~late].mean()) / error) ** 2
        )

    best = minimize(misfit, [np.log(0.08), 0.04, 0.06], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-9})
    assert float(growth["value"].sel(parameter="rho")) == pytest.approx(best.x[1], rel=1e-3)
    assert float(growth["value"].sel(parameter="A0")) == pytest.approx(np.exp(best.x[0] - 200 * best.x[1]), rel=1e-2)


def test_amplitude_and_rate_correlate_as_the_method_says() -> None:
    growth = fit_growth(paper_curve(seed=1), baseline=(0, 100))
    correlation = growth["correlation"].sel(parameter="A0", other="rho")
    assert float(correlation) < -0.99
    assert growth.attrs["interval_method"] == "profile likelihood"
    low, high = growth["interval"].sel(parameter="A0").isel(level=0).values
    value = float(growth["value"].sel(parameter="A0"))
    assert low < value < high
    assert high - value > value - low  # skewed, as a logarithm's is


def test_unit_of_time_and_scale_of_the_fraction_carry_over() -> None:
    data = paper_curve(seed=2)
    slow = data.assign_coords(time=("time", TIME * 1000, {"units": "ms"}))
    one, other = fit_growth(data, baseline=(0, 100)), fit_growth(slow * 100, baseline=(0, 1e5))
    ratio = other["value"] / one["value"]
    np.testing.assert_allclose(ratio, [100, 1e-3, 100], rtol=1e-4)
    assert str(other["unit"].sel(parameter="rho").values) == "1/ms"
    assert "1/ms" in repr(other)
    assert repr(one).startswith("A0 exp(rho t) + C, t in s\n  A0 ")


def test_frames_of_larger_error_weigh_less() -> None:
    data = paper_curve(noise=0.001, seed=5)
    spoiled = data.copy()
    spoiled[60:66] += 0.05
    std = xr.full_like(data, 0.001)
    std[60:66] = 0.5
    rates = [float(fit_growth(spoiled, baseline=(0, 100), std=s)["value"].sel(parameter="rho")) for s in (None, std)]
    assert abs(rates[1] - PAPER["rho"]) < 0.002 < abs(rates[0] - PAPER["rho"])


def test_a_frame_of_no_stated_error_does_not_outweigh_the_others() -> None:
    values = 0.2 * np.exp(0.05 * (TIME - 200))
    values[values < 2e-3] = 0
    std = curve(np.sqrt(values * (1 - values) / 16) + 1e-16)
    growth = fit_growth(curve(values), baseline=(0, 100), std=std)
    assert float(growth["value"].sel(parameter="rho")) == pytest.approx(0.05, rel=0.1)
    assert float(growth["sigma"].max() / growth["sigma"].min()) < 50


def test_frames_that_are_not_mapped_are_left_out() -> None:
    data = paper_curve(seed=4)
    holed = data.copy()
    holed[50] = np.nan
    growth = fit_growth(holed, baseline=(0, 100))
    assert growth.sizes["time"] == 89
    rate = fit_growth(data, baseline=(0, 100))["value"].sel(parameter="rho")
    assert float(growth["value"].sel(parameter="rho")) == pytest.approx(float(rate), rel=0.05)


def test_scatter_is_that_of_the_noise_and_not_of_the_growth() -> None:
    noisy = paper_curve(noise=0.003, seed=6).values
    assert frame_scatter(noisy) == pytest.approx(0.003, rel=0.4)
    assert frame_scatter(paper_curve(noise=0.0).values) < 1e-4


def test_what_is_not_determined_is_refused() -> None:
    for seed in range(10):
        flat = curve(0.059 + np.random.default_rng(seed).normal(0, 0.003, 90))
        with pytest.raises(InputError, match=r"rho is not determined: the fraction never leaves its baseline|falls"):
            fit_growth(flat, baseline=(0, 100))
    with pytest.raises(InputError, match="expected at least 5"):
        fit_growth(paper_curve(), baseline=(0, 198))
    with pytest.raises(InputError, match="0 frames lie in the baseline"):
        fit_growth(paper_curve(), baseline=(-10, 0))
    with pytest.raises(InputError, match="no growth law is called 'expo'; the nearest names are exponential"):
        fit_growth(paper_curve(), law="expo")
    with pytest.raises(InputError, match=r"expected \(time,\)"):
        fit_growth(xr.DataArray(np.ones((90, 6)), dims=("time", "lattice")))
    with pytest.raises(InputError, match="for 90 frames"):
        fit_growth(paper_curve(), std=xr.DataArray(np.ones(3), dims="time"))


def test_a_part_of_a_fit_prints_as_a_dataset() -> None:
    growth = fit_growth(paper_curve(), baseline=(0, 100))
    assert isinstance(growth, Growth)
    assert repr(growth[["curve"]]).startswith("<xarray")
    assert set(LAWS) == {"exponential"}
