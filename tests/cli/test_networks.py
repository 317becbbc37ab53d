"""The commands simulate, train, evaluate and models: from a recipe to a table."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bravaismap.classify.models import MODELS, NetworkClassifier, load_model
from bravaismap.conventions import CLASSES, class_name
from bravaismap.result.open import open_result
from bravaismap.simulate.windows import simulate

Run = Callable[..., "object"]


def test_simulated_windows(run: Run, tmp_path: Path) -> None:
    done = run("simulate", "-o", tmp_path / "w.npz", "-n", 8, "--seed", 3, "--size", 48)
    assert done.code == 0, done.err
    with np.load(tmp_path / "w.npz") as stored:
        expected = simulate(8, seed=3, size=48)
        np.testing.assert_array_equal(stored["image"], expected["image"])
        np.testing.assert_array_equal(stored["label"], expected["label"])
        assert stored["classes"].tolist() == list(CLASSES)
    before = (tmp_path / "w.npz").read_bytes()
    run("simulate", "-o", tmp_path / "w.npz", "-n", 8).refused("w.npz", "exists", "--overwrite")
    assert (tmp_path / "w.npz").read_bytes() == before
    for book in ("realistic", "wide", "broken"):
        assert run("simulate", "-o", tmp_path / "w.npz", "-n", 2, "--overwrite", "--kind", book).code == 0
    assert (tmp_path / "w.npz").read_bytes() != before


def test_simulated_film_is_classified(run: Run, weights: Path, tmp_path: Path) -> None:
    film = tmp_path / "film.tif"
    assert run("simulate", "-o", film, "--kind", "film", "-n", 2, "--size", 80).code == 0
    done = run("classify", film, "--model", weights, "--samples", 2)
    assert done.code == 0, done.err
    assert "film.tif [1]" in done.out


OWN = """
[wafer]
lattice = "square"
length = [8, 10]
noise = [0, 0.2]
disorder = [0, 0.03]
[noise]
length = [8, 10]
noise = [0, 0.2]
"""


@pytest.mark.usefixtures("no_figures")
def test_own_classes_from_a_recipe_to_a_table(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(OWN)
    done = run("train", "--recipes", "mine.toml", "--images", 150, "--epochs", 2, "--seed", 2, "--device", "cpu")
    assert done.code == 0, done.err
    assert "warning" not in done.err
    assert "next: bravaismap map MOVIE --model runs/mine.safetensors" in done.out
    card = load_model("runs/mine.safetensors").card
    assert (card.classes, card.name) == (("wafer", "noise"), "mine")
    accuracy = re.search(r"validation accuracy (\d+\.\d) %", done.out)
    assert accuracy is not None
    assert float(accuracy[1]) == pytest.approx(100 * card.accuracy["validation"], abs=0.05)
    again = run(*card.training["command"].split()[1:], "-o", "again", "--device", "cpu")
    assert again.code == 0, again.err
    assert load_model("again/mine.safetensors").record.weights_sha256 == card.weights_sha256

    assert run("simulate", "--recipes", "mine.toml", "-o", "w.npz", "-n", 20, "--seed", 9).code == 0
    scores = run("evaluate", "w.npz", "--model", "runs/mine.safetensors")
    assert scores.code == 0, scores.err
    assert scores.out.startswith("mine on w.npz")
    assert re.search(r"windows\s+20\n", scores.out)
    table = run("classify", "w.npz", "--dataset", "image", "--model", "runs/mine.safetensors", "--samples", 2)
    assert table.code == 0, table.err
    assert "wafer" in table.out
    with np.load("w.npz") as stored:
        np.save("film.npy", stored["image"][:2])
    mapped = run(
        "map", "film.npy", "--model", "runs/mine.safetensors", "--window", 64, "--step", 32, "--samples", 4,
        "-o", "out/film.zarr",
    )  # fmt: skip
    assert mapped.code == 0, mapped.err
    assert open_result("out/film.zarr")["lattice"].values.tolist() == ["wafer", "noise"]
    assert class_name("noise") == "none"  # an alias of a class of ours may name a user's own


def test_output_of_a_training_is_a_folder(run: Run, tmp_path: Path) -> None:
    done = run("train", "--images", 50, "-o", tmp_path / "net.safetensors")
    assert done.code == 2
    assert "net.safetensors is a folder" in " ".join(done.err.split())
    assert not (tmp_path / "net.safetensors").exists()


def test_evaluate(run: Run, weights: Path, quick: NetworkClassifier, tmp_path: Path) -> None:
    run("simulate", "-o", tmp_path / "w.npz", "-n", 30, "--seed", 3)
    done = run("evaluate", tmp_path / "w.npz", "--model", weights)
    assert done.code == 0, done.err
    data = simulate(30, seed=3)
    right = quick.predict(data["image"].values, samples=0).probability.argmax(axis=1) == data["label"].values
    assert f"accuracy                     {100 * right.mean():.1f} %" in done.out


def test_models_are_listed(run: Run) -> None:
    done = run("models")
    assert done.code == 0, done.err
    said = dict(line.split(": ", 1) for line in done.out.splitlines() if line.split(":")[0] in MODELS)
    assert list(said) == list(MODELS)
    assert "of doubtful windows a network proposes lattices" in said["default"]
    assert "no training" in said["lattice"]
