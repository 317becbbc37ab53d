"""One frame in, the classes and cells of its windows out: the piece of work that `map_phases` repeats anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bravaismap.cells import Cells, cell_variables, independent_windows, joined
from bravaismap.conventions import NONE
from bravaismap.models import Classifier
from bravaismap.movie import NanPolicy, finite_pixels, missing_pixels
from bravaismap.phases import UNMAPPED, independent_std, label_of, phase_fractions
from bravaismap.spectrum import Preprocessing
from bravaismap.uncertainty import Sampled
from bravaismap.windows import WindowGrid, cut_windows, missing_share, window_parts

__all__ = ["MOST_MISSING", "FrameMapper", "MappedFrame", "hidden", "predict"]

#: A window of which more than this share was never measured is not classified.
MOST_MISSING = 0.5
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
    missing : int
        Windows that were mostly not measured and are not classified.
    """

    variables: dict[str, NDArray[Any]]
    constant: bool
    missing: int = 0


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
    nan : {"missing", "fill", "raise"}
        What to do with NaN and infinite pixels.
    """

    grid: WindowGrid
    classifier: Classifier
    samples: int
    seed: int
    pixel_size: float | None
    nan: NanPolicy = "missing"

    def __call__(self, index: int, pixels: NDArray[Any]) -> MappedFrame:
        """Map frame number `index`, whose pixels are (y, x)."""
        frame = finite_pixels(pixels[None], nan=self.nan, first=index)[0]
        missing = missing_pixels(pixels) if self.nan == "missing" else np.zeros(pixels.shape, bool)
        seen = missing_share(missing, self.grid) <= MOST_MISSING
        measured = seen if seen.any() else np.arange(len(seen)) == 0  # of a frame without any, one is hidden below
        # as many windows at a time as fit the memory: those of a large frame overlap to many times its size
        at_once = max(1, _WINDOW_BYTES // (4 * self.grid.window**2))
        parts, first = [], 0
        for part in window_parts(self.grid, at_once):
            chosen = measured[first : first + part.shape[0] * part.shape[1]]
            first += len(chosen)
            if chosen.any():
                windows = cut_windows(frame, part)[chosen]
                parts.append(predict(self.classifier, windows, self.samples, self.seed, "window"))
        variables = self._variables(_joined(parts), frame.shape, measured)
        if not seen.any():
            variables = {name: np.full_like(values, hidden(values.dtype)) for name, values in variables.items()}
        constant = bool(frame.max() == frame.min()) and not missing.all()
        return MappedFrame(variables, constant, int((~seen).sum()))

    def _variables(
        self, sampled: Sampled, size: tuple[int, ...], measured: NDArray[np.bool_]
    ) -> dict[str, NDArray[Any]]:
        """Return the variables of a frame from what is said of its measured windows."""
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
            count = max(1.0, independent_windows(size, self.grid.window, len(measured)) * measured.mean())
            fraction_std = independent_std(sampled.probability, count)
        whole = {name: _placed(values, measured) for name, values in windows.items()}
        maps = {name: values.reshape(*self.grid.shape, *values.shape[1:]) for name, values in whole.items()}
        return maps | {"fraction": fraction, "fraction_std": fraction_std}


def hidden(dtype: np.dtype[Any]) -> float | int:
    """Return what stands in a map where a window was not classified: NaN, or `UNMAPPED` for a label."""
    return np.nan if dtype.kind == "f" else UNMAPPED


def _placed(values: NDArray[Any], measured: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the values of the measured windows among all windows of a frame."""
    if measured.all():
        return values
    whole = np.full((len(measured), *values.shape[1:]), hidden(values.dtype), values.dtype)
    whole[measured] = values
    return whole


def predict(
    classifier: Classifier, images: NDArray[Any], samples: int, seed: int, preprocessing: Preprocessing
) -> Sampled:
    """Classify images; a constant one has no lattice, whatever a network would say of nothing."""
    flat = images.max(axis=(1, 2)) == images.min(axis=(1, 2))
    if not flat.any() or NONE not in classifier.classes:
        return classifier.predict(images, samples=samples, seed=seed, preprocessing=preprocessing)
    classes, passes = len(classifier.classes), max(samples, 1)
    certain = np.eye(classes)[classifier.classes.index(NONE)]
    whole = Sampled(
        np.tile(certain, (len(images), 1)),
        np.full((len(images), classes), 0.0 if samples else np.nan),
        np.zeros(len(images)),
        np.full(len(images), 0.0 if samples else np.nan),
        None if classifier.measures_cells else np.tile(certain * flat.sum(), (passes, 1)),
        Cells.of_nothing(len(images)) if classifier.measures_cells else None,
    )
    if flat.all():
        return whole
    seen = classifier.predict(images[~flat], samples=samples, seed=seed, preprocessing=preprocessing)
    for name in ("probability", "probability_std", "entropy", "mutual_information"):
        getattr(whole, name)[~flat] = getattr(seen, name)
    if whole.pass_total is not None and seen.pass_total is not None:
        whole.pass_total[...] += seen.pass_total
    if whole.cells is not None and seen.cells is not None:
        for name in ("basis", "covariance", "evidence"):
            getattr(whole.cells, name)[~flat] = getattr(seen.cells, name)
    return whole


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
