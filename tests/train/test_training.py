"""Training: seeded, resumable to the last bit, and of a user's own classes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bravaismap.classify.models import load_model
from bravaismap.classify.network import ModelCard
from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError, ModelError, OutputError
from bravaismap.simulate.windows import simulate
from bravaismap.spectrum import spectrum
from bravaismap.train import training
from bravaismap.train.training import PRESETS, TrainingPlan, recipe_books, simulated_spectra, train, training_plan

TINY = TrainingPlan(images=60, epochs=3, batch=8, window=32)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelCard]:
    """Train without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(TINY, folder, name="tiny", seed=4, device="cpu", command="bravaismap train …")


class Interrupted(Exception):
    pass


def interrupt_at(batch: int) -> Any:
    def progress(stage: str, done: int, _: int) -> None:
        if stage == "train" and done == batch:
            raise Interrupted

    return progress


def curve(card: ModelCard) -> list[dict[str, float]]:
    return [{key: value for key, value in step.items() if key != "seconds"} for step in card.training["curve"]]


def test_the_plan_of_the_paper() -> None:
    plan = training_plan("dcnn-2018")
    assert (plan.images, plan.epochs, plan.dropout, plan.window, plan.recipes) == (24000, 30, 0.2, 128, "simulated")
    assert plan.weight_decay > 0
    assert plan == PRESETS["dcnn-2018"]
    with pytest.raises(InputError, match=r"'dcnn2018'.*dcnn-2018"):
        training_plan("dcnn2018")


@pytest.mark.parametrize("changes", [{"images": 40}, {"epochs": 0}, {"batch": 1}, {"batch": 49}])
def test_plans_that_cannot_be(changes: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"images, .* epochs and batches of .* expected at least"):
        replace(TINY, **changes)


def test_four_fifths_are_for_training() -> None:
    learned, kept = training._split(24000)
    assert (len(learned), len(kept)) == (19200, 4800)
    np.testing.assert_array_equal(np.sort(np.concatenate([learned, kept])), np.arange(24000))
    classes = np.bincount(kept % 6, minlength=6)  # windows are of the classes in turn
    assert classes.min() > 700


def test_spectra_are_those_of_the_simulated_windows() -> None:
    spectra, labels = simulated_spectra("simulated", 13, seed=2, window=64)
    data = simulate(13, seed=2, size=64)
    expected = spectrum(torch.from_numpy(data["image"].values))
    torch.testing.assert_close(spectra.float(), expected, atol=1e-3, rtol=0)
    np.testing.assert_array_equal(labels, data["label"].values)


def test_spectra_do_not_depend_on_how_many_are_simulated_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, labels = simulated_spectra("simulated", 13, seed=2, window=32)
    monkeypatch.setattr(training, "_SIMULATION_BATCH", 5)
    seen: list[tuple[str, int, int]] = []
    parts, part_labels = simulated_spectra("simulated", 13, 2, 32, lambda *step: seen.append(step))
    assert torch.equal(parts, whole)
    assert torch.equal(part_labels, labels)
    assert seen == [("simulate", 5, 13), ("simulate", 10, 13), ("simulate", 13, 13)]


def test_card_says_how_it_was_made(whole: tuple[Path, ModelCard]) -> None:
    folder, card = whole
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.json", "tiny.safetensors"]
    stored = json.loads((folder / "tiny.json").read_text(encoding="utf-8"))
    assert stored["training"] == card.training
    assert (card.name, card.classes, card.window) == ("tiny", CLASSES, 32)
    assert (card.training["seed"], card.training["command"]) == (4, "bravaismap train …")
    assert card.training["plan"]["images"] == 60
    assert [step["epoch"] for step in card.training["curve"]] == [1, 2, 3]
    assert 0 <= card.accuracy["validation"] <= 1


def test_kept_are_the_weights_with_the_lowest_validation_loss(whole: tuple[Path, ModelCard]) -> None:
    folder, card = whole
    losses = [step["validation_loss"] for step in card.training["curve"]]
    kept = int(np.argmin(losses))
    assert card.training["kept"].startswith(f"epoch {kept + 1} of 3")
    model = load_model(folder / "tiny.safetensors")
    chosen = training._split(60)[1]
    data = simulate(60, seed=4, size=32)
    probability = model.predict(data["image"].values[chosen], samples=0).probability
    truth = data["label"].values[chosen]
    assert -np.log(probability[np.arange(12), truth]).mean() == pytest.approx(losses[kept], abs=1e-3)
    assert (probability.argmax(axis=1) == truth).mean() == pytest.approx(card.accuracy["validation"], abs=1 / 12 + 1e-6)


def test_same_seed_same_weights_and_no_global_randomness(whole: tuple[Path, ModelCard], tmp_path: Path) -> None:
    torch.manual_seed(12345)
    before = torch.random.get_rng_state()
    again = train(TINY, tmp_path, name="other", seed=4, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert again.weights_sha256 == whole[1].weights_sha256
    assert curve(again) == curve(whole[1])
    assert train(replace(TINY, epochs=1), tmp_path, seed=5, device="cpu").weights_sha256 != again.weights_sha256


@pytest.mark.parametrize("batch", [2, 7, 12, 13, 18])  # 6 batches an epoch: within each epoch, and at its end
def test_interrupted_and_resumed_is_the_same_to_the_last_bit(
    whole: tuple[Path, ModelCard], tmp_path: Path, batch: int
) -> None:
    with pytest.raises(Interrupted):
        train(TINY, tmp_path, name="tiny", seed=4, device="cpu", progress=interrupt_at(batch))
    assert not (tmp_path / "tiny.safetensors").exists()
    assert (tmp_path / "checkpoint.safetensors").exists() == (batch > 6)
    card = train(TINY, tmp_path, name="tiny", seed=4, device="cpu", command="bravaismap train …")
    assert card.weights_sha256 == whole[1].weights_sha256
    assert curve(card) == curve(whole[1])
    assert card.training["kept"] == whole[1].training["kept"]
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_resumed_training_does_not_repeat_epochs(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(TINY, tmp_path, seed=4, device="cpu", progress=interrupt_at(13))
    steps: list[int] = []
    train(
        TINY, tmp_path, seed=4, device="cpu", progress=lambda stage, done, of: stage == "train" and steps.append(done)
    )
    assert steps == list(range(13, 19))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no list of the files that lie in memory")
def test_a_checkpoint_that_is_continued_can_be_replaced_on_windows(tmp_path: Path) -> None:
    """Windows refuses to replace a file of which a part lies in memory."""
    with pytest.raises(Interrupted):
        train(TINY, tmp_path, seed=4, device="cpu", progress=interrupt_at(13))
    mapped: list[bool] = []

    def look(*_: object) -> None:
        mapped.append("checkpoint.safetensors" in Path("/proc/self/maps").read_text(encoding="utf-8"))

    train(TINY, tmp_path, seed=4, device="cpu", progress=look)
    assert mapped
    assert not any(mapped)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("checkpoint")
    with pytest.raises(Interrupted):
        train(TINY, folder, seed=4, device="cpu", progress=interrupt_at(7))
    return (folder / "checkpoint.safetensors").read_bytes()


def refused(folder: Path, *parts: str, plan: TrainingPlan = TINY, seed: int = 4) -> None:
    with pytest.raises(InputError) as error:
        train(plan, folder, seed=seed, device="cpu")
    assert "\n" not in str(error.value)
    for part in (str(folder / "checkpoint.safetensors"), *parts):
        assert part in str(error.value), error.value


def test_checkpoint_of_another_training(checkpoint: bytes, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(checkpoint)
    refused(tmp_path, "another plan, recipes or seed", "remove it", seed=5)
    refused(tmp_path, "another plan, recipes or seed", plan=replace(TINY, learning_rate=1e-4))
    refused(tmp_path, "another plan, recipes or seed", plan=replace(TINY, recipes="realistic"))
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == checkpoint


def test_damaged_checkpoint(checkpoint: bytes, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    for content in (b"", b"nonsense", checkpoint[: len(checkpoint) // 2]):
        path.write_bytes(content)
        refused(tmp_path, "damaged checkpoint", "remove it to start anew")


@pytest.mark.parametrize("metadata", [None, {"run": "{"}, {"run": "{}"}, {"run": "[]"}, {"other": "x"}])
def test_checkpoint_without_its_numbers(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "checkpoint.safetensors", metadata)
    refused(tmp_path, "damaged checkpoint", "remove it to start anew")


def test_checkpoint_holds_both_networks_and_the_optimiser(checkpoint: bytes, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(checkpoint)
    names = load_file(tmp_path / "checkpoint.safetensors")
    network = {name.removeprefix("network.") for name in names if name.startswith("network.")}
    assert network == {name.removeprefix("best.") for name in names if name.startswith("best.")}
    assert any(name.startswith("adam.") for name in names)


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        train(replace(TINY, epochs=1), tmp_path / "file" / "runs", device="cpu")


def test_unknown_recipes_and_architecture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'simulatd'.*simulated"):
        train(replace(TINY, recipes="simulatd"), tmp_path)
    with pytest.raises(ModelError, match=r"'dcn'.*dcnn"):
        train(replace(TINY, architecture="dcn"), tmp_path)
    assert not list(tmp_path.iterdir())


# Mixtures of recipe books


def test_mixture_takes_an_even_share_of_each_book_and_numbers_run_on() -> None:
    spectra, labels = simulated_spectra("simulated+realistic+wide", 14, seed=2, window=32)
    assert labels.tolist() == [i % 6 for i in range(14)]
    for book, first, count in (("simulated", 0, 4), ("realistic", 4, 5), ("wide", 9, 5)):
        data = simulate(count, book, seed=2, size=32, first=first)
        expected = spectrum(torch.from_numpy(data["image"].values))
        torch.testing.assert_close(spectra[first : first + count].float(), expected, atol=1e-3, rtol=0)


def test_books_of_a_mixture_have_the_same_classes(tmp_path: Path) -> None:
    recipes = tmp_path / "mine.toml"
    recipes.write_text("[hexagonal]\n[none]\n")
    with pytest.raises(InputError, match=r"hexagonal, oblique, none and hexagonal, none; expected the same classes"):
        recipe_books(f"simulated+{recipes}")
    with pytest.raises(InputError, match=r"'wild'.*wide"):
        recipe_books("simulated+wild")
    plus = tmp_path / "a+b.toml"
    plus.write_text("[hexagonal]\n[none]\n")
    assert [list(book) for book in recipe_books(str(plus))] == [["hexagonal", "none"]]


# Calibration


def test_a_plan_on_the_mixture_ends_with_a_calibration() -> None:
    plan = training_plan("dcnn-2018-wide")
    assert isinstance(plan, TrainingPlan)
    assert plan.recipes == "simulated+realistic+wide"
    assert plan.calibration > 0
    assert plan.architecture == "dcnn-2018"
    assert training_plan("dcnn-2018").calibration == 0


def test_calibrated_training_writes_temperatures_that_the_model_applies(tmp_path: Path) -> None:
    plan = replace(TINY, epochs=1, recipes="simulated+wide", calibration=24, description="a test")
    card = train(plan, tmp_path, name="warm", seed=4, device="cpu")
    assert card.description == "a test"
    seed = 4 + training._SEED_OF_CALIBRATION
    assert card.calibration["fitted on"] == f"24 windows of simulated, wide, seed {seed}"
    assert set(card.accuracy) == {"validation"} | {
        f"{book}, 12 held-out windows, seed {seed}" for book in ("simulated", "wide")
    }
    model = load_model(tmp_path / "warm.safetensors")
    assert model.card.calibration == card.calibration
    spectra, labels = simulated_spectra("wide", 24, seed, 32)
    with torch.no_grad():
        scores = model.network(spectra.float()).double()
    probability = (scores / card.calibration["temperature"]).softmax(dim=1)[12:]
    nll = -probability[torch.arange(12), labels[12:]].log().mean()
    stated = card.accuracy[f"wide, 12 held-out windows, seed {seed}"]["negative log likelihood"]
    assert stated == pytest.approx(float(nll), abs=1e-3)
    # The weights are those of the same plan without calibration.
    plain = train(replace(plan, calibration=0), tmp_path / "plain", seed=4, device="cpu")
    assert plain.weights_sha256 == card.weights_sha256
    assert plain.calibration == {}


def test_own_classes_are_learned(tmp_path: Path) -> None:
    recipes = tmp_path / "mine.toml"
    recipes.write_text(
        '[crystal]\nlattice = "hexagonal"\nlength = [8, 10]\nnoise = [0, 0.2]\ndisorder = [0, 0.03]\n'
        "[none]\nlength = [8, 10]\nnoise = [0, 0.2]\n"
    )
    plan = TrainingPlan(recipes=str(recipes), images=200, epochs=3, batch=10, window=64)
    card = train(plan, tmp_path / "runs", name="mine", seed=1, device="cpu")
    assert card.classes == ("crystal", "none")
    model = load_model(tmp_path / "runs" / "mine.safetensors")
    data = simulate(60, recipes, seed=2, size=64)
    found = model.predict(data["image"].values, samples=0).probability
    assert (found.argmax(axis=1) == data["label"].values).mean() >= 0.9
