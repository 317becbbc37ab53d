"""Shares: the area where there is one, else the mean probability, and the same number wherever it is shown."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError
from bravaismap.export.tables import export_csv
from bravaismap.kinetics.dose import fraction_curve
from bravaismap.kinetics.growth import fit_growth
from bravaismap.result.phase_map import phase_table
from bravaismap.result.shares import AREA, MEAN_PROBABILITY, class_shares, mean_probabilities

FRAMES = 40


@pytest.fixture
def result() -> xr.Dataset:
    """A film whose area of none grows at 0.1 per frame, and its mean probability twice as fast."""
    time, rng = np.arange(FRAMES, dtype=float), np.random.default_rng(0)
    variables = {}
    for name, rate in (("area_fraction", 0.1), ("fraction", 0.2)):
        none = 0.005 * np.exp(rate * time * 0.9) / np.exp(rate * 0.9 * 20) + rng.normal(0, 2e-5, FRAMES) + 0.01
        shares = np.zeros((FRAMES, len(CLASSES)))
        shares[:, 3], shares[:, 5] = 1 - none, none
        variables[name] = (("time", "lattice"), shares)
        variables[f"{name}_std"] = (("time", "lattice"), np.full_like(shares, 1e-4))
    coords = {"time": ("time", time, {"units": "frame"}), "lattice": list(CLASSES)}
    return xr.Dataset(variables, coords)


def without_areas(result: xr.Dataset) -> xr.Dataset:
    return result.drop_vars(["area_fraction", "area_fraction_std"])


def test_area_comes_first(result: xr.Dataset) -> None:
    shares, means = class_shares(result), mean_probabilities(result)
    assert means is not None
    assert (shares.quantity, means.quantity) == (AREA, MEAN_PROBABILITY)
    xr.testing.assert_identical(shares.fraction, result["area_fraction"])
    xr.testing.assert_identical(shares.std, result["area_fraction_std"])
    xr.testing.assert_identical(means.fraction, result["fraction"])
    assert class_shares(result, MEAN_PROBABILITY).quantity == MEAN_PROBABILITY


def test_without_areas_the_mean_probability_is_alone(result: xr.Dataset) -> None:
    shares = class_shares(without_areas(result))
    assert shares.quantity == MEAN_PROBABILITY
    xr.testing.assert_identical(shares.fraction, result["fraction"])
    assert mean_probabilities(without_areas(result)) is None
    with pytest.raises(InputError, match="no area_fraction, area_fraction_std; map the movie again with its pixels"):
        class_shares(without_areas(result), AREA)


def test_table_file_and_fit_show_the_same_number(result: xr.Dataset, tmp_path: Path) -> None:
    area, mean = (100 * float(result[name][-1, 5]) for name in ("area_fraction", "fraction"))
    lines = phase_table(result).splitlines()
    assert lines[0].split("  ")[-3:] == ["area, frame 0", "area, frame 39", "mean p, frame 39"]
    assert f"{area:.1f} ± 0.0 %" in lines[-1]
    assert lines[-1].endswith(f"{mean:.1f} ± 0.0 %")
    assert max(map(len, lines)) <= 80
    with export_csv(result, tmp_path)[0].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [column for column in rows[0] if column.startswith("none")] == [
        "none", "none_std", "none_mean_probability", "none_mean_probability_std",
    ]  # fmt: skip
    assert float(rows[-1]["none"]) == pytest.approx(area / 100)
    assert float(rows[-1]["none_mean_probability"]) == pytest.approx(mean / 100)
    curve = fraction_curve(result, "none")
    assert (curve.quantity, float(curve.fraction[-1])) == (AREA, pytest.approx(area / 100))
    curve = fraction_curve(result, "none", quantity=MEAN_PROBABILITY)
    assert (curve.quantity, float(curve.fraction[-1])) == (MEAN_PROBABILITY, pytest.approx(mean / 100))


def test_growth_of_a_result_is_that_of_the_area(result: xr.Dataset) -> None:
    growth = fit_growth(result)
    assert float(growth["value"].sel(parameter="rho")) == pytest.approx(0.09, rel=0.03)
    curve = result["area_fraction"].sel(lattice="none")
    xr.testing.assert_equal(growth, fit_growth(curve))  # frames count alike, whatever the areas' own errors
    of_windows = fit_growth(without_areas(result))
    assert float(of_windows["value"].sel(parameter="rho")) == pytest.approx(0.18, rel=0.03)
