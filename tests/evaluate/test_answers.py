"""Figures of merit, by hand and from their definitions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bravaismap.classify.models import NetworkClassifier, load_model
from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError
from bravaismap.evaluate.answers import answer, evaluate
from bravaismap.evaluate.labelled import Labelled, read_labelled
from bravaismap.evaluate.reliability import calibration_error
from bravaismap.evaluate.scores import score, score_report
from bravaismap.phases.image import classify
from bravaismap.simulate.windows import simulate
from bravaismap.simulate.writing import write_windows

ABC = ("a", "b", "c")
PROBABILITY = np.array([[0.97, 0.02, 0.01], [0.2, 0.5, 0.3], [0.5, 0.3, 0.2], [0.96, 0.01, 0.03]])
LABELS = np.array([0, 2, 0, 2])


def test_scores_by_hand() -> None:
    scores = score(PROBABILITY, LABELS, ABC)
    assert scores.accuracy == 0.5
    assert scores.top2 == 1.0
    assert scores.second_right == 1.0
    assert scores.confident_wrong == 0.5
    assert scores.nll == pytest.approx(-np.log([0.97, 0.3, 0.5, 0.03]).mean())
    brier = [
        0.03**2 + 0.02**2 + 0.01**2,
        0.2**2 + 0.5**2 + 0.7**2,
        0.5**2 + 0.3**2 + 0.2**2,
        0.96**2 + 0.01**2 + 0.97**2,
    ]
    assert scores.brier == pytest.approx(np.mean(brier))
    assert scores.confusion.tolist() == [[2, 0, 0], [0, 0, 0], [1, 1, 0]]
    # bins of 1/15: 0.97 and 0.96 in the last, both 0.5 in the eighth
    assert scores.ece == pytest.approx((abs(1 - 1.93) + abs(1 - 1.0)) / 4)


def test_nothing_wrong_and_nothing_sure() -> None:
    scores = score(np.array([[0.6, 0.4], [0.3, 0.7]]), np.array([0, 1]), ("a", "b"))
    assert (scores.accuracy, scores.top2) == (1.0, 1.0)
    assert np.isnan(scores.second_right)
    assert np.isnan(scores.confident_wrong)


def test_a_probability_of_zero_for_the_truth_is_finite() -> None:
    assert score(np.array([[1.0, 0.0]]), np.array([1]), ("a", "b")).nll == pytest.approx(-np.log(1e-12))


def test_calibration_error_from_its_definition() -> None:
    rng = np.random.default_rng(0)
    confidence, right = rng.uniform(0, 1, 500), rng.random(500) < 0.4
    confidence[:3] = 1.0, 0.0, 1 / 15
    total = 0.0
    for i in range(15):
        inside = (confidence >= i / 15) & ((confidence < (i + 1) / 15) | (i == 14))
        if inside.any():
            total += inside.sum() / 500 * abs(right[inside].mean() - confidence[inside].mean())
    assert calibration_error(confidence, right) == pytest.approx(total)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 20))
def test_calibration_error_is_between_its_bounds(pairs: list[tuple[float, bool]], bins: int) -> None:
    confidence, right = np.array([p for p, _ in pairs]), np.array([r for _, r in pairs])
    error = calibration_error(confidence, right, bins)
    assert abs(right.mean() - confidence.mean()) - 1e-9 <= error  # more bins cannot hide the mean gap
    assert error <= np.abs(right - confidence).mean() + 1e-9


def test_who_is_right_as_often_as_sure_is_calibrated() -> None:
    assert calibration_error(np.full(10, 0.7), np.arange(10) < 7) == pytest.approx(0)
    assert calibration_error(np.ones(10), np.zeros(10, bool)) == 1


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


# Files of labelled windows


def test_windows_written_by_simulate_are_read(tmp_path: Path) -> None:
    data = simulate(7, seed=1, size=32)
    labelled = read_labelled(write_windows(data, tmp_path / "w.npz"))
    np.testing.assert_array_equal(labelled.images, data["image"].values)
    np.testing.assert_array_equal(labelled.labels, data["label"].values)
    assert labelled.classes == CLASSES


def test_images_stored_one_by_one_are_read(tmp_path: Path) -> None:
    images = {f"image_{i}": np.full((20 + i, 30), i, np.uint8) for i in range(12)}
    faults = ["rows+dirt", "", *["holes"] * 10]
    vectors = np.full((12, 2, 2), np.nan)
    np.savez(
        tmp_path / "w.npz", **images, label=np.arange(12) % 6, classes=CLASSES, faults=faults,
        primitive_vectors_px=vectors,
    )  # fmt: skip
    labelled = read_labelled(tmp_path / "w.npz")
    assert [image.shape for image in labelled.images] == [(20 + i, 30) for i in range(12)]
    assert [int(image[0, 0]) for image in labelled.images] == list(range(12))  # image_10 is after image_9
    assert labelled.faults == tuple(faults)
    assert labelled.vectors is not None
    assert np.isnan(labelled.vectors).all()


def test_faults_written_by_simulate_are_read(tmp_path: Path) -> None:
    data = simulate(7, "broken", seed=1, size=48)
    labelled = read_labelled(write_windows(data, tmp_path / "w.npz"))
    assert labelled.faults == tuple(data["faults"].values.tolist())
    np.testing.assert_array_equal(labelled.images, data["image"].values)
    plain = read_labelled(write_windows(simulate(2, size=32), tmp_path / "plain.npz"))
    assert plain.faults is None


IMAGES = np.zeros((4, 20, 20), np.uint8)
ONE, TWO = {"image_0": IMAGES[0], "classes": ["a"]}, {"image_0": IMAGES[0], "image_1": IMAGES[1], "classes": ["a"]}


@pytest.mark.parametrize(
    ("arrays", "parts"),
    [
        ({"image": IMAGES}, ("no label, classes in it", "bravaismap simulate")),
        ({"image": IMAGES[0], "label": np.zeros(4, int), "classes": ["a"]}, ("(20, 20)", "(n, size, size)")),
        ({"image": IMAGES, "label": np.zeros(3, int), "classes": ["a"]}, ("(4, 20, 20)", "(3,)")),
        ({"image": IMAGES[:, :9], "label": np.zeros(4, int), "classes": ["a"]}, ("(4, 9, 20)",)),
        ({"image": IMAGES[:0], "label": np.zeros(0, int), "classes": ["a"]}, ("(0, 20, 20)",)),
        ({"image": IMAGES, "label": np.arange(4), "classes": ["a", "b"]}, ("0 to 3", "2 classes")),
        ({"image": IMAGES, "label": np.arange(4) - 1, "classes": list("abcd")}, ("-1 to 2", "4 classes")),
        ({"image": IMAGES, "label": np.array(list("abcd")), "classes": list("abcd")}, ("<U1", "integers")),
        ({"image": IMAGES * 1j, "label": np.zeros(4, int), "classes": ["a"]}, ("complex128", "real numbers")),
        ({"image": IMAGES, "label": np.array([None] * 4), "classes": ["a"]}, ("not a readable npz",)),
        ({**ONE, "label": np.zeros(2, int)}, ("1 images and 2 labels", "image_0 to image_1")),
        ({**TWO, "label": np.zeros(1, int)}, ("2 images and 1 labels",)),
        ({**TWO, "label": np.zeros((2, 1), int)}, ("labels (2, 1)",)),
        ({**TWO, "image_1": IMAGES, "label": np.zeros(2, int)}, ("image_1 has shape (4, 20, 20)", "(y, x)")),
        ({**TWO, "image_1": IMAGES[0] * 1j, "label": np.zeros(2, int)}, ("complex128", "real numbers")),
        ({**TWO, "label": np.arange(2)}, ("0 to 1", "1 classes")),
        ({**TWO, "label": np.zeros(2, int), "faults": ["rows"]}, ("faults of shape (1,)", "2 texts")),
        ({**TWO, "label": np.zeros(2, int), "faults": np.zeros(2)}, ("float64", "joined by +")),
    ],
)
def test_arrays_that_are_no_labelled_windows(tmp_path: Path, arrays: dict[str, object], parts: tuple[str, ...]) -> None:
    np.savez(tmp_path / "w.npz", **arrays)
    refused(tmp_path / "w.npz", *parts)


def test_files_that_are_no_labelled_windows(tmp_path: Path) -> None:
    good = write_windows(simulate(6, seed=1, size=64), tmp_path / "good.npz").read_bytes()
    refused(tmp_path / "no.npz", "No such file", "npz")
    (tmp_path / "folder.npz").mkdir()
    refused(tmp_path / "folder.npz", "directory")
    np.save(tmp_path / "plain.npy", IMAGES)
    refused(tmp_path / "plain.npy", "not a readable npz")
    contents = {
        "empty": b"",
        "text": b"not an archive",
        "cut": good[: len(good) // 2],
        "flipped": good[:400] + bytes(255 - b for b in good[400:900]) + good[900:],
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
        refused(tmp_path / f"{name}.npz", "not a readable npz")


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(InputError) as error:
        read_labelled(path)
    assert "\n" not in str(error.value)
    for part in (path.name, *parts):
        assert part in str(error.value), error.value
