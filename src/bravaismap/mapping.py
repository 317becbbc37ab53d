"""One frame in, the classes and cells of its windows out: the piece of work that `map_phases` repeats anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bravaismap.cells import Cells, cell_variables, independent_windows, joined
from bravaismap.conventions import NONE
from bravaismap.models import Classifier, LatticeClassifier
from bravaismap.movie import NanPolicy, finite_pixels
from bravaismap.phases import independent_std, label_of, phase_fractions
from bravaismap.spectrum import Preprocessing
from bravaismap.uncertainty import Sampled
from bravaismap.windows import WindowGrid, cut_windows, window_parts

__all__ = ["FrameMapper", "MappedFrame", "predict"]

_WINDOW_BYTES = 2**27  # of windows cut from a frame at a time


@dataclass(frozen=True)
class MappedFrame:
    """What is known of a frame.

    Attributes
    ----------
    variables : dict of array
        By name: (y, x, ...) for what every window has, (lattice,) for the fractions.
    constant : bool
        Whether all its pixels are equal, so that there was nothing to classify.
    """

    variables: dict[str, NDArray[Any]]
    constant: bool


@dataclass(frozen=True)
class FrameMapper:
    """All that mapping a frame takes besides its pixels; it can be pickled.

    Attributes
    ----------
    grid : WindowGrid
    classifier : Classifier
    samples, seed : int
        As for :func:`bravaismap.map_phases`.
    pixel_size : float or None
        In nm.
    nan : {"raise", "fill"}
        What to do with NaN and infinite pixels.
    """

    grid: WindowGrid
    classifier: Classifier
    samples: int
    seed: int
    pixel_size: float | None
    nan: NanPolicy = "raise"

    def __call__(self, index: int, pixels: NDArray[Any]) -> MappedFrame:
        """Map frame number `index`, whose pixels are (y, x)."""
        frame = finite_pixels(pixels[None], nan=self.nan, first=index)[0]
        # as many windows at a time as fit the memory: those of a large frame overlap to many times its size
        at_once = max(1, _WINDOW_BYTES // (4 * self.grid.window**2))
        sampled = _joined(
            [
                predict(self.classifier, cut_windows(frame, part), self.samples, self.seed, "window")
                for part in window_parts(self.grid, at_once)
            ]
        )
        return MappedFrame(self._variables(sampled, frame.shape), bool(frame.max() == frame.min()))

    def _variables(self, sampled: Sampled, size: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        label = label_of(sampled.probability)
        windows: dict[str, NDArray[Any]] = {
            "probability": sampled.probability,
            "probability_std": sampled.probability_std,
            "entropy": sampled.entropy,
            "mutual_information": sampled.mutual_information,
            "label": label,
        }
        if sampled.cells is not None:
            windows |= cell_variables(sampled.cells, label, self.pixel_size)
        if sampled.pass_total is not None:
            fraction, fraction_std = phase_fractions(sampled.probability, sampled.pass_total)
        else:
            fraction = sampled.probability.mean(axis=0)
            count = independent_windows(size, self.grid.window, len(label))
            fraction_std = independent_std(sampled.probability, count)
        maps = {name: values.reshape(*self.grid.shape, *values.shape[1:]) for name, values in windows.items()}
        return maps | {"fraction": fraction, "fraction_std": fraction_std}


def predict(
    classifier: Classifier,
    images: NDArray[Any],
    samples: int,
    seed: int,
    preprocessing: Preprocessing,
    whole: bool = False,
) -> Sampled:
    """Classify images, whole or as windows; a constant one has no lattice, whatever a network would say of nothing."""

    def answer(images: NDArray[Any]) -> Sampled:
        if whole and isinstance(classifier, LatticeClassifier):
            return classifier.predict_whole(images, samples=samples, seed=seed)
        return classifier.predict(images, samples=samples, seed=seed, preprocessing=preprocessing)

    flat = images.max(axis=(1, 2)) == images.min(axis=(1, 2))
    if not flat.any() or NONE not in classifier.classes:
        return answer(images)
    classes, passes = len(classifier.classes), max(samples, 1)
    certain = np.eye(classes)[classifier.classes.index(NONE)]
    sampled = Sampled(
        np.tile(certain, (len(images), 1)),
        np.full((len(images), classes), 0.0 if samples else np.nan),
        np.zeros(len(images)),
        np.full(len(images), 0.0 if samples else np.nan),
        None if classifier.measures_cells else np.tile(certain * flat.sum(), (passes, 1)),
        Cells.of_nothing(len(images)) if classifier.measures_cells else None,
    )
    if flat.all():
        return sampled
    seen = answer(images[~flat])
    for name in ("probability", "probability_std", "entropy", "mutual_information"):
        getattr(sampled, name)[~flat] = getattr(seen, name)
    if sampled.pass_total is not None and seen.pass_total is not None:
        sampled.pass_total[...] += seen.pass_total
    if sampled.cells is not None and seen.cells is not None:
        for name in ("basis", "covariance", "evidence"):
            getattr(sampled.cells, name)[~flat] = getattr(seen.cells, name)
    return sampled


def _joined(parts: Sequence[Sampled]) -> Sampled:
    """Return the answers for parts of the windows of a frame as one."""
    if len(parts) == 1:
        return parts[0]
    if parts[0].cells is not None:
        return joined(parts)
    totals = [part.pass_total for part in parts if part.pass_total is not None]
    probability, std, entropy, information = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("probability", "probability_std", "entropy", "mutual_information")
    )
    return Sampled(probability, std, entropy, information, np.sum(totals, axis=0))
