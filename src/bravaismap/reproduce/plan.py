"""How much is computed: the paper's numbers of images, passes and frames, or fewer for a first look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from bravaismap.classify.classifier import Classifier
from bravaismap.classify.models import load_model
from bravaismap.conventions import CLASSES
from bravaismap.errors import ModelError

__all__ = ["FULL", "PAPER_MODEL", "QUICK", "Advance", "Contestant", "Plan", "contestant"]

#: Called with what is being done, how far it is, and how far it goes.
Advance = Callable[[str, int, int], object]

#: The network of the paper.
PAPER_MODEL: Final = "dcnn-2018"


@dataclass(frozen=True)
class Plan:
    """How many images, passes and frames each figure takes.

    Attributes
    ----------
    quick : bool
        Whether every figure must say that it is a first look.
    images, passes : int
        Simulated images of the error analysis, and Monte-Carlo passes for each (the paper: 1200 and 5000).
    noise_images, noise_levels, noise_passes : int, tuple, int
        Images at each level of noise; white noise over the image's standard deviation; passes for each.
    feature_images : int
        Images in the feature map (the paper: 1000).
    edge_images, shears : int, tuple
        Images at each shear of the scan, in %.
    frames, every, size, step, small_step, film_passes : int
        Frames of the movie (the paper: 90), which of them are computed, side of a frame in px, distance between windows
        in px, the same of the smaller windows, passes for each window.
    training_images, training_epochs : int
        For a network that is trained first.
    seed : int
        Of all randomness.
    """

    quick: bool = False
    images: int = 1200
    passes: int = 5000
    noise_images: int = 40
    noise_levels: tuple[float, ...] = (0.0, 2.0, 4.0, 6.0, 9.0, 13.0)
    noise_passes: int = 500
    feature_images: int = 1000
    edge_images: int = 30
    shears: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
    frames: int = 90
    every: int = 1
    size: int = 512
    step: int = 16
    small_step: int = 24
    film_passes: int = 30
    training_images: int = 24000
    training_epochs: int = 30
    seed: int = 2018

    def settings(self, *names: str) -> dict[str, Any]:
        """Return some of the numbers, and the seed, as what a part depends on."""
        return {name: value for name, value in asdict(self).items() if name in {*names, "seed"}}


FULL: Final = Plan()
QUICK: Final = Plan(
    quick=True, images=240, passes=300, noise_images=6, noise_levels=(0.0, 4.0, 9.0), noise_passes=100,
    feature_images=300, edge_images=5, shears=(0.0, 2.0, 4.0, 8.0, 16.0), every=3, step=32, small_step=32,
    film_passes=10, training_images=2400, training_epochs=5,
)  # fmt: skip


@dataclass(frozen=True)
class Contestant:
    """A model that is compared.

    Attributes
    ----------
    name : str
        As the user calls it.
    exact : Classifier
        Told that the images are not distorted, as simulated ones are not.
    instrument : Classifier
        Told that they come from a microscope (a distortion of 2 %).
    """

    name: str
    exact: Classifier
    instrument: Classifier

    @property
    def fingerprint(self) -> dict[str, str]:
        """What the answers depend on."""
        return {"model": self.exact.record.name, "weights": self.exact.record.weights_sha256}


def contestant(name: str, weights: str = "") -> Contestant:
    """Return a model by name, or the one in the file `weights` under that name.

    Raises
    ------
    ModelError
        If there is no such model, or its classes are not the paper's.
    """
    exact, instrument = load_model(weights or name, 0.0), load_model(weights or name)
    if exact.record.classes != CLASSES:
        raise ModelError(
            f"the model {name} knows {', '.join(exact.record.classes)}; "
            f"expected the classes of the paper, {', '.join(CLASSES)}"
        )
    return Contestant(name, exact, instrument)
