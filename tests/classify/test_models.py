"""The named classifiers, and the weights that ship."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bravaismap.classify.dropout import dropout_scores, predictive_entropy
from bravaismap.classify.models import (
    MODELS,
    WHOLE_IMAGE_SIDE,
    LatticeClassifier,
    NetworkClassifier,
    chosen_model,
    load_model,
    prepared,
)
from bravaismap.classify.settings import Settings
from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError, ModelError
from bravaismap.phases.image import classify
from bravaismap.simulate.windows import simulate
from bravaismap.spectrum import spectrum
from bravaismap.train.plan import SEED_OF_CALIBRATION, StreamPlan
from bravaismap.train.training import PRESETS


@pytest.mark.parametrize(
    ("name", "nearest"), [("dcnn-2017", "dcnn-2018"), ("defualt", "default"), ("DCNN", "dcnn-2018")]
)
def test_unknown_model_names_its_neighbours(name: str, nearest: str) -> None:
    with pytest.raises(ModelError) as error:
        load_model(name)
    assert re.search(rf"{name!r}.*nearest names are.*{nearest}.*\.safetensors", str(error.value))
    assert "\n" not in str(error.value)


def test_own_model_by_path(weights: Path) -> None:
    for path in (weights, str(weights)):
        model = load_model(path).record
        assert (model.name, model.classes) == ("quick", CLASSES)
        assert len(model.weights_sha256) == 64


def test_missing_path(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no\.json.*model card"):
        load_model(tmp_path / "no.safetensors")


def test_prediction_without_samples_is_the_softmax_of_the_network(
    quick: NetworkClassifier, windows: np.ndarray
) -> None:
    found = quick.predict(windows, samples=0)
    with torch.no_grad():
        scores = quick.network(spectrum(torch.from_numpy(windows))).double().numpy()
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.probability, expected, atol=1e-6)
    np.testing.assert_allclose(found.entropy, predictive_entropy(expected), atol=1e-5)
    np.testing.assert_allclose(found.pass_total, expected.sum(axis=0, keepdims=True), atol=1e-5)
    assert np.isnan(found.probability_std).all()
    assert np.isnan(found.mutual_information).all()


def test_temperature_divides_the_scores_of_every_pass(quick: NetworkClassifier, windows: np.ndarray) -> None:
    card = replace(quick.card, calibration={"temperature": 1.7, "temperature_of_passes": 0.6})
    warm = NetworkClassifier(quick.network, card)
    spectra = spectrum(torch.from_numpy(windows))
    with torch.no_grad():
        scores = quick.network(spectra).double()
    found = warm.predict(windows, samples=0).probability
    np.testing.assert_allclose(found, (scores / 1.7).softmax(dim=1), atol=1e-6)
    passes = (dropout_scores(quick.network, spectra, 20, 3) / 0.6).softmax(dim=-1)
    sampled = warm.predict(windows, samples=20, seed=3)
    np.testing.assert_allclose(sampled.probability, passes.mean(dim=1), atol=1e-6)
    np.testing.assert_allclose(sampled.probability_std, passes.std(dim=1), atol=1e-6)
    np.testing.assert_allclose(sampled.pass_total, passes.sum(dim=0), atol=1e-5)


@pytest.mark.parametrize("samples", [0, 20])
@pytest.mark.parametrize("preprocessing", ["window", "paper"])
def test_batches_of_spectra_do_not_matter(
    quick: NetworkClassifier, windows: np.ndarray, samples: int, preprocessing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = replace(quick, preprocessing=preprocessing)
    whole = model.predict(windows, samples=samples)
    monkeypatch.setattr(importlib.import_module("bravaismap.classify.models"), "_SPECTRA_PER_BATCH", 5)
    np.testing.assert_allclose(model.predict(windows, samples=samples).probability, whole.probability, atol=1e-6)
    alone = [model.predict(w[None], samples=samples).probability[0] for w in windows]
    np.testing.assert_allclose(alone, whole.probability, atol=1e-6)


def test_preprocessing_reaches_the_network(quick: NetworkClassifier, windows: np.ndarray) -> None:
    window, paper = (
        replace(quick, preprocessing=p).predict(windows, samples=0).probability for p in ("window", "paper")
    )
    assert np.abs(window - paper).max() > 0.01
    np.testing.assert_array_equal(quick.predict(windows, samples=0).probability, window)


@pytest.mark.parametrize("side", [WHOLE_IMAGE_SIDE, WHOLE_IMAGE_SIDE + 1])
def test_prepared_for_whole_images(quick: NetworkClassifier, side: int) -> None:
    images = np.zeros((1, side, side))
    suited = "window" if side <= WHOLE_IMAGE_SIDE else "paper"
    assert quick.record.settings == {}
    assert prepared(quick, images).record.settings == {"preprocessing": suited}
    for chosen in ("window", "paper"):
        fixed = prepared(quick, images, chosen)
        assert fixed.record.settings == {"preprocessing": chosen}
        assert prepared(fixed, images) == fixed
    lattice = LatticeClassifier()
    assert prepared(lattice, images, "paper") == replace(lattice, whole=True)


def test_frames_of_the_shape_that_a_model_takes(quick: NetworkClassifier) -> None:
    images = np.arange(2 * 40 * 37.0).reshape(2, 40, 37)
    assert LatticeClassifier().record.frame(images) is images
    np.testing.assert_array_equal(quick.record.frame(images), images[:, 1:38])
    np.testing.assert_array_equal(quick.record.frame(images.swapaxes(1, 2)), images.swapaxes(1, 2)[:, :, 1:38])
    with pytest.raises(InputError, match=r"image of 31 × 40 px was given.*model lattice needs at least 32 × 32"):
        LatticeClassifier().record.frame(np.zeros((1, 31, 40)))
    with pytest.raises(InputError, match=r"image of 40 × 15 px was given.*model quick needs at least 16 × 16"):
        quick.record.check_side(40, 15)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.float64, ">u2"])
def test_type_of_pixel_does_not_matter(quick: NetworkClassifier, windows: np.ndarray, dtype: str) -> None:
    found = quick.predict(windows.astype(dtype), samples=0).probability
    np.testing.assert_allclose(found, quick.predict(windows, samples=0).probability, atol=1e-6)


# The weights that ship


@pytest.mark.parametrize("name", MODELS)
def test_every_model_loads(name: str) -> None:
    model = load_model(name).record
    assert model.classes == CLASSES
    assert model.description
    assert (model.weights_sha256 == "") == (model.name == "lattice")


def test_record_says_how_often_a_network_is_right_on_what() -> None:
    assert "94 % of simulated" in load_model("dcnn").record.description
    assert "windows of 48 to 192 px" in load_model("dcnn").record.description
    assert "85.0 % of windows held out" in load_model("dcnn-2018").record.description


def test_default_measures_the_lattice() -> None:
    default = load_model()
    assert isinstance(default, LatticeClassifier)
    assert load_model("lattice") == LatticeClassifier(0.02) == replace(default, proposer=None)
    assert load_model() == default != load_model("lattice")
    assert default.record.weights_sha256 == load_model("dcnn").record.weights_sha256
    assert load_model("default", distortion=0.003).distortion == 0.003
    assert load_model(distortion=0).record.settings == {"distortion": 0}
    for wrong in (-0.01, 2, float("nan")):
        for name in ("default", "dcnn"):
            with pytest.raises(InputError, match=rf"distortion of {wrong}.*between 0 and 0.5"):
                load_model(name, distortion=wrong)


def test_a_network_is_told_the_distortion_that_is_given() -> None:
    # 2 % given is not the same as none given, though a measured lattice is allowed 2 % in both
    for given in (None, 0.0, 0.02):
        model = load_model("dcnn", given)
        assert isinstance(model, NetworkClassifier)
        assert model.distortion == given
        assert model.record.settings == ({} if given is None else {"distortion": given})
        assert chosen_model(Settings(model="dcnn", distortion=given)).record == model.record
        assert load_model("dcnn-2018", given).record.settings == {}
    assert load_model("lattice", 0.02) == load_model("lattice")


def test_lattice_is_right_about_simulated_windows() -> None:
    data = simulate(120, seed=20181105)
    found = LatticeClassifier(0.0).predict(data["image"].values, samples=30)
    assert (found.probability.argmax(axis=1) == data["label"].values).mean() >= 0.95
    np.testing.assert_allclose(found.probability.sum(axis=1), 1)
    assert found.pass_total is None
    assert found.cells is not None
    assert found.cells.basis.shape == (120, 2, 2)
    assert (found.mutual_information <= found.entropy + 0.2).all()


def test_lattice_does_not_depend_on_the_batch(windows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LatticeClassifier(0.01)
    whole = model.predict(windows, samples=30, seed=4)
    monkeypatch.setattr("bravaismap.compute.device._PIXELS_ON_PROCESSOR", 5 * 128**2)
    monkeypatch.setattr(importlib.import_module("bravaismap.classify.cells"), "_BATCH", 7)
    parts = model.predict(windows, samples=30, seed=4)
    for name in ("probability", "probability_std", "entropy", "mutual_information"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-3)
    assert np.abs(model.predict(windows, samples=30, seed=5).probability_std - whole.probability_std).max() > 1e-4
    bare = model.predict(windows, samples=0)
    np.testing.assert_allclose(bare.probability, whole.probability, atol=1e-12)
    assert np.isnan(bare.probability_std).all()
    assert np.isnan(bare.mutual_information).all()


def test_dcnn_2018_loads_with_its_card() -> None:
    model = load_model("dcnn-2018")
    assert model.card.window == 128
    assert model.card.dropout == 0.2
    assert model.card.licence == "GPL-3.0-or-later"


def test_dcnn_2018_was_trained_by_the_protocol_of_the_paper() -> None:
    card = load_model("dcnn-2018").card
    assert card.name == card.architecture == "dcnn-2018"
    plan, curve = card.training["plan"], card.training["curve"]
    assert (plan["images"], plan["epochs"], plan["dropout"], plan["recipes"]) == (24000, 30, 0.2, "simulated")
    assert [step["epoch"] for step in curve] == list(range(1, 31))
    kept = min(curve, key=lambda step: step["validation_loss"])
    assert card.training["kept"].startswith(f"epoch {kept['epoch']} of 30")
    assert card.accuracy["validation"] == kept["validation_accuracy"]
    assert card.accuracy["validation"] >= 0.8
    assert "bravaismap train --preset dcnn-2018" in card.training["command"]


def test_dcnn_2018_is_as_published() -> None:
    card = load_model("dcnn-2018").card
    assert card.calibration == {}
    assert (card.temperature(), card.temperature(passes=True)) == (1, 1)


def test_card_of_a_calibrated_network() -> None:
    name = "dcnn-2018-wide"
    card = load_model(name).card
    plan, curve = card.training["plan"], card.training["curve"]
    assert card.name == name
    assert card.architecture == plan["architecture"] == name.removesuffix("-wide")
    assert card.training["command"] == f"bravaismap train --preset {name} --name {name} --seed 0"
    assert plan == asdict(PRESETS[name])
    assert [step["epoch"] for step in curve] == list(range(1, plan["epochs"] + 1))
    assert 0.5 < card.temperature() < 3
    assert 0.3 < card.temperature(passes=True) < 2
    assert "5400 windows of simulated, realistic, wide, seed 1000003" in card.calibration["fitted on"]
    for book in ("simulated", "realistic", "wide"):
        figures = card.accuracy[f"{book}, 1800 held-out windows, seed 1000003"]
        for measured in (figures, figures["30 passes"]):
            assert measured["accuracy"] > 0.5
            assert {"expected calibration error before", "expected calibration error"} <= set(measured)


def test_card_of_dcnn() -> None:
    model = load_model("dcnn")
    assert isinstance(model, NetworkClassifier)
    card, plan = model.card, PRESETS["dcnn"]
    assert isinstance(plan, StreamPlan)
    assert (card.name, card.architecture, card.members) == ("dcnn", plan.architecture, plan.members)
    assert card.training["plan"] == json.loads(json.dumps(asdict(plan)))
    assert card.training["command"] == "bravaismap train --preset dcnn --minutes 7.1 --name dcnn --seed 19"
    assert card.training["windows"] % plan.draw == 0
    assert 0 < card.training["windows"] <= plan.windows
    assert (card.training["skipped steps"], card.training["lost draws"]) == (0, 0)
    assert 0.5 < card.temperature() < 3
    assert 0.5 < card.temperature(passes=True) < 2
    for kind in plan.kinds:
        figures = card.accuracy[f"{kind}, 4096 held-out windows, seed {19 + SEED_OF_CALIBRATION}"]
        for measured in (figures, figures["30 passes"]):
            assert measured["accuracy"] > 0.6
            assert measured["expected calibration error"] < 0.03


@pytest.mark.parametrize(("book", "least"), [("simulated", 0.96), ("realistic", 0.94), ("wide", 0.73), ("broken", 0.8)])
def test_dcnn_is_right_about_windows_of_every_book(book: str, least: float) -> None:
    data = simulate(240, book, seed=20181105, size=128)
    found = load_model("dcnn").predict(data["image"].values, samples=0).probability
    assert (found.argmax(axis=1) == data["label"].values).mean() >= least


def test_dcnn_refuses_windows_with_fewer_bins_than_spots() -> None:
    assert load_model("dcnn").record.smallest_side == 32
    assert load_model("dcnn-2018").record.smallest_side == 16
    images = np.random.default_rng(1).random((2, 32, 32))
    assert np.isfinite(classify(images, model="dcnn", samples=0)["probability"].values).all()
    with pytest.raises(InputError, match="32"):
        classify(images[:, :31, :31], model="dcnn")


def test_dcnn_does_not_mind_orientation_and_mirror() -> None:
    images = simulate(60, seed=3)["image"].values
    model = load_model("dcnn")
    here = model.predict(images, samples=0).probability
    for moved in (np.rot90(images, axes=(1, 2)), images[:, ::-1], images[:, :, ::-1], 255 - images):
        there = model.predict(np.ascontiguousarray(moved), samples=0).probability
        assert (there.argmax(axis=1) == here.argmax(axis=1)).mean() >= 0.9
        assert np.abs(there - here).mean() < 0.03


def test_dcnn_2018_is_right_about_simulated_windows() -> None:
    data = simulate(240, seed=20181105)
    found = load_model("dcnn-2018").predict(data["image"].values, samples=0).probability
    labels = data["label"].values
    assert (found.argmax(axis=1) == labels).mean() >= 0.75
    second = np.argsort(-found, axis=1)[:, 1]
    assert ((found.argmax(axis=1) == labels) | (second == labels)).mean() >= 0.9
    assert (found[labels == 5].argmax(axis=1) == 5).mean() >= 0.8


#: Probabilities of the six windows `simulate(6, seed=1)`, without dropout.
FROZEN = [
    [0.981197, 0.017732, 0.000858, 0.000000, 0.000212, 0.000000],
    [0.000001, 0.894375, 0.003331, 0.000000, 0.102284, 0.000009],
    [0.000000, 0.000012, 0.962241, 0.000166, 0.037579, 0.000002],
    [0.000000, 0.000001, 0.091756, 0.905137, 0.003106, 0.000000],
    [0.000000, 0.029632, 0.010522, 0.000000, 0.959838, 0.000007],
    [0.000000, 0.000000, 0.000000, 0.000000, 0.000000, 1.000000],
]


def test_dcnn_2018_gives_the_frozen_answers() -> None:
    found = load_model("dcnn-2018").predict(simulate(6, seed=1)["image"].values, samples=0).probability
    np.testing.assert_allclose(found, FROZEN, atol=1e-4)


#: The same of ``dcnn``.
FROZEN_DCNN = [
    [0.994875, 0.005059, 0.000017, 0.000000, 0.000048, 0.000000],
    [0.000005, 0.989433, 0.000009, 0.000037, 0.010515, 0.000000],
    [0.000027, 0.000061, 0.994630, 0.000010, 0.005273, 0.000000],
    [0.000001, 0.000008, 0.002370, 0.997615, 0.000006, 0.000000],
    [0.000000, 0.000056, 0.000065, 0.000000, 0.999879, 0.000000],
    [0.000003, 0.000030, 0.000006, 0.000004, 0.000013, 0.999945],
]


def test_dcnn_gives_the_frozen_answers() -> None:
    found = load_model("dcnn").predict(simulate(6, seed=1)["image"].values, samples=0).probability
    np.testing.assert_allclose(found, FROZEN_DCNN, atol=1e-3)
