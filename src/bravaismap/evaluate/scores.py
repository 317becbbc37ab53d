"""Figures of merit of class probabilities and of measured cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bravaismap.classify.posterior import cell_std
from bravaismap.conventions import Floats
from bravaismap.evaluate.reliability import CALIBRATION_BINS, confidence_bins
from bravaismap.lattice.basis import reduce_basis
from bravaismap.lattice.shape import hyperbolic_distance, shape

__all__ = ["CellScores", "Scores", "figures", "matched", "merits", "score", "score_cells"]


_SAME = 0.15  # largest difference, of its length, between a measured and a true vector of the same lattice
_SURE = 0.95


@dataclass(frozen=True)
class CellScores:
    """How true measured cells and their errors are, over the windows with a lattice that were not called none.

    Attributes
    ----------
    another : float
        Share whose measured lattice is another than the true one (a sublattice or superlattice, or a chance one). The
        other figures are over the rest.
    within_1, within_2 : dict of str to float
        Share of the true a, b, gamma that lie within 1 and 2 stated σ of the measured ones; 0.68 and 0.95 are right.
    shape_error : float
        Median hyperbolic distance between the measured and the true shape (0.01: a strain of 1 %).
    """

    another: float
    within_1: dict[str, float]
    within_2: dict[str, float]
    shape_error: float


@dataclass(frozen=True)
class Scores:
    """Figures of merit of class probabilities.

    Attributes
    ----------
    accuracy, top2 : float
        Share of windows whose most probable class, or one of the two most probable, is right.
    second_right : float
        Share of the wrong windows whose second class is right (NaN when none is wrong).
    nll, brier : float
        Mean negative log likelihood in nats, and mean squared distance to the truth.
    ece : float
        Expected calibration error of the most probable class, in 15 bins of equal width.
    confident_wrong : float
        Share of wrong ones among the predictions above 0.95 (NaN when there are none).
    confusion : int array, shape (classes, classes)
        Rows are the truth.
    classes : tuple of str
    cells : CellScores, optional
        Of a model that measures cells, where the true ones are known.
    """

    accuracy: float
    top2: float
    second_right: float
    nll: float
    brier: float
    ece: float
    confident_wrong: float
    confusion: NDArray[np.int64]
    classes: tuple[str, ...]
    cells: CellScores | None = None


def score(probability: Floats, labels: NDArray[np.integer], classes: tuple[str, ...]) -> Scores:
    """Score probabilities (n, classes) against labels (n,), positions in `classes`."""
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (labels, probability.argmax(axis=1)), 1)
    found = figures(merits(probability, labels).sum(axis=0), len(labels))
    values: dict[str, Any] = {name: float(value) for name, value in found.items()}
    return Scores(**values, confusion=confusion, classes=classes)


def merits(probability: Floats, labels: NDArray[np.integer]) -> Floats:
    """Return what each window adds to the figures of merit, (n, 8 + bins): sums over windows are what `figures` takes.

    Parameters
    ----------
    probability : array, shape (n, classes)
    labels : int array, shape (n,)
        Positions of the classes.
    """
    order = np.argsort(-probability, axis=1, kind="stable")
    right, second = order[:, 0] == labels, order[:, 1] == labels
    confidence = probability.max(axis=1)
    truth = np.eye(probability.shape[1])[labels]
    sure = confidence > _SURE
    gap = np.zeros((len(labels), CALIBRATION_BINS))
    gap[np.arange(len(labels)), confidence_bins(confidence)] = right - confidence
    columns = [
        right,
        right | second,
        ~right,
        second & ~right,
        -np.log(np.maximum((probability * truth).sum(axis=1), 1e-12)),
        ((probability - truth) ** 2).sum(axis=1),
        sure,
        sure & ~right,
    ]
    return np.column_stack([*columns, gap])


def figures(sums: Floats, windows: int) -> dict[str, Floats]:
    """Return the figures of merit, by the names of `Scores`, from sums (..., 8 + bins) of the merits of windows."""
    right, either, wrong, second, nll, brier, sure, sure_wrong = np.moveaxis(sums[..., :8], -1, 0)
    with np.errstate(invalid="ignore"):
        return {
            "accuracy": right / windows,
            "top2": either / windows,
            "second_right": second / wrong,
            "nll": nll / windows,
            "brier": brier / windows,
            "ece": np.abs(sums[..., 8:]).sum(axis=-1) / windows,
            "confident_wrong": sure_wrong / sure,
        }


def matched(
    basis: Floats, covariance: Floats, vectors: Floats
) -> tuple[NDArray[np.intp], NDArray[np.bool_], Floats, Floats, Floats]:
    """Describe measured lattices by their primitive vectors nearest to the true reduced ones.

    Parameters
    ----------
    basis, covariance : arrays, shapes (n, 2, 2), (n, 4, 4)
        Measured, with the covariance of the flattened basis.
    vectors : array, shape (n, 2, 2)
        True primitive vectors; NaN or 0 where there are none.

    Returns
    -------
    known : int array, shape (m,)
        The windows that have true vectors and a measured cell.
    same : bool array, shape (m,)
        Whether the measured lattice is the true one, not a sublattice, a superlattice or a chance one.
    true, nearest : arrays, shape (k, 2, 2)
        True reduced basis, and the measured one in that description, of those that are the same.
    covariance : array, shape (k, 4, 4)
        Of `nearest`, flattened.
    """
    with np.errstate(invalid="ignore"):
        there = np.abs(np.linalg.det(np.nan_to_num(vectors))) > 1e-6
    known = np.flatnonzero(there & np.isfinite(basis).all(axis=(1, 2)))
    true, basis, covariance = reduce_basis(vectors[known]), basis[known], covariance[known]
    change = np.rint(true @ np.linalg.inv(basis))
    off = np.linalg.norm(change @ basis - true, axis=-1) / np.linalg.norm(true, axis=-1)
    same = (np.abs(np.linalg.det(change)).round() == 1) & (off < _SAME).all(axis=1)
    change = change[same]
    wide = np.einsum("nij,ab->niajb", change, np.eye(2)).reshape(-1, 4, 4)
    return known, same, true[same], change @ basis[same], wide @ covariance[same] @ np.swapaxes(wide, 1, 2)


def score_cells(basis: Floats, covariance: Floats, vectors: Floats) -> CellScores | None:
    """Score measured bases (n, 2, 2) with covariances (n, 4, 4) against true primitive vectors (n, 2, 2).

    Each measured lattice is described by its primitive vectors nearest to the true reduced ones, so that a cell whose a
    and b have nearly the same length is not at fault for their order. None where no window has a true lattice.
    """
    known, same, true, nearest, spread = matched(basis, covariance, vectors)
    if not len(known):
        return None
    if not same.any():
        unknown = dict.fromkeys(("a", "b", "gamma"), float("nan"))
        return CellScores(1.0, unknown, unknown, float("nan"))
    sigma = cell_std(nearest, spread)[:, :3]
    gap = np.abs(_lengths_and_angle(nearest) - _lengths_and_angle(true)) / sigma
    within = [dict(zip(("a", "b", "gamma"), (gap < n).mean(axis=0).tolist(), strict=True)) for n in (1, 2)]
    error = hyperbolic_distance(shape(nearest), shape(true))
    return CellScores(float(1 - same.mean()), within[0], within[1], float(np.median(error)))


def _lengths_and_angle(basis: Floats) -> Floats:
    length = np.linalg.norm(basis, axis=-1)
    cosine = (basis[:, 0] * basis[:, 1]).sum(-1) / length.prod(-1)
    return np.column_stack([length, np.arccos(cosine.clip(-1, 1))])
