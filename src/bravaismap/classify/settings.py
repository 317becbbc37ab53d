"""Settings of the classification of images and movies: the only place of their defaults, limits and the run card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from numbers import Integral
from typing import TYPE_CHECKING, Any, Final

from bravaismap.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from bravaismap.classify.classifier import Classifier, ModelRecord
    from bravaismap.movie import NanPolicy

__all__ = [
    "ALL_IMAGES_SAMPLES",
    "AUTO",
    "DEFAULTS",
    "DEFAULT_DISTORTION",
    "DEFAULT_MODEL",
    "IMAGE_SAMPLES",
    "LARGEST_DISTORTION",
    "LARGEST_SEED",
    "LIVE_STEPS_ALONG_WINDOW",
    "MOVIE_DEVICE",
    "PAPER_STEP",
    "PAPER_WINDOW",
    "PATIENCE",
    "SETTLE",
    "STEPS_ALONG_WINDOW",
    "Settings",
    "checked_distortion",
]

#: Name of the model that is taken when none is given.
DEFAULT_MODEL: Final = "default"
#: Distortion that a measured lattice is allowed where none is given: an instrument in ordinary use, not calibrated.
DEFAULT_DISTORTION: Final = 0.02
#: Stands for the window that suits the lattice of a movie.
AUTO: Final = "auto"
#: Window and step of the paper, px.
PAPER_WINDOW: Final = 128
PAPER_STEP: Final = 16
#: Samples for a single image when their number is not given: the paper's. For movies it depends on the model.
IMAGE_SAMPLES: Final = 5000
#: Samples for all images of one call together when their number is not given: 5000 each for up to ten images, fewer for
#: more; a network takes some ten seconds for them on two cores.
ALL_IMAGES_SAMPLES: Final = 50_000
#: Steps along a window, where the step is left open: seven eighths of neighbouring windows are the same pixels, as in
#: the paper; and in a live run, which must keep up with a microscope.
STEPS_ALONG_WINDOW: Final = 8
LIVE_STEPS_ALONG_WINDOW: Final = 4
#: Seconds for which the file of a live run must not have changed before it counts as complete.
SETTLE: Final = 0.5
#: Seconds after its last change from which a file of a live run that cannot be used is left out.
PATIENCE: Final = 30.0
#: By judgement: with a σ of 0.5 in each component of the linear map, the shape of a lattice is lost.
LARGEST_DISTORTION: Final = 0.5
#: Seeds are kept as 64-bit integers.
LARGEST_SEED: Final = 2**63 - 1

#: Device that the command line maps a movie on: a GPU if there is one, which takes seconds to start and is worth it for
#: thousands of windows.
MOVIE_DEVICE: Final = "auto"

_NAN_POLICIES = ("missing", "fill", "raise")


@dataclass(frozen=True)
class Settings:
    """The settings of the classification of images and movies.

    Attributes
    ----------
    window : int or "auto"
        Side of a window of a movie in px; ``"auto"`` for what suits its lattice (:mod:`bravaismap.phases.first_look`).
    step : int, optional
        Distance between windows in px; an eighth of the window when not given.
    model : str, path or Classifier
        See :func:`bravaismap.load_model`.
    distortion : float, optional
        Standard deviation of each component of the linear map from sample to image, as a fraction. For a model that is
        given by name; a Classifier has its own. When not given, see :func:`bravaismap.load_model`.
    device : str
        Device that a model given by name computes on.
    samples : int, optional
        Number of draws of repeated measurements, or of passes of Monte-Carlo dropout; 0 for none. When not given,
        `IMAGE_SAMPLES` for an image, or fewer for many (`image_samples`), and `ModelRecord.movie_samples` for a window
        of a movie.
    seed : int
        Seed of the draws or passes.
    nan : {"missing", "fill", "raise"}
        NaN and infinite pixels were never measured, are filled from their neighbours, or are an error. What is mostly
        missing is not classified.
    pixels : bool
        Whether the pixels of a movie are mapped as well as its windows, by a model that measures cells.
    window_reason : str
        Reason for the window, if it was chosen automatically.
    pixel_step : int, optional
        Distance between the pixels that are mapped in px; what suits the lattice when not given.

    Raises
    ------
    InputError
        If a setting is not within its limits.
    """

    window: int | str = AUTO
    step: int | None = None
    model: str | Path | Classifier = DEFAULT_MODEL
    distortion: float | None = None
    device: str = "cpu"
    samples: int | None = None
    seed: int = 0
    nan: NanPolicy = "missing"
    pixels: bool = True
    window_reason: str = ""
    pixel_step: int | None = None

    def __post_init__(self) -> None:
        if self.distortion is not None:
            checked_distortion(self.distortion)
        left_open = {"window": AUTO, "step": None, "samples": None, "pixel_step": None}
        for name in ("window", "step", "seed", "samples", "pixel_step"):
            value = getattr(self, name)
            if name in left_open and value == left_open[name]:
                continue
            if name == "window" and isinstance(value, str) and value.removeprefix("-").isdecimal():
                value = int(value)  # as it comes from a command line
            if not isinstance(value, Integral):
                alternative = f", or {AUTO!r}" if name == "window" else ""
                raise InputError(f"{name} = {value!r} was given; expected a whole number{alternative}")
            object.__setattr__(self, name, int(value))  # not a NumPy integer, which JSON cannot hold
        if not 0 <= self.seed <= LARGEST_SEED:
            raise InputError(f"a seed of {self.seed} was given; expected a whole number from 0 to 2**63 - 1")
        if self.samples is not None and (self.samples < 0 or self.samples == 1):
            raise InputError(f"{self.samples} samples were asked for; expected at least 2, or 0 for none")
        if self.nan not in _NAN_POLICIES:
            raise InputError(f"nan = {self.nan!r} was given; expected {' or '.join(map(repr, _NAN_POLICIES))}")

    def image_samples(self, record: ModelRecord, count: int) -> int:
        """Return the samples for each of `count` images by a model: never fewer than for a window of a movie."""
        if self.samples is not None:
            return self.samples
        return max(record.movie_samples, min(IMAGE_SAMPLES, ALL_IMAGES_SAMPLES // max(count, 1)))

    def window_samples(self, record: ModelRecord) -> int:
        """Return the samples for a window of a movie by a model."""
        return record.movie_samples if self.samples is None else self.samples

    def image_card(self, record: ModelRecord, count: int, height: int, width: int) -> dict[str, Any]:
        """Return the run card of `count` images of `height` × `width` px, as the model sees them."""
        size = {"size": [height, width] if record.measures_cells else width}
        return self._card(record, self.image_samples(record, count)) | size

    def map_card(self, record: ModelRecord, movie: Mapping[str, Any]) -> dict[str, Any]:
        """Return the run card of a map, given the description of the movie."""
        chosen = {"window": self.window, "step": self.step, "nan": self.nan}
        if self.window_reason:
            chosen["window_reason"] = self.window_reason
        if self.pixel_step is not None:
            chosen["pixel_step"] = self.pixel_step
        return self._card(record, self.window_samples(record)) | dict(movie) | chosen

    def _card(self, record: ModelRecord, samples: int) -> dict[str, Any]:
        return {
            "version": _package_version(),
            "model": record.name,
            "weights_sha256": record.weights_sha256,
            "samples": samples,
            "seed": self.seed,
            **record.settings,
        }


def checked_distortion(distortion: float) -> float:
    """Validate a distortion and return it as a float; `InputError` if it is not from 0 to `LARGEST_DISTORTION`."""
    if not 0 <= distortion <= LARGEST_DISTORTION:
        percent = distortion if 0 < distortion <= 100 * LARGEST_DISTORTION else 2  # what was meant, perhaps
        raise InputError(
            f"a distortion of {distortion:g} ({100 * distortion:g} %) was given; write {percent:g}% or "
            f"{percent / 100:g} (in Python {percent / 100:g}): it is between 0 and {LARGEST_DISTORTION}"
        )
    return float(distortion)


@cache  # reading it takes 5 ms, and a live run asks for each frame
def _package_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("bravaismap")
    except PackageNotFoundError:  # running from a source tree that is not installed
        return "unknown"


#: The defaults of all settings.
DEFAULTS: Final = Settings()
