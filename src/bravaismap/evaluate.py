"""How good a model is: accuracy, confusion and calibration on labelled windows."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bravaismap.conventions import NONE, display_name
from bravaismap.errors import InputError
from bravaismap.lattice import hyperbolic_distance, reduce_basis, shape
from bravaismap.models import Classifier
from bravaismap.posterior import cell_std

__all__ = [
    "CellScores",
    "Labelled",
    "Scores",
    "calibration_error",
    "evaluate",
    "read_labelled",
    "report",
    "score",
    "score_cells",
]

_IMAGES_AT_ONCE = 300
_CALIBRATION_BINS = 15
_SAME = 0.15  # largest difference, of its length, between a measured and a true vector of the same lattice


@dataclass(frozen=True)
class Labelled:
    """Labelled windows: images (n, size, size), labels (n,) and the classes that the labels number.

    `vectors` (n, 2, 2), if known, are the true primitive vectors in px, rows, columns (y, x); NaN or 0 where there is
    no lattice.
    """

    images: NDArray[np.generic]
    labels: NDArray[np.intp]
    classes: tuple[str, ...]
    vectors: NDArray[np.floating] | None = None


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


def read_labelled(path: str | Path) -> Labelled:
    """Read labelled windows from an npz file with ``image``, ``label`` and ``classes``, and true cells if it has them.

    Raises
    ------
    InputError
        If the file is missing, damaged, or lacks one of them.
    """
    path = Path(path)
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as stored:
            missing = [key for key in ("image", "label", "classes") if key not in stored]
            if missing:
                raise InputError(
                    f"{path}: no {', '.join(missing)} in it; expected the arrays image, label and classes, "
                    "as `bravaismap simulate` writes them"
                )
            images, labels, classes = stored["image"], stored["label"], stored["classes"]
            vectors = stored["primitive_vectors_px"].astype(float) if "primitive_vectors_px" in stored else None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; expected an npz file of labelled windows") from error
    except InputError:
        raise
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a readable npz file ({error}); write it again") from error
    if images.ndim != 3 or labels.shape != images.shape[:1] or images.shape[1] != images.shape[2] or 0 in images.shape:
        raise InputError(f"{path}: images {images.shape} and labels {labels.shape}; expected (n, size, size) and (n,)")
    if images.dtype.kind not in "buif" or labels.dtype.kind not in "ui" or classes.ndim != 1:
        raise InputError(
            f"{path}: images of type {images.dtype}, labels of type {labels.dtype}, classes of shape {classes.shape}; "
            "expected real numbers, integers and a list of names"
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise InputError(
            f"{path}: labels from {labels.min()} to {labels.max()} for {len(classes)} classes; "
            f"expected 0 to {len(classes) - 1}"
        )
    if vectors is not None and vectors.shape != (len(images), 2, 2):
        raise InputError(f"{path}: primitive_vectors_px of shape {vectors.shape}; expected ({len(images)}, 2, 2)")
    return Labelled(images, labels.astype(np.intp), tuple(str(name) for name in classes), vectors)


def evaluate(
    model: Classifier,
    labelled: Labelled,
    *,
    samples: int = 0,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Scores:
    """Classify labelled windows and score the answers.

    Parameters
    ----------
    model : Classifier
    labelled : Labelled
    samples : int
        Monte-Carlo passes; 0 for the deterministic answer.
    seed : int
    progress : callable, optional
        Called with the number of windows done.

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        If the labels name a class that the model does not have.
    """
    unknown = [name for name in labelled.classes if name not in model.classes]
    if unknown:
        raise InputError(f"the model {model.name} has no class {', '.join(unknown)}; it has {', '.join(model.classes)}")
    parts = []
    for first in range(0, len(labelled.images), _IMAGES_AT_ONCE):
        images = labelled.images[first : first + _IMAGES_AT_ONCE]
        parts.append(model.predict(images.astype(np.float32), samples=samples, seed=seed, preprocessing="window"))
        if progress is not None:
            progress(first + len(images))
    positions = np.array([model.classes.index(name) for name in labelled.classes])
    probability = np.concatenate([part.probability for part in parts])
    scores = score(probability, positions[labelled.labels], model.classes)
    cells = [part.cells for part in parts if part.cells is not None]
    if labelled.vectors is None or not cells:
        return scores
    basis, covariance = (np.concatenate([getattr(c, name) for c in cells]) for name in ("basis", "covariance"))
    found = np.array(model.classes)[probability.argmax(axis=1)] != NONE
    return replace(scores, cells=score_cells(basis[found], covariance[found], labelled.vectors[found]))


def score_cells(
    basis: NDArray[np.floating], covariance: NDArray[np.floating], vectors: NDArray[np.floating]
) -> CellScores | None:
    """Score measured bases (n, 2, 2) with covariances (n, 4, 4) against true primitive vectors (n, 2, 2).

    Each measured lattice is described by its primitive vectors nearest to the true reduced ones, so that a cell whose a
    and b have nearly the same length is not at fault for their order. None where no window has a true lattice.
    """
    with np.errstate(invalid="ignore"):
        known = np.abs(np.linalg.det(np.nan_to_num(vectors))) > 1e-6
    if not known.any():
        return None
    true = reduce_basis(vectors[known])
    basis, covariance = basis[known], covariance[known]
    change = np.rint(true @ np.linalg.inv(basis))
    off = np.linalg.norm(change @ basis - true, axis=-1) / np.linalg.norm(true, axis=-1)
    same = (np.abs(np.linalg.det(change)).round() == 1) & (off < _SAME).all(axis=1)
    if not same.any():
        unknown = dict.fromkeys(("a", "b", "gamma"), float("nan"))
        return CellScores(1.0, unknown, unknown, float("nan"))
    true, basis, covariance, change = (values[same] for values in (true, basis, covariance, change))
    nearest = change @ basis
    wide = np.einsum("nij,ab->niajb", change, np.eye(2)).reshape(-1, 4, 4)
    sigma = cell_std(nearest, wide @ covariance @ np.swapaxes(wide, 1, 2))[:, :3]
    gap = np.abs(_lengths_and_angle(nearest) - _lengths_and_angle(true)) / sigma
    within = [dict(zip(("a", "b", "gamma"), (gap < n).mean(axis=0).tolist(), strict=True)) for n in (1, 2)]
    error = hyperbolic_distance(shape(nearest), shape(true))
    return CellScores(float(1 - same.mean()), within[0], within[1], float(np.median(error)))


def _lengths_and_angle(basis: NDArray[np.floating]) -> NDArray[np.floating]:
    length = np.linalg.norm(basis, axis=-1)
    cosine = (basis[:, 0] * basis[:, 1]).sum(-1) / length.prod(-1)
    return np.column_stack([length, np.arccos(cosine.clip(-1, 1))])


def score(probability: NDArray[np.floating], labels: NDArray[np.integer], classes: tuple[str, ...]) -> Scores:
    """Score probabilities (n, classes) against labels (n,), positions in `classes`."""
    order = np.argsort(-probability, axis=1, kind="stable")
    right, second = order[:, 0] == labels, order[:, 1] == labels
    confidence = probability.max(axis=1)
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (labels, order[:, 0]), 1)
    truth = np.eye(len(classes))[labels]
    sure = confidence > 0.95
    return Scores(
        accuracy=float(right.mean()),
        top2=float((right | second).mean()),
        second_right=float(second[~right].mean()) if (~right).any() else float("nan"),
        nll=float(-np.log(np.maximum(probability[np.arange(len(labels)), labels], 1e-12)).mean()),
        brier=float(((probability - truth) ** 2).sum(axis=1).mean()),
        ece=calibration_error(confidence, right),
        confident_wrong=float((~right[sure]).mean()) if sure.any() else float("nan"),
        confusion=confusion,
        classes=classes,
    )


def calibration_error(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = _CALIBRATION_BINS
) -> float:
    """Return the expected calibration error: the mean over bins of |share right − mean confidence|.

    Parameters
    ----------
    confidence : array, shape (n,)
        Probability of the most probable class.
    right : bool array, shape (n,)
    bins : int
        Number of bins of equal width between 0 and 1.

    References
    ----------
    C. Guo et al., Proc. ICML 70, 1321 (2017), eq. 3.
    """
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(bin_of, weights=right - confidence, minlength=bins)
    return float(np.abs(gap).sum() / len(confidence))


def report(scores: Scores, title: str) -> str:
    """Return scores and confusion matrix as text."""
    total = int(scores.confusion.sum())
    lines = [
        title,
        f"  windows                      {total}",
        f"  accuracy                     {100 * scores.accuracy:.1f} %",
        f"  first or second class right  {100 * scores.top2:.1f} %",
        f"  second right where wrong     {100 * scores.second_right:.1f} %",
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
        one, two = scores.cells.within_1, scores.cells.within_2
        lines += [
            "  measured cells, where a lattice was found",
            f"    another lattice            {100 * scores.cells.another:.1f} %",
            f"    median error of the shape  {100 * scores.cells.shape_error:.2f} %",
            "    true value within 1 σ      " + ", ".join(f"{name} {100 * one[name]:.0f} %" for name in one),
            "    true value within 2 σ      " + ", ".join(f"{name} {100 * two[name]:.0f} %" for name in two),
        ]
    return "\n".join(lines)
