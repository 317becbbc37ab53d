"""Figures of merit of classes and of measured cells, by hand, from their definitions and by drawing."""

from __future__ import annotations

import numpy as np
import pytest

from bravaismap.evaluate.reliability import calibration_error
from bravaismap.evaluate.scores import figures, match_cells, merits, score, score_cells
from bravaismap.lattice.basis import basis_from_cell

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


def test_figures_are_sums_over_windows() -> None:
    rng = np.random.default_rng(2)
    probability, labels = rng.dirichlet([0.3, 0.5, 0.2], 300), rng.integers(0, 3, 300)
    rows = merits(probability, labels)
    whole, scores = figures(rows.sum(axis=0), 300), score(probability, labels, ABC)
    for name, value in whole.items():
        assert getattr(scores, name) == pytest.approx(float(value))
    draws = rng.integers(0, 300, (5, 300))
    resampled = figures(rows[draws].sum(axis=1), 300)
    for i, draw in enumerate(draws):
        again = score(probability[draw], labels[draw], ABC)
        assert {name: float(values[i]) for name, values in resampled.items()} == pytest.approx(
            {name: getattr(again, name) for name in resampled}
        )
    right = probability.argmax(axis=1) == labels
    assert scores.ece == pytest.approx(calibration_error(probability.max(axis=1), right))


def test_figures_do_not_depend_on_the_order_of_windows_or_classes() -> None:
    rng = np.random.default_rng(3)
    probability, labels = rng.dirichlet(np.full(3, 0.2), 200), rng.integers(0, 3, 200)
    before, order, turn = score(probability, labels, ABC), rng.permutation(200), np.array([2, 0, 1])
    after = score(probability[order][:, turn], np.argsort(turn)[labels[order]], ABC)
    for name in ("accuracy", "top2", "second_right", "nll", "brier", "ece", "confident_wrong"):
        assert getattr(after, name) == pytest.approx(getattr(before, name)), name
    np.testing.assert_array_equal(after.confusion, before.confusion[np.ix_(turn, turn)])


# Measured cells


def test_coverage_of_known_errors() -> None:
    rng = np.random.default_rng(0)
    n, sigma = 4000, 0.02
    true = basis_from_cell(rng.uniform(8, 12, n), rng.uniform(12, 16, n), np.radians(rng.uniform(65, 88, n)), 0.3)
    root = sigma * rng.normal(size=(n, 4, 4))
    covariance = root @ root.transpose(0, 2, 1) + 1e-6 * np.eye(4)
    measured = true + np.einsum("nij,nj->ni", np.linalg.cholesky(covariance), rng.normal(size=(n, 4))).reshape(n, 2, 2)
    wide = np.kron(np.array([[1, 1], [0, 1]]), np.eye(2))
    scores = score_cells(np.array([[1, 1], [0, 1]]) @ measured, wide @ covariance @ wide.T, true)
    assert scores is not None
    assert scores.another == 0
    for name in ("a", "b", "gamma"):
        assert scores.within_1[name] == pytest.approx(0.683, abs=0.03)
        assert scores.within_2[name] == pytest.approx(0.954, abs=0.02)
    assert 0 < scores.shape_error < 0.02
    double = score_cells(true @ np.eye(2) * np.array([[1.0], [2.0]]), covariance, true)
    assert double is not None
    assert double.another == 1
    assert score_cells(measured, covariance, np.zeros_like(true)) is None


@pytest.mark.parametrize("change", [[[0, 1], [1, 0]], [[1, 1], [0, 1]], [[-1, 0], [3, 1]]])
def test_other_primitive_vectors_are_the_same_lattice(change: list[list[int]]) -> None:
    true = basis_from_cell(np.array([10.0, 9.0]), np.array([12.0, 15.0]), np.radians([80.0, 70.0]), 0.4)
    covariance = np.broadcast_to(np.diag([1.0, 2.0, 3.0, 4.0]) * 1e-4, (2, 4, 4))
    wide = np.kron(np.array(change), np.eye(2))
    matched = match_cells(np.array(change) @ true, wide @ covariance @ wide.T, true)
    assert matched.windows.tolist() == [0, 1]
    assert matched.same.all()
    np.testing.assert_allclose(matched.nearest, matched.true, atol=1e-9)
    for i in range(2):  # back in the description that the true vectors gave
        back = np.kron(np.rint(true[i] @ np.linalg.inv(matched.true[i])), np.eye(2))
        np.testing.assert_allclose(back @ matched.covariance[i] @ back.T, covariance[i], atol=1e-12)


def test_windows_without_a_true_or_a_measured_cell_do_not_count() -> None:
    true = np.repeat(basis_from_cell(10.0, 12.0, 1.4, 0.4)[None], 4, axis=0)
    measured = true.copy()
    measured[1], true[2], true[3] = np.nan, np.nan, 0.0
    matched = match_cells(measured, np.broadcast_to(1e-4 * np.eye(4), (4, 4, 4)), true)
    assert (matched.windows.tolist(), matched.same.tolist()) == ([0], [True])


def test_all_of_another_lattice_says_nothing_of_errors() -> None:
    true = basis_from_cell(10.0, 12.0, 1.4, 0.4)[None]
    scores = score_cells(1.3 * true, 1e-4 * np.eye(4)[None], true)
    assert scores is not None
    assert scores.another == 1
    assert np.isnan([*scores.within_1.values(), *scores.within_2.values(), scores.shape_error]).all()
