"""Judgement: figures of known answers, and temperatures that can be fitted again without training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bravaismap.classify.network import ModelCard, build_ensemble, load_network, save_network
from bravaismap.conventions import CLASSES
from bravaismap.train.judgement import calibrate_on_stream, judged
from bravaismap.train.plan import SEED_OF_CALIBRATION, StreamPlan, held_out

PLAN = StreamPlan(
    kinds=("simulated", "realistic"), sides=(32,), windows=24, draw=24, pool=24, members=2, batch=4, calibration=2
)


def test_figures_are_those_of_the_mean_of_the_members() -> None:
    windows = held_out(PLAN, 5, 1, "cpu")
    torch.manual_seed(0)
    network = build_ensemble("tokens", len(CLASSES), 0.2, 2).eval()
    figures = judged(network, windows, PLAN.kinds)
    with torch.no_grad():
        tokens = windows.to(torch.float32).tokens
        probability = torch.stack([member(tokens).softmax(-1) for member in network.members]).mean(0)
    right = (probability.argmax(-1) == windows.label).float()
    assert figures["accuracy"] == pytest.approx(float(right.mean()), abs=1e-4)
    surprise = -probability[torch.arange(24), windows.label].log()
    assert figures["negative log likelihood"] == pytest.approx(float(surprise.mean()), abs=1e-4)
    by_kind = figures["accuracy and likelihood by kind"]
    assert by_kind["realistic"][1] == pytest.approx(float(surprise[windows.kind == 1].mean()), abs=1e-3)
    assert set(figures["accuracy and likelihood by side"]) == {"32"}


def test_with_no_time_one_draw_is_held_out() -> None:
    assert len(held_out(PLAN, 5, 3, "cpu", minutes=1e-6)) == 24
    assert len(held_out(PLAN, 5, 3, "cpu", minutes=60)) == 72


def test_calibrated_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    torch.manual_seed(1)
    network = build_ensemble("tokens", len(CLASSES), 0.2, 2)
    save_network(network, ModelCard("mine", "tokens", CLASSES, 0.2, 128, "", members=2), path, torch.float16)
    card = calibrate_on_stream(path, PLAN, seed=3)
    assert card.calibration["fitted on"] == f"24 windows of simulated, realistic, seed {3 + SEED_OF_CALIBRATION}"
    assert set(card.accuracy) == {f"{kind}, 12 held-out windows, seed {3 + SEED_OF_CALIBRATION}" for kind in PLAN.kinds}
    again, stored = load_network(path)
    assert stored == card
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["calibration"] == card.calibration
    for value, other in zip(again.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(value, other, atol=1e-3, rtol=1e-3)
