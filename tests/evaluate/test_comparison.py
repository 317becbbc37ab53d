"""Models side by side: intervals against the binomial and normal ones, and pairs against independent sets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bravaismap.errors import InputError
from bravaismap.evaluate.answers import Answers, score_answers
from bravaismap.evaluate.comparison import compare, comparison_table, full_report

ABC = ("a", "b", "c")


def said(right: np.ndarray, model: str = "mine", confidence: float = 0.8, seconds: float = 1.0) -> Answers:
    """Return answers to windows of class a that are right, with this confidence, or say b."""
    rest = (1 - confidence) / 2
    rows = np.array([[rest, confidence, rest], [confidence, rest, rest]])[right.astype(int)]
    batches = np.array([len(right) // 4] * 4)
    return Answers(model, rows, np.zeros(len(right), int), ABC, batches, np.full(4, seconds))


def test_interval_of_the_accuracy_is_the_binomial_one() -> None:
    right = np.arange(1000) < 900
    accuracy = compare([said(right)])[0].figures["accuracy"]
    sigma = np.sqrt(0.9 * 0.1 / 1000)
    assert accuracy.value == 0.9
    assert accuracy.high - accuracy.low == pytest.approx(2 * 1.96 * sigma, rel=0.06)
    assert accuracy.high + accuracy.low == pytest.approx(1.8, abs=0.3 * sigma)


def test_intervals_of_means_are_those_of_the_normal_distribution() -> None:
    rng = np.random.default_rng(0)
    probability, labels = rng.dirichlet(np.ones(3), 800), rng.integers(0, 3, 800)
    answers = Answers("mine", probability, labels, ABC, np.array([800]), np.array([2.0]))
    one = compare([answers])[0]
    loss = -np.log(probability[np.arange(800), labels])
    distance = ((probability - np.eye(3)[labels]) ** 2).sum(axis=1)
    for name, values in (("nll", loss), ("brier", distance)):
        figure = one.figures[name]
        assert figure.value == pytest.approx(values.mean())
        assert figure.high - figure.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(800), rel=0.08)
    scores = score_answers(answers)
    for name in ("accuracy", "top2", "second_right", "nll", "brier", "ece", "confident_wrong"):
        assert one.figures[name].value == getattr(scores, name), name
    assert one.figures["rate"].value == 400
    assert np.isnan(one.figures["rate"].low)  # one batch tells no scatter


def test_difference_is_taken_in_pairs() -> None:
    """Two models wrong on the same windows but for ten differ by far less than their own intervals are wide."""
    first = np.arange(1000) >= 300
    second = np.arange(1000) >= 310
    one, two = compare([said(first, "one"), said(second, "two")])
    gap = two.differences["accuracy"]
    assert one.differences == {}
    assert gap.value == pytest.approx(-0.01)
    assert gap.high - gap.low == pytest.approx(2 * 1.96 * np.sqrt(0.01 * 0.99 / 1000), rel=0.12)
    assert gap.high < 0
    assert two.figures["accuracy"].high > one.figures["accuracy"].low  # apart they would not tell
    same = compare([said(first, "one"), said(first, "two")])[1]
    assert all((d.value, d.low, d.high) == (0, 0, 0) for d in same.differences.values())


def test_what_is_beside_a_model_does_not_change_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    right = np.random.default_rng(1).random(400) < 0.8
    alone = compare([said(right)], seed=5)[0].figures
    monkeypatch.setattr("bravaismap.evaluate.comparison._DRAWN_AT_ONCE", 7 * 400)
    beside = compare([said(~right, "other"), said(right)], seed=5)[1].figures
    for name, figure in alone.items():
        assert vars(beside[name]) == pytest.approx(vars(figure), nan_ok=True), name
    assert compare([said(right)], seed=6)[0].figures["accuracy"] != alone["accuracy"]


def test_interval_of_the_calibration_error_of_a_model_that_is_not_calibrated() -> None:
    """0.8 sure and 0.6 right: an error of 0.2 whose scatter is that of the share right."""
    one = compare([said(np.arange(1000) < 600)])[0]
    figure = one.figures["ece"]
    assert figure.value == pytest.approx(0.2)
    assert figure.high - figure.low == pytest.approx(2 * 1.96 * np.sqrt(0.24 / 1000), rel=0.06)
    assert abs(one.ece_bias) < 0.002
    assert one.ece_calibrated_high < 0.03


def test_bias_of_a_calibrated_model_is_told() -> None:
    one = compare([said(np.arange(1000) < 800)])[0]
    assert one.figures["ece"].value == pytest.approx(0)
    assert one.ece_bias == pytest.approx(np.sqrt(0.16 / 1000 * 2 / np.pi), rel=0.05)
    assert one.ece_calibrated == pytest.approx(one.ece_bias, rel=0.1)


def test_rate_from_batches() -> None:
    answers = replace(
        said(np.ones(400, bool)), batches=np.full(100, 4), seconds=np.random.default_rng(0).gamma(9, 0.01, 100)
    )
    rate = compare([answers])[0].figures["rate"]
    total = answers.seconds.sum()
    assert rate.value == pytest.approx(400 / total)
    relative = answers.seconds.std() * 10 / total
    assert rate.high - rate.low == pytest.approx(2 * 1.96 * relative * rate.value, rel=0.1)


def test_nothing_wrong_has_no_second_class() -> None:
    text = comparison_table(compare([said(np.ones(40, bool))]))
    assert [line.split()[-1] for line in text.splitlines() if "second right where" in line] == ["–"]
    assert "difference" not in text


def test_other_windows_are_refused() -> None:
    right = np.ones(40, bool)
    with pytest.raises(InputError, match="different windows"):
        compare([said(right), said(right[:20])])
    with pytest.raises(InputError, match="different windows"):
        compare([said(right), replace(said(right), labels=np.ones(40, int))])


def test_models_may_order_their_classes_differently() -> None:
    right = np.arange(40) < 30
    other = said(right, "two")
    turned = replace(other, probability=other.probability[:, ::-1], labels=other.labels + 2, classes=ABC[::-1])
    assert compare([said(right), turned])[1].differences["accuracy"].value == 0


def test_table_and_report() -> None:
    one, two = compare([said(np.arange(100) < 90, "one"), said(np.arange(100) < 70, "two")])
    table = comparison_table([one, two]).splitlines()
    assert table[1].split() == ["one", "two"]
    rows = {line.split("  ")[1]: line for line in table[2:]}
    assert "90.0 (84.0 to 96.0) %" in rows["accuracy"]
    assert "-20.0 (" in rows["accuracy, difference"]
    assert "if perfectly calibrated" in "\n".join(table)
    text = full_report(two, "two on w.npz")
    assert text.splitlines()[0] == "two on w.npz"
    assert "accuracy                     70.0 %" in text
    assert "0.800–0.867       100   0.800   0.700" in text
    assert "best possible" not in text
