"""Areas on the command line: from a movie of a crystal with a void to its table, figures and file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bravaismap as bm
from bravaismap.lattice.basis import basis_from_cell

Run = Callable[..., "object"]


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory, crystal: Callable[..., np.ndarray]) -> Path:
    """Write two frames of 128 px of a square lattice; the second has a void of a radius of 32 px."""
    path = tmp_path_factory.mktemp("void") / "void.npy"
    image = crystal((128, 128), basis_from_cell(9.0, 9.0, np.pi / 2, 0.2), 1.6)
    y, x = np.mgrid[:128, :128]
    frames = np.stack([image, image * (np.hypot(y - 64, x - 60) > 32)])
    np.save(path, np.random.default_rng(2).poisson(30 * frames + 3).astype(np.float32))
    return path


@pytest.mark.usefixtures("no_figures")
def test_areas_of_a_mapped_movie(run: Run, movie: Path, tmp_path: Path) -> None:
    store, folder = tmp_path / "void.zarr", tmp_path / "areas"
    mapped = run("map", movie, "-o", store, "--window", 64, "--pixel-size", 0.03, "--frame-time", 2)
    assert mapped.code == 0, mapped.err
    done = run("export", store, "--areas", "--movie", movie, "-o", folder)
    assert done.code == 0, done.err
    assert "2 frames of 128 × 128 px, 0.03 nm/px, 2 s a frame (from the result)" in done.err
    assert "unknown" not in done.err
    assert sorted(path.name for path in folder.iterdir()) == [
        "void_areas.csv", "void_pixels.nc", "void_pixels_0000.png", "void_pixels_0001.png",
    ]  # fmt: skip
    pixels = bm.pixel_map(bm.open_result(store))
    with (folder / "void_areas.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "frame", "time_s", "class", "area_fraction", "area_fraction_std", "mean_probability", "mean_probability_std",
    ]  # fmt: skip
    void = [row for row in rows if row["class"] == "none"]
    assert [(row["frame"], float(row["time_s"])) for row in void] == [("0", 0), ("1", 2)]
    true = np.pi * 32**2 / 128**2
    assert float(void[0]["area_fraction"]) < 0.01
    assert float(void[1]["area_fraction"]) == pytest.approx(true, abs=0.015)
    fractions = bm.open_result(store)["fraction"].sel(lattice="none").values
    np.testing.assert_allclose([float(row["mean_probability"]) for row in void], fractions)
    areas = pixels["area_fraction"].sel(lattice="none").values
    np.testing.assert_allclose([float(row["area_fraction"]) for row in void], areas, rtol=1e-5)
    line = next(line for line in done.out.splitlines() if line.startswith("none"))
    assert f"{100 * areas[1]:.1f} ± " in line
    assert f"{100 * fractions[1]:.1f} ± " in line
    assert "area at 0 s" in done.out
    assert "area at 2 s" in done.out
    assert "mean p at 2 s" in done.out  # of the last frame, as its area
    assert line in mapped.out  # as `map` says itself
    with (tmp_path / "void-phases" / "void_fractions.csv").open(encoding="utf-8", newline="") as file:
        last = list(csv.DictReader(file))[-1]
    np.testing.assert_allclose([float(last["none"]), float(last["none_mean_probability"])], [areas[1], fractions[1]])
    with xr.open_dataset(folder / "void_pixels.nc", engine="h5netcdf") as saved:
        np.testing.assert_array_equal(saved["phase"], pixels["phase"])
        np.testing.assert_array_equal(saved["domain"], pixels["domain"])
        assert json.loads(saved.attrs["run_card"])["pixel_step"] == pixels.attrs["pixel_step"]
        assert saved["phase"].attrs["flag_meanings"].split() == pixels["lattice"].values.tolist()


@pytest.mark.usefixtures("no_figures")
def test_areas_of_a_result_with_and_without_pixels(run: Run, movie: Path, tmp_path: Path) -> None:
    for name, options in (("with", []), ("without", ["--no-pixels"])):
        mapped = run("map", movie, "-o", tmp_path / f"{name}.zarr", "--window", 64, *options)
        assert mapped.code == 0, mapped.err
    assert "phase" not in bm.open_result(tmp_path / "without.zarr")
    without = tmp_path / "without.zarr"
    run("export", without, "--areas").refused("--areas", "--movie")
    run("export", without, "--areas", "--movie", movie, "--crop", "0:100,0:100").refused("the one that was mapped")
    for wrong, size in (("wide", (2, 128, 160)), ("long", (3, 128, 128))):
        np.save(tmp_path / f"{wrong}.npy", np.zeros(size, np.float32))
        refused = run(
            "export", tmp_path / "with.zarr", "--areas", "--movie", tmp_path / f"{wrong}.npy", "-o", tmp_path / wrong
        )
        refused.refused(f"{wrong}.npy", "the one that was mapped", "2 frames of 128 × 128 px")
        assert refused.out == ""
        assert not (tmp_path / wrong).exists()
    with pytest.raises(bm.errors.InputError, match="the one that was mapped"):
        bm.pixel_map(bm.open_result(tmp_path / "with.zarr"), np.load(movie)[:1])
    tables = []
    for name, options in (("with", []), ("without", ["--movie", movie])):
        done = run("export", tmp_path / f"{name}.zarr", "--areas", *options, "-o", tmp_path / name)
        assert done.code == 0, done.err
        tables.append((tmp_path / name / f"{name}_areas.csv").read_text(encoding="utf-8"))
    assert tables[0] == tables[1]
