"""One frame in, the classes and cells of its windows out: the piece of work that `map_phases` repeats anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from bravaismap.classify.answer import Answer
from bravaismap.classify.classifier import Classifier
from bravaismap.conventions import NONE
from bravaismap.errors import warn
from bravaismap.movie import NanPolicy, finite_pixels
from bravaismap.phases.cells import independent_windows
from bravaismap.phases.fractions import independent_std, phase_fractions
from bravaismap.windows import WindowGrid, cut_windows, window_parts

__all__ = ["FrameMapper", "MappedFrame", "predict", "warn_constant"]

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
        answer = Answer.concatenate(
            [
                predict(self.classifier, cut_windows(frame, part), self.samples, self.seed)
                for part in window_parts(self.grid, at_once)
            ]
        )
        return MappedFrame(self._variables(answer, frame.shape), bool(frame.max() == frame.min()))

    def _variables(self, answer: Answer, size: tuple[int, ...]) -> dict[str, NDArray[Any]]:
        if answer.pass_total is not None:
            fraction, fraction_std = phase_fractions(answer.probability, answer.pass_total)
        else:
            fraction = answer.probability.mean(axis=0)
            count = independent_windows(size, self.grid.window, len(answer.probability))
            fraction_std = independent_std(answer.probability, count)
        windows = answer.variables(self.pixel_size)
        maps = {name: values.reshape(*self.grid.shape, *values.shape[1:]) for name, values in windows.items()}
        return maps | {"fraction": fraction, "fraction_std": fraction_std}


def predict(classifier: Classifier, images: NDArray[Any], samples: int, seed: int) -> Answer:
    """Classify images; a constant one has no lattice, whatever a network would say of nothing."""
    record = classifier.record
    constant = images.max(axis=(1, 2)) == images.min(axis=(1, 2))
    if not constant.any() or NONE not in record.classes:
        return classifier.predict(images, samples=samples, seed=seed)
    nothing = Answer.of_constant(int(constant.sum()), record.classes, samples, measures_cells=record.measures_cells)
    if constant.all():
        return nothing
    seen = classifier.predict(images[~constant], samples=samples, seed=seed)
    return Answer.interleave(seen, nothing, constant)


def warn_constant(indices: list[int], what: str = "frame") -> None:
    """Warn of frames, or images, in which all pixels are equal, so that there was nothing to classify."""
    if indices:
        named = ", ".join(map(str, indices[:5])) + (", …" if len(indices) > 5 else "")
        count = f"1 {what} is" if len(indices) == 1 else f"{len(indices)} {what}s are"
        warn(f"{count} constant ({what} {named}): classified none")
