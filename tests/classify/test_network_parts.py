"""Parts of large images: known answers, an independent derivation, and what a user asks for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bravaismap.classify import network_parts
from bravaismap.classify.models import LARGEST_SIDE, load_model
from bravaismap.classify.network_parts import pooled
from bravaismap.conventions import CLASSES, NONE
from bravaismap.simulate.windows import simulate

EMPTY = torch.tensor([name == NONE for name in CLASSES])
NUMBER = {name: i for i, name in enumerate(CLASSES)}


def pooled_of(parts: list[dict[str, float]], seen: list[float]) -> np.ndarray:
    """The answer for parts of which some probabilities are given; the others share the rest."""
    rows = np.empty((len(parts), len(CLASSES)))
    for row, part in zip(rows, parts, strict=True):
        row[:] = (1 - sum(part.values())) / (len(CLASSES) - len(part))
        for name, value in part.items():
            row[NUMBER[name]] = value
    logarithm = torch.from_numpy(np.log(rows))[:, None]
    return pooled(logarithm, torch.tensor(seen, dtype=torch.float64), EMPTY)[0].numpy()


@pytest.fixture
def worth_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_parts, "_WORTH", 1.0)


@pytest.mark.usefixtures("worth_one")
def test_parts_that_agree_say_what_each_says() -> None:
    part = {"square": 0.6, "rectangular": 0.2, "none": 0.1}
    answer = pooled_of([part] * 3, [1.0] * 3)
    for name, value in part.items():
        assert answer[NUMBER[name]] == pytest.approx(value)


@pytest.mark.usefixtures("worth_one")
def test_a_part_that_sees_nothing_does_not_count() -> None:
    clear = {"hexagonal": 0.9, "none": 0.01}
    alone = pooled_of([clear], [1.0])
    blurred = pooled_of([clear, {"none": 1e-9}, {"none": 1e-9}], [1.0, 1e-9, 1e-9])
    np.testing.assert_allclose(blurred, alone, atol=1e-6)


def test_parts_without_a_candidate_show_no_lattice() -> None:
    answer = pooled_of([{"none": 0.1}] * 9, [0.01] * 9)
    assert answer.argmax() == NUMBER["none"]
    assert answer[NUMBER["none"]] > 0.9


def test_none_is_a_share_of_the_parts() -> None:
    crystal, void = {"square": 0.999998, "none": 1e-6}, {"none": 0.999998}
    answer = pooled_of([crystal, crystal, crystal, void], [1.0] * 4)
    assert answer[NUMBER["none"]] == pytest.approx(0.25, abs=1e-3)
    assert answer[NUMBER["square"]] == pytest.approx(0.75, abs=1e-3)


def test_where_domains_meet_they_show_a_lattice_that_neither_has() -> None:
    domain, border = {"rectangular": 0.98, "square": 0.01}, {"rectangular": 0.08, "square": 0.91}
    parts = [domain, domain, border, border, border]
    assert np.mean([part["square"] for part in parts]) > np.mean([part["rectangular"] for part in parts])
    assert pooled_of(parts, [1.0] * 5).argmax() == NUMBER["rectangular"]


def test_the_formula() -> None:
    """P(none) as the share of `none` among what counts; the lattices by a weighted geometric mean, part by part."""
    rng = np.random.default_rng(3)
    probability, seen = rng.dirichlet(np.full(6, 0.7), (4, 2)), rng.random(4)
    expected = []
    for passes in probability.transpose(1, 0, 2):
        counts = [s * sum(p[:5]) for s, p in zip(seen, passes, strict=True)]
        geometric = np.ones(5)
        for count, p in zip(counts, passes, strict=True):
            geometric *= (p[:5] / sum(p[:5])) ** (network_parts._WORTH * count / sum(counts))
        none = sum(p[5] for p in passes) / (sum(p[5] for p in passes) + sum(counts))
        expected.append([*((1 - none) * geometric / geometric.sum()), none])
    answer = pooled(torch.from_numpy(np.log(probability)), torch.from_numpy(seen), EMPTY)
    np.testing.assert_allclose(answer.numpy(), expected, rtol=1e-10)


def test_classes_without_none() -> None:
    probability = torch.tensor([[[0.7, 0.3]], [[0.6, 0.4]]], dtype=torch.float64)
    answer = pooled(probability.log(), torch.tensor([0.5, 0.0], dtype=torch.float64), torch.tensor([False, False]))
    assert answer[0, 0] > 0.7
    assert float(answer.sum()) == pytest.approx(1)


@pytest.mark.slow
def test_large_images() -> None:
    model = load_model("dcnn")
    images = simulate(2, "broken", seed=8, size=LARGEST_SIDE + 40, first=3)["image"].values
    single, drawn = (model.predict(images, samples=samples, seed=1) for samples in (0, 6))
    for answer in (single, drawn):
        assert answer.probability.sum(axis=1) == pytest.approx(1)
        np.testing.assert_array_equal(answer.probability.argmax(axis=1), [NUMBER["hexagonal"], NUMBER["oblique"]])
        assert (answer.entropy >= 0).all()
    assert np.isnan(single.probability_std).all()
    assert drawn.pass_total is not None
    np.testing.assert_allclose(drawn.pass_total.mean(axis=0), drawn.probability.sum(axis=0))
    assert ((drawn.mutual_information >= 0) & (drawn.mutual_information <= drawn.entropy)).all()
    alone = model.predict(images[1:], samples=6, seed=1)
    np.testing.assert_allclose(alone.probability_std[0], drawn.probability_std[1], atol=1e-5)
    image = np.random.default_rng(2).normal(size=(1, 400, 400)).astype(np.float32)
    assert model.predict(image, samples=0).probability[0].argmax() == NUMBER["none"]
