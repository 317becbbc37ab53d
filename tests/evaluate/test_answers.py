"""Answers of a model to labelled windows and images, and the report of its scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bravaismap.classify.models import NetworkClassifier, load_model
from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError
from bravaismap.evaluate.answers import answer, evaluate
from bravaismap.evaluate.labelled import Labelled
from bravaismap.evaluate.scores import score, score_report
from bravaismap.phases.image import classify
from bravaismap.simulate.windows import simulate

ABC = ("a", "b", "c")
PROBABILITY = np.array([[0.97, 0.02, 0.01], [0.2, 0.5, 0.3], [0.5, 0.3, 0.2], [0.96, 0.01, 0.03]])
LABELS = np.array([0, 2, 0, 2])


def test_report_says_it_all() -> None:
    text = score_report(score(PROBABILITY, LABELS, ABC), "mine on data.npz")
    assert text.splitlines()[0] == "mine on data.npz"
    for part in (
        "accuracy                     50.0 %",
        "windows                      4",
        "second right where wrong     100.0 %",
    ):
        assert part in text
    assert text.splitlines()[-1].split() == ["c", "1", "1", "0"]


# A model on windows


def test_evaluated_as_predicted(quick: NetworkClassifier, windows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(12) % 6
    labelled = Labelled(windows, labels, CLASSES)
    scores = evaluate(quick, labelled)
    probability = quick.predict(windows, samples=0).probability
    assert scores.accuracy == (probability.argmax(axis=1) == labels).mean()
    assert scores.confusion.sum(axis=1).tolist() == [2] * 6
    monkeypatch.setattr("bravaismap.evaluate.answers._MOST_IMAGES", 5)
    seen: list[int] = []
    parts = evaluate(quick, labelled, progress=seen.append)
    assert seen == [5, 10, 12]
    assert parts.nll == pytest.approx(scores.nll, abs=1e-6)
    np.testing.assert_array_equal(parts.confusion, scores.confusion)


def test_labels_may_count_the_classes_in_another_order(quick: NetworkClassifier, windows: np.ndarray) -> None:
    labels = np.arange(12) % 6
    straight = evaluate(quick, Labelled(windows, labels, CLASSES))
    reverse = evaluate(quick, Labelled(windows, 5 - labels, CLASSES[::-1]))
    few = evaluate(quick, Labelled(windows[labels == 3], np.zeros(2, int), ("hexagonal",)))
    assert reverse.nll == pytest.approx(straight.nll)
    np.testing.assert_array_equal(reverse.confusion, straight.confusion)
    np.testing.assert_array_equal(few.confusion[3], straight.confusion[3])
    assert few.confusion.sum() == 2


def test_samples_are_taken(quick: NetworkClassifier, windows: np.ndarray) -> None:
    labelled = Labelled(windows, np.arange(12) % 6, CLASSES)
    sampled = evaluate(quick, labelled, samples=20, seed=3)
    expected = score(quick.predict(windows, samples=20, seed=3).probability, labelled.labels, CLASSES)
    assert sampled.nll == pytest.approx(expected.nll, abs=1e-6)
    assert sampled.nll != pytest.approx(evaluate(quick, labelled).nll, abs=1e-5)


def test_class_that_the_model_does_not_have(quick: NetworkClassifier, windows: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"quick has no class quasicrystal; it has square, rectangular"):
        evaluate(quick, Labelled(windows[:1], np.zeros(1, int), ("quasicrystal", "none")))


# Images of different shapes


def test_images_of_different_shapes_are_answered_in_their_order(quick: NetworkClassifier) -> None:
    sides = [64, 96, 64, 80, 96, 64]
    images = tuple(simulate(6, seed=5, size=side)["image"].values[i] for i, side in enumerate(sides))
    labelled = Labelled(images, np.arange(6), CLASSES)
    lattice = load_model("lattice", 0.01)
    for model in (quick, lattice):
        seen: list[int] = []
        together = answer(model, labelled, progress=seen.append)
        assert seen == [3, 5, 6]
        assert together.batches.tolist() == [3, 2, 1]
        for i, image in enumerate(images):
            alone = model.predict(image[None].astype(np.float32), samples=0)
            np.testing.assert_allclose(together.probability[i], alone.probability[0], atol=1e-5)
            if alone.cells is not None and together.cells is not None:
                np.testing.assert_allclose(together.cells.basis[i], alone.cells.basis[0], rtol=1e-4)


def test_images_need_not_be_square_for_the_measurement(quick: NetworkClassifier) -> None:
    images = tuple(image[:, : 96 - 8 * i] for i, image in enumerate(simulate(3, seed=2, size=96)["image"].values))
    labelled = Labelled(images, np.arange(3), CLASSES)
    assert answer(load_model("lattice", 0.0), labelled).probability.shape == (3, 6)
    with pytest.raises(InputError, match=r"96 × 88 px was given; the model quick takes square ones: crop it"):
        answer(quick, labelled)


def test_network_takes_a_large_image_as_classify_does(quick: NetworkClassifier) -> None:
    image = simulate(1, seed=4, size=272)["image"].values
    said = answer(quick, Labelled(image, np.zeros(1, int), CLASSES)).probability
    np.testing.assert_allclose(said, classify(image, model=quick, samples=0)["probability"].values, atol=1e-6)
    other = replace(quick, preprocessing="window").predict(image.astype(np.float32), samples=0).probability
    assert np.abs(said - other).max() > 1e-3
