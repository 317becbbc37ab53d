"""Measured cells in results: units, blanks, another distortion without the image, what decides, and the figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from lattice_images import hexagonal_image
from matplotlib.collections import QuadMesh

import bravaismap as bm
from bravaismap.classify.models import LatticeClassifier
from bravaismap.conventions import CLASSES, NONE
from bravaismap.errors import InputError
from bravaismap.evaluate.answers import evaluate
from bravaismap.evaluate.labelled import Labelled
from bravaismap.evaluate.scores import score_report
from bravaismap.export.figures import export_figures
from bravaismap.export.tables import export_classification, export_csv
from bravaismap.lattice.basis import basis_from_cell, cell_from_basis
from bravaismap.phases.cells import (
    cell_statistics,
    independent_windows,
    lattice_orientation,
    orientation_period,
    symmetric_cells,
)
from bravaismap.phases.verdict import cell_lines, tipping_points, verdict
from bravaismap.result.open import open_result
from bravaismap.result.phase_map import with_error
from bravaismap.result.schema import cell_table, map_variables
from bravaismap.show.cells import plot_cells, plot_shapes
from bravaismap.simulate.windows import simulate

WITHOUT_LATTICE = CLASSES.index(NONE)
STRICT = 0.002


# results


def test_whole_image_is_measured() -> None:
    one = bm.classify(hexagonal_image()).isel(image=0)
    assert CLASSES[int(one["label"])] == "hexagonal"
    assert float(one["a"]) == pytest.approx(12, abs=0.05)
    assert float(one["gamma"]) == pytest.approx(60, abs=0.3)
    assert 0 < float(one["a_std"]) < 0.05
    assert float(one["deviation"].sel(lattice="hexagonal")) < 0.5
    assert np.isnan(one["deviation"].sel(lattice="none"))
    assert one["a"].attrs["units"] == one["basis"].attrs["units"] == "px"
    assert one["gamma"].attrs["units"] == "degree"
    assert one.attrs.items() >= {"model": "default", "distortion": 0.02, "samples": 5000, "size": [120, 150]}.items()
    assert "preprocessing" not in one.attrs
    assert set(cell_table(("image",), "px")) <= set(one.data_vars)
    np.testing.assert_allclose(cell_from_basis(one["basis"].values)[0], one["a"].values, rtol=1e-5)


def test_lengths_are_in_nm_when_the_pixel_size_is_known() -> None:
    image = hexagonal_image()
    pixels, nm = bm.classify(image), bm.classify(calibrated(image, 0.05))
    for name in ("a", "b", "a_std", "b_std", "basis"):
        np.testing.assert_allclose(nm[name], 0.05 * pixels[name], rtol=1e-5)
        assert nm[name].attrs["units"] == "nm"
    for name in ("gamma", "gamma_std", "orientation", "deviation", "probability"):
        np.testing.assert_allclose(nm[name], pixels[name], rtol=1e-5)


def calibrated(image: np.ndarray, size: float) -> xr.DataArray:
    from bravaismap.movie import as_movie

    return as_movie(image, pixel_size=size)


def test_small_images_are_refused() -> None:
    with pytest.raises(InputError, match=r"31 × 40 px.*default.*at least 32 × 32"):
        bm.classify(np.random.default_rng(0).random((31, 40)))
    with pytest.raises(InputError, match=r"window of 24 px .* at least 32"):
        bm.map_phases(np.random.default_rng(0).random((64, 64)), window=24)


def test_map_of_cells(mapped: xr.Dataset) -> None:
    assert list(mapped.data_vars) == [variable.name for variable in map_variables(cells=True, pixels=True)]
    for name, variable in cell_table(("time", "y", "x"), "px").items():
        assert (mapped[name].dims, mapped[name].dtype) == (variable.dims, np.dtype(variable.dtype))
        assert mapped[name].attrs == variable.attributes
    without = mapped["label"].values == WITHOUT_LATTICE
    assert without.any()
    assert not without.all()
    for name in ("a", "b", "gamma", "orientation", "a_std", "gamma_std", "deviation_std"):
        np.testing.assert_array_equal(np.isnan(mapped[name].values), without)
    assert (mapped["gamma"].values[~without] <= 90).all()
    assert mapped["label"].values[1, 0, 0] == WITHOUT_LATTICE  # constant
    assert mapped["evidence"].values[1, 0, 0] == 0
    assert np.isnan(mapped["basis"].values[1, 0, 0]).all()


def test_fraction_and_its_spread(mapped: xr.Dataset) -> None:
    p = mapped["probability"].values.reshape(2, -1, 6)
    np.testing.assert_allclose(mapped["fraction"], p.mean(axis=1), atol=1e-6)
    expected = np.sqrt((p * (1 - p)).mean(axis=1) / (100 * 120 / 64**2))
    np.testing.assert_allclose(mapped["fraction_std"], expected, atol=1e-6)
    assert independent_windows((512, 512), 128, 625) == 16
    assert independent_windows((128, 128), 128, 1) == 1
    assert independent_windows((512, 512), 64, 9) == 9


def test_seed_decides_the_spread_and_nothing_else(film: np.ndarray, mapped: xr.Dataset) -> None:
    again = bm.map_phases(film[1], window=64, step=16)
    xr.testing.assert_equal(again["probability"][0].drop_vars("time"), mapped["probability"][1].drop_vars("time"))
    xr.testing.assert_equal(
        again["probability_std"][0].drop_vars("time"), mapped["probability_std"][1].drop_vars("time")
    )
    other = bm.map_phases(film[1], window=64, step=16, seed=1)
    np.testing.assert_array_equal(other["probability"], again["probability"])
    assert np.abs(other["probability_std"] - again["probability_std"]).max() > 1e-4


def test_stored_map_is_the_one_in_memory(film: np.ndarray, mapped: xr.Dataset, tmp_path: Path) -> None:
    stored = bm.map_phases(film, window=64, step=16, output=tmp_path / "r.zarr")
    xr.testing.assert_allclose(stored.load(), mapped, atol=1e-6)
    assert stored["a"].attrs["units"] == "px"


def test_a_sheared_lattice_tips_at_the_stated_distortion() -> None:
    row = bm.classify(hexagonal_image(0.03)).isel(image=0)
    below, above = tipping_points(row)
    assert below is not None
    assert above is None
    distortion, name = below
    for factor, expected in ((0.9, name), (1.1, "hexagonal")):
        again = bm.reclassify(row.expand_dims("image"), distortion * factor)
        assert CLASSES[int(again["label"][0])] == expected
    text = verdict(row)
    assert re.match(r"hexagonal within 2\.9\d ± 0\.0\d %", text)
    assert f"; {name.replace('_', ' ')} if your scan distortion is below {100 * distortion:.2g} %" in text


def test_verdicts() -> None:
    noise = bm.classify(np.random.default_rng(0).normal(size=(96, 96))).isel(image=0)
    assert cell_lines(noise) == [f"verdict    {verdict(noise)}"]
    assert verdict(noise).startswith("no lattice: the log evidence for one is ")
    strict = bm.classify(hexagonal_image(0.08), distortion=0.0).isel(image=0)
    assert " % from " in verdict(strict) or "within" in verdict(strict)
    assert "if your scan distortion is above" in verdict(strict)
    lines = cell_lines(strict)
    assert [line.split()[0] for line in lines] == ["cell", "deviation", "verdict", "doubt"]
    assert f"a {float(strict['a']):.4f} ± " in lines[0]


def test_numbers_with_errors() -> None:
    assert with_error(0.24613, 0.00031) == "0.24613 ± 0.00031"
    assert with_error(12.3456, 0.12) == "12.35 ± 0.12"
    assert with_error(61.0, 4.4) == "61.0 ± 4.4"
    assert with_error(120.0, 44.0) == "120 ± 44"


def test_classify_prints_the_cell(run: Callable[..., Any], tmp_path: Path) -> None:
    np.save(tmp_path / "sheared.npy", hexagonal_image(0.03))
    done = run("classify", tmp_path / "sheared.npy", "--pixel-size", 0.02, "--csv", tmp_path / "t.csv")
    assert done.code == 0, done.err
    assert " nm, γ " in done.out
    assert "if your scan distortion is below" in " ".join(done.out.split())
    block = done.out[done.out.rindex("sheared.npy") :]
    assert max(map(len, block.splitlines()[:-1])) <= 100
    assert "a_nm" in (tmp_path / "t.csv").read_text().splitlines()[0].split(",")
    strict = run("classify", tmp_path / "sheared.npy", "--distortion", 0)
    assert "verdict    hexagonal" not in strict.out
    run("classify", tmp_path / "sheared.npy", "--distortion", 2).refused(
        "distortion of 2 (200 %) was given; write 2% or 0.02"
    )


@pytest.mark.usefixtures("no_figures")
def test_map_with_a_distortion(run: Callable[..., Any], film: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "film.npy", film)
    options = ["--window", 64, "--step", 32, "--distortion", STRICT]
    done = run("map", tmp_path / "film.npy", "-o", tmp_path / "r.zarr", *options)
    assert done.code == 0, done.err
    result = open_result(tmp_path / "r.zarr")
    assert result.attrs["distortion"] == STRICT
    again = bm.map_phases(film, window=64, step=32, distortion=STRICT)
    xr.testing.assert_allclose(result.load(), again, rtol=1e-4, atol=1e-3)


# scores of cells


def test_cells_are_scored_against_the_truth(run: Callable[..., Any], tmp_path: Path) -> None:
    data = simulate(60, seed=5)
    assert run("simulate", "-o", tmp_path / "w.npz", "-n", 60, "--seed", 5).code == 0
    done = run("evaluate", tmp_path / "w.npz", "--distortion", 0)
    assert done.code == 0, done.err
    assert "at a distortion of 0 %" in done.out
    labelled = Labelled(data["image"].values, data["label"].values.astype(int), CLASSES)
    scores = evaluate(LatticeClassifier(0.0), labelled)
    assert scores.cells is None
    assert f"accuracy                     {100 * scores.accuracy:.1f} %" in done.out
    assert "median error of the shape" in done.out
    assert "true value within 1 σ      a " in done.out
    assert "median error" not in score_report(scores, "")


# tables and figures


def test_exports_hold_the_cells(mapped: xr.Dataset, tmp_path: Path) -> None:
    _, windows = export_csv(mapped, tmp_path, windows=True)
    header = windows.read_text().splitlines()[0].split(",")
    assert {"a", "a_std", "gamma", "orientation", "deviation_hexagonal", "evidence"} <= set(header)
    names = {path.name for path in export_figures(mapped, tmp_path / "figures", times=[1])}
    assert {"cells_0001.png", "shapes_0001.png"} <= names
    network = mapped.drop_vars(["a", "basis"])
    assert not {path.name for path in export_figures(network, tmp_path / "n", times=[1])} & {"cells_0001.png"}
    one = bm.classify(hexagonal_image()).isel(image=0)
    header, line = export_classification([("x", one)], tmp_path / "one.csv").read_text().splitlines()
    row = dict(zip(header.split(","), line.split(","), strict=True))
    assert float(row["a_px"]) == pytest.approx(float(one["a"]))
    assert float(row["deviation_square_percent"]) == pytest.approx(float(one["deviation"][0]))


def test_maps_show_the_cells(mapped: xr.Dataset) -> None:
    figure = plot_cells(mapped, 1)
    meshes = [c for ax in figure.axes for c in ax.collections if isinstance(c, QuadMesh)][:4]
    shown = np.ma.getmaskarray(meshes[0].get_array())
    np.testing.assert_array_equal(shown, mapped["label"].values[1] == WITHOUT_LATTICE)
    cells = symmetric_cells(mapped["basis"].values[1], mapped["label"].values[1])
    np.testing.assert_allclose(np.ma.compressed(meshes[0].get_array()), cells.a[~shown])
    assert "none" not in {ax.get_title() for ax in figure.axes}
    blank = mapped.copy(deep=True)
    for name in ("a", "b", "gamma", "orientation", "basis"):
        blank[name] = blank[name] * np.nan
    blank["label"][:] = -1
    assert plot_cells(blank, 0).axes
    assert plot_shapes(blank, 0).axes


@pytest.mark.parametrize(
    ("lattice", "cell", "period"),
    [
        ("hexagonal", (1.0, 1.0, 60.0), 60.0),
        ("square", (1.0, 1.0, 90.0), 90.0),
        ("rectangular", (1.0, 1.4, 90.0), 180.0),
        ("centered_rectangular", (1.0, 1.0, 75.0), 180.0),
        ("centered_rectangular", (1.0, 1.3, np.degrees(np.arccos(0.5 / 1.3))), 180.0),
    ],
)
def test_errors_of_a_cell_are_no_domains(lattice: str, cell: tuple[float, float, float], period: float) -> None:
    """Two measurements of one lattice differ by their errors under its symmetry, whichever vectors were called a, b."""
    rng = np.random.default_rng(0)
    a, b, gamma = cell
    for turn in (-0.02, 0.3, 1.0, 2.0, 3.0):
        basis = basis_from_cell(a, b, np.radians(gamma), turn) + 0.01 * rng.normal(size=(200, 2, 2))
        label = np.full(200, CLASSES.index(lattice))
        cells = symmetric_cells(basis, label)
        assert set(cells.period) == {period}
        spread = np.exp(2j * np.pi * cells.orientation / period)
        assert np.abs(spread.mean()) > 0.99, turn
        rotated = symmetric_cells(basis_from_cell(a, b, np.radians(gamma), turn + np.radians(10)), label[0])
        first = symmetric_cells(basis_from_cell(a, b, np.radians(gamma), turn), label[0])
        assert (float(rotated.orientation) - float(first.orientation)) % period == pytest.approx(10)
        assert cells.a.std() < 0.02
        assert cells.b.std() < 0.02
    if a == b:
        np.testing.assert_allclose(cells.a, cells.b)


def test_windows_without_a_lattice_have_no_symmetric_cell() -> None:
    basis = np.stack([np.eye(2), np.full((2, 2), np.nan), np.eye(2), np.eye(2)])
    cells = symmetric_cells(basis, np.array([0, 0, CLASSES.index("none"), -1]))
    np.testing.assert_array_equal(np.isfinite(cells.a), [True, False, False, False])


def test_shapes_are_drawn_in_the_domain(mapped: xr.Dataset) -> None:
    figure = plot_shapes(mapped, 0)
    points = np.asarray(figure.axes[0].collections[0].get_offsets())
    assert len(points) == (mapped["label"].values[0] != WITHOUT_LATTICE).sum()
    assert (points[:, 0] >= -1e-6).all()
    assert (points[:, 0] <= 0.5 + 1e-6).all()
    assert (np.hypot(*points.T) >= 1 - 1e-6).all()


# Over windows


def windows(label: str, **values: list[float]) -> xr.Dataset:
    """Return windows of one class with cells and equal errors."""
    count = len(next(iter(values.values())))
    row = {
        name: ("window", np.asarray(values.get(name, np.ones(count)))) for name in ("a", "b", "gamma", "orientation")
    }
    row |= {f"{name}_std": ("window", np.full(count, 0.25)) for name in row}
    row["label"] = ("window", np.full(count, CLASSES.index(label), np.int8))
    some = xr.Dataset(row, coords={"lattice": list(CLASSES)})
    some["a"].attrs["units"] = "nm"
    return some


def test_cells_of_each_class_are_medians_over_its_windows() -> None:
    some = xr.concat([windows("square", a=[2.0, 3.0, 7.0, np.nan]), windows("oblique", a=[5.0])], "window")
    found = cell_statistics(some)
    assert found["windows"].values.tolist() == [4, 0, 0, 0, 1, 0]
    square, oblique = (found.sel(lattice=name) for name in ("square", "oblique"))
    assert float(square["a"]) == 3.0
    assert float(square["a_scatter"]) == pytest.approx(np.std([2, 3, 7], ddof=1))
    assert float(square["a_std"]) == 0.25
    assert float(oblique["a"]) == 5.0
    assert np.isnan(oblique["a_scatter"])
    assert np.isnan(found["a"].sel(lattice="hexagonal"))
    assert found["a"].attrs["units"] == "nm"


@pytest.mark.parametrize(("lattice", "turn"), [("hexagonal", 60), ("square", 90), ("oblique", 180)])
def test_orientations_count_modulo_the_symmetry(lattice: str, turn: float) -> None:
    found = cell_statistics(windows(lattice, orientation=[turn - 1.0, 1.0, 2 * turn + 2.0, -0.5])).sel(lattice=lattice)
    assert float(found["orientation"]) == pytest.approx(0.25)
    assert float(found["orientation_scatter"]) == pytest.approx(np.std([-1, 1, 2, -0.5], ddof=1))
    assert orientation_period(np.array([CLASSES.index(lattice), -1])).tolist() == [turn, 180]


@pytest.mark.parametrize(
    ("lattice", "cell", "direction", "angle"),
    [
        ("hexagonal", (1.0, 1.0, 60.0), "a or b", 20.0),
        ("square", (1.0, 1.0, 90.0), "a or b", 20.0),
        ("rectangular", (1.0, 1.4, 90.0), "a", 20.0),
        ("centered_rectangular", (1.0, 1.0, 70.0), "long side", 55.0),
    ],
)
def test_one_crystal_has_one_orientation(
    lattice: str, cell: tuple[float, float, float], direction: str, angle: float
) -> None:
    a, b, gamma = cell
    basis = basis_from_cell(a, b, np.radians(gamma), np.radians(20.0))
    first, second = basis
    equal = {"hexagonal": [[first - second, first]], "square": [[second, -first]],
             "rectangular": [[-first, second]], "centered_rectangular": [[second, first]]}  # fmt: skip
    for vectors in (basis, *map(np.array, equal[lattice])):
        row = xr.Dataset(
            {"label": CLASSES.index(lattice), "basis": (("vector", "component"), vectors)}
        )  # fmt: skip
        way, where, period = lattice_orientation(row)
        assert way == direction
        off = (where - angle) % period
        assert min(off, period - off) == pytest.approx(0.0, abs=1e-6)
