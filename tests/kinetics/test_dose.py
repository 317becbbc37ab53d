"""Dose and areas against numbers worked out by hand, and a fit over dose against the same over time."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from bravaismap.errors import InputError
from bravaismap.kinetics.dose import dose_rate, fraction_curve, frame_area, over_dose, physical_growth, title_of
from bravaismap.kinetics.growth import fit_growth

TIME = np.arange(90) * 2.25


def paper(noise: float = 0.002, unit: str = "s") -> xr.DataArray:
    values = 1.85e-5 * np.exp(0.0417 * TIME) + 0.059 + np.random.default_rng(0).normal(0, noise, 90)
    return xr.DataArray(values, {"time": ("time", TIME, {"units": unit})}, ("time",))


def test_dose_rate_of_a_current_over_a_frame() -> None:
    # 10 pA are 6.2415e7 electrons per second; 100 nm² are 1e4 Å²
    assert dose_rate(10, 100) == pytest.approx(6241.5, rel=1e-4)
    with pytest.raises(InputError, match="beam current of 0 pA"):
        dose_rate(0, 100)


def test_area_of_a_frame() -> None:
    card = {"frame_size": [512, 256], "pixel_size_nm": 0.1}
    assert frame_area(card) == pytest.approx(1310.72)
    assert frame_area(card, 0.2) == pytest.approx(4 * 1310.72)
    with pytest.raises(InputError, match="give it in nm with --pixel-size"):
        frame_area({"frame_size": [512, 256], "pixel_size_nm": None})
    with pytest.raises(InputError, match="pixel size of -1 nm"):
        frame_area(card, -1)


def test_the_deviation_of_areas_does_not_weigh_frames_and_that_of_mean_probabilities_does() -> None:
    values = paper(0.001).expand_dims(lattice=["none"]).transpose("time", "lattice")
    result = xr.Dataset({"area_fraction": values, "area_fraction_std": 0.3 * values})
    growth = fit_growth(result, baseline=(0, 100))
    xr.testing.assert_identical(growth["value"], fit_growth(values.sel(lattice="none"), baseline=(0, 100))["value"])
    windows = result.rename(area_fraction="fraction", area_fraction_std="fraction_std")
    curve = fraction_curve(windows, "none")
    assert curve.weighing_std is curve.std
    assert fraction_curve(result, "none").weighing_std is None


def test_a_fit_over_dose_is_that_over_time() -> None:
    slow, dosed = fit_growth(paper()), fit_growth(over_dose(paper(), 250.0))
    ratio = dosed["value"] / slow["value"]
    np.testing.assert_allclose(ratio, [1, 1 / 250, 1], rtol=1e-5)
    assert str(dosed["unit"].sel(parameter="rho").values) == "1/(e⁻/Å²)"
    with pytest.raises(InputError, match="time is in frame"):
        over_dose(paper(unit="frame"), 250.0)
    with pytest.raises(InputError, match="dose rate of 0"):
        over_dose(paper(), 0.0)


def test_the_papers_quantities_in_nm() -> None:
    growth = fit_growth(paper(), baseline=(0, 100))
    found = physical_growth(growth, 216.0, voids=2)
    value = {str(name): float(v) for name, v in zip(found["quantity"].values, found["value"].values, strict=True)}
    assert value["minimum_hole_size"] == pytest.approx(0.0040, rel=0.3)
    assert value["sputtering_rate"] == pytest.approx(9.0, rel=0.05)  # nm²/s
    assert value["baseline_area"] == pytest.approx(12.7, rel=0.02)
    grown = 216 * 1.85e-5 * np.exp(0.0417 * TIME[-1])
    assert value["final_area"] == pytest.approx(grown, rel=0.05)
    assert value["final_rate"] == pytest.approx(grown * 0.0417, rel=0.08)
    assert value["final_rate_per_void"] == pytest.approx(value["final_rate"] / 2)
    assert [title_of(n) for n in ("final_area", "final_rate")] == ["final area above C", "final rate"]
    low, high = found["interval"].sel(quantity="final_rate").isel(level=1).values
    assert low < grown * 0.0417 < high
    ends = growth["interval"].sel(parameter="rho").values
    np.testing.assert_allclose(found["interval"].sel(quantity="sputtering_rate"), 216 * ends)
    assert str(found["unit"].sel(quantity="sputtering_rate").values) == "nm²/s"
    with pytest.raises(InputError, match="number of voids of 0"):
        physical_growth(growth, 216.0, voids=0)


def test_only_an_exponential_has_a_smallest_hole() -> None:
    straight = paper().copy(data=0.05 + 1e-3 * TIME + np.random.default_rng(1).normal(0, 1e-3, 90))
    found = physical_growth(fit_growth(straight, law="linear"), 100.0)
    assert set(found["quantity"].values) == {"baseline_area", "final_area", "final_rate"}
    assert float(found["value"].sel(quantity="final_rate")) == pytest.approx(0.1, rel=0.02)


def test_a_fraction_over_time_and_over_dose() -> None:
    values = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4]])
    result = xr.Dataset(
        {"fraction": (("time", "lattice"), values), "fraction_std": (("time", "lattice"), 0.1 * values)},
        coords={"time": ("time", [0.0, 1.0, 2.0], {"units": "frame"}), "lattice": ["hexagonal", "none"]},
    )
    curve = fraction_curve(result, "none")
    np.testing.assert_array_equal(curve.fraction, values[:, 1])
    np.testing.assert_array_equal(curve.std, 0.1 * values[:, 1])
    assert curve.interval(1.0, 2.0) == (1.0, 2.0)
    dosed = fraction_curve(result, "none", frame_time=2.0, rate=50.0)
    np.testing.assert_array_equal(dosed.fraction["time"], [0.0, 100.0, 200.0])
    assert dosed.interval(1.0, 2.0) == (50.0, 100.0)
    with pytest.raises(InputError, match=r"no class of the result is called 'hexagnal'.*hexagonal"):
        fraction_curve(result, "hexagnal")
    with pytest.raises(InputError, match="time is in frame"):
        fraction_curve(result, "none", rate=50.0)
    with pytest.raises(InputError, match="time in s already"):
        fraction_curve(result.assign_coords(time=("time", np.arange(3.0), {"units": "s"})), "none", frame_time=2.0)
