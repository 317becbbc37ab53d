"""The classification of whole images: `classify`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bravaismap.classify.answer import Answer
from bravaismap.classify.classifier import Classifier
from bravaismap.classify.models import chosen_model, prepared
from bravaismap.classify.settings import DEFAULTS, Settings
from bravaismap.conventions import counted, length_unit
from bravaismap.errors import warn
from bravaismap.movie import NanPolicy, as_movie, finite_pixels, missing_pixels, pixel_size
from bravaismap.phases.besides import looked, looks_of
from bravaismap.phases.frame import MOST_MISSING, hidden, predict, warn_constant
from bravaismap.result.phase_map import PhaseMap
from bravaismap.result.schema import as_variables, image_variables
from bravaismap.spectrum import Preprocessing

__all__ = ["classify"]

_IMAGES_TOGETHER = 64  # between two steps of a progress bar, at most
_PIXELS_TOGETHER = 2**20  # of images whose cells are measured between two steps; one second or so
_PASSES_TOGETHER = 20_000  # of a network between two steps; a few seconds


def classify(
    images: Any,
    *,
    model: str | Path | Classifier = DEFAULTS.model,
    distortion: float | None = None,
    samples: int | None = DEFAULTS.samples,
    seed: int = DEFAULTS.seed,
    preprocessing: Preprocessing | Literal["auto"] = "auto",
    nan: NanPolicy = DEFAULTS.nan,
    progress: Callable[[int, int], object] | None = None,
) -> PhaseMap:
    """Return the class probabilities of whole images, with their uncertainty.

    Parameters
    ----------
    images : array, shape (y, x) or (n, y, x)
        At least 32 px a side; measured whole. A network takes the central square of an image that is not square.
    model : str, path or Classifier
        See :func:`bravaismap.load_model`.
    distortion : float, optional
        See :func:`bravaismap.load_model`; a Classifier has its own.
    samples : int, optional
        Number of draws of repeated measurements, or of passes of Monte-Carlo dropout; 0 for none, with NaN for every
        standard deviation. When not given, 5000 for each of up to ten images, and 50 000 for all together for more, but
        never fewer than for a window of a movie (30 passes, 60 draws).
    seed : int
        Seed of the draws or passes. The same seed gives the same answer, whatever the batch.
    preprocessing : {"auto", "window", "paper"}
        How far the spectrum of a network reaches (see :mod:`bravaismap.spectrum`). ``auto`` takes ``window`` for images
        of up to 256 px and ``paper``, the central quarter, for larger ones.
    nan : {"missing", "fill", "raise"}
        NaN and infinite pixels were never measured, are filled from their neighbours, or are an error. Rows and columns
        at the edge that are missing in every image are left out; an image that is mostly missing in what remains is not
        classified: its label is -1 and its probabilities are NaN.
    progress : callable, optional
        Called now and then with the number of images done and of images in all.

    Returns
    -------
    PhaseMap
        ``probability``, ``probability_std`` (image, lattice); ``entropy``, ``mutual_information`` (nats) and ``label``
        (image); of a model that measures cells also the variables of :func:`bravaismap.result.schema.cell_table` and
        those of ``bravaismap.result.schema.LOOKED``: which share of an image shows the lattice, which other ones
        it shows, and what else. The attributes are the run card.

    Raises
    ------
    InputError
        If the images cannot be used as they are; the message says why.
    ModelError
        If there is no such model.
    """
    settings = Settings(model=model, distortion=distortion, samples=samples, seed=seed, nan=nan)
    movie = as_movie(images)
    classifier = chosen_model(settings)
    pixels = np.asarray(movie.data)
    missing = missing_pixels(pixels)
    rows, columns = _measured_box(missing)
    frames = classifier.record.frame(finite_pixels(pixels[:, rows, columns], nan=nan))
    unseen = missing[:, rows, columns].mean(axis=(1, 2)) > MOST_MISSING
    classifier = prepared(classifier, frames, preprocessing)
    warn_constant([i for i, image in enumerate(frames) if image.max() == image.min() and not unseen[i]], "image")
    size = pixel_size(movie)
    samples = settings.image_samples(classifier.record, len(frames))
    answer = _answered(classifier, frames, unseen, samples, settings.seed, progress)
    variables = image_variables(cells=answer.cells is not None, unit=length_unit(size))
    if pixels[:, rows, columns].shape != pixels.shape:
        warn(
            f"{100 * missing.mean():.0f} % of the pixels were never measured (NaN): rows {rows.start}:{rows.stop} and "
            f"columns {columns.start}:{columns.stop} are classified"
        )
    values = answer.variables(size)
    if unseen.any():
        for held in values.values():
            held[unseen] = hidden(held.dtype)
        named = ", ".join(map(str, np.flatnonzero(unseen)[:5])) + (", …" if unseen.sum() > 5 else "")
        count, verb = f"{unseen.sum()} of {counted(len(unseen), 'image')}", "was" if unseen.sum() == 1 else "were"
        warn(f"{count} (image {named}) {verb} mostly never measured (NaN): not classified")
    if answer.looks is not None:
        values |= looked(answer.looks, values["label"], size or 1.0)
    return PhaseMap(
        as_variables(variables, values),
        coords={"image": np.arange(len(frames)), "lattice": list(classifier.record.classes)},
        attrs=settings.image_card(classifier.record, *frames.shape) | ({} if size is None else {"pixel_size_nm": size}),
    )


def _answered(
    classifier: Classifier,
    images: NDArray[np.floating],
    unseen: NDArray[np.bool_],
    samples: int,
    seed: int,
    progress: Callable[[int, int], object] | None,
) -> Answer:
    """Return the answer for images, and what they show besides; a few at a time, which does not change it."""
    if classifier.record.measures_cells:
        together = _PIXELS_TOGETHER // images[0].size
    else:
        together = _PASSES_TOGETHER // max(samples, 1)
    together = min(max(together, 1), _IMAGES_TOGETHER)
    answers = []
    for first in range(0, len(images), together):
        part = slice(first, first + together)
        answer = predict(classifier, images[part], samples, seed)
        if answer.cells is not None:
            answer = replace(answer, looks=tuple(looks_of(answer, images[part], unseen[part])))
        answers.append(answer)
        if progress is not None:
            progress(min(first + together, len(images)), len(images))
    return Answer.concatenate(answers)


def _measured_box(missing: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns from the first to the last in which something was measured; all if nothing was."""
    box = []
    for axis in (1, 2):
        measured = np.flatnonzero(~missing.all(axis=(0, 3 - axis)))
        box.append(slice(int(measured[0]), int(measured[-1]) + 1) if measured.size else slice(0, missing.shape[axis]))
    return box[0], box[1]
