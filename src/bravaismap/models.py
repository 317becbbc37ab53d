"""The named classifiers behind one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bravaismap.agreement import CommonLattice
from bravaismap.cells import Cells, checked_distortion, classified, joined
from bravaismap.conventions import CLASSES, nearest_names
from bravaismap.device import PROCESSOR, checked_device, full_precision, in_batches
from bravaismap.enlargement import is_enlarged
from bravaismap.errors import ModelError
from bravaismap.measurement import SMALLEST_SIDE, measure
from bravaismap.network import DropoutNetwork, ModelCard, load_network
from bravaismap.posterior import least_evidence, reduce_measured
from bravaismap.spectrum import Preprocessing, spectrum
from bravaismap.uncertainty import Sampled, evaluating, monte_carlo_dropout, predictive_entropy
from bravaismap.wholeimage import has_parts, measure_whole

__all__ = ["MODELS", "Classifier", "LatticeClassifier", "NetworkClassifier", "load_model"]

_SPECTRA_PER_BATCH = 256


class Classifier(Protocol):
    """What every model can do."""

    @property
    def name(self) -> str:
        """Name that the run card records."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes, in the order of the probabilities."""

    @property
    def weights_sha256(self) -> str:
        """Hash of the weights, or an empty string for a model without."""

    @property
    def description(self) -> str:
        """What it is, in a line."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the run card records of it besides."""

    @property
    def measures_cells(self) -> bool:
        """Whether its answers hold the primitive cell; such a model takes an image of any shape whole."""

    @property
    def smallest_side(self) -> int:
        """Side of the smallest image that it takes, in px."""

    @property
    def movie_samples(self) -> int:
        """Samples for each window of a movie when their number is not given."""

    def predict(
        self, images: NDArray[np.floating], *, samples: int, seed: int, preprocessing: Preprocessing
    ) -> Sampled:
        """Classify images (n, y, x); square ones if the model measures no cells."""


@dataclass(frozen=True)
class NetworkClassifier:
    """A trained network with Monte-Carlo dropout.

    Attributes
    ----------
    network : DropoutNetwork
    card : ModelCard
    device : str
        Where it computes; see :func:`load_model`.
    """

    network: DropoutNetwork
    card: ModelCard
    device: str = PROCESSOR

    @property
    def name(self) -> str:
        """Name on the model card."""
        return self.card.name

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes on the model card."""
        return self.card.classes

    @property
    def weights_sha256(self) -> str:
        """Hash on the model card."""
        return self.card.weights_sha256

    @property
    def description(self) -> str:
        """Description on the model card, and the accuracy that it states."""
        accuracy = self.card.accuracy.get("validation")
        measured = "" if accuracy is None else f", validation accuracy {100 * accuracy:.1f} %"
        return f"{self.card.description or self.card.architecture}{measured}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """Nothing: the weights say all."""
        return {}

    @property
    def measures_cells(self) -> bool:
        """No."""
        return False

    @property
    def smallest_side(self) -> int:
        """16 px."""
        return 16

    @property
    def movie_samples(self) -> int:
        """30: a standard error of σ/5 on each probability."""
        return 30

    def spectra(self, images: NDArray[np.floating], preprocessing: Preprocessing) -> torch.Tensor:
        """Return what the network sees of images (n, size, size): a tensor (n, 64, 32)."""
        batches = [
            spectrum(
                torch.from_numpy(np.ascontiguousarray(images[i : i + _SPECTRA_PER_BATCH], np.float32)).to(self.device),
                preprocessing,
            )
            for i in range(0, len(images), _SPECTRA_PER_BATCH)
        ]
        return torch.cat(batches)

    def predict(
        self, images: NDArray[np.floating], *, samples: int, seed: int = 0, preprocessing: Preprocessing = "window"
    ) -> Sampled:
        """Classify square images.

        Parameters
        ----------
        images : array, shape (n, size, size)
        samples : int
            Passes of Monte-Carlo dropout; 0 for a single pass without dropout, whose spread is NaN.
        seed : int
            Of the dropout.
        preprocessing : {"window", "paper"}
            See :mod:`bravaismap.spectrum`.

        Returns
        -------
        Sampled
        """
        with full_precision():
            spectra = self.spectra(images, preprocessing)
            if samples:
                return monte_carlo_dropout(self.network, spectra, samples, seed, self.card.temperature(passes=True))
            with evaluating(self.network):
                scores = self.network(spectra).to(torch.float64)
        probability = (scores / self.card.temperature()).softmax(dim=-1).cpu().numpy()
        return Sampled(
            probability,
            np.full_like(probability, np.nan),
            predictive_entropy(probability),
            np.full(len(probability), np.nan),
            probability.sum(axis=0, keepdims=True),
        )


@dataclass(frozen=True)
class LatticeClassifier:
    """The measurement of the primitive cell and the posterior of the classes given it; nothing is trained.

    Attributes
    ----------
    distortion : float
        Standard deviation of each component of the linear map from sample to image, as a fraction.
    device : str
        Where it computes; see :func:`load_model`.
    """

    distortion: float = 0.02
    device: str = PROCESSOR

    def __post_init__(self) -> None:
        checked_distortion(self.distortion)

    @property
    def name(self) -> str:
        """``lattice``."""
        return "lattice"

    @property
    def classes(self) -> tuple[str, ...]:
        """The five lattices and none."""
        return CLASSES

    @property
    def weights_sha256(self) -> str:
        """Empty: there are no weights."""
        return ""

    @property
    def description(self) -> str:
        """What it is, in a line."""
        return "primitive cell measured by maximum likelihood, class by its posterior; no training"

    @property
    def settings(self) -> Mapping[str, Any]:
        """The distortion."""
        return {"distortion": self.distortion}

    @property
    def measures_cells(self) -> bool:
        """Yes."""
        return True

    @property
    def smallest_side(self) -> int:
        """32 px."""
        return SMALLEST_SIDE

    @property
    def movie_samples(self) -> int:
        """60: evenly spread, they do the work of hundreds."""
        return 60

    def predict(
        self, images: NDArray[np.floating], *, samples: int, seed: int = 0, preprocessing: Preprocessing = "window"
    ) -> Sampled:
        """Measure and classify images.

        Parameters
        ----------
        images : array, shape (n, y, x)
        samples : int
            Draws of what another measurement could have been; 0 for none, with NaN for every spread.
        seed : int
            Of the draws.
        preprocessing : {"window", "paper"}
            Of no effect: the whole image is measured.

        Returns
        -------
        Sampled
            With `cells`.
        """

        def part(rows: slice) -> Sampled:
            batch = torch.from_numpy(np.ascontiguousarray(images[rows], np.float32)).to(self.device)
            with torch.inference_mode():
                measured = measure(batch)
            basis, covariance, evidence = (
                getattr(measured, name).cpu().numpy().astype(float) for name in ("basis", "covariance", "evidence")
            )
            evidence = np.maximum(evidence, least_evidence(batch[0].numel()))
            cells = Cells(*reduce_measured(basis, covariance), evidence)
            return classified(cells, self.distortion, samples, seed, self.device)

        return joined(in_batches(part, images.shape, self.device))

    def predict_whole(self, images: NDArray[np.floating], *, samples: int, seed: int = 0) -> Sampled:
        """Classify whole images from their parts; small ones as :meth:`predict` does.

        Parameters
        ----------
        images : array, shape (n, y, x)
        samples, seed : int
            As for :meth:`predict`.

        Returns
        -------
        Sampled
            With `cells`.
        """
        if not has_parts(images.shape[1:]) and not any(is_enlarged(image) for image in images):
            return self.predict(images, samples=samples, seed=seed)
        lattices = [self.lattices(image) for image in images]
        cells = Cells.of_nothing(len(images))
        for i, (image, seen) in enumerate(zip(images, lattices, strict=True)):
            cells.evidence[i] = least_evidence(image.size)
            if seen:
                basis, covariance = reduce_measured(seen[0].basis[None], seen[0].covariance[None])
                cells.basis[i], cells.covariance[i] = basis[0], covariance[0]
                cells.evidence[i] = max(seen[0].evidence, cells.evidence[i])
        return classified(cells, self.distortion, samples, seed, self.device)

    def lattices(self, image: NDArray[np.floating]) -> list[CommonLattice]:
        """Return the lattices that an image (y, x) shows, the one with the most evidence first.

        Raises
        ------
        InputError
            If the image is smaller than 32 px.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(image, np.float32)).to(self.device)
        with torch.inference_mode():
            return measure_whole(pixels)


#: Models by name → file of the weights that ship with the package, or the name of the model that it stands for.
MODELS = {
    "default": "lattice",
    "lattice": "",
    "dcnn": "dcnn.safetensors",
    "dcnn-2018": "dcnn-2018.safetensors",
    "dcnn-2018-wide": "dcnn-2018-wide.safetensors",
}


def load_model(
    name: str | Path = "default", distortion: float = 0.02, device: str = PROCESSOR
) -> NetworkClassifier | LatticeClassifier:
    """Return a classifier by name, or one that a user has trained by the path of its weights.

    Parameters
    ----------
    name : str or path
        ``"default"`` (the best there is: ``"lattice"``), ``"lattice"``, ``"dcnn"``, ``"dcnn-2018"``,
        ``"dcnn-2018-wide"``, or a ``.safetensors`` file with its card (``.json``) beside it.
    distortion : float
        How far the instrument distorts what it shows: the standard deviation of each component of the linear map from
        sample to image, as a fraction. For ``lattice``; a network ignores it.
    device : str
        Where it computes: ``"cpu"``, ``"cuda"`` (a graphics card), or ``"auto"`` for a graphics card if there is one.

    Raises
    ------
    ModelError
        If there is no such model (the nearest names are given), its weights are not those of its card, or PyTorch
        cannot compute on the device.
    InputError
        If the distortion cannot be.
    """
    known, device = MODELS.get(str(name)), checked_device(device)
    if "lattice" in (str(name), known):
        return LatticeClassifier(distortion, device)
    if known is not None:
        path = Path(str(files("bravaismap").joinpath("weights", known)))
    elif Path(name).suffix == ".safetensors":
        path = Path(name)
    else:
        raise ModelError(
            f"no model is called {str(name)!r}; the nearest names are {nearest_names(str(name), MODELS)}, "
            "or give the .safetensors file of a model of your own"
        )
    network, card = load_network(path)
    network.to(device)
    return NetworkClassifier(network, card, device)
