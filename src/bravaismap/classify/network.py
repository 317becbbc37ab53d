"""The networks, which map a spectrum or tokens to a score per class, with their weights and model cards.

Every network is a *stem* below the first dropout and a list of *blocks* with a dropout before each:
``stem → dropout → block → dropout → block → …``. Monte-Carlo dropout then runs the stem once and the blocks many times.
"""

from __future__ import annotations

import hashlib
import json
import math
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from bravaismap.classify.token_network import CellEstimate, CellMixture, TokenStem, most_probable_cell
from bravaismap.classify.tokens import Tokens
from bravaismap.conventions import nearest_names
from bravaismap.errors import ModelError
from bravaismap.files import write_atomically
from bravaismap.spectrum import COLUMNS, ROWS

__all__ = [
    "ARCHITECTURES",
    "DropoutNetwork",
    "Ensemble",
    "ModelCard",
    "build_ensemble",
    "build_network",
    "candidate_share",
    "cell_of",
    "folded",
    "load_network",
    "members_of",
    "reads_tokens",
    "save_network",
]


class DropoutNetwork(nn.Module):
    """A stem and blocks with dropout between them.

    Parameters
    ----------
    stem : Module
        Layers below the first dropout.
    blocks : list of Module
        Each preceded by a dropout.
    dropout : float
        Probability that an element is dropped, at every dropout.
    """

    def __init__(self, stem: nn.Module, blocks: list[nn.Module], dropout: float) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.dropout = dropout

    def hidden(self, inputs: Tensor | Tokens) -> Tensor:
        """Return what lies below the first dropout, for spectra (n, 64, 32) or tokens of n windows."""
        hidden: Tensor = self.stem(inputs[:, None] if isinstance(inputs, Tensor) else inputs)
        return hidden

    def forward(self, inputs: Tensor | Tokens) -> Tensor:
        """Return scores (n, classes) before the softmax, for spectra (n, 64, 32) or tokens of n windows."""
        return self.scores(self.hidden(inputs))

    def scores(self, hidden: Tensor) -> Tensor:
        """Return scores (n, classes) before the softmax, from what lies below the first dropout."""
        for block in self.blocks:
            hidden = block(nn.functional.dropout(hidden, self.dropout, self.training))
        return hidden

    @torch.no_grad()
    def features(self, inputs: Tensor | Tokens) -> Tensor:
        """Return the output of the last dense layer but one, (n, features), without dropout."""
        hidden = self.hidden(inputs)
        for block in list(self.blocks)[:-1]:
            hidden = block(hidden)
        return hidden


class Ensemble(nn.Module):
    """Networks of one architecture that were trained apart, whose probabilities are averaged.

    Parameters
    ----------
    members : list of DropoutNetwork
    """

    def __init__(self, members: list[DropoutNetwork]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, inputs: Tensor | Tokens) -> Tensor:
        """Return the logarithm of the mean probability of each class (n, classes)."""
        log_probability = torch.stack([member(inputs).log_softmax(-1) for member in self.members])
        return log_probability.logsumexp(0) - math.log(len(self.members))

    def features(self, inputs: Tensor | Tokens) -> Tensor:
        """Return the features of all members side by side."""
        return torch.cat([member.features(inputs) for member in members_of(self)], dim=-1)


def members_of(network: DropoutNetwork | Ensemble) -> list[DropoutNetwork]:
    """Return the members of an ensemble, or the network itself as the only one."""
    if isinstance(network, Ensemble):
        return [member for member in network.members if isinstance(member, DropoutNetwork)]
    return [network]


def reads_tokens(network: DropoutNetwork | Ensemble) -> bool:
    """Whether a network reads tokens of windows, and not spectra."""
    return isinstance(members_of(network)[0].stem, TokenStem)


def cell_of(network: DropoutNetwork | Ensemble, tokens: Tokens) -> CellEstimate:
    """Return the cells that a network which reads tokens sees, whether its lattice was indexed or not.

    Raises
    ------
    ModelError
        If the network reads spectra.
    """
    return most_probable_cell(_mixtures(network, tokens))


def candidate_share(network: DropoutNetwork | Ensemble, tokens: Tokens) -> Tensor:
    """Return the probability (n,) that the lattice of a window, if it has one, is among its candidates.

    Raises
    ------
    ModelError
        If the network reads spectra.
    """
    weights = [mixture.logit.double().softmax(-1)[:, 1:].sum(-1) for mixture in _mixtures(network, tokens)]
    return torch.stack(weights).mean(0)


def _mixtures(network: DropoutNetwork | Ensemble, tokens: Tokens) -> list[CellMixture]:
    stems = [member.stem for member in members_of(network)]
    mixtures = [stem.read(tokens)[1] for stem in stems if isinstance(stem, TokenStem)]
    if not mixtures:
        raise ModelError("a network that reads spectra was asked for cells; expected one that reads tokens, like dcnn")
    return mixtures


def _dcnn_2018(classes: int, dropout: float) -> DropoutNetwork:
    """Build the paper's network: three convolutions with ReLU, average pooling, a dense layer of 128, softmax.

    The paper leaves filters and pooling open; they were chosen to reach its validation curve. Batch normalisation is
    ours: with it the network learns faster.
    """
    dense = 64 * (ROWS // 4) * (COLUMNS // 4)
    stem = nn.Sequential(*_convolution(1, 16, 5), nn.AvgPool2d(2))
    blocks = [
        nn.Sequential(*_convolution(16, 32, 3), nn.AvgPool2d(2)),
        nn.Sequential(*_convolution(32, 64, 3), nn.Flatten()),
        nn.Sequential(nn.Linear(dense, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU()),
        nn.Linear(128, classes),
    ]
    return DropoutNetwork(stem, blocks, dropout)


def _convolution(channels_in: int, channels_out: int, kernel: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(channels_out), nn.ReLU()


def _tokens(classes: int, dropout: float) -> DropoutNetwork:
    """Build the network that reads tokens, with two dense layers above the first dropout."""
    stem = TokenStem()
    blocks: list[nn.Module] = [
        nn.Sequential(nn.Linear(stem.outputs, _DENSE), nn.GELU()),
        nn.Sequential(nn.Linear(_DENSE, 128), nn.GELU()),
        nn.Linear(128, classes),
    ]
    return DropoutNetwork(stem, blocks, dropout)


_DENSE = 256

#: Architectures by name, as model cards cite them.
ARCHITECTURES = {"dcnn-2018": _dcnn_2018, "tokens": _tokens}


def build_ensemble(architecture: str, classes: int, dropout: float, members: int) -> DropoutNetwork | Ensemble:
    """Return an ensemble of fresh networks of a registered architecture, or one network for one member."""
    networks = [build_network(architecture, classes, dropout) for _ in range(members)]
    return networks[0] if members == 1 else Ensemble(networks)


def build_network(architecture: str, classes: int, dropout: float) -> DropoutNetwork:
    """Return a fresh network of a registered architecture.

    Raises
    ------
    ModelError
        If no architecture goes by that name.
    """
    if architecture not in ARCHITECTURES:
        nearest = nearest_names(architecture, ARCHITECTURES)
        raise ModelError(f"no architecture is called {architecture!r}; the nearest names are {nearest}")
    return ARCHITECTURES[architecture](classes, dropout)


def folded(network: DropoutNetwork) -> DropoutNetwork:
    """Return a copy for evaluation with each batch normalisation folded into the layer before it."""
    copied = deepcopy(network).eval()
    for sequence in [module for module in copied.modules() if isinstance(module, nn.Sequential)]:
        layers = list(sequence)
        for index, (layer, norm) in enumerate(pairwise(layers)):
            if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                sequence[index], sequence[index + 1] = fuse_conv_bn_eval(layer, norm), nn.Identity()
            elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
                sequence[index], sequence[index + 1] = fuse_linear_bn_eval(layer, norm), nn.Identity()
            elif isinstance(norm, nn.ReLU):
                sequence[index + 1] = nn.ReLU(inplace=True)
    return copied


_MOST_MEMBERS = 100
#: Names on a model card of the temperature of a single pass, and of the passes of Monte-Carlo dropout.
TEMPERATURES = ("temperature", "temperature_of_passes")


@dataclass(frozen=True)
class ModelCard:
    """The description of a trained network, kept as JSON beside its weights.

    Attributes
    ----------
    name, architecture : str
    classes : tuple of str
        In the order of the network's output.
    dropout : float
    window : int
        Side in px of the windows that it was trained on.
    weights_sha256 : str
        Hash of the safetensors file.
    training : dict
        Command, seed, recipe book, curve, and why these weights were kept.
    accuracy : dict
        Measured figures, each with the command that measures it.
    licence : str
    description : str
    members : int
        Number of networks whose probabilities are averaged.
    calibration : dict
        ``temperature`` of a single pass and ``temperature_of_passes`` of Monte-Carlo dropout, and what they were fitted
        on; empty for a network that is not calibrated.
    """

    name: str
    architecture: str
    classes: tuple[str, ...]
    dropout: float
    window: int
    weights_sha256: str
    training: dict[str, Any] = field(default_factory=dict)
    accuracy: dict[str, Any] = field(default_factory=dict)
    licence: str = "GPL-3.0-or-later"
    description: str = ""
    calibration: dict[str, Any] = field(default_factory=dict)
    members: int = 1

    def __post_init__(self) -> None:
        for name in TEMPERATURES:
            value = self.calibration.get(name, 1.0)
            if not (isinstance(value, int | float) and 0 < value < float("inf")):
                raise ValueError(f"{name} = {value!r}; expected a number above 0")
        if not (isinstance(self.members, int) and 0 < self.members <= _MOST_MEMBERS):
            raise ValueError(f"members = {self.members!r}; expected a number from 1 to {_MOST_MEMBERS}")

    def temperature(self, *, passes: bool = False) -> float:
        """Return the divisor of the scores in a single pass, or in many; 1 for a network that is not calibrated."""
        single = self.calibration.get(TEMPERATURES[0], 1.0)
        return float(self.calibration.get(TEMPERATURES[1], single) if passes else single)


def save_network(network: nn.Module, card: ModelCard, path: Path, precision: torch.dtype = torch.float32) -> ModelCard:
    """Write weights (safetensors) and card (same name, ``.json``) of a network; return the card with the hash."""
    stored = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    weights = save({name: v.to(precision) if v.is_floating_point() else v for name, v in stored.items()})
    card = ModelCard(**{**asdict(card), "weights_sha256": hashlib.sha256(weights).hexdigest()})
    text = json.dumps(asdict(card), indent=1, ensure_ascii=False) + "\n"
    for target, content in ((path, weights), (path.with_suffix(".json"), text.encode())):
        write_atomically(target, content)
    return card


def load_network(path: Path) -> tuple[DropoutNetwork | Ensemble, ModelCard]:
    """Return a network and its card, read from the file of its weights and the card beside it.

    Raises
    ------
    ModelError
        If a file is missing or damaged, or the hash of the weights is not the one on the card.
    """
    card = _read_card(path.with_suffix(".json"))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; expected the weights that its card describes") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.weights_sha256:
        raise ModelError(
            f"{path}: the weights (sha256 {digest[:12]}…) are not those of their card ({card.weights_sha256[:12]}…); "
            "fetch both files again, or train anew"
        )
    network = build_ensemble(card.architecture, len(card.classes), card.dropout, card.members)
    try:
        network.load_state_dict(load(content))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path}: not the weights of a {card.architecture} network; train anew") from error
    network.eval()
    return network.to(memory_format=torch.channels_last), card  # type: ignore[call-overload]


def _read_card(path: Path) -> ModelCard:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {attribute.name for attribute in fields(ModelCard)}
        card = ModelCard(**{name: value for name, value in content.items() if name in names})
        return ModelCard(**{**asdict(card), "classes": tuple(card.classes)})
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; expected the model card beside the weights") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not a model card ({error})") from error
