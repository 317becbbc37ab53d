"""Figures of merit of class probabilities and of measured cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bravaismap.classify.posterior import cell_std
from bravaismap.conventions import Floats, display_name
from bravaismap.evaluate.reliability import CALIBRATION_BINS, confidence_bins
from bravaismap.lattice.basis import reduce_basis
from bravaismap.lattice.shape import hyperbolic_distance, shape
from bravaismap.lattice.sublattices import kronecker_lift

__all__ = [
    "CellScores",
    "MatchedCells",
    "Scores",
    "figures",
    "match_cells",
    "merits",
    "score",
    "score_cells",
    "score_report",
    "with_lattice",
]


#: Largest difference between a measured and a true vector of the same lattice, over its length; by judgement: far above
#: any error of measurement, far below half a vector.
_LARGEST_DIFFERENCE = 0.15
_SMALLEST_AREA = 1e-6  # px² of a true cell; less stands for no lattice
_SURE = 0.95  # confidence above which a wrong answer counts as confidently wrong


@dataclass(frozen=True)
class CellScores:
    """Figures of merit of measured cells and their errors, over the windows with a lattice that were not called none.

    Attributes
    ----------
    another : float
        Share whose measured lattice is not the true one (a sublattice or superlattice, or a chance one). The other
        figures are over the rest.
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
        Share of wrong answers among those of a confidence above 0.95 (NaN when there are none).
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
    means = figures(merits(probability, labels).sum(axis=0), len(labels))
    values: dict[str, Any] = {name: float(value) for name, value in means.items()}
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


@dataclass(frozen=True)
class MatchedCells:
    """Measured lattices, described by their primitive vectors nearest to the true reduced ones.

    Attributes
    ----------
    windows : int array, shape (m,)
        The windows that have true vectors and a measured cell.
    same : bool array, shape (m,)
        Whether the measured lattice is the true one, not a sublattice, a superlattice or a chance one.
    true, nearest : arrays, shape (k, 2, 2)
        True reduced basis, and the measured one in that description, of those that are the same.
    covariance : array, shape (k, 4, 4)
        Of `nearest`, flattened.
    """

    windows: NDArray[np.intp]
    same: NDArray[np.bool_]
    true: Floats
    nearest: Floats
    covariance: Floats


def with_lattice(vectors: Floats) -> NDArray[np.bool_]:
    """Return which of true primitive vectors (n, 2, 2) stand for a lattice; NaN and 0 stand for none."""
    return np.asarray(np.abs(np.linalg.det(np.nan_to_num(vectors))) > _SMALLEST_AREA)


def match_cells(basis: Floats, covariance: Floats, vectors: Floats) -> MatchedCells:
    """Describe measured lattices by their primitive vectors nearest to the true reduced ones.

    Parameters
    ----------
    basis, covariance : arrays, shapes (n, 2, 2), (n, 4, 4)
        Measured, with the covariance of the flattened basis.
    vectors : array, shape (n, 2, 2)
        True primitive vectors; NaN or 0 where there are none.

    Returns
    -------
    MatchedCells
    """
    windows = np.flatnonzero(with_lattice(vectors) & np.isfinite(basis).all(axis=(1, 2)))
    true, basis, covariance = reduce_basis(vectors[windows]), basis[windows], covariance[windows]
    change = np.rint(true @ np.linalg.inv(basis))
    difference = np.linalg.norm(change @ basis - true, axis=-1) / np.linalg.norm(true, axis=-1)
    same = (np.abs(np.linalg.det(change)).round() == 1) & (difference < _LARGEST_DIFFERENCE).all(axis=1)
    change = change[same]
    lifted = kronecker_lift(change)
    spread = lifted @ covariance[same] @ np.swapaxes(lifted, 1, 2)
    return MatchedCells(windows, same, true[same], change @ basis[same], spread)


def score_cells(basis: Floats, covariance: Floats, vectors: Floats) -> CellScores | None:
    """Score measured bases (n, 2, 2) with covariances (n, 4, 4) against true primitive vectors (n, 2, 2).

    Each measured lattice is described by its primitive vectors nearest to the true reduced ones, so that a cell whose a
    and b have nearly the same length is not at fault for their order. None where no window has a true lattice.
    """
    cells = match_cells(basis, covariance, vectors)
    if not len(cells.windows):
        return None
    if not cells.same.any():
        undefined = dict.fromkeys(("a", "b", "gamma"), float("nan"))
        return CellScores(1.0, undefined, undefined, float("nan"))
    sigma = cell_std(cells.nearest, cells.covariance)[:, :3]
    gap = np.abs(_lengths_and_angle(cells.nearest) - _lengths_and_angle(cells.true)) / sigma
    within = [dict(zip(("a", "b", "gamma"), (gap < n).mean(axis=0).tolist(), strict=True)) for n in (1, 2)]
    error = hyperbolic_distance(shape(cells.nearest), shape(cells.true))
    return CellScores(float(1 - cells.same.mean()), within[0], within[1], float(np.median(error)))


def score_report(scores: Scores, title: str) -> str:
    """Return scores and the confusion matrix as text."""
    total = int(scores.confusion.sum())
    lines = [
        title,
        f"  windows                      {total}",
        f"  accuracy                     {100 * scores.accuracy:.1f} %",
        f"  first or second class right  {100 * scores.top2:.1f} %",
        f"  second right where wrong     {_share(scores.second_right)}",
        f"  negative log likelihood      {scores.nll:.3f} nat",
        f"  Brier score                  {scores.brier:.3f}",
        f"  expected calibration error   {scores.ece:.3f}",
        f"  wrong above 0.95 confidence  {100 * scores.confident_wrong:.1f} %",
        "  confusion (rows: truth)",
    ]
    names = [display_name(name) for name in scores.classes]
    width = max(len(name) for name in names)
    lines.append(" " * (width + 4) + "".join(f"{name[:7]:>8}" for name in names))
    for name, row in zip(names, scores.confusion, strict=True):
        lines.append(f"    {name.ljust(width)}" + "".join(f"{count:>8}" for count in row))
    if scores.cells is not None:
        within_1, within_2 = scores.cells.within_1, scores.cells.within_2
        lines += [
            "  measured cells, where a lattice was found",
            f"    another lattice            {100 * scores.cells.another:.1f} %",
            f"    median error of the shape  {100 * scores.cells.shape_error:.2f} %",
            "    true value within 1 σ      " + ", ".join(f"{name} {100 * within_1[name]:.0f} %" for name in within_1),
            "    true value within 2 σ      " + ", ".join(f"{name} {100 * within_2[name]:.0f} %" for name in within_2),
        ]
    return "\n".join(lines)


def _share(value: float) -> str:
    """Return a share in percent, or a dash where there is nothing to have a share of."""
    return "–" if np.isnan(value) else f"{100 * value:.1f} %"


def _lengths_and_angle(basis: Floats) -> Floats:
    length = np.linalg.norm(basis, axis=-1)
    cosine = (basis[:, 0] * basis[:, 1]).sum(-1) / length.prod(-1)
    return np.column_stack([length, np.arccos(cosine.clip(-1, 1))])
