"""How good a model is: accuracy, confusion and calibration on labelled windows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bravaismap.classify.answer import Answer, Cells
from bravaismap.classify.classifier import Classifier
from bravaismap.classify.models import prepared
from bravaismap.conventions import NONE, display_name
from bravaismap.errors import InputError
from bravaismap.evaluate.labelled import Labelled, read_labelled
from bravaismap.evaluate.reliability import calibration_error
from bravaismap.evaluate.scores import CellScores, Scores, score, score_cells

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
_PIXELS_AT_ONCE = 2**26
_TIMES = 10  # batches that are timed, at least, unless they would be too small


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
    faults : tuple of str, optional
        What is wrong with each image, where it is known.
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
    faults: tuple[str, ...] | None = None


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
        Images of one shape are classified together; by a network those of more than 256 px with the paper's
        preprocessing, as :func:`bravaismap.classify` takes them.
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
        If the labels name a class that the model does not have, or a network is given images that are not square.
    """
    record = model.record
    unknown = [name for name in labelled.classes if name not in record.classes]
    if unknown:
        raise InputError(
            f"the model {record.name} has no class {', '.join(unknown)}; it has {', '.join(record.classes)}"
        )
    shapes = [image.shape for image in labelled.images]
    oblong = next((shape for shape in shapes if shape[0] != shape[1]), None)
    if oblong is not None and not record.measures_cells:
        raise InputError(
            f"an image of {oblong[0]} × {oblong[1]} px was given; the model {record.name} takes square ones: crop it"
        )

    def classified(rows: NDArray[np.intp], samples: int) -> Answer:
        images = np.stack([labelled.images[i] for i in rows]).astype(np.float32)
        return prepared(model, images).predict(images, samples=samples, seed=seed)

    batches = _batches(shapes)
    classified(batches[0][:1], 0)  # to warm up
    parts, seconds, done = [], [], 0
    for rows in batches:
        started = time.perf_counter()
        parts.append(classified(rows, samples))
        seconds.append(time.perf_counter() - started)
        done += len(rows)
        if progress is not None:
            progress(done)
    positions = np.array([record.classes.index(name) for name in labelled.classes])
    whole = Answer.concatenate(parts)[np.argsort(np.concatenate(batches))]
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
        labelled.faults,
    )


def _batches(shapes: Sequence[tuple[int, ...]]) -> list[NDArray[np.intp]]:
    """Return the positions of images of one shape that are classified together, in the order of their first ones."""
    at_once = min(_IMAGES_AT_ONCE, max(_FEWEST_AT_ONCE, -(-len(shapes) // _TIMES)))
    rows: dict[tuple[int, ...], list[int]] = {}
    for i, shape in enumerate(shapes):
        rows.setdefault(shape, []).append(i)
    batches = []
    for shape, of_shape in rows.items():
        step = max(1, min(at_once, _PIXELS_AT_ONCE // (shape[0] * shape[1])))
        batches += [np.array(of_shape[first : first + step]) for first in range(0, len(of_shape), step)]
    return batches


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
