"""The commands fit and beam, on results written here."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from PIL import Image

from bravaismap.conventions import CLASSES
from bravaismap.result.schema import FIXED_SIZES, cell_table
from bravaismap.result.store import ResultStore
from bravaismap.simulate.film import simulate_film

FRAMES = 90
Run = Callable[..., "object"]


def write_result(path: Path, none: np.ndarray, *, unit: str = "s", pixel_size: float | None = 0.0287) -> Path:
    """Write a result of one window whose fraction of `none` is given."""
    time = np.arange(len(none)) * (2.25 if unit == "s" else 1.0)
    coords = {
        "time": xr.DataArray(time, dims="time", attrs={"units": unit}),
        "y": xr.DataArray([31.5], dims="y", attrs={"units": "px"}),
        "x": xr.DataArray([31.5], dims="x", attrs={"units": "px"}),
        "lattice": xr.DataArray(list(CLASSES), dims="lattice"),
    }
    card = {"frame_size": [512, 512], "pixel_size_nm": pixel_size, "window": 64, "step": 16}
    ResultStore(path, coords, card)
    group = zarr.open_group(path, mode="r+")
    group["fraction"][:] = np.stack([0 * none, 0 * none, 0 * none, 1 - none, 0 * none, none], axis=1)
    group["fraction_std"][:] = 0.002
    group["label"][:] = 3
    group["frame_done"][:] = 1
    return path


@pytest.fixture(scope="module")
def decayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    time = np.arange(FRAMES) * 2.25
    noise = np.random.default_rng(4).normal(0, 0.004, FRAMES)
    path = tmp_path_factory.mktemp("decayed") / "film.zarr"
    return write_result(path, 1.85e-5 * np.exp(0.0417 * time) + 0.059 + noise)


@pytest.mark.parametrize("command", ["fit", "beam"])
def test_both_commands_have_help(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert done.code == 0
    assert f"bravaismap {command}" in done.out


def read_table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_fit_writes_what_it_prints(run: Run, decayed: Path, tmp_path: Path) -> None:
    done = run("fit", decayed, "--baseline", "0:100", "--bootstrap", 50, "-o", tmp_path)
    assert done.code == 0, done.err
    for part in ("A₀ exp(ρ t) + C, t in s", "minimum hole size", "sputtering rate", "nm²/s", "correlations", "ΔAICc"):
        assert part in done.out, part
    rows = read_table(tmp_path / "film_kinetics.csv")
    assert float(rows["rho"]["value"]) == pytest.approx(0.0417, rel=0.1)
    assert rows["rho"]["unit"] == "1/s"
    assert float(rows["rho"]["low_95"]) < float(rows["rho"]["low_68"]) < float(rows["rho"]["value"])
    assert rows["rho"]["bootstrap_low_68"]
    area = (512 * 0.0287) ** 2
    assert float(rows["sputtering_rate"]["value"]) == pytest.approx(area * float(rows["rho"]["value"]))
    told = json.loads((tmp_path / "film_kinetics.json").read_text("utf-8"))
    assert told["laws"]["exponential"]["difference"] == 0
    assert told["laws"]["avrami"]["aicc"] is None
    assert told["correlation"]["A0"]["rho"] < -0.99
    with (tmp_path / "film_growth.csv").open(newline="") as file:
        header, *frames = csv.reader(file)
    assert header == ["time_s", "fraction", "sigma", "curve", "residual"]
    values = np.array(frames, float)
    np.testing.assert_allclose(values[:, 1] - values[:, 3], values[:, 4], atol=1e-9)
    with Image.open(tmp_path / "film_growth.png") as image:
        assert image.size[0] > 500


def test_fit_over_dose_and_by_the_criterion(run: Run, decayed: Path, tmp_path: Path) -> None:
    done = run("fit", decayed, "--law", "auto", "--dose-rate", 100, "--baseline", "0:100", "-o", tmp_path)
    assert done.code == 0, done.err
    rows = read_table(tmp_path / "film_kinetics.csv")
    assert rows["rho"]["unit"] == "1/(e⁻/Å²)"
    assert float(rows["rho"]["value"]) == pytest.approx(4.17e-4, rel=0.1)
    by_current = run("fit", decayed, "--beam-current", 1.6021766 * 2.1591, "-o", tmp_path, "--baseline", "0:100")
    assert by_current.code == 0
    assert float(read_table(tmp_path / "film_kinetics.csv")["rho"]["value"]) == pytest.approx(
        0.0417 / (1e7 * 2.1591 / ((512 * 0.0287) ** 2 * 100)), rel=0.1
    )


def test_what_fit_refuses(run: Run, decayed: Path, tmp_path: Path) -> None:
    run("fit", decayed, "--law", "expo").refused("no growth law is called 'expo'", "exponential")
    run("fit", decayed, "--lattice", "hexa").refused("no class of the result", "hexagonal")
    run("fit", decayed, "--baseline", "5").refused("--baseline 5", "0:100")
    run("fit", decayed, "--baseline", "9:5").refused("earlier time first")
    run("fit", decayed, "--dose-rate", 1, "--beam-current", 1).refused("both given")
    run("fit", decayed, "--frame-time", 1).refused("in s already")
    flat = write_result(tmp_path / "flat.zarr", 0.06 + np.random.default_rng(0).normal(0, 0.004, 20))
    run("fit", flat).refused("rho is not determined")
    bare = write_result(tmp_path / "bare.zarr", np.linspace(0.05, 0.4, 20), unit="frame", pixel_size=None)
    run("fit", bare, "--law", "linear", "--voids", 1).refused("areas in nm² need the pixel size", "--pixel-size")
    run("fit", bare, "--law", "linear", "--dose-rate", 3).refused("time is in frame")


def test_calibration_given_afterwards(run: Run, tmp_path: Path) -> None:
    bare = write_result(
        tmp_path / "bare.zarr", np.linspace(0.05, 0.4, 40) + np.random.default_rng(0).normal(0, 0.002, 40),
        unit="frame", pixel_size=None,
    )  # fmt: skip
    done = run("fit", bare, "--law", "linear")
    assert done.code == 0, done.err
    assert "give it in nm with --pixel-size" in done.out
    done = run("fit", bare, "--law", "linear", "--frame-time", 2, "--pixel-size", 0.1)
    assert done.code == 0, done.err
    rows = read_table(tmp_path / "bare-phases" / "bare_kinetics.csv")
    assert float(rows["final_rate"]["value"]) == pytest.approx(0.35 / 39 / 2 * 51.2**2, rel=0.02)
    assert rows["k"]["unit"] == "1/s"


def test_thresholding_beside_the_fit(run: Run, tmp_path: Path) -> None:
    film = simulate_film(8, 160, seed=2)
    movie = tmp_path / "film.npy"
    np.save(movie, film["image"].values)
    store = write_result(tmp_path / "film.zarr", film["void_fraction"].values)
    options = ("fit", store, "--law", "linear", "--onset", "--movie", movie, "-o", tmp_path)
    run(*options).refused("holds no lattice parameters")
    group = zarr.open_group(store, mode="r+")
    sizes = {"time": 8, "y": 1, "x": 1, "lattice": 6} | FIXED_SIZES
    for name, variable in cell_table(("time", "y", "x"), "nm").items():
        values = np.full([sizes[dim] for dim in variable.dims], 11 * 0.0287, variable.dtype)
        about = {"dimension_names": variable.dims, "attributes": variable.attributes}
        group.create_array(name, data=values, chunks=(1, *values.shape[1:]), **about)
    done = run(*options)
    assert done.code == 0, done.err
    assert "the classifier's fraction differs by" in done.out
    assert "nm/px (from the result)" in done.err  # the file itself has no scale
    with (tmp_path / "film_growth.csv").open(newline="") as file:
        header, *frames = csv.reader(file)
    assert header[-1] == "thresholded"
    values = np.array(frames, float)
    assert abs(values[-1, -1] / values[-1, 1] - 1) < 0.2
    by_hand = run(*options, "--threshold", 10)
    assert "intensity below 10 (given)" in by_hand.out
    run(*options, "--threshold", 1000).refused("same share of every frame, 100.0 %", "below 1000", "between them")
    np.save(movie, film["image"].values[:3])
    run(*options).refused("the movie has 3 frames, the result 8")
    run("fit", store, "--threshold", 3).refused("without --movie")


def test_fit_of_an_image_is_refused(run: Run, tmp_path: Path) -> None:
    one = write_result(tmp_path / "one.zarr", np.array([0.2]))
    run("fit", one).refused("one.zarr", "a single image; growth needs a movie")


def test_a_hole_below_one_atom_is_said_to_be_none(run: Run, decayed: Path, tmp_path: Path) -> None:
    done = run("fit", decayed, "--baseline", "0:100", "-o", tmp_path)
    assert "doubt: a hole of 0.00" in done.out
    assert "smaller than one atom" in done.out


def test_fit_as_json(run: Run, decayed: Path, tmp_path: Path) -> None:
    done = run("fit", decayed, "--baseline", "0:100", "-o", tmp_path, "--json")
    answer = json.loads(done.out)
    assert answer["parameters"]["rho"]["value"] == pytest.approx(0.0417, rel=0.1)
    low, high = answer["parameters"]["rho"]["interval_68_95"][0]
    assert low < answer["parameters"]["rho"]["value"] < high
    assert sum(law["weight"] or 0 for law in answer["laws"].values()) == pytest.approx(1)
    assert sorted(Path(path).name for path in answer["files"]) == sorted(path.name for path in tmp_path.iterdir())
    quiet = run("fit", decayed, "--baseline", "0:100", "-o", tmp_path, "-q")
    assert "wrote" not in quiet.out
    assert "ρ" in quiet.out


@pytest.mark.parametrize("option", ["--dose", "--dose-rate"])
@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan"])
def test_doses_that_cannot_be(run: Run, option: str, value: str) -> None:
    run("beam", option, value).refused(option, "expected a positive number")
