"""How good a model is: accuracy, confusion and calibration on labelled windows."""

from __future__ import annotations

import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bravaismap.answer import Answer, Cells
from bravaismap.classifier import Classifier
from bravaismap.conventions import NONE, display_name
from bravaismap.errors import InputError
from bravaismap.reliability import calibration_error
from bravaismap.scores import CellScores, Scores, score, score_cells

__all__ = [
    "Answers",
    "CellScores",
    "Labelled",
    "Scores",
    "answer",
    "calibration_error",
    "evaluate",
    "read_labelled",
    "report",
    "score",
    "score_answers",
    "score_cells",
]

_IMAGES_AT_ONCE = 300
_FEWEST_AT_ONCE = 64
_TIMES = 10  # batches that are timed, at least, unless they would be too small


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
class Answers:
    """What a model says of labelled windows.

    Attributes
    ----------
    model : str
        Its name.
    probability : array, shape (n, classes)
    labels : int array, shape (n,)
        The right classes, positions in `classes`.
    classes : tuple of str
        Of the model.
    batches, seconds : arrays, shape (batches,)
        Number of windows classified together, and the time that it took.
    cells : Cells, optional
        Of a model that measures them.
    vectors : array, shape (n, 2, 2), optional
        True primitive vectors, where they are known.
    distortion : float, optional
        Of the scan, as the model allows for it.
    """

    model: str
    probability: NDArray[np.floating]
    labels: NDArray[np.intp]
    classes: tuple[str, ...]
    batches: NDArray[np.intp]
    seconds: NDArray[np.floating]
    cells: Cells | None = None
    vectors: NDArray[np.floating] | None = None
    distortion: float | None = None


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

    The parameters, and what is raised, are those of :func:`answer`.

    Returns
    -------
    Scores
    """
    return score_answers(answer(model, labelled, samples=samples, seed=seed, progress=progress))


def answer(
    model: Classifier,
    labelled: Labelled,
    *,
    samples: int = 0,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Answers:
    """Classify labelled windows, timed.

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
    Answers

    Raises
    ------
    InputError
        If the labels name a class that the model does not have.
    """
    record = model.record
    unknown = [name for name in labelled.classes if name not in record.classes]
    if unknown:
        raise InputError(
            f"the model {record.name} has no class {', '.join(unknown)}; it has {', '.join(record.classes)}"
        )
    count = len(labelled.images)
    at_once = min(_IMAGES_AT_ONCE, max(_FEWEST_AT_ONCE, -(-count // _TIMES)))
    model.predict(labelled.images[:1].astype(np.float32), samples=0, seed=seed)  # to warm up
    parts, seconds = [], []
    for first in range(0, count, at_once):
        images = labelled.images[first : first + at_once].astype(np.float32)
        started = time.perf_counter()
        parts.append(model.predict(images, samples=samples, seed=seed))
        seconds.append(time.perf_counter() - started)
        if progress is not None:
            progress(first + len(images))
    positions = np.array([record.classes.index(name) for name in labelled.classes])
    whole = Answer.concatenate(parts)
    return Answers(
        record.name,
        whole.probability,
        positions[labelled.labels],
        record.classes,
        np.array([len(part.probability) for part in parts]),
        np.array(seconds),
        whole.cells,
        labelled.vectors,
        record.settings.get("distortion"),
    )


def score_answers(answers: Answers) -> Scores:
    """Score the answers of a model, and the cells that it measured where the true ones are known."""
    scores = score(answers.probability, answers.labels, answers.classes)
    cells = answers.cells
    if answers.vectors is None or cells is None:
        return scores
    found = np.array(answers.classes)[answers.probability.argmax(axis=1)] != NONE
    return replace(scores, cells=score_cells(cells.basis[found], cells.covariance[found], answers.vectors[found]))


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
