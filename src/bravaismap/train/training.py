"""Training of networks on simulated windows; it writes weights and a model card, is seeded and can be resumed.

The order of the windows and the dropout in an epoch depend on the seed and the number of the epoch alone, so a training
that is interrupted and resumed gives the same weights as one that is not. Each batch is presented as it is, mirrored,
or rotated by 90°. The weights kept are those of the epoch with the lowest validation loss. A plan may end with a
calibration (:mod:`bravaismap.train.calibration`) on windows of another seed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bravaismap.classify.network import DropoutNetwork, ModelCard, build_network, save_network
from bravaismap.compute.device import checked_device
from bravaismap.conventions import nearest_names
from bravaismap.errors import InputError
from bravaismap.simulate.books import RecipeBook, recipe_book
from bravaismap.simulate.recipe import Recipe
from bravaismap.simulate.windows import simulate
from bravaismap.spectrum import mirrored, quarter_turned, spectrum
from bravaismap.train.calibration import calibrate
from bravaismap.train.checkpoint import read_checkpoint, section, write_checkpoint
from bravaismap.train.plan import StreamPlan

__all__ = ["PRESETS", "TrainingPlan", "recipe_books", "simulated_spectra", "train", "training_plan"]

_SEED_OF_SPLIT = 2018  # the same for every training, so that validation losses can be compared
_SIMULATION_BATCH = 480  # windows that are simulated together, for memory
_VALIDATION_BATCH = 600  # windows, for memory
_SEED_OF_CALIBRATION = 1_000_003  # added to the seed of the training, so that no window is used twice
_CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class TrainingPlan:
    """A plan of how a network is trained.

    Attributes
    ----------
    architecture : str
    recipes : str
        Recipe book: a name or a TOML file; several of the same classes, joined by ``+``, share the images evenly.
    images : int
        Number of simulated windows, a fifth of them for validation.
    epochs, batch : int
    learning_rate, weight_decay : float
        Of Adam; the learning rate falls along half a period of a cosine, the weight decay is an L2 penalty.
    dropout : float
    window : int
        Side of the windows in px.
    calibration : int
        Number of further windows of each recipe book, half of them to fit the temperature and half to score it; 0 for
        no calibration.
    description : str
        Description of the network on the model card.
    """

    architecture: str = "dcnn-2018"
    recipes: str = "simulated"
    images: int = 24000
    epochs: int = 30
    batch: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 1e-5
    dropout: float = 0.2
    window: int = 128
    calibration: int = 0
    description: str = ""

    def __post_init__(self) -> None:
        if self.images < 50 or self.epochs < 1 or self.batch < 2 or self.images * 4 // 5 < self.batch:
            raise InputError(
                f"{self.images} images, {self.epochs} epochs and batches of {self.batch} were asked for; "
                "expected at least 50 images, 1 epoch, and batches of 2 up to four fifths of the images"
            )


_MIXTURE = "simulated+realistic+wide"

#: Plans by name. ``dcnn-2018`` is the paper's protocol, ``dcnn-2018-wide`` the same network on a wider training set,
#: ``dcnn`` an ensemble on a stream of windows.
PRESETS: dict[str, TrainingPlan | StreamPlan] = {
    "dcnn-2018": TrainingPlan(
        description="the network of Vasudevan et al., npj Comput. Mater. 4, 30 (2018), trained by the paper's protocol"
    ),
    "dcnn-2018-wide": TrainingPlan(
        recipes=_MIXTURE,
        images=72000,
        epochs=8,
        calibration=3600,
        description="the network of the paper, trained on simulated, realistic and wide windows, calibrated",
    ),
    "dcnn": StreamPlan(),
}

#: Called after each step with the name of the stage, the number of steps done and their total.
Progress = Callable[[str, int, int], object]


def training_plan(name: str) -> TrainingPlan | StreamPlan:
    """Return a plan by name.

    Raises
    ------
    InputError
        If no plan goes by that name.
    """
    if name not in PRESETS:
        raise InputError(f"no training preset is called {name!r}; the nearest names are {nearest_names(name, PRESETS)}")
    return PRESETS[name]


def recipe_books(recipes: str | Path | Mapping[str, Recipe]) -> list[RecipeBook]:
    """Return the recipe books of a mixture: names or TOML files joined by ``+``, or one book.

    Raises
    ------
    InputError
        If one does not exist, or their classes differ.
    """
    if isinstance(recipes, Mapping) or Path(recipes).exists():
        return [recipe_book(recipes)]
    books = [recipe_book(name) for name in str(recipes).split("+")]
    for book in books:
        if list(book) != list(books[0]):
            raise InputError(
                f"the recipe books {recipes} have the classes {', '.join(books[0])} and {', '.join(book)}; "
                "expected the same classes in the same order"
            )
    return books


def simulated_spectra(
    recipes: str | Path | Mapping[str, Recipe],
    images: int,
    seed: int,
    window: int = 128,
    progress: Progress | None = None,
) -> tuple[Tensor, Tensor]:
    """Return spectra (images, 64, 32) as float16 and labels (images,) of simulated windows.

    Several recipe books, joined by ``+``, share the images evenly, one book after the other; the windows are numbered
    consecutively.
    """
    spectra, labels = [], []
    books = recipe_books(recipes)
    ends = [images * (i + 1) // len(books) for i in range(len(books))]
    for book, begin, end in zip(books, [0, *ends], ends, strict=False):
        for first in range(begin, end, _SIMULATION_BATCH):
            count = min(_SIMULATION_BATCH, end - first)
            part = simulate(count, book, seed=seed, size=window, first=first)
            spectra.append(spectrum(torch.from_numpy(part["image"].values)).half())
            labels.append(torch.from_numpy(part["label"].values))
            if progress is not None:
                progress("simulate", first + count, images)
    return torch.cat(spectra), torch.cat(labels).long()


def train(
    plan: TrainingPlan,
    output: str | Path,
    *,
    name: str = "model",
    seed: int = 0,
    device: str | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> ModelCard:
    """Train a network and write ``<name>.safetensors`` and its card ``<name>.json``.

    Parameters
    ----------
    plan : TrainingPlan
    output : path
        Folder for the model; the checkpoint of an interrupted training of the same plan and seed is continued.
    name : str
        Name of the model.
    seed : int
        Of the simulation, the first weights, the order of the windows and the dropout.
    device : str, optional
        For example ``"cpu"`` or ``"cuda"``; the GPU when there is one.
    command : str
        Command recorded on the card as the one that makes these weights.
    progress : callable, optional
        Called with ``("simulate", images done, of)`` and ``("train", batches done, of)``.

    Returns
    -------
    ModelCard

    Raises
    ------
    InputError
        If the recipe book does not exist, or the checkpoint belongs to another plan or seed.
    OutputError
        If the folder cannot be written to.
    """
    folder = Path(output)
    books = recipe_books(plan.recipes)
    book = books[0]
    target = torch.device(checked_device(device or "auto"))
    run = _Run(plan, tuple(book), seed, target, folder / _CHECKPOINT, _fingerprint(plan, books, seed))
    run.restore()
    if run.epoch < plan.epochs:
        spectra, labels = simulated_spectra(plan.recipes, plan.images, seed, plan.window, progress)
        run.fit(spectra, labels, progress)
    card = ModelCard(
        name=name,
        architecture=plan.architecture,
        classes=tuple(book),
        dropout=plan.dropout,
        window=plan.window,
        weights_sha256="",
        training=run.record(command),
        accuracy={"validation": run.curve[run.kept]["validation_accuracy"]},
        description=plan.description,
    )
    run.network.load_state_dict(run.best)
    if plan.calibration:
        other_seed = seed + _SEED_OF_CALIBRATION
        windows = {
            book_name: simulated_spectra(book_name, plan.calibration, other_seed, plan.window, progress)
            for book_name in plan.recipes.split("+")
        }
        calibration, figures = calibrate(run.network.cpu(), windows, card.classes, other_seed)
        card = replace(card, calibration=calibration, accuracy={**card.accuracy, **figures})
    card = save_network(run.network, card, folder / f"{name}.safetensors")
    run.checkpoint.unlink(missing_ok=True)
    return card


class _Run:
    """The state of a training: network, optimiser, curve and the best weights so far."""

    def __init__(
        self,
        plan: TrainingPlan,
        classes: tuple[str, ...],
        seed: int,
        device: torch.device,
        checkpoint: Path,
        fingerprint: str,
    ) -> None:
        self.plan, self.seed, self.device = plan, seed, device
        self.checkpoint, self.fingerprint = checkpoint, fingerprint
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network: DropoutNetwork = build_network(plan.architecture, len(classes), plan.dropout)
        self.network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(
            self.network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        self.epoch, self.kept = 0, -1
        self.curve: list[dict[str, float]] = []
        self.best: dict[str, Tensor] = {}

    def fit(self, spectra: Tensor, labels: Tensor, progress: Progress | None) -> None:
        """Train up to the last epoch, with a checkpoint after each."""
        training, validation = _split(len(labels))
        batches = len(training) // self.plan.batch
        while self.epoch < self.plan.epochs:
            started = time.perf_counter()
            order = np.random.default_rng([self.seed, self.epoch]).permutation(training)

            def advance(done: int) -> None:
                if progress is not None:
                    progress("train", self.epoch * batches + done, self.plan.epochs * batches)

            loss, accuracy = self._train_epoch(spectra, labels, order, advance)
            validation_loss, validation_accuracy = self._validate(spectra[validation], labels[validation])
            self.curve.append(
                {
                    "epoch": self.epoch + 1,
                    "training_loss": loss,
                    "training_accuracy": accuracy,
                    "validation_loss": validation_loss,
                    "validation_accuracy": validation_accuracy,
                    "seconds": round(time.perf_counter() - started, 1),
                }
            )
            if self.kept < 0 or validation_loss < self.curve[self.kept]["validation_loss"]:
                self.kept = self.epoch
                self.best = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
            self.epoch += 1
            self.save()

    def record(self, command: str) -> dict[str, Any]:
        """Return the record of this training for the model card."""
        return {
            "command": command,
            "seed": self.seed,
            "plan": asdict(self.plan),
            "curve": self.curve,
            "kept": f"epoch {self.kept + 1} of {len(self.curve)}, the one with the lowest validation loss",
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {self.device.type}, torch {torch.__version__}",
        }

    def save(self) -> None:
        """Write the checkpoint: safetensors, with what is not a tensor as JSON in its metadata."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        state = {"epoch": self.epoch, "kept": self.kept, "curve": self.curve}
        write_checkpoint(self.checkpoint, tensors, state, self.fingerprint)

    def restore(self) -> None:
        """Continue from the checkpoint, if there is one."""
        if not self.checkpoint.exists():
            return
        tensors, state = read_checkpoint(self.checkpoint, self.fingerprint)
        self.epoch, self.kept, self.curve = state["epoch"], state["kept"], state["curve"]
        self.network.load_state_dict(section(tensors, "network."))
        self.best = {key: value.to(self.device) for key, value in section(tensors, "best.").items()}
        adam: dict[int, dict[str, Tensor]] = {}
        for key, value in section(tensors, "adam.").items():
            index, field = key.split(".", 1)
            adam.setdefault(int(index), {})[field] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": adam})

    def _train_epoch(
        self, spectra: Tensor, labels: Tensor, order: NDArray[np.intp], advance: Callable[[int], None]
    ) -> tuple[float, float]:
        plan, right, loss_sum = self.plan, 0, 0.0
        batches = len(order) // plan.batch
        for group in self.optimiser.param_groups:
            group["lr"] = plan.learning_rate * _annealing(self.epoch, plan.epochs)
        self.network.train()
        with torch.random.fork_rng():
            torch.manual_seed(hash((self.seed, self.epoch)) % 2**63)
            for batch in range(batches):
                rows = torch.from_numpy(order[batch * plan.batch : (batch + 1) * plan.batch])
                truth = labels[rows].to(self.device)
                presented = _symmetric(spectra[rows]).to(self.device, torch.float32)
                with torch.autocast(self.device.type, torch.bfloat16):
                    scores = self.network(presented)
                loss = nn.functional.cross_entropy(scores.float(), truth)
                self.optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimiser.step()
                right += int((scores.argmax(dim=1) == truth).sum())
                loss_sum += float(loss.detach())
                advance(batch + 1)
        self.network.eval()
        return loss_sum / batches, right / (batches * plan.batch)

    @torch.no_grad()
    def _validate(self, spectra: Tensor, labels: Tensor) -> tuple[float, float]:
        parts = [
            self.network(spectra[i : i + _VALIDATION_BATCH].to(self.device, torch.float32)).cpu()
            for i in range(0, len(labels), _VALIDATION_BATCH)
        ]
        scores = torch.cat(parts)
        loss = float(nn.functional.cross_entropy(scores, labels))
        return loss, float((scores.argmax(dim=1) == labels).float().mean())


def _annealing(epoch: int, epochs: int) -> float:
    """Return the factor on the learning rate: half a period of a cosine, from 1 to almost 0."""
    return (1 + math.cos(math.pi * epoch / epochs)) / 2


def _symmetric(spectra: Tensor) -> Tensor:
    """Return the batch mirrored, rotated by 90°, both or neither, at random: the lattice class is unchanged."""
    mirror, rotate = torch.rand(2) < 0.5
    spectra = mirrored(spectra) if mirror else spectra
    return quarter_turned(spectra) if rotate else spectra


def _split(images: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split windows into four fifths for training and one fifth for validation, the same for every seed."""
    order = np.random.default_rng(_SEED_OF_SPLIT).permutation(images)
    return np.sort(order[: images * 4 // 5]), np.sort(order[images * 4 // 5 :])


def _fingerprint(plan: TrainingPlan, books: list[RecipeBook], seed: int) -> str:
    content = json.dumps([asdict(plan), [{name: asdict(r) for name, r in book.items()} for book in books], seed])
    return hashlib.sha256(content.encode()).hexdigest()
