"""Unexplained waves: nothing of one lattice, much of order that is no lattice, and what becomes of the answer."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
import torch

from bravaismap.classify.models import load_model
from bravaismap.classify.tokens import tokens_and_lattices
from bravaismap.classify.unexplained import Doubt, unexplained_share
from bravaismap.conventions import CLASSES, NONE
from bravaismap.measure.spots import flatten
from bravaismap.simulate.windows import simulate

unexplained = importlib.import_module("bravaismap.classify.unexplained")

SIDE = 128


def waves(directions: list[float], period: float = 9.0, side: int = SIDE) -> np.ndarray:
    """The sum of waves of one period in directions (degrees)."""
    y, x = np.mgrid[:side, :side]
    return sum(
        np.cos(2 * math.pi / period * (math.cos(math.radians(a)) * x + math.sin(math.radians(a)) * y))
        for a in directions
    )


SQUARE, TURNED = [12.0, 102.0], [57.0, 147.0]
OCTAGONAL = waves(SQUARE + TURNED)


def share_of(*images: np.ndarray) -> list[float]:
    """The unexplained share of images with a little noise."""
    rng = np.random.default_rng(0)
    noisy = torch.from_numpy(np.stack([image + 0.2 * rng.normal(size=image.shape) for image in images])).float()
    return [float(value) for value in unexplained_share(noisy, tokens_and_lattices(noisy)[1])]


def test_a_lattice_explains_its_waves() -> None:
    assert max(share_of(waves(SQUARE), waves(TURNED), waves([5, 65, 125]))) < 0.01


def test_no_lattice_explains_a_quasicrystal() -> None:
    octagonal, twelve = share_of(OCTAGONAL, waves([5, 35, 65, 95, 125, 155]))
    assert octagonal > 0.35
    assert twelve > 0.25


def test_grains_side_by_side_are_no_order_beyond_a_lattice() -> None:
    halves = np.where(np.arange(SIDE) < SIDE // 2, waves(SQUARE), waves(TURNED))
    assert share_of(halves)[0] < 0.1


def test_without_waves_nothing_is_unexplained() -> None:
    rng = np.random.default_rng(1)
    lines = np.zeros((SIDE, SIDE)) + rng.normal(size=(SIDE, 1))
    assert share_of(rng.normal(size=(SIDE, SIDE)), np.zeros((SIDE, SIDE)), 5 * lines, 5 * lines.T) == [0, 0, 0, 0]


def test_few_windows_that_a_network_learns_from_are_doubted() -> None:
    for book in ("realistic", "broken"):
        images = torch.from_numpy(simulate(60, book, seed=31, size=SIDE)["image"].values).float()
        doubt = Doubt.about(images, tokens_and_lattices(images)[1], CLASSES)
        assert float((doubt.share > 0).float().mean()) < 0.07


def test_the_share_of_a_window_hangs_on_the_window_alone() -> None:
    images = torch.from_numpy(np.stack([OCTAGONAL, waves(SQUARE), 3 * OCTAGONAL + 40])).float()
    lattices = tokens_and_lattices(images)[1]
    together = unexplained_share(images, lattices)
    torch.testing.assert_close(unexplained_share(images[:1], lattices[:1]), together[:1], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(together[2], together[0], atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("side", [32, 65, 102])
def test_any_side(side: int) -> None:
    images = torch.from_numpy(simulate(3, "realistic", seed=1, size=side)["image"].values).float()
    share = unexplained_share(images, tokens_and_lattices(images)[1])
    assert share.shape == (3,)
    assert bool(((share >= 0) & (share <= 0.5)).all())


def test_the_doubt_is_about_the_lattice() -> None:
    """The doubtful part of P(lattice) is shared out evenly, that of none is not doubted."""
    probability = torch.tensor([[0.9, 0.02, 0.02, 0.03, 0.01, 0.02], [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]]).double()
    doubt = Doubt(torch.tensor([0.5, 1.0]), CLASSES.index(NONE))
    flat = doubt.flattened(probability)
    expected = [0.51 * p + 0.49 / 6 for p in probability[0].tolist()]
    np.testing.assert_allclose(flat[0], expected)
    np.testing.assert_allclose(flat[1], probability[1])
    np.testing.assert_allclose(doubt[1:].flattened(probability[:1])[0], 0.02 * probability[0] + 0.98 / 6)
    passes = doubt.flattened(probability[:, None].expand(-1, 3, -1))
    np.testing.assert_allclose(passes, flat[:, None].expand(-1, 3, -1))
    without = Doubt(torch.tensor([0.25, 0.0]), None).flattened(probability)
    np.testing.assert_allclose(without[0], 0.75 * probability[0] + 0.25 / 6)
    joined = Doubt.concatenate([doubt[:1], doubt[1:]])
    assert joined.share.tolist() == [0.5, 1.0]
    assert joined.none == CLASSES.index(NONE)


@pytest.mark.parametrize("samples", [0, 6])
def test_a_network_is_not_sure_of_a_quasicrystal(samples: int) -> None:
    model, rng = load_model("dcnn"), np.random.default_rng(2)
    images = np.exp(0.75 * np.stack([2 * waves(SQUARE), OCTAGONAL]))
    images = images / images.std((1, 2), keepdims=True) + 0.5 * rng.normal(size=(2, SIDE, SIDE))
    answer = model.predict(images.astype(np.float32), samples=samples)
    assert answer.probability[0].argmax() == CLASSES.index("square")
    assert answer.probability[0].max() > 0.9
    assert answer.probability[1].max() < 0.4
    assert answer.entropy[1] > 1.5


def test_a_large_image_of_a_quasicrystal_is_doubted_too() -> None:
    large = np.exp(0.75 * waves(SQUARE + TURNED, side=400))
    image = large / large.std() + 0.5 * np.random.default_rng(2).normal(size=(400, 400))
    answer = load_model("dcnn").predict(image[None].astype(np.float32), samples=0)
    assert answer.probability[0].max() < 0.4


def test_a_window_is_asked_only_where_every_candidate_leaves_a_clear_spot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of which one candidate holds all bright spots are not looked at again, and none of them is doubted."""
    images = torch.from_numpy(np.concatenate([[OCTAGONAL], simulate(40, "simulated", seed=5)["image"].values])).float()
    lattices, asked = tokens_and_lattices(images)[1], []
    shares, usual = unexplained_share(images, lattices), Doubt.about(images, lattices, CLASSES).share
    monkeypatch.setattr(unexplained, "flatten", lambda rows: asked.append(len(rows)) or flatten(rows))
    torch.testing.assert_close(unexplained_share(images, lattices), shares)
    assert 1 <= sum(asked) < 20
    monkeypatch.setattr(unexplained, "_all_miss", lambda basis, *_: torch.ones(len(basis), dtype=torch.bool))
    torch.testing.assert_close(Doubt.about(images, lattices, CLASSES).share, usual)
