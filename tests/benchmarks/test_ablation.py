"""The ablation table: every switch has something to switch, and says so when not."""

from __future__ import annotations

import csv
import importlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from bravaismap.classify import likelihood, posterior_settings
from bravaismap.classify.models import load_model
from bravaismap.conventions import CLASSES
from bravaismap.evaluate.answers import answer
from bravaismap.evaluate.labelled import Labelled
from bravaismap.measure import settings
from bravaismap.measure.whole_image import has_parts
from bravaismap.simulate.windows import simulate
from bravaismap.simulate.writing import write_windows

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def ablation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("ablation")


def test_every_switch_finds_its_name(ablation: ModuleType) -> None:
    for switches in (ablation.ABLATIONS | ablation.ABLATIONS_OF_IMAGES).values():
        with ablation.switched_off(switches):
            for switch in switches:
                module = importlib.import_module(f"bravaismap.{switch.module}")
                if isinstance(switch, ablation.Setting):
                    assert getattr(getattr(module.SETTINGS, switch.group), switch.field) == switch.off
                else:
                    assert getattr(module, switch.name) is switch.off
    assert settings.SETTINGS.search.ranked_candidates > 1


def test_windows_are_answered_while_any_switch_is_off(ablation: ModuleType) -> None:
    windows = simulate(6, "realistic", seed=3)["image"].values
    for switches in ablation.ABLATIONS.values():
        with ablation.switched_off(switches):
            probability = load_model("lattice", 0.003).predict(windows, samples=0).probability
        np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_images_are_answered_while_any_switch_of_theirs_is_off(ablation: ModuleType) -> None:
    broken, enlarged = (simulate(2, kind, seed=3, size=side) for kind, side in (("broken", 224), ("enlarged", 128)))
    for switches in ablation.ABLATIONS_OF_IMAGES.values():
        for windows in (broken, enlarged):
            labelled = Labelled(windows["image"].values, windows["label"].values.astype(np.intp), CLASSES)
            probability = ablation.without(switches, labelled, 0.02).probability
            np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)


def test_a_whole_image_is_one_window_where_parts_are_off(ablation: ModuleType) -> None:
    with ablation.switched_off(ablation.ABLATIONS_OF_IMAGES["the whole image as one window"]):
        assert not has_parts((384, 384))
    assert has_parts((384, 384))


def test_a_name_that_is_gone_is_told_and_all_is_put_back(ablation: ModuleType) -> None:
    before = likelihood._arc_prior
    switches = (
        ablation.Switch("classify.likelihood", "_arc_prior", None),
        ablation.Switch("classify.likelihood", "_GONE", 0),
    )
    with (
        pytest.raises(SystemExit, match=r"bravaismap\.classify\.likelihood has no _GONE.*ABLATIONS"),
        ablation.switched_off(switches),
    ):
        pass
    assert likelihood._arc_prior is before


@pytest.mark.parametrize(("group", "field"), [("search", "gone"), ("gone", "margin")])
def test_a_setting_that_is_gone_is_told_and_all_is_put_back(ablation: ModuleType, group: str, field: str) -> None:
    before = settings.SETTINGS
    switches = (
        ablation.Setting("measure.settings", "search", "ranked_candidates", 1),
        ablation.Setting("measure.settings", group, field, 0),
    )
    with pytest.raises(SystemExit, match=r"Settings has no gone.*ABLATIONS"), ablation.switched_off(switches):
        pass
    assert settings.SETTINGS is before


def test_rows_are_those_of_the_lattice_with_something_off(
    ablation: ModuleType, windows: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = Labelled(windows, np.arange(12) % 6, CLASSES)
    chosen = ("covariance without tails", "flat prior over shapes", "hidden rows of nodes not added")
    monkeypatch.setattr(ablation, "ABLATIONS", {name: ablation.ABLATIONS[name] for name in chosen})
    monkeypatch.setattr(ablation, "ABLATIONS_OF_IMAGES", {"gratings": ablation.ABLATIONS["flat prior over shapes"]})
    monkeypatch.setattr(ablation, "NAMES", ("lattice",))
    assert list(ablation.rows(labelled, "broken", ["hidden"])) == ["lattice", "− hidden rows of nodes not added"]
    found = {kind: ablation.rows(labelled, kind) for kind in ablation.KINDS}
    assert [kind for kind, of_kind in found.items() if "− gratings" in of_kind] == ["broken", "enlarged"]
    row = found["simulated"]["lattice"]
    assert row.moved == 0
    truth = np.arange(12) % 6 == CLASSES.index("none")
    probability = answer(load_model("lattice", 0.0), labelled).probability
    assert row.none == (probability[truth].argmax(axis=1) == CLASSES.index("none")).mean()
    assert row.compared.differences["nll"].value == 0
    assert found["simulated"]["− flat prior over shapes"].moved > 0
    assert ablation.idle(found) == ["hidden rows of nodes not added"]  # one atom hides none
    with monkeypatch.context() as patch:
        errors = replace(posterior_settings.SETTINGS.errors, scales=((1.0, 1.0),))
        patch.setattr(posterior_settings, "SETTINGS", replace(posterior_settings.SETTINGS, errors=errors))
        expected = answer(load_model("lattice", 0.003), labelled)
    off = found["realistic"]["− covariance without tails"].compared
    loss = -np.log(np.maximum(expected.probability[np.arange(12), expected.labels], 1e-12)).mean()
    assert off.figures["nll"].value == pytest.approx(loss)


def test_table_and_csv(ablation: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation, "ABLATIONS", {"flat": ablation.ABLATIONS["flat prior over shapes"]})
    monkeypatch.setattr(ablation, "ABLATIONS_OF_IMAGES", {})
    monkeypatch.setattr(ablation, "NAMES", ("lattice", "no such model"))
    kinds = ["simulated", "realistic", "enlarged"]
    ablation.main(["-n", "12", "--kinds", *kinds, "--csv", str(tmp_path / "a.csv")])
    with (tmp_path / "a.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [(row["row"], row["windows_of"], row["distortion"], row["windows"]) for row in rows]
    assert names == [
        ("lattice", "simulated", "0.0", "12"),
        ("− flat", "simulated", "0.0", "12"),
        ("lattice", "realistic", "0.003", "12"),
        ("− flat", "realistic", "0.003", "12"),
        ("lattice", "enlarged", "0.02", "12"),
        ("− flat", "enlarged", "0.02", "12"),
    ]
    assert float(rows[0]["difference_nll"]) == 0 != float(rows[1]["difference_nll"])
    assert float(rows[1]["moved"]) > 0


def test_a_file_of_each_kind_or_none(ablation: ModuleType, tmp_path: Path) -> None:
    for count in (1, 3):
        with pytest.raises(SystemExit):
            ablation.main(["one.npz"] * count + ["--kinds", "simulated", "broken"])
    kinds = ("simulated", "broken")
    files = [write_windows(simulate(3, kind, size=48), tmp_path / f"{kind}.npz") for kind in kinds]
    labelled = ablation.labelled_windows(files, 0, kinds)
    assert list(labelled) == ["simulated", "broken"]
    assert labelled["broken"].faults is not None


def test_combination_is_the_normalised_product(ablation: ModuleType, windows: np.ndarray) -> None:
    labelled = Labelled(windows, np.arange(12) % 6, CLASSES)
    one = answer(load_model("lattice", 0.003), labelled)
    same = ablation.combined(one, one, (0.5, 0.5))
    np.testing.assert_allclose(same.probability, one.probability, atol=2e-5)
    sharper = ablation.combined(one, one, (2.0, 1.0)).probability
    expected = one.probability.clip(1e-6) ** 3
    np.testing.assert_allclose(sharper, expected / expected.sum(axis=1, keepdims=True), rtol=1e-6)
