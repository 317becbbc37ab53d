"""Training on a stream: seeded, resumable to the last bit, and never without a model once it has learned."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bravaismap.classify.models import load_model
from bravaismap.classify.network import Ensemble, ModelCard
from bravaismap.conventions import CLASSES
from bravaismap.errors import BravaismapWarning, InputError
from bravaismap.simulate.stream import batches
from bravaismap.simulate.windows import simulate
from bravaismap.train import streaming
from bravaismap.train.plan import StreamPlan, distortions_of, draws_of
from bravaismap.train.pool import Lessons, Pool, lessons
from bravaismap.train.streaming import train_on_stream
from bravaismap.train.training import PRESETS, training_plan

TINY = StreamPlan(
    kinds=("simulated", "laboratory"), sides=(32, 48), windows=48, draw=12, pool=24, repeats=2, batch=4, members=2,
    validation=1, calibration=1,
)  # fmt: skip


class Interrupted(Exception):
    pass


def interrupt_at(draw: int) -> Any:
    def progress(stage: str, done: int, _: int) -> None:
        if stage == "train" and done == draw * TINY.draw:
            raise Interrupted

    return progress


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_WRITTEN_EVERY", 0.0)
    monkeypatch.setattr(streaming, "_TIMES_A_LOOK", 0.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelCard]:
    """Train without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "_WRITTEN_EVERY", 0.0)
        patch.setattr(streaming, "_TIMES_A_LOOK", 0.0)
        return folder, train_on_stream(TINY, folder, name="tiny", seed=4, device="cpu", command="bravaismap train …")


def test_the_preset() -> None:
    plan = training_plan("dcnn")
    assert isinstance(plan, StreamPlan)
    assert plan == PRESETS["dcnn"]
    assert plan.members == 3
    assert set(plan.kinds) >= {"simulated", "realistic", "wide", "broken"}
    assert (min(plan.sides), plan.sides.count(128) > 1) == (48, True)


@pytest.mark.parametrize("changes", [{"draw": 0}, {"batch": 1}, {"windows": 10}, {"pool": 30}, {"members": 0}])
def test_plans_that_cannot_be(changes: dict[str, int]) -> None:
    with pytest.raises(InputError, match="expected"):
        replace(TINY, **changes)


def test_classes_of_the_books_must_agree(tmp_path: Path) -> None:
    book = tmp_path / "two.toml"
    book.write_text("[square]\n[none]\n")
    with pytest.raises(InputError, match=r"two\.toml has the classes square, none"):
        train_on_stream(replace(TINY, kinds=("simulated", str(book))), tmp_path, device="cpu")


def test_what_is_written(whole: tuple[Path, ModelCard]) -> None:
    folder, card = whole
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.json", "tiny.log.jsonl", "tiny.safetensors"]
    assert json.loads((folder / "tiny.json").read_text(encoding="utf-8"))["training"] == card.training
    assert (card.members, card.classes, card.training["seed"]) == (2, CLASSES, 4)
    assert card.training["command"] == "bravaismap train …"
    lines = [json.loads(line) for line in (folder / "tiny.log.jsonl").read_text().splitlines()]
    assert [line["windows"] for line in lines] == [12, 24, 36, 48, 48]
    assert lines[-1]["steps"] == 8
    assert set(lines[-1]["accuracy and likelihood by kind"]) == {"simulated", "laboratory"}
    best = min(lines, key=lambda line: line["negative log likelihood"])
    assert card.training["windows"] == best["windows"]
    weights = load_file(folder / "tiny.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}


def test_it_is_loaded_as_any_model(whole: tuple[Path, ModelCard]) -> None:
    model = load_model(whole[0] / "tiny.safetensors")
    assert isinstance(model.network, Ensemble)
    image = simulate(3, seed=8, size=64)["image"].values
    assert model.distortion is None  # the default of a user who does not know it
    told = load_model(whole[0] / "tiny.safetensors", distortion=0.03)
    assert (told.distortion, told.record.settings) == (0.03, {"distortion": 0.03})
    probability = [m.predict(image, samples=0).probability for m in (model, told)]
    assert np.abs(probability[0] - probability[1]).max() > 1e-6
    for samples in (0, 4):
        answer = model.predict(image, samples=samples)
        assert answer.probability.shape == (3, 6)
        assert answer.probability.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("draw", [1, 3])
def test_interrupted_and_resumed_is_the_same_to_the_last_bit(
    whole: tuple[Path, ModelCard], tmp_path: Path, draw: int
) -> None:
    with pytest.raises(Interrupted):
        train_on_stream(TINY, tmp_path, name="tiny", seed=4, device="cpu", progress=interrupt_at(draw))
    assert (tmp_path / "tiny.checkpoint").exists() == (draw > 1)
    card = train_on_stream(TINY, tmp_path, name="tiny", seed=4, device="cpu", command="bravaismap train …")
    assert card.weights_sha256 == whole[1].weights_sha256
    assert not (tmp_path / "tiny.checkpoint").exists()


def test_checkpoint_of_another_training(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train_on_stream(TINY, tmp_path, seed=4, device="cpu", checkpoints=tmp_path / "kept", progress=interrupt_at(2))
    with pytest.raises(InputError, match="another plan, recipes or seed"):
        train_on_stream(TINY, tmp_path, seed=5, device="cpu", checkpoints=tmp_path / "kept")


def test_a_draw_that_fails_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def faulty(*arguments: Any) -> Iterator[Lessons]:
        for drawn in draws_of(*arguments):
            calls.append(1)
            if len(calls) in (1, 3):
                raise torch.OutOfMemoryError
            yield drawn

    monkeypatch.setattr(streaming, "draws_of", faulty)
    train_on_stream(TINY, tmp_path, seed=4, device="cpu")
    log = [json.loads(line) for line in (tmp_path / "model.log.jsonl").read_text().splitlines()]
    assert (log[-1]["lost draws"], log[-1]["steps"], log[-1]["windows"]) == (2, 6, 48)
    monkeypatch.setattr(streaming, "_MOST_LOST", 0)
    calls.clear()
    with pytest.raises(torch.OutOfMemoryError):
        train_on_stream(TINY, tmp_path, name="other", seed=4, device="cpu")


def test_a_budget_of_time(tmp_path: Path) -> None:
    card = train_on_stream(TINY, tmp_path, seed=4, device="cpu", minutes=1e-6)
    assert card.training["windows"] == 12


def test_slow_windows_are_learned_from_more_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments: Any) -> Iterator[Lessons]:
        for drawn in draws_of(*arguments):
            time.sleep(3)
            yield drawn

    monkeypatch.setattr(streaming, "draws_of", slow)
    monkeypatch.setattr(streaming._Run, "_share_done", lambda self, _: float(self.draw))
    card = train_on_stream(TINY, tmp_path, seed=4, device="cpu", minutes=1)
    assert card.training["steps"] == 1  # the budget is over after the first batch
    monkeypatch.setattr(streaming._Run, "_share_done", lambda self, _: float(self.step > TINY.repeats))
    card = train_on_stream(TINY, tmp_path, name="longer", seed=4, device="cpu", minutes=1)
    assert card.training["steps"] == TINY.repeats + 1


def test_a_look_takes_at_most_a_twentieth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_TIMES_A_LOOK", 1e9)
    train_on_stream(TINY, tmp_path, seed=4, device="cpu")
    lines = [json.loads(line) for line in (tmp_path / "model.log.jsonl").read_text().splitlines()]
    assert [line["windows"] for line in lines] == [12, 48]  # one look, and the last


def test_stages_of_a_training_are_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    train_on_stream(TINY, tmp_path, seed=4, device="cpu", progress=lambda *stage: told.append(stage))
    assert [stage for stage, _, _ in told] == ["hold out"] * 2 + ["train"] * 4 + ["hold out"] * 2
    assert told[-1] == ("hold out", 1, 1)
    assert told[5] == ("train", 48, 48)


def test_a_checkpoint_goes_on_where_draws_are_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a training that began on a GPU goes on on a processor."""
    with pytest.raises(Interrupted):
        train_on_stream(TINY, tmp_path, seed=4, device="cpu", progress=interrupt_at(3))
    monkeypatch.setattr("bravaismap.train.plan._DRAW_ON_PROCESSOR", 6)
    with pytest.warns(BravaismapWarning, match=r"in draws of 12 windows goes on in draws of 6"):
        card = train_on_stream(TINY, tmp_path, seed=4, device="cpu")
    log = [json.loads(line) for line in (tmp_path / "model.log.jsonl").read_text().splitlines()]
    assert [line["windows"] for line in log] == [12, 24, 30, 36, 42, 48, 48]
    assert card.classes == CLASSES


def test_steps_without_finite_gradient_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, calls = streaming._losses, []

    def faulty(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        of_class, of_cell = right(*arguments)
        calls.append(1)
        return (of_class * math.nan, of_cell) if len(calls) == 3 else (of_class, of_cell)

    monkeypatch.setattr(streaming, "_losses", faulty)
    card = train_on_stream(replace(TINY, windows=24), tmp_path, seed=4, device="cpu")
    assert card.training["skipped steps"] == 1
    assert math.isfinite(card.accuracy["of held-out windows of the stream"]["negative log likelihood"])
    weights = load_file(tmp_path / "model.safetensors")
    assert all(bool(value.isfinite().all()) for value in weights.values())


def test_learning_rate_rises_by_steps_and_falls_by_the_budget() -> None:
    rates = [streaming._learning_rate(0.0, step) for step in (0, 99, 199, 5000)]
    assert rates == pytest.approx([0.005, 0.5, 1, 1], rel=1e-3)
    assert streaming._learning_rate(0.5, 5000) == pytest.approx(0.5, rel=1e-3)
    assert 0 < streaming._learning_rate(1.0, 5000) < 1e-3


def test_half_of_the_windows_come_with_their_distortion() -> None:
    plan = training_plan("dcnn")
    assert isinstance(plan, StreamPlan)
    assert distortions_of(plan) == [0.0, 0.003, 0.003, 0.01, 0.03]
    part = draws(1)[0]
    many = Lessons.concatenate([part] * 300)
    many = replace(many, kind=torch.arange(len(many)) % 2)
    torch.manual_seed(1)
    told = streaming._told(many, torch.tensor([0.0, 0.01])).tokens.distortion
    known = told.isfinite()
    assert float(known.float().mean()) == pytest.approx(0.5, abs=0.05)
    for kind, true in enumerate((3e-4, 0.01)):
        logarithm = (told[known & (many.kind == kind)] / true).log()
        assert float(logarithm.mean()) == pytest.approx(0, abs=0.06)
        assert float(logarithm.std()) == pytest.approx(0.35, abs=0.05)


def test_a_processor_takes_smaller_draws_and_batches() -> None:
    plan = StreamPlan()
    assert plan.on("cuda") == plan
    small = plan.on("cpu")
    assert (small.draw, small.batch, small.pool, small.repeats) == (256, 512, 65536, 2)
    assert small.batch * small.repeats / small.draw == plan.batch * plan.repeats / plan.draw
    assert small.learning_rate == pytest.approx(plan.learning_rate / 8**0.5)
    assert small.on("cpu") == small
    assert replace(plan, draw=300, pool=900, batch=30).on("cpu").pool == 768


def draws(count: int) -> list[Lessons]:
    stream = batches(1, ("simulated",), (32,), 6, "cpu", 0)
    return [lessons(next(stream)) for _ in range(count)]


def test_pool_keeps_the_latest() -> None:
    parts = draws(4)
    pool = Pool(18)
    for part in parts:
        pool.put(part)
    assert pool.count == 18
    other = Pool(18)
    other.refill(3, 6, iter(parts[1:]))
    drawn, again = (p.drawn(50, torch.Generator().manual_seed(1)) for p in (pool, other))
    assert torch.equal(drawn.tokens.polar, again.tokens.polar)
    assert torch.equal(drawn.label, again.label)
    sides = {float(value) for value in drawn.tokens.polar[:, 0, 0, 0]}
    assert sides <= {float(v) for part in parts[1:] for v in part.tokens.polar[:, 0, 0, 0].float()}


def test_cells_of_lessons() -> None:
    stream = batches(1, ("simulated",), (32,), 12, "cpu", 0)
    batch = next(stream)
    cell = lessons(batch).cell
    assert torch.equal(cell.isfinite().all(1), batch.label < 5)
    square = cell[batch.label == CLASSES.index("square")]
    torch.testing.assert_close(square[:, :2], torch.zeros_like(square[:, :2]), atol=1e-4, rtol=0)
    side = batch.basis[batch.label == CLASSES.index("square")].norm(dim=-1)[:, 0]
    torch.testing.assert_close(square[:, 2].exp(), side, rtol=1e-4, atol=0)
