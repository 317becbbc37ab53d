"""Growth laws on curves whose parameters are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import minimize
from scipy.stats import f as fisher

import bravaismap as bm
from bravaismap.errors import InputError, UndeterminedError
from bravaismap.kinetics.curve import frame_scatter
from bravaismap.kinetics.growth import LAWS, Growth, best_law, compare_laws, fit_growth, refusal
from bravaismap.kinetics.laws import growth_law

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
    inside, repeats = np.zeros((3, 2)), 150
    for seed in range(repeats):
        found = fit_growth(paper_curve(0.004, seed=seed), baseline=(0, 100))["interval"].values
        true = np.array(list(PAPER.values()))[:, None]
        inside += (found[..., 0] <= true) & (true <= found[..., 1])
    assert (np.abs(inside[:, 0] / repeats - 0.6827) < 0.11).all(), inside  # 3 σ of the count
    assert (np.abs(inside[:, 1] / repeats - 0.9545) < 0.05).all(), inside


def test_an_interval_ends_where_minimisation_over_the_rest_says() -> None:
    data = paper_curve(0.004, seed=3)
    growth = fit_growth(data)
    scatter = frame_scatter(data.values)

    def least(rho: float) -> float:
        columns = np.column_stack([np.exp(rho * (TIME - 200)), np.ones(90)])
        return float(np.linalg.lstsq(columns, data.values, rcond=None)[1][0]) / scatter**2

    best = least(float(growth["value"].sel(parameter="rho")))
    for level, ends in zip((0.6827, 0.9545), growth["interval"].sel(parameter="rho").values, strict=True):
        for end in ends:
            assert fisher.cdf((least(end) / best - 1) * 87, 1, 87) == pytest.approx(level, abs=2e-3)


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
    time = np.arange(30.0)
    for falling in (1 - 1e-4 * np.expm1(time / 4), 1 - time / 60):
        for law in LAWS:
            with pytest.raises(InputError, match="the fraction falls where growth was to be fitted"):
                fit_growth(xr.DataArray(falling, dims="time", coords={"time": time}), law=law)
    with pytest.raises(InputError, match="expected at least 5"):
        fit_growth(paper_curve(), baseline=(0, 198))
    with pytest.raises(InputError, match="0 frames in the baseline"):
        fit_growth(paper_curve(), baseline=(-10, 0))
    with pytest.raises(
        InputError, match="no growth law is called 'expo'; the laws are exponential, linear, power, logistic, avrami"
    ):
        fit_growth(paper_curve(), law="expo")
    with pytest.raises(InputError, match=r"expected \(time,\)"):
        fit_growth(xr.DataArray(np.ones((90, 6)), dims=("time", "lattice")))
    with pytest.raises(InputError, match="for 90 frames"):
        fit_growth(paper_curve(), std=xr.DataArray(np.ones(3), dims="time"))


def test_a_part_of_a_fit_prints_as_a_dataset() -> None:
    growth = fit_growth(paper_curve(), baseline=(0, 100))
    assert isinstance(growth, Growth)
    assert repr(growth[["curve"]]).startswith("<xarray")
    assert set(LAWS) == {"exponential", "linear", "power", "logistic", "avrami"}


#: Parameters in the order of the law, with and without an onset.
TRUTH = {
    ("linear", False): (0.001, 0.05),
    ("linear", True): (0.003, 90.0, 0.05),
    ("power", False): (1e-6, 2.3, 0.05),
    ("power", True): (2e-4, 1.5, 60.0, 0.05),
    ("exponential", True): (0.02, 0.03, 100.0, 0.05),
    ("logistic", False): (0.4, 0.08, 120.0, 0.05),
    ("logistic", True): (0.4, 0.08, 120.0, 90.0, 0.05),
    ("avrami", False): (0.4, 0.01, 2.5, 0.03),
    ("avrami", True): (0.4, 0.015, 2.0, 60.0, 0.03),
}


def grown(law: str, onset: bool, time: np.ndarray) -> np.ndarray:
    """Return a curve, written out law by law."""
    a, *others, c = TRUTH[law, onset]
    t0 = others.pop() if onset else 0.0
    late = np.maximum(time - t0, 0.0)
    if law == "linear":
        return a * late + c
    if law == "power":
        return a * late ** others[0] + c
    if law == "avrami":
        return a * (1 - np.exp(-((others[0] * late) ** others[1]))) + c
    if law == "exponential":
        return a * (np.exp(others[0] * late) - 1) + c

    def sigmoid(t: np.ndarray | float) -> np.ndarray:
        return 1 / (1 + np.exp(-others[0] * (np.asarray(t) - others[1])))

    return a * ((sigmoid(time) - sigmoid(t0)) / (1 - sigmoid(t0)) * (time > t0) if onset else sigmoid(time)) + c


@pytest.mark.parametrize(("law", "onset"), TRUTH)
def test_every_law_is_recovered(law: str, onset: bool) -> None:
    noisy = curve(grown(law, onset, TIME) + np.random.default_rng(1).normal(0, 0.003, 90))
    growth = fit_growth(noisy, law=law, onset=onset)
    wide = growth["interval"].isel(level=1).values
    true = np.array(TRUTH[law, onset])
    middle, half = wide.mean(axis=1), np.ptp(wide, axis=1) / 2
    assert (np.abs(true - middle) < 1.6 * half).all(), growth
    assert float(np.abs(growth["curve"] - grown(law, onset, TIME)).max()) < 0.006
    rising = grown(law, onset, np.array([TIME[-1] - 1e-3, TIME[-1] + 1e-3]))
    rate, error = growth.attrs["final_rate"], growth.attrs["final_rate_relative_std"]
    assert rate == pytest.approx(np.diff(rising)[0] / 2e-3, rel=5 * error)
    assert growth.attrs["onset"] == ("fitted" if onset else "none")


@pytest.mark.parametrize("law", [law for law, onset in TRUTH if onset and law != "exponential"])
def test_the_law_that_made_a_curve_is_not_excluded_by_the_criterion(law: str) -> None:
    noisy = curve(grown(law, True, TIME) + np.random.default_rng(2).normal(0, 0.003, 90))
    table = compare_laws(noisy)
    assert float(table["difference"].sel(law=f"{law} with onset")) < 6
    assert float(table["difference"].sel(law="linear")) > 20
    assert float(table["weight"].sum()) == pytest.approx(1)
    order = table["aicc"].values[np.isfinite(table["aicc"].values)]
    assert (np.diff(order) >= 0).all()


def test_the_papers_curve_is_exponential_by_the_criterion() -> None:
    table = compare_laws(paper_curve(0.004, seed=1), baseline=(0, 100))
    assert str(table["law"].values[0]) == "exponential"
    assert best_law(table) == ("exponential", False)
    assert best_law(table.sel(law=["linear with onset", "linear"])) == ("linear", True)
    assert float(table["difference"].sel(law="linear")) > 30
    assert "does not come near an end" in str(table["refused"].sel(law="avrami").values)


def test_why_a_law_is_refused_is_said_in_a_few_words() -> None:
    time = np.arange(40.0)
    dip = 0.1 - 0.05 * np.exp(-(((time - 20) / 8) ** 2)) + 0.003 * np.random.default_rng(0).normal(size=40)
    table = compare_laws(curve(dip))
    short = {str(name): refusal(table.sel(law=name)) for name in table["law"].values}
    assert short["linear with onset"] == ""
    assert short["linear"] == "curve falls"
    assert short["power"] == "k not determined"
    assert short["exponential"] == "ρ not determined"
    with pytest.raises(UndeterminedError, match="rho is not determined") as refused:
        fit_growth(curve(dip))
    assert refused.value.parameter == "rho"


def test_the_criterion_is_that_of_the_residuals() -> None:
    data = curve(grown("linear", False, TIME) + np.random.default_rng(3).normal(0, 0.003, 90))
    squares = float(np.polyfit(TIME, data.values, 1, full=True)[1][0]) / frame_scatter(data.values) ** 2
    expected = 90 * np.log(squares / 90) + 6 + 2 * 3 * 4 / 86
    assert fit_growth(data, law="linear").attrs["aicc"] == pytest.approx(expected, rel=1e-6)


def test_bootstrap_agrees_with_the_covariance_where_the_noise_is_white() -> None:
    growth = fit_growth(paper_curve(0.004, seed=8), baseline=(0, 100), bootstrap=400)
    ratio = growth["bootstrap"].std("draw") / growth["std"]
    assert (ratio.sel(parameter=["rho", "C"]) > 0.6).all()
    assert (ratio.sel(parameter=["rho", "C"]) < 1.6).all()
    bounds = growth["bootstrap_interval"].sel(parameter="rho").values
    assert bounds[1, 0] < bounds[0, 0] < float(growth["value"].sel(parameter="rho")) < bounds[0, 1] < bounds[1, 1]
    again = fit_growth(paper_curve(0.004, seed=8), baseline=(0, 100), bootstrap=400)
    np.testing.assert_array_equal(growth["bootstrap"], again["bootstrap"])
    with pytest.raises(InputError, match="bootstrap of 5 draws"):
        fit_growth(paper_curve(), bootstrap=5)


def test_residuals_that_follow_each_other_are_reported() -> None:
    rng = np.random.default_rng(0)
    slow = np.convolve(rng.normal(0, 0.004, 99), np.ones(10) / np.sqrt(10), "valid")
    assert fit_growth(curve(0.001 * TIME + slow), law="linear").attrs["residual_autocorrelation"] > 0.5
    white = curve(0.001 * TIME + rng.normal(0, 0.004, 90))
    assert abs(fit_growth(white, law="linear").attrs["residual_autocorrelation"]) < 0.3


def test_saturation_that_is_not_reached_is_refused() -> None:
    with pytest.raises(InputError, match=r"A of the law 'avrami' is not determined: the curve does not come near"):
        fit_growth(paper_curve(), law="avrami")
    assert growth_law("power").parameters == ("k", "n", "C")


def test_the_curve_is_drawn_between_the_frames() -> None:
    from bravaismap.show.growth import plot_growth

    time = np.arange(0.0, 60.0, 4.0)
    true = 0.001 * np.exp(0.1 * time) + 0.02
    values = true + np.random.default_rng(4).normal(0, 1e-3, len(time))
    growth = fit_growth(xr.DataArray(values, {"time": time}, ("time",)))
    lines = [line.get_data() for line in plot_growth(growth).axes[0].lines]
    drawn, curve = (np.asarray(part, float) for part in max(lines, key=lambda line: len(line[0])))
    assert len(drawn) > 10 * len(time)
    np.testing.assert_allclose(curve[np.isin(drawn, time)], growth["curve"], rtol=1e-9)
    a, rate, constant = growth["value"].values
    np.testing.assert_allclose(curve, a * np.exp(rate * drawn) + constant, rtol=1e-9)
