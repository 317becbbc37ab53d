"""Answers of a model on labelled windows, timed, and their scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bravaismap.classify.answer import Answer, Cells
from bravaismap.classify.classifier import Classifier
from bravaismap.classify.models import prepared
from bravaismap.conventions import NONE
from bravaismap.errors import InputError
from bravaismap.evaluate.labelled import Labelled
from bravaismap.evaluate.scores import Scores, score, score_cells

__all__ = ["Answers", "answer", "evaluate", "score_answers"]

_MOST_IMAGES = 300  # that are classified together
_FEWEST_IMAGES = 64  # that are classified together where there are as many; fewer would time the overhead
_MOST_PIXELS = 2**26  # of images that are classified together, for memory
_TIMED_BATCHES = 10  # at least, unless they would hold too few images


@dataclass(frozen=True)
class Answers:
    """Answers of a model on labelled windows.

    Attributes
    ----------
    model : str
        Name of the model.
    probability : array, shape (n, classes)
    labels : int array, shape (n,)
        The true classes, as positions in `classes`.
    classes : tuple of str
        Classes of the model.
    batches, seconds : arrays, shape (batches,)
        Number of windows classified together, and the time that it took in s.
    cells : Cells, optional
        Measured cells, of a model that measures them.
    vectors : array, shape (n, 2, 2), optional
        True primitive vectors in px, where they are known.
    distortion : float, optional
        Distortion of the scan that the model allows for.
    faults : tuple of str, optional
        Faults of each image, joined by ``+``, where they are known.
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
        Monte-Carlo passes or draws; 0 for the deterministic answer.
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
        model=record.name,
        probability=whole.probability,
        labels=positions[labelled.labels],
        classes=record.classes,
        batches=np.array([len(part.probability) for part in parts]),
        seconds=np.array(seconds),
        cells=whole.cells,
        vectors=labelled.vectors,
        distortion=record.settings.get("distortion"),
        faults=labelled.faults,
    )


def _batches(shapes: Sequence[tuple[int, ...]]) -> list[NDArray[np.intp]]:
    """Return batches, as positions of images of one shape, in the order in which the shapes first occur."""
    most_images = min(_MOST_IMAGES, max(_FEWEST_IMAGES, -(-len(shapes) // _TIMED_BATCHES)))
    rows: dict[tuple[int, ...], list[int]] = {}
    for i, shape in enumerate(shapes):
        rows.setdefault(shape, []).append(i)
    batches = []
    for shape, positions in rows.items():
        step = max(1, min(most_images, _MOST_PIXELS // (shape[0] * shape[1])))
        batches += [np.array(positions[first : first + step]) for first in range(0, len(positions), step)]
    return batches


def score_answers(answers: Answers) -> Scores:
    """Return the scores of a model's answers, and of the cells that it measured where the true ones are known."""
    scores = score(answers.probability, answers.labels, answers.classes)
    cells = answers.cells
    if answers.vectors is None or cells is None:
        return scores
    rows = np.array(answers.classes)[answers.probability.argmax(axis=1)] != NONE
    return replace(scores, cells=score_cells(cells.basis[rows], cells.covariance[rows], answers.vectors[rows]))
