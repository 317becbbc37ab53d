"""The mapping of one frame: its pixels in, the classes and cells of its windows out."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bravaismap.classify.answer import Answer
from bravaismap.classify.classifier import Classifier
from bravaismap.classify.models import LatticeClassifier
from bravaismap.compute.device import PROCESSOR, images_together, on_device, own_stream
from bravaismap.compute.parallel import one_ahead
from bravaismap.conventions import NONE, UNMAPPED, counted
from bravaismap.errors import warn
from bravaismap.movie import NanPolicy, finite_pixels, missing_pixels
from bravaismap.phases.fractions import measured_fractions, phase_fractions
from bravaismap.phases.frame_pixels import hidden_pixels, pixels_of_frames
from bravaismap.phases.known_lattices import with_known_lattices
from bravaismap.phases.undoing import undone, without_own_pixels
from bravaismap.result.undone import Undone
from bravaismap.windows import WindowGrid, cut_on_device, cut_windows, missing_share, window_parts

__all__ = [
    "MOST_MISSING",
    "WINDOW_BYTES",
    "FrameMapper",
    "MappedFrame",
    "hidden",
    "predict",
    "warn_constant",
    "warn_missing",
]

#: A window of which more than this share was never measured is not classified.
MOST_MISSING = 0.5
#: Bytes of windows cut from a frame at a time, on a processor and on a GPU.
WINDOW_BYTES, _WINDOW_BYTES_ON_GPU = 2**27, 2**31
#: Frames whose windows a GPU classifies at once, at most: with more, progress would come in jumps.
_MOST_TOGETHER = 24
#: Pixels of frames that a GPU is asked for at once, in all: 24 frames of 512² px, which take some 2 GB.
_PIXELS_TOGETHER = 24 * 2**18
#: As many pixels of windows take the memory of one pixel of a frame that is asked.
_AS_PIXELS_OF_WINDOWS = 2


@dataclass(frozen=True)
class MappedFrame:
    """The map of one frame.

    Attributes
    ----------
    variables : dict of array
        By name: (y, x, ...) for a variable of windows, (lattice,) for the fractions, (py, px, ...) for one of pixels.
    constant : bool
        Whether all pixels are equal.
    missing : int
        Number of windows that are mostly not measured, and so not classified.
    undone : Undone
        What the instrument did to it, which was undone.
    """

    variables: dict[str, NDArray[Any]]
    constant: bool
    missing: int = 0
    undone: Undone = field(default_factory=Undone)


@dataclass(frozen=True)
class _Frame:
    """A frame that is to be mapped.

    Attributes
    ----------
    index : int
    pixels : array, shape (y, x)
        As they were read.
    image : array, shape (y, x)
        All of them finite.
    seen, measured : bool arrays, shape (windows,)
        Which windows are not mostly missing, and which are classified: these, or the first one if there are none.
    constant : bool
        Whether all pixels are equal.
    undone : Undone
        What the instrument did to it. What concerns the frame itself is undone in both.
    """

    index: int
    pixels: NDArray[Any]
    image: NDArray[Any]
    seen: NDArray[np.bool_]
    measured: NDArray[np.bool_]
    constant: bool
    undone: Undone

    @classmethod
    def prepared(cls, index: int, pixels: NDArray[Any], mapper: FrameMapper) -> _Frame:
        """Return frame number `index` as a mapper takes it."""
        image = finite_pixels(pixels[None], nan=mapper.nan, first=index)[0]
        missing = missing_pixels(pixels)
        done = Undone()
        if mapper.classifier.record.measures_cells:
            image, done = undone(image)
            pixels = np.where(missing, np.nan, image) if done.changed else pixels
            image = without_own_pixels(image)
        seen = missing_share(missing, mapper.grid) <= MOST_MISSING
        measured = seen if seen.any() else np.arange(len(seen)) == 0  # of a frame without any, one is hidden later
        constant = bool(image.max() == image.min()) and not missing.all()
        return cls(index, pixels, image, seen, measured, constant, done)


@dataclass(frozen=True)
class _Classified:
    """A frame with the answer for its measured windows, and the variables that this means, by name, (windows, ...)."""

    frame: _Frame
    answer: Answer
    windows: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class FrameMapper:
    """A function that maps frames, with all that it takes besides their pixels; it can be pickled.

    Attributes
    ----------
    grid : WindowGrid
    classifier : Classifier
    samples, seed : int
        As for :func:`bravaismap.map_phases`.
    pixel_size : float or None
        In nm.
    nan : {"missing", "fill", "raise"}
        NaN and infinite pixels were never measured, are filled from their neighbours, or are an error. What is mostly
        missing is not classified: its label is -1 and its probabilities are NaN.
    pixel_step : int, optional
        Distance in px between the pixels that are mapped as well, of a classifier that measures cells; none when not
        given.
    """

    grid: WindowGrid
    classifier: Classifier
    samples: int
    seed: int
    pixel_size: float | None
    nan: NanPolicy = "missing"
    pixel_step: int | None = None

    @property
    def device(self) -> str:
        """Where the classifier computes; a classifier that does not say, on the processor."""
        return str(getattr(self.classifier, "device", PROCESSOR))

    def __call__(self, index: int, pixels: NDArray[Any]) -> MappedFrame:
        """Map frame number `index`, whose pixels are (y, x)."""
        return self._finished(list(self._classified([_Frame.prepared(index, pixels, self)])))[0]

    def mapped(self, frames: Iterable[tuple[int, NDArray[Any]]]) -> Generator[tuple[int, MappedFrame]]:
        """Map numbered frames (y, x) one after another, all of one size.

        While the pixels of a frame are asked, in one thread, the windows of the next one are classified in others. A
        GPU classifies those of several frames at once, and the frames after these are prepared in a third thread.

        Parameters
        ----------
        frames : iterable of (int, array)
        """
        groups = self._groups(frames)
        # asked in this thread before any other limits theirs, of which PyTorch would take the number over
        threads = torch.get_num_threads()
        alone = self.device == PROCESSOR and (threads == 1 or self.pixel_step is None)
        with closing(groups if alone else one_ahead(groups)) as groups:
            for group in groups:
                for first in range(0, len(group), self._asked_together(group)):
                    part = group[first : first + self._asked_together(group)]
                    yield from zip([one.frame.index for one in part], self._finished(part), strict=True)

    def _asked_together(self, group: Sequence[_Classified]) -> int:
        """How many frames of a group are asked for their pixels at once: one on a processor."""
        size = group[0].frame.image.size
        return min(max(1, _PIXELS_TOGETHER // size), images_together(_AS_PIXELS_OF_WINDOWS * size, self.device))

    def _groups(self, frames: Iterable[tuple[int, NDArray[Any]]]) -> Generator[list[_Classified]]:
        """Yield frames with the answers for their windows, as many at a time as the device takes."""
        prepared = (_Frame.prepared(index, pixels, self) for index, pixels in frames)
        together = 1
        # a network sums over the windows of a frame in each of its passes, so that it takes one at a time
        if self.device != PROCESSOR and self.classifier.record.measures_cells:
            together = images_together(self.grid.count * self.grid.window**2, self.device)
        groups = iter(lambda: list(islice(prepared, min(together, _MOST_TOGETHER))), [])
        if self.device == PROCESSOR:
            yield from (list(self._classified(group)) for group in groups)
            return
        with closing(one_ahead(groups)) as ahead:
            yield from (list(self._classified(group)) for group in ahead)

    def _classified(self, frames: Sequence[_Frame]) -> Iterator[_Classified]:
        """Yield frames with the answers for their measured windows."""
        answer = self._answer(np.stack([f.image for f in frames]), np.stack([f.measured for f in frames]))
        ends = np.cumsum([f.measured.sum() for f in frames])
        for frame, last in zip(frames, ends, strict=True):
            own = answer if len(frames) == 1 else answer[np.arange(last - frame.measured.sum(), last)]
            if isinstance(self.classifier, LatticeClassifier):
                windows = np.flatnonzero(frame.measured)
                own = with_known_lattices(
                    own, frame.image, self.grid, windows, self.classifier, self.samples, self.seed
                )
            yield _Classified(frame, own, own.variables(self.pixel_size))

    def _answer(self, frames: NDArray[Any], measured: NDArray[np.bool_]) -> Answer:
        """Return the answer for the measured windows (frames, windows) of frames, frame by frame."""
        # windows that overlap hold many times the pixels of the frame, so that not all of them fit the memory
        on_processor = self.device == PROCESSOR
        most = max(1, (WINDOW_BYTES if on_processor else _WINDOW_BYTES_ON_GPU) // (4 * self.grid.window**2))
        whole = frames if on_processor else on_device(frames, self.device)
        answers, first = [], 0
        for part in window_parts(self.grid, most if len(frames) == 1 else self.grid.count):
            chosen = measured[:, first : first + part.count].ravel()
            first += part.count
            if chosen.any():
                windows = cut_on_device(whole, part) if isinstance(whole, Tensor) else cut_windows(whole[0], part)
                answers.append(predict(self.classifier, _chosen(windows, chosen), self.samples, self.seed))
        return Answer.concatenate(answers)

    def _finished(self, group: Sequence[_Classified]) -> list[MappedFrame]:
        """Return the maps of frames from the answers for their measured windows."""
        maps = []
        for one in group:
            frame, variables = one.frame, self._variables(one)
            if not frame.seen.any():
                variables = {name: np.full_like(values, hidden(values.dtype)) for name, values in variables.items()}
            maps.append(MappedFrame(variables, frame.constant, int((~frame.seen).sum()), frame.undone))
        if self.pixel_step is not None:
            for mapped, own in zip(maps, self._pixels([one.frame for one in group], maps), strict=True):
                mapped.variables.update(own)
        return maps

    def _variables(self, classified: _Classified) -> dict[str, NDArray[Any]]:
        """Return the variables of a frame from the answer for its measured windows."""
        answer, measured = classified.answer, classified.frame.measured
        if answer.pass_total is not None:
            fraction, fraction_std = phase_fractions(answer.probability, answer.pass_total)
        else:
            known = _placed(answer.probability, measured)
            fraction, fraction_std = measured_fractions(known, classified.frame.pixels.shape, self.grid.window)
        whole = {name: _placed(values, measured) for name, values in classified.windows.items()}
        maps = {name: values.reshape(*self.grid.shape, *values.shape[1:]) for name, values in whole.items()}
        done = classified.frame.undone.variables(self.pixel_size) if self.classifier.record.measures_cells else {}
        return maps | done | {"fraction": fraction, "fraction_std": fraction_std}

    def _pixels(self, frames: Sequence[_Frame], maps: Sequence[MappedFrame]) -> list[dict[str, NDArray[Any]]]:
        """Return the variables of the pixels of frames."""
        assert self.pixel_step is not None
        asked = [i for i, frame in enumerate(frames) if frame.seen.any()]
        with own_stream(self.device):
            answers = pixels_of_frames(
                [frames[i].pixels for i in asked], [maps[i].variables for i in asked], self.pixel_step,
                self.pixel_size, self.device,
            )  # fmt: skip
        known = dict(zip(asked, answers, strict=True))
        return [
            known.get(i) or hidden_pixels(frame.pixels.shape, self.pixel_step, self.pixel_size)
            for i, frame in enumerate(frames)
        ]


def hidden(dtype: np.dtype[Any]) -> float | int:
    """Return the value in a map where a window is not classified: NaN, or `UNMAPPED` for a label."""
    return np.nan if dtype.kind == "f" else UNMAPPED


def _placed(values: NDArray[Any], measured: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the values of the measured windows among all windows of a frame."""
    if measured.all():
        return values
    whole = np.full((len(measured), *values.shape[1:]), hidden(values.dtype), values.dtype)
    whole[measured] = values
    return whole


def predict(classifier: Classifier, images: NDArray[Any] | Tensor, samples: int, seed: int) -> Answer:
    """Return the answer of a classifier for images; constant ones are none, which no network has to tell."""
    record = classifier.record
    constant = _constant(images)
    if not constant.any() or NONE not in record.classes:
        return classifier.predict(images, samples=samples, seed=seed)
    of_constant = Answer.of_constant(int(constant.sum()), record.classes, samples, measures_cells=record.measures_cells)
    if constant.all():
        return of_constant
    of_others = classifier.predict(_chosen(images, ~constant), samples=samples, seed=seed)
    return Answer.interleave(of_others, of_constant, constant)


def _constant(images: NDArray[Any] | Tensor) -> NDArray[np.bool_]:
    """Return which images are constant."""
    if isinstance(images, Tensor):
        return np.asarray((images.amax((1, 2)) == images.amin((1, 2))).cpu().numpy())
    return np.asarray(images.max(axis=(1, 2)) == images.min(axis=(1, 2)))


def _chosen(images: NDArray[Any] | Tensor, chosen: NDArray[np.bool_]) -> NDArray[Any] | Tensor:
    """Return the chosen images, without a copy if these are all."""
    if chosen.all():
        return images
    return images[torch.from_numpy(chosen).to(images.device)] if isinstance(images, Tensor) else images[chosen]


def warn_constant(indices: list[int], what: str = "frame") -> None:
    """Warn of frames, or images, in which all pixels are equal."""
    if indices:
        named = ", ".join(map(str, indices[:5])) + (", …" if len(indices) > 5 else "")
        count = f"1 {what} is" if len(indices) == 1 else f"{len(indices)} {what}s are"
        warn(f"{count} constant ({what} {named}): classified none")


def warn_missing(missing: dict[int, int], windows: int) -> None:
    """Say how many windows of which frames were not classified, `windows` being those of a frame."""
    if missing:
        named = ", ".join(map(str, sorted(missing)[:5])) + (", …" if len(missing) > 5 else "")
        share = 100 * sum(missing.values()) / (windows * len(missing))
        frames, count = counted(len(missing), "frame"), sum(missing.values())
        warn(
            f"{counted(count, 'window')}, {share:.0f} % of those in {frames} (frame {named}), "
            f"{'was' if count == 1 else 'were'} mostly never measured (NaN): not classified, and left out of the "
            "fractions"
        )
