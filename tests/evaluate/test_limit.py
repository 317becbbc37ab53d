"""The information limit, against the chance that a normal error crosses the border between two classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from bravaismap.classify.answer import Cells
from bravaismap.classify.posterior import class_probability
from bravaismap.conventions import CLASSES
from bravaismap.evaluate.answers import Answers
from bravaismap.evaluate.limit import information_limit, limit_of
from bravaismap.lattice.basis import basis_from_cell

SQUARE, RECTANGULAR, HEXAGONAL = (CLASSES.index(name) for name in ("square", "rectangular", "hexagonal"))
NONE_AT = CLASSES.index("none")


def cells(*ratios: float) -> np.ndarray:
    return np.array([[[0.0, 10.0], [10.0 * ratio, 0.0]] for ratio in ratios])


def test_no_error_no_mistake() -> None:
    vectors = np.concatenate([cells(1.0, 1.3), [basis_from_cell(8.0, 8.0, np.pi / 3, 0.4)]])
    covariance = np.tile(1e-8 * np.eye(4), (3, 1, 1))
    share = information_limit(vectors, covariance, np.array([SQUARE, RECTANGULAR, HEXAGONAL]))
    np.testing.assert_array_equal(share, 1)
    assert information_limit(vectors[:1], covariance[:1], np.array([HEXAGONAL])) == 0


def test_errors_of_no_size_are_taken() -> None:
    assert information_limit(cells(1.5), np.zeros((1, 4, 4)), np.array([RECTANGULAR])) == 1


def test_a_rectangle_near_the_square_is_right_as_often_as_the_error_leaves_it_beyond_the_border() -> None:
    """Only b errs, so that the shape moves along the line of rectangles: the border is found on it."""
    error = 0.02
    covariance = np.zeros((4, 4))
    covariance[2, 2] = error**2  # of b_y
    covariance += 1e-9 * np.eye(4)
    ratios = np.linspace(1.0, 1.03, 3001)
    answers = class_probability(cells(*ratios), np.tile(covariance, (3001, 1, 1)), np.full(3001, 1e4), 0.0).argmax(1)
    border = 10 * ratios[np.argmax(answers == RECTANGULAR)]
    true = 10 * 1.008
    share = information_limit(cells(1.008), covariance[None], np.array([RECTANGULAR]), draws=4000)
    low = norm.cdf((2 * 10 - border - true) / error)  # shorter than a by as much is a rectangle again
    assert share == pytest.approx(norm.sf((border - true) / error) + low, abs=4 * np.sqrt(0.25 / 4000))
    assert 0.1 < share < 0.95


def test_larger_errors_leave_less() -> None:
    vectors = cells(*np.linspace(1.005, 1.2, 60))
    labels = np.full(60, RECTANGULAR)
    small, large = (information_limit(vectors, np.tile(s**2 * np.eye(4), (60, 1, 1)), labels) for s in (0.01, 0.1))
    assert large.mean() < small.mean() < 1


def test_limit_of_a_model() -> None:
    """A model that measures a wrong lattice in one window and calls another one none, with known errors."""
    rng = np.random.default_rng(1)
    n, error = 400, 0.03
    vectors = np.concatenate([cells(*rng.uniform(1.0, 2.2, n)), np.full((1, 2, 2), np.nan)])
    labels = np.append(np.full(n, RECTANGULAR), NONE_AT)
    change = np.array([[1.0, 0.0], [1.0, 1.0]])  # the same lattice in other vectors
    wide = np.kron(change, np.eye(2))
    covariance = np.tile(wide @ (error**2 * np.eye(4)) @ wide.T, (n + 1, 1, 1))
    basis = change @ np.nan_to_num(vectors, nan=7.0)
    basis[-1] = [[0, 9], [9, 0]]
    basis[0] *= 2
    probability = np.eye(6)[labels]
    probability[1] = np.eye(6)[NONE_AT]
    measured = Cells(basis, covariance, np.full(n + 1, 200.0))
    answers = Answers("mine", probability, labels, CLASSES, np.array([n + 1]), np.ones(1), measured, vectors, 0.0)
    limit = limit_of(answers, seed=3)
    assert limit is not None
    assert limit.windows == n - 1
    assert limit.reached == pytest.approx((n - 2) / (n - 1))
    plain = np.tile(error**2 * np.eye(4), (n - 1, 1, 1))
    share = information_limit(vectors[1:-1], plain, labels[1:-1], seed=3)
    assert limit.best == pytest.approx(share.mean(), abs=0.003)
    assert limit.best_std == pytest.approx(share.std() / np.sqrt(n - 1), rel=0.2)
    assert 0.95 < limit.best < 0.999
    assert limit.exact == 1
    bent = limit_of(replace(answers, distortion=0.01), seed=3)
    assert bent is not None
    assert limit.best > bent.best
    assert 0.9 < bent.exact < 1
    assert limit_of(replace(answers, vectors=None)) is None
    assert limit_of(replace(answers, cells=None)) is None
    assert limit_of(replace(answers, labels=np.full(n + 1, NONE_AT))) is None
