"""The command classify, on files that the tests write."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bravaismap.classify.models import NetworkClassifier
from bravaismap.conventions import CLASSES
from bravaismap.phases.image import classify

Run = Callable[..., "object"]


def test_classify(run: Run, quick: NetworkClassifier, weights: Path, windows: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", windows[0])
    np.save(tmp_path / "few.npy", windows[1:4])
    done = run(
        "classify", tmp_path / "one.npy", tmp_path / "few.npy", "--model", weights, "--samples", 30, "--seed", 4,
        "--csv", tmp_path / "table.csv",
    )  # fmt: skip
    assert done.code == 0, done.err
    expected = classify(windows[:4], model=quick, samples=30, seed=4)
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["one.npy", "few.npy [0]", "few.npy [1]", "few.npy [2]"]
    for i, row in enumerate(rows):
        assert row["phase"] == CLASSES[int(expected["label"][i])]
        for j, name in enumerate(CLASSES):
            assert float(row[name]) == pytest.approx(float(expected["probability"][i, j]), abs=1e-4)
            assert float(row[f"{name}_std"]) == pytest.approx(float(expected["probability_std"][i, j]), abs=1e-4)
        line = next(line for line in done.out.splitlines() if row["image"] in line)
        shares = [float(value) for value in re.findall(r"(\d+\.\d) ± \d+\.\d %", line)]
        np.testing.assert_allclose(shares, 100 * expected["probability"][i], atol=0.051)


def test_a_file_that_cannot_be_classified_does_not_take_the_others_along(
    run: Run, weights: Path, windows: np.ndarray, tmp_path: Path
) -> None:
    good, tiny, table = tmp_path / "good.npy", tmp_path / "tiny.npy", tmp_path / "t.csv"
    np.save(good, windows[0])
    np.save(tiny, windows[0][:6, :6])
    options = "--model", weights, "--samples", 2, "--csv", table
    done = run("classify", good, tiny, tmp_path / "none.npy", good, *options)
    assert done.code == 2
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2
    assert "none.npy" in errors[0]
    assert "tiny.npy" in errors[1]
    assert done.out.count("good.npy") >= 2
    with table.open(encoding="utf-8", newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["good.npy", "good.npy"]
    answer = run("classify", good, tiny, *options, "--json")
    assert answer.code == 2
    assert [image["image"] for image in json.loads(answer.out)["images"]] == ["good.npy"]
    table.unlink()
    for several in ((tiny,), (tiny, tmp_path / "none.npy")):
        refused = run("classify", *several, *options)
        assert refused.code == 2
        assert (refused.out, len(refused.err.splitlines())) == ("", len(several))
        assert not table.exists()


def test_classify_without_samples_and_with_a_preprocessing(
    run: Run, quick: NetworkClassifier, weights: Path, windows: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "one.npy", windows[3])
    for name in ("window", "paper"):
        done = run("classify", tmp_path / "one.npy", "--model", weights, "--samples", 0, "--preprocessing", name)
        assert "±" not in done.out
        expected = classify(windows[3], model=quick, samples=0, preprocessing=name)["probability"].values[0]
        shares = [float(value) for value in re.findall(r"(\d+\.\d) %", done.out)]
        np.testing.assert_allclose(shares, 100 * expected, atol=0.051)
