"""Whole image in, class with uncertainty out: `classify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from bravaismap.classify.classifier import Classifier
from bravaismap.classify.models import chosen_model, prepared
from bravaismap.classify.settings import DEFAULTS, Settings
from bravaismap.conventions import length_unit
from bravaismap.movie import NanPolicy, as_movie, finite_pixels, pixel_size
from bravaismap.phases.frame import predict, warn_constant
from bravaismap.result.phase_map import PhaseMap
from bravaismap.result.schema import as_variables, image_variables
from bravaismap.spectrum import Preprocessing

__all__ = ["classify"]


def classify(
    images: Any,
    *,
    model: str | Path | Classifier = DEFAULTS.model,
    distortion: float = DEFAULTS.distortion,
    samples: int | None = DEFAULTS.samples,
    seed: int = DEFAULTS.seed,
    preprocessing: Preprocessing | Literal["auto"] = "auto",
    nan: NanPolicy = DEFAULTS.nan,
) -> PhaseMap:
    """Classify whole images.

    Parameters
    ----------
    images : array, shape (y, x) or (n, y, x)
        At least 32 px a side; measured whole. For a network, one that is not square is cropped to its central square.
    model : str, path or Classifier
        See :func:`bravaismap.load_model`.
    distortion : float
        See :func:`bravaismap.load_model`; a Classifier has its own.
    samples : int, optional
        Draws of what another measurement could have been, or passes of Monte-Carlo dropout: 5000 when not given; 0 for
        none, with NaN for every spread.
    seed : int
        The same seed gives the same answer, whatever the batch.
    preprocessing : {"auto", "window", "paper"}
        How far the spectrum of a network reaches (see :mod:`bravaismap.spectrum`). ``auto`` takes ``window`` for images
        of up to 256 px and the ``paper`` 's central quarter for larger ones.
    nan : {"raise", "fill"}
        What to do with NaN and infinite pixels.

    Returns
    -------
    PhaseMap
        ``probability``, ``probability_std`` (image, lattice); ``entropy``, ``mutual_information`` (nats) and ``label``
        (image); of a model that measures cells also the variables of :func:`bravaismap.result.schema.cell_table`. The
        attributes are the run card.

    Raises
    ------
    InputError
        For images that cannot be used as they are; the message says why.
    ModelError
        If there is no such model.
    """
    settings = Settings(model=model, distortion=distortion, samples=samples, seed=seed, nan=nan)
    movie = as_movie(images)
    classifier = chosen_model(settings)
    frames = finite_pixels(np.asarray(movie.data), nan=nan)
    frames = classifier.record.frame(frames)
    classifier = prepared(classifier, frames, preprocessing)
    warn_constant([i for i, image in enumerate(frames) if image.max() == image.min()], "image")
    size = pixel_size(movie)
    answer = predict(classifier, frames, settings.image_samples, settings.seed)
    variables = image_variables(cells=answer.cells is not None, unit=length_unit(size))
    return PhaseMap(
        as_variables(variables, answer.variables(size)),
        coords={"image": np.arange(len(frames)), "lattice": list(classifier.record.classes)},
        attrs=settings.image_card(classifier.record, *frames.shape[1:]),
    )
