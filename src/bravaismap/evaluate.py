"""How good a model is: accuracy, confusion and calibration on labelled windows."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bravaismap.conventions import display_name
from bravaismap.errors import InputError
from bravaismap.models import Classifier

__all__ = ["Labelled", "Scores", "calibration_error", "evaluate", "read_labelled", "report", "score"]

_IMAGES_AT_ONCE = 300
_CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Labelled:
    """Labelled windows: images (n, size, size), labels (n,) and the classes that the labels number."""

    images: NDArray[np.generic]
    labels: NDArray[np.intp]
    classes: tuple[str, ...]


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


def read_labelled(path: str | Path) -> Labelled:
    """Read labelled windows from an npz file with ``image``, ``label`` and ``classes``.

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
    return Labelled(images, labels.astype(np.intp), tuple(str(name) for name in classes))


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
        parts.append(
            model.predict(images.astype(np.float32), samples=samples, seed=seed, preprocessing="window").probability
        )
        if progress is not None:
            progress(first + len(images))
    positions = np.array([model.classes.index(name) for name in labelled.classes])
    return score(np.concatenate(parts), positions[labelled.labels], model.classes)


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
    return "\n".join(lines)
