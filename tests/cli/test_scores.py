"""`bravaismap evaluate` with several models, its table and its diagrams."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bravaismap.classify.models import load_model
from bravaismap.conventions import CLASSES
from bravaismap.evaluate.answers import evaluate
from bravaismap.evaluate.labelled import read_labelled
from bravaismap.simulate.windows import simulate
from bravaismap.simulate.writing import write_windows

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def windows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_windows(simulate(24, seed=8), tmp_path_factory.mktemp("labelled") / "w.npz")


def test_two_models_side_by_side(run: Run, windows_file: Path, weights: Path, tmp_path: Path) -> None:
    done = run(
        "evaluate", windows_file, "--model", "lattice", "--model", weights, "--distortion", 0, "--figures",
        tmp_path / "f", "--csv", tmp_path / "t" / "s.csv",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "lattice on w.npz at a distortion of 0 %" in done.out
    assert "quick on w.npz\n" in done.out
    assert done.out.count("confusion (rows: truth)") == 2
    assert done.out.count("best possible with these errors") == 1
    assert "accuracy, difference" in done.out
    assert "if perfectly calibrated" in done.out
    for name in ("reliability_w.png", "reliability_w.svg"):
        assert (tmp_path / "f" / name).stat().st_size > 5000
        assert f"wrote {tmp_path / 'f' / name}" in done.out

    with (tmp_path / "t" / "s.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["dataset"], row["model"], row["windows"]) for row in rows] == [
        ("w.npz", "lattice", "24"), ("w.npz", "quick", "24")
    ]  # fmt: skip
    labelled = read_labelled(windows_file)
    for row, model in zip(rows, (load_model("lattice", 0.0), load_model(weights)), strict=True):
        scores = evaluate(model, labelled)
        for name in ("accuracy", "top2", "nll", "brier", "ece"):
            assert float(row[name]) == pytest.approx(getattr(scores, name), rel=1e-6), name
            assert float(row[f"{name}_low"]) <= float(row[f"{name}_high"])
        confusion = [[int(row[f"confusion_{true}_{name}"]) for name in CLASSES] for true in CLASSES]
        np.testing.assert_array_equal(confusion, scores.confusion)
    first, second = rows
    assert first["distortion"] == "0"
    assert first["difference_accuracy"] == second["distortion"] == second["limit_best"] == second["a_within_1"] == ""
    gap = float(second["accuracy"]) - float(first["accuracy"])
    assert float(second["difference_accuracy"]) == pytest.approx(gap)
    assert 0 < float(first["limit_best"]) <= 1
    assert 0 <= float(first["a_within_1"]) <= float(first["a_within_2"]) <= 1


def test_same_seed_same_intervals(run: Run, windows_file: Path, weights: Path) -> None:
    def printed(seed: int) -> list[str]:
        lines = run("evaluate", windows_file, "--model", weights, "--seed", seed).out.splitlines()
        return [line for line in lines if "per second" not in line]

    assert printed(1) == printed(1)
    assert printed(1) != printed(2)


@pytest.mark.parametrize("size", [64, 256])
def test_windows_of_any_size(run: Run, weights: Path, tmp_path: Path, size: int) -> None:
    path = write_windows(simulate(6, seed=4, size=size), tmp_path / "w.npz")
    done = run("evaluate", path, "--model", "lattice", "--model", weights)
    assert done.code == 0, done.err
    assert done.out.count("windows                      6\n") == 2


def test_windows_too_small_to_measure(run: Run, tmp_path: Path) -> None:
    arrays = {"image": np.zeros((3, 24, 24), np.uint8), "label": np.zeros(3, int), "classes": list(CLASSES)}
    np.savez(tmp_path / "w.npz", **arrays)
    run("evaluate", tmp_path / "w.npz").refused("24", "32 px")


def test_models_of_one_name_are_told_apart_and_none_is_given_twice(
    run: Run, windows_file: Path, weights: Path, tmp_path: Path
) -> None:
    run("evaluate", windows_file, "--model", weights, "--model", weights).refused("given twice", weights.name)
    run("evaluate", windows_file, windows_file, "--model", weights).refused("given twice", "w")
    copy = tmp_path / "copy"
    copy.mkdir()
    for suffix in (".safetensors", ".json"):
        (copy / f"quick{suffix}").write_bytes(weights.with_suffix(suffix).read_bytes())
    done = run("evaluate", windows_file, "--model", weights, "--model", copy / "quick.safetensors")
    assert done.code == 0, done.err
    assert f"{weights} on w.npz" in done.out
    assert f"{copy / 'quick.safetensors'} on w.npz" in done.out


def test_default_is_measured_when_no_model_is_named(run: Run, windows_file: Path) -> None:
    done = run("evaluate", windows_file)
    assert done.code == 0, done.err
    assert done.out.startswith("default on w.npz at a distortion of 2 %")
    assert "difference" not in done.out


def test_broken_crystals_by_fault(run: Run, weights: Path, tmp_path: Path) -> None:
    done = run("simulate", "--kind", "broken", "-n", 12, "--seed", 2, "--size", 96, "-o", tmp_path / "b.npz")
    assert done.code == 0, done.err
    with np.load(tmp_path / "b.npz") as stored:
        arrays = {name: stored[name] for name in stored if name != "image"}
        images = {
            f"image_{i}": image[: 96 - 8 * (i % 3), : 96 - 8 * (i % 3)] for i, image in enumerate(stored["image"])
        }
    np.savez(tmp_path / "mixed.npz", **arrays, **images)
    for name in ("b.npz", "mixed.npz"):
        done = run("evaluate", tmp_path / name, "--model", weights, "--csv", tmp_path / f"{name}.csv")
        assert done.code == 0, done.err
        assert "lattices by fault" in done.out
        assert "no lattice, by what there is" in done.out
        with (tmp_path / f"{name}.csv").open(encoding="utf-8") as file:
            (row,) = csv.DictReader(file)
        crystal = arrays["label"] < 5
        for fault in ("rows", "dirt"):
            has = np.array([fault in text.split("+") for text in arrays["faults"]])
            assert int(row[f"images_{fault}"]) == (has & crystal).sum() > 0
            assert 0 <= float(row[f"accuracy_{fault}_low"]) <= float(row[f"accuracy_{fault}"]) <= 1
        first = arrays["faults"][5].split("+")[0]
        assert int(row[f"images_none_{first}"]) >= 1


def test_table_that_cannot_be_written(run: Run, windows_file: Path, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    done = run("evaluate", windows_file, "--model", weights, "--csv", tmp_path / "taken" / "s.csv")
    done.refused("taken", "cannot be written")
