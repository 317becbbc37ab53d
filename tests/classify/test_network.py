"""The network and its card: the paper's layers, and weights that cannot be mistaken for others."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bravaismap.classify.network import (
    ARCHITECTURES,
    DropoutNetwork,
    ModelCard,
    build_network,
    folded,
    load_network,
    reads_tokens,
    save_network,
)
from bravaismap.classify.tokens import window_tokens
from bravaismap.conventions import CLASSES
from bravaismap.errors import ModelError, OutputError

CARD = ModelCard(
    "mine", "dcnn-2018", ("square", "none"), 0.2, 128, "", training={"seed": 4}, accuracy={"validation": 0.5}
)
SPECTRA = torch.rand(3, 64, 32, generator=torch.Generator().manual_seed(0))
IMAGES = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, DropoutNetwork]:
    network = build_network("dcnn-2018", 2, 0.2)
    path = tmp_path / "folder" / "mine.safetensors"
    save_network(network, CARD, path)
    return path, network


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(ModelError) as error:
        load_network(path)
    assert "\n" not in str(error.value)
    for part in (str(path.parent), *parts):
        assert part in str(error.value), error.value


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("classes", [2, 6])
def test_scores_per_class(architecture: str, classes: int) -> None:
    network = build_network(architecture, classes, 0.2)
    inputs = window_tokens(IMAGES) if reads_tokens(network) else SPECTRA
    assert network(inputs).shape == (3, classes)
    assert network.features(inputs).shape == (3, 128)


def test_dcnn_2018_has_the_layers_of_the_paper() -> None:
    network = build_network("dcnn-2018", len(CLASSES), 0.2)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear | nn.AvgPool2d)]
    kinds = [type(layer).__name__ for layer in layers]
    assert kinds.count("Conv2d") == 3
    assert "AvgPool2d" in kinds
    assert kinds[-2:] == ["Linear", "Linear"]
    assert (layers[-2].out_features, layers[-1].in_features, layers[-1].out_features) == (128, 128, 6)
    assert sum(isinstance(layer, nn.ReLU) for layer in network.modules()) == 4
    assert not any(isinstance(layer, nn.Dropout) for layer in network.modules())  # DropoutNetwork does it
    assert len(network.blocks) == 4  # a dropout between all layers: conv, conv, conv, dense, output


def test_features_are_what_the_last_layer_sees() -> None:
    network = build_network("dcnn-2018", 6, 0.2).eval()
    torch.testing.assert_close(network.blocks[-1](network.features(SPECTRA)), network(SPECTRA))


def test_dropout_acts_in_training_only() -> None:
    network = build_network("dcnn-2018", 6, 0.2)
    network.eval()
    torch.testing.assert_close(network(SPECTRA), network(SPECTRA), atol=0, rtol=0)
    network.train()
    assert not torch.equal(network(SPECTRA), network(SPECTRA))


def test_dropout_comes_before_every_block_and_keeps_the_mean() -> None:
    network = DropoutNetwork(nn.Flatten(), [nn.Identity()], 0.25).train()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        hidden = network(torch.ones(50, 64, 32))
    assert {round(float(v), 4) for v in hidden.unique()} == {0.0, round(1 / 0.75, 4)}
    assert float((hidden == 0).float().mean()) == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / hidden.numel()) ** 0.5)


def test_saved_and_loaded_is_the_same(saved: tuple[Path, DropoutNetwork]) -> None:
    path, network = saved
    loaded, card = load_network(path)
    assert not loaded.training
    torch.testing.assert_close(loaded(SPECTRA), network.eval()(SPECTRA), atol=1e-6, rtol=0)
    assert (card.name, card.classes, card.dropout, card.window) == ("mine", ("square", "none"), 0.2, 128)
    assert (card.training, card.accuracy, card.licence) == ({"seed": 4}, {"validation": 0.5}, "GPL-3.0-or-later")
    assert card.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sorted(p.name for p in path.parent.iterdir()) == ["mine.json", "mine.safetensors"]


def test_card_without_calibration_has_a_temperature_of_one(saved: tuple[Path, DropoutNetwork]) -> None:
    path, _ = saved
    card = json.loads(path.with_suffix(".json").read_text())
    del card["calibration"]
    path.with_suffix(".json").write_text(json.dumps(card))
    loaded = load_network(path)[1]
    assert loaded.calibration == {}
    assert (loaded.temperature(), loaded.temperature(passes=True)) == (1.0, 1.0)


def test_temperatures_of_a_card() -> None:
    assert replace(CARD, calibration={"temperature": 1.5}).temperature(passes=True) == 1.5
    both = replace(CARD, calibration={"temperature": 1.5, "temperature_of_passes": 0.8})
    assert (both.temperature(), both.temperature(passes=True)) == (1.5, 0.8)


@pytest.mark.parametrize("wrong", [0, -1, "hot", None])
def test_temperature_that_cannot_be(saved: tuple[Path, DropoutNetwork], wrong: object) -> None:
    path, _ = saved
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | {"calibration": {"temperature": wrong}}))
    refused(path, "mine.json", f"temperature = {wrong!r}", "above 0")


def test_folded_network_gives_the_same_scores() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        network = build_network("dcnn-2018", 6, 0.2)
        for _ in range(3):
            network.train()(SPECTRA)  # so that batch normalisation has something to fold
    network.eval()
    torch.testing.assert_close(folded(network)(SPECTRA), network(SPECTRA), atol=1e-4, rtol=1e-4)
    assert not any(isinstance(m, nn.BatchNorm1d) for m in folded(network).modules())


def test_card_of_a_later_version_may_know_more(saved: tuple[Path, DropoutNetwork]) -> None:
    path, _ = saved
    card = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(card | {"colour": "green"}))
    assert load_network(path)[1].name == "mine"


def test_weights_that_are_not_those_of_the_card(saved: tuple[Path, DropoutNetwork]) -> None:
    path, _ = saved
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    refused(path, "mine.safetensors", hashlib.sha256(content).hexdigest()[:12], "card", "train anew")


def test_missing_weights_and_missing_card(saved: tuple[Path, DropoutNetwork]) -> None:
    path, _ = saved
    path.rename(path.with_name("other.safetensors"))
    refused(path, "mine.safetensors", "No such file", "expected the weights")
    refused(path.with_name("other.safetensors"), "other.json", "No such file", "model card")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '"text"', '{"name": "mine"}', "\x00\xff"])
def test_damaged_card(saved: tuple[Path, DropoutNetwork], content: str) -> None:
    path, _ = saved
    path.with_suffix(".json").write_text(content, encoding="latin-1")
    refused(path, "mine.json", "not a model card")


def test_card_of_an_unknown_architecture(saved: tuple[Path, DropoutNetwork]) -> None:
    path, network = saved
    save_network(network, ModelCard("mine", "dcnn-2081", ("square", "none"), 0.2, 128, ""), path)
    with pytest.raises(ModelError, match=r"'dcnn-2081'.*dcnn-2018"):
        load_network(path)


def test_weights_of_another_network(saved: tuple[Path, DropoutNetwork]) -> None:
    path, _ = saved
    for content in (lambda: save_file({"a": torch.zeros(2)}, path), lambda: path.write_bytes(b"not safetensors")):
        content()
        card = json.loads(path.with_suffix(".json").read_text())
        card["weights_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_suffix(".json").write_text(json.dumps(card))
        refused(path, "not the weights of a dcnn-2018 network")


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"mine\.safetensors"):
        save_network(build_network("dcnn-2018", 2, 0.2), CARD, tmp_path / "file" / "mine.safetensors")
    assert (tmp_path / "file").read_text() == ""
