"""The classifiers by name: networks with Monte-Carlo dropout, and the measurement of the primitive cell."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bravaismap.classify.answer import Answer, Cells
from bravaismap.classify.cells import classified
from bravaismap.classify.classifier import Classifier, ModelRecord
from bravaismap.classify.dropout import evaluating, monte_carlo_dropout, predictive_entropy
from bravaismap.classify.known_lattices import measure_known
from bravaismap.classify.network import DropoutNetwork, Ensemble, ModelCard, load_network, members_of, reads_tokens
from bravaismap.classify.network_parts import answered_from_parts
from bravaismap.classify.proposals import Proposer, with_proposals
from bravaismap.classify.settings import DEFAULT_DISTORTION, DEFAULT_MODEL, DEFAULTS, Settings, checked_distortion
from bravaismap.classify.tokens import SMALLEST_TOKENS, Tokens, tokens_and_lattices
from bravaismap.classify.unexplained import Doubt
from bravaismap.compute.device import PROCESSOR, checked_device, full_precision, in_batches, on_device
from bravaismap.conventions import CLASSES, Floats, nearest_names
from bravaismap.errors import ModelError
from bravaismap.lattice.sublattices import reduce_measured
from bravaismap.measure.enlargement import is_enlarged
from bravaismap.measure.interlace import interleaved
from bravaismap.measure.measurement import SMALLEST_SIDE, Measurement, measure
from bravaismap.measure.odds import least_evidence
from bravaismap.measure.whole_image import has_parts, measure_whole, undisturbed
from bravaismap.spectrum import Preprocessing, spectrum
from bravaismap.windows import SMALLEST_WINDOW

__all__ = [
    "MODELS",
    "WHOLE_IMAGE_SIDE",
    "LatticeClassifier",
    "NetworkClassifier",
    "chosen_model",
    "load_model",
    "prepared",
]

#: Images of a larger side (px) are classified by the paper's preprocessing for whole images, if a network does it.
WHOLE_IMAGE_SIDE = 256

#: Side in px of the largest image that a network of tokens takes as one window, the largest that it was trained on.
LARGEST_SIDE = 384

_SPECTRA_PER_BATCH, _SPECTRA_ON_GPU = 256, 8192
_PASSES = 30  # of Monte-Carlo dropout for a window of a movie: a standard error of σ/5 on each probability
_DRAWS = 60  # for a window of a movie: evenly spread, they are worth hundreds of random ones


@dataclass(frozen=True)
class NetworkClassifier:
    """A trained network with Monte-Carlo dropout.

    Attributes
    ----------
    network : DropoutNetwork or Ensemble
    card : ModelCard
    device : str
        Device that it computes on; see :func:`load_model`.
    preprocessing : {"window", "paper"}, optional
        How far the spectrum reaches (see :mod:`bravaismap.spectrum`); ``window``, as in training, when not given.
    distortion : float, optional
        Distortion of the instrument, for a network that reads tokens; when not given, it judges by what it sees.
    """

    network: DropoutNetwork | Ensemble
    card: ModelCard
    device: str = PROCESSOR
    preprocessing: Preprocessing | None = None
    distortion: float | None = None

    @property
    def record(self) -> ModelRecord:
        """Description of the model, from its card."""
        settings = {"preprocessing": self.preprocessing, "distortion": self.distortion}
        return ModelRecord(
            name=self.card.name,
            classes=self.card.classes,
            weights_sha256=self.card.weights_sha256,
            description=f"{self.card.description or self.card.architecture}{_right(self.card)}",
            smallest_side=SMALLEST_TOKENS if reads_tokens(self.network) else SMALLEST_WINDOW,
            movie_samples=_PASSES,
            measures_cells=False,
            settings={name: value for name, value in settings.items() if value is not None},
        )

    def inputs(self, images: Floats | torch.Tensor) -> torch.Tensor | Tokens:
        """Return the spectra (n, 64, 32) or the tokens of images (n, size, size), whichever the network reads."""
        if reads_tokens(self.network):
            return self._read(images)[0]
        together = _SPECTRA_PER_BATCH if self.device == PROCESSOR else _SPECTRA_ON_GPU
        batches = [
            spectrum(on_device(images[i : i + together], self.device), self.preprocessing or "window")
            for i in range(0, len(images), together)
        ]
        return torch.cat(batches)

    def _read(self, images: Floats | torch.Tensor) -> tuple[Tokens, Doubt]:
        parts = in_batches(lambda rows: self._read_batch(images[rows]), images.shape, self.device)
        return Tokens.concatenate([part[0] for part in parts]), Doubt.concatenate([part[1] for part in parts])

    def _read_batch(self, images: Floats | torch.Tensor) -> tuple[Tokens, Doubt]:
        with torch.inference_mode():
            windows = on_device(images, self.device)
            tokens, lattices = tokens_and_lattices(windows, self.distortion)
            return tokens, Doubt.about(windows, lattices, self.card.classes)

    def predict(self, images: Floats | torch.Tensor, *, samples: int, seed: int = 0) -> Answer:
        """Return the answer for square images.

        A network that reads tokens answers an image larger than it was trained on from its parts; see
        :mod:`bravaismap.classify.network_parts`.

        Parameters
        ----------
        images : array or tensor, shape (n, size, size)
            A tensor may be on the device already.
        samples : int
            Number of passes of Monte-Carlo dropout; 0 for a single pass without dropout, whose spread is NaN.
        seed : int
            Seed of the dropout.

        Returns
        -------
        Answer
        """
        if reads_tokens(self.network) and images.shape[-1] > LARGEST_SIDE:
            with full_precision():
                return answered_from_parts(self.network, self.card, self._read, images, samples, seed)
        return self._of_windows(images, samples, seed)

    def _of_windows(self, images: Floats | torch.Tensor, samples: int, seed: int) -> Answer:
        with full_precision():
            if samples:
                temperature = self.card.temperature(passes=True)
                inputs, doubt = self._read(images) if reads_tokens(self.network) else (self.inputs(images), None)
                return monte_carlo_dropout(self.network, inputs, samples, seed, temperature, doubt)
            with evaluating(self.network):
                probability = self._probability(images).cpu().numpy()
        return Answer(
            probability,
            np.full_like(probability, np.nan),
            predictive_entropy(probability),
            np.full(len(probability), np.nan),
            probability.sum(axis=0, keepdims=True),
        )

    def _probability(self, images: Floats | torch.Tensor) -> torch.Tensor:
        """Return the probabilities of a single pass: tokens are read by the thread that makes them."""

        def calibrated(inputs: torch.Tensor | Tokens) -> torch.Tensor:
            return (torch.as_tensor(self.network(inputs)).double() / self.card.temperature()).softmax(dim=-1)

        if not reads_tokens(self.network):
            return calibrated(self.inputs(images))

        def part(rows: slice) -> torch.Tensor:
            tokens, doubt = self._read_batch(images[rows])
            with torch.inference_mode():
                return doubt.flattened(calibrated(tokens))

        return torch.cat(in_batches(part, images.shape, self.device))


def _right(card: ModelCard) -> str:
    """Return how often a network is right, by its card, on windows of each kind that it was not trained on."""
    held_out = card.accuracy.get("of held-out windows of the stream", {})
    by_kind, by_side = (held_out.get(f"accuracy and likelihood by {key}", {}) for key in ("kind", "side"))
    if by_kind and by_side:
        shares = ", ".join(f"{100 * figures[0]:.0f} % of {kind}" for kind, figures in by_kind.items())
        sides = sorted(int(side) for side in by_side)
        return f"; right in {shares} windows of {sides[0]} to {sides[-1]} px, the smallest of which hold few cells"
    accuracy = card.accuracy.get("validation")
    return "" if accuracy is None else f"; right in {100 * accuracy:.1f} % of windows held out of its training"


@dataclass(frozen=True)
class LatticeClassifier:
    """The measurement of the primitive cell and the posterior of the classes given it.

    Nothing is trained, unless a network proposes lattices of doubtful windows.

    Attributes
    ----------
    distortion : float
        Standard deviation of each component of the linear map from sample to image, as a fraction.
    device : str
        Device that it computes on; see :func:`load_model`.
    whole : bool
        Whether the images are whole ones, of which large ones are answered from their parts, and not windows.
    proposer : Proposer, optional
        Network that is asked about windows of which the measurement leaves a doubt.
    """

    distortion: float = DEFAULT_DISTORTION
    device: str = PROCESSOR
    whole: bool = False
    proposer: Proposer | None = None

    def __post_init__(self) -> None:
        checked_distortion(self.distortion)

    @property
    def record(self) -> ModelRecord:
        """Description of the model: five lattices and none, and the distortion that it allows for."""
        asked = "no training" if self.proposer is None else "of doubtful windows a network proposes lattices"
        return ModelRecord(
            name="lattice" if self.proposer is None else "default",
            classes=CLASSES,
            weights_sha256="" if self.proposer is None else self.proposer.weights_sha256,
            description=f"primitive cell measured by maximum likelihood, class by its posterior; {asked}",
            smallest_side=SMALLEST_SIDE,
            movie_samples=_DRAWS,
            measures_cells=True,
            settings={"distortion": self.distortion},
        )

    def predict(self, images: Floats | torch.Tensor, *, samples: int, seed: int = 0) -> Answer:
        """Return the answer for images, with their measured cells.

        Parameters
        ----------
        images : array or tensor, shape (n, y, x)
            A tensor may be on the device already; whole images are an array.
        samples : int
            Number of draws of repeated measurements; 0 for none, with NaN for every spread.
        seed : int
            Seed of the draws.

        Returns
        -------
        Answer
            With `cells`.
        """
        whole = self.whole and not isinstance(images, torch.Tensor)
        if whole and (has_parts(images.shape[1:]) or any(is_enlarged(image) for image in images)):
            return self._of_whole_images(np.asarray(images), samples, seed)

        def part(rows: slice) -> Answer:
            batch = on_device(images[rows], self.device)
            with torch.inference_mode():
                if self.whole:
                    batch = torch.stack([interleaved(undisturbed(image).image)[0] for image in batch])
                measured = measure(batch)
                if self.proposer is not None:
                    measured = with_proposals(batch, measured, self.proposer)
            return self._classified(measured, batch[0].numel(), samples, seed)

        return Answer.concatenate(in_batches(part, images.shape, self.device))

    def known(self, images: Floats, bases: Floats, *, samples: int, seed: int = 0) -> Answer:
        """Return the answer for windows of a frame of which nothing but these lattices is asked.

        Parameters
        ----------
        images : array, shape (n, y, x)
        bases : array, shape (lattices, 2, 2)
            Primitive vectors in px, at least one lattice.
        samples, seed
            As for :meth:`predict`.
        """
        lattices = on_device(bases, self.device)

        def part(rows: slice) -> Answer:
            with torch.inference_mode():
                measured = measure_known(on_device(images[rows], self.device), lattices)
            return self._classified(measured, images[0].size, samples, seed)

        return Answer.concatenate(in_batches(part, images.shape, self.device))

    def _classified(self, measured: Measurement, pixels: int, samples: int, seed: int) -> Answer:
        """The answer that measurements of windows of so many pixels mean."""
        basis, covariance, evidence = (
            getattr(measured, name).cpu().numpy().astype(float) for name in ("basis", "covariance", "evidence")
        )
        cells = Cells(*reduce_measured(basis, covariance), np.maximum(evidence, least_evidence(pixels)))
        return classified(cells, self.distortion, samples, seed, self.device)

    def _of_whole_images(self, images: Floats, samples: int, seed: int) -> Answer:
        cells = Cells.of_constant(len(images))
        looks = []
        for i, image in enumerate(images):
            cells.evidence[i] = least_evidence(image.size)
            pixels = on_device(image, self.device)
            with torch.inference_mode():
                looks.append(measure_whole(pixels))
            for lattice in looks[-1].lattices[:1]:
                basis, covariance = reduce_measured(lattice.basis[None], lattice.covariance[None])
                cells.basis[i], cells.covariance[i] = basis[0], covariance[0]
                cells.evidence[i] = max(lattice.evidence, cells.evidence[i])
        return replace(classified(cells, self.distortion, samples, seed, self.device), looks=tuple(looks))


def prepared(
    classifier: Classifier, images: NDArray[Any], preprocessing: Preprocessing | Literal["auto"] = "auto"
) -> Classifier:
    """Return a classifier prepared for whole images: a network with its preprocessing, the measurement with parts.

    Parameters
    ----------
    classifier : Classifier
    images : array, shape (n, y, x)
    preprocessing : {"auto", "window", "paper"}
        ``auto`` keeps the preprocessing of the network, if it has one; otherwise it is ``window`` for images of a side
        of up to `WHOLE_IMAGE_SIDE` px and ``paper`` for larger ones.
    """
    if isinstance(classifier, LatticeClassifier):
        return replace(classifier, whole=True)
    if not isinstance(classifier, NetworkClassifier) or reads_tokens(classifier.network):
        return classifier
    if preprocessing == "auto":
        suited: Preprocessing = "window" if images.shape[-1] <= WHOLE_IMAGE_SIDE else "paper"
        return replace(classifier, preprocessing=classifier.preprocessing or suited)
    return replace(classifier, preprocessing=preprocessing)


#: Models by name: the file of their weights within the package, none for `lattice`; of `default` that of the network
#: that it asks.
MODELS = {
    "default": "dcnn.safetensors",
    "lattice": "",
    "dcnn": "dcnn.safetensors",
    "dcnn-2018": "dcnn-2018.safetensors",
    "dcnn-2018-wide": "dcnn-2018-wide.safetensors",
}


def load_model(
    name: str | Path = DEFAULT_MODEL, distortion: float | None = None, device: str = DEFAULTS.device
) -> NetworkClassifier | LatticeClassifier:
    """Return a classifier by name, or one that a user has trained by the path of its weights.

    Parameters
    ----------
    name : str or path
        ``"default"`` (the most accurate: ``"lattice"``, which asks ``"dcnn"`` about doubtful windows), ``"lattice"``,
        ``"dcnn"``, ``"dcnn-2018"``, ``"dcnn-2018-wide"``, or a ``.safetensors`` file with its card (``.json``) beside
        it.
    distortion : float, optional
        Distortion of the instrument: the standard deviation of each component of the linear map from sample to image,
        as a fraction. Where none is given, a measured lattice is allowed 2 %, and a network that reads tokens judges by
        what it sees. A network that reads spectra ignores it.
    device : str
        Device that it computes on: ``"cpu"``, ``"cuda"`` (a GPU), or ``"auto"`` for a GPU if there is one.

    Raises
    ------
    ModelError
        If there is no such model (the nearest names are given), the weights do not match their card, or PyTorch cannot
        compute on the device.
    InputError
        If the distortion is not within its limits.
    """
    weights, device = MODELS.get(str(name)), checked_device(device)
    allowed = checked_distortion(DEFAULT_DISTORTION if distortion is None else distortion)
    if weights == "":
        return LatticeClassifier(allowed, device)
    if str(name) == DEFAULT_MODEL:
        return LatticeClassifier(allowed, device, proposer=_proposer(device))
    if weights is not None:
        path = _shipped(weights)
    elif Path(name).suffix == ".safetensors":
        path = Path(name)
    else:
        raise ModelError(
            f"no model is called {str(name)!r}; the nearest names are {nearest_names(str(name), MODELS)}, "
            "or give the .safetensors file of a model of your own"
        )
    network, card = load_network(path)
    network.to(device)
    return NetworkClassifier(network, card, device, distortion=distortion if reads_tokens(network) else None)


def _shipped(weights: str) -> Path:
    """Path of weights that ship with the package."""
    return Path(str(files("bravaismap").joinpath("weights", weights)))


@functools.cache
def _proposer(device: str) -> Proposer:
    """The network that `default` asks: one of the ensemble, which proposes as well as all of them."""
    network, card = load_network(_shipped(MODELS[DEFAULT_MODEL]))
    return Proposer(members_of(network)[0].eval().to(device), card.temperature(), card.weights_sha256)


def chosen_model(settings: Settings) -> Classifier:
    """Return the classifier that settings name or hold, or raise as :func:`load_model` does."""
    if isinstance(settings.model, str | Path):
        return load_model(settings.model, settings.distortion, settings.device)
    return settings.model
