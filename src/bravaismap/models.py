"""The named classifiers behind one call."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bravaismap.conventions import nearest_names
from bravaismap.errors import ModelError
from bravaismap.network import DropoutNetwork, ModelCard, load_network
from bravaismap.spectrum import Preprocessing, spectrum
from bravaismap.uncertainty import Sampled, evaluating, monte_carlo_dropout, predictive_entropy

__all__ = ["MODELS", "Classifier", "NetworkClassifier", "load_model"]

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

    def predict(
        self, images: NDArray[np.floating], *, samples: int, seed: int, preprocessing: Preprocessing
    ) -> Sampled:
        """Classify square images (n, size, size)."""


@dataclass(frozen=True)
class NetworkClassifier:
    """A trained network with Monte-Carlo dropout.

    Attributes
    ----------
    network : DropoutNetwork
    card : ModelCard
    """

    network: DropoutNetwork
    card: ModelCard

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

    def spectra(self, images: NDArray[np.floating], preprocessing: Preprocessing) -> torch.Tensor:
        """Return what the network sees of images (n, size, size): a tensor (n, 64, 32)."""
        batches = [
            spectrum(
                torch.from_numpy(np.ascontiguousarray(images[i : i + _SPECTRA_PER_BATCH], np.float32)), preprocessing
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
        spectra = self.spectra(images, preprocessing)
        if samples:
            return monte_carlo_dropout(self.network, spectra, samples, seed)
        with evaluating(self.network):
            probability = self.network(spectra).to(torch.float64).softmax(dim=-1).numpy()
        return Sampled(
            probability,
            np.full_like(probability, np.nan),
            predictive_entropy(probability),
            np.full(len(probability), np.nan),
            probability.sum(axis=0, keepdims=True),
        )


#: Models by name → file of the weights that ship with the package. ``default`` is the best there is.
MODELS = {"dcnn-2018": "dcnn-2018.safetensors", "default": "dcnn-2018.safetensors"}


def load_model(name: str | Path = "default") -> NetworkClassifier:
    """Return a classifier by name, or one that a user has trained by the path of its weights.

    Parameters
    ----------
    name : str or path
        ``"default"``, ``"dcnn-2018"``, or a ``.safetensors`` file with its card (``.json``) beside it.

    Raises
    ------
    ModelError
        If there is no such model (the nearest names are given), or its weights are not those of its card.
    """
    if str(name) in MODELS:
        path = Path(str(files("bravaismap").joinpath("weights", MODELS[str(name)])))
    elif Path(name).suffix == ".safetensors":
        path = Path(name)
    else:
        raise ModelError(
            f"no model is called {str(name)!r}; the nearest names are {nearest_names(str(name), MODELS)}, "
            "or give the .safetensors file of a model of your own"
        )
    return NetworkClassifier(*load_network(path))
