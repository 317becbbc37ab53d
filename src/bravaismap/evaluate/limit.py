"""The information limit: the highest accuracy that any classifier can have on cells measured with given errors.

Classes overlap: a square lattice and a rectangular one of 0.1 % strain look the same through an error of 0.3 %. How
often the true class is the most probable one depends on the errors alone. True cells are scattered by the errors and
classified by their exact posterior.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bravaismap.classify.posterior import class_probability
from bravaismap.conventions import CLASSES, NONE
from bravaismap.evaluate.answers import Answers
from bravaismap.evaluate.scores import match_cells

__all__ = ["Limit", "information_limit", "limit_of"]

_CERTAIN = 1e4  # evidence of a lattice beyond doubt
_NEXT_TO_NOTHING = 1e-6  # of a covariance, which must not be singular
_BATCH = 4096  # cells classified together, for memory


@dataclass(frozen=True)
class Limit:
    """The information limit at the errors that a model states, over the windows whose true lattice it measured.

    Attributes
    ----------
    windows : int
        Number of windows whose measured lattice is the true one, not a sublattice, a superlattice or a chance one.
    best, best_std : float
        Share of scattered true cells that their posterior classifies right, and its standard error over windows.
    reached : float
        Share of these windows that the model classifies right.
    exact : float
        Share of the true cells that their posterior classifies right: what the distortion of the scan leaves to a
        measurement without errors.
    """

    windows: int
    best: float
    best_std: float
    reached: float
    exact: float


def information_limit(
    vectors: ArrayLike,
    covariance: ArrayLike,
    labels: NDArray[np.integer],
    distortion: float = 0.0,
    draws: int = 20,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return how often each cell would be classified right if it were measured with exactly these errors.

    Parameters
    ----------
    vectors : array_like, shape (n, 2, 2)
        True primitive vectors as seen in the image (a distortion of the scan included), any unit.
    covariance : array_like, shape (n, 4, 4)
        Covariance of the errors of the flattened vectors.
    labels : int array, shape (n,)
        Lattices, positions in :data:`~bravaismap.conventions.CLASSES`.
    distortion : float
        Standard deviation of each component of the instrument's linear map, which the posterior allows for.
    draws : int
        Measurements drawn for each cell.
    seed : int

    Returns
    -------
    array, shape (n,)
        Share of the draws whose most probable class is the right one. The mean over cells that are spread as the
        posterior's prior says is the highest accuracy that there can be.
    """
    vectors, covariance = np.asarray(vectors, float), np.asarray(covariance, float)
    size = np.trace(covariance, axis1=1, axis2=2)[:, None, None]
    root = np.linalg.cholesky(covariance + 1e-9 * size * np.eye(4) + 1e-300 * np.eye(4))
    noise = np.random.default_rng(seed).normal(size=(draws * len(vectors), 4))
    cell = np.arange(len(noise)) % len(vectors)
    right = np.zeros(len(vectors))
    for first in range(0, len(noise), _BATCH):
        rows = cell[first : first + _BATCH]
        error = np.einsum("nij,nj->ni", root[rows], noise[first : first + _BATCH]).reshape(-1, 2, 2)
        evidence = np.full(len(rows), _CERTAIN)
        answer = class_probability(vectors[rows] + error, covariance[rows], evidence, distortion).argmax(axis=1)
        np.add.at(right, rows, answer == labels[rows])
    return right / draws


def limit_of(answers: Answers, seed: int = 0) -> Limit | None:
    """Return the information limit at the errors that a model states; None where errors or true cells are unknown.

    Parameters
    ----------
    answers : Answers
    seed : int
    """
    cells, vectors = answers.cells, answers.vectors
    if cells is None or vectors is None or answers.classes != CLASSES:
        return None
    lattice = np.flatnonzero(answers.labels != CLASSES.index(NONE))
    match = match_cells(cells.basis[lattice], cells.covariance[lattice], vectors[lattice])
    rows = lattice[match.windows[match.same]]
    if not len(rows):
        return None
    labels = answers.labels[rows]
    distortion = answers.distortion or 0.0
    share = information_limit(match.true, match.covariance, labels, distortion, seed=seed)
    reached = answers.probability[rows].argmax(axis=1) == labels
    exact = information_limit(match.true, _NEXT_TO_NOTHING * match.covariance, labels, distortion, draws=1, seed=seed)
    return Limit(
        len(rows),
        float(share.mean()),
        float(share.std() / np.sqrt(len(share))),
        float(reached.mean()),
        float(exact.mean()),
    )
