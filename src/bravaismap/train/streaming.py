"""Training on a stream of windows that are simulated as they are needed, so that none is ever learned by heart.

Several networks of one architecture, an *ensemble*, learn side by side from one pool of windows
(:mod:`bravaismap.train.pool`): each from other first weights, other batches and another dropout. What is kept of each
is the exponential average of its weights. The draws of the stream, the batches and the dropout depend on the seed and
their number alone: a training with a budget of windows that is interrupted and continued gives the weights of one that
is not.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from bravaismap.classify.network import (
    DropoutNetwork,
    Ensemble,
    ModelCard,
    build_ensemble,
    members_of,
    save_network,
)
from bravaismap.classify.token_network import SMALLEST_DISTORTION, TokenStem
from bravaismap.compute.device import checked_device
from bravaismap.errors import InputError, warn
from bravaismap.files import write_atomically
from bravaismap.train.checkpoint import read_checkpoint, section, write_checkpoint
from bravaismap.train.judgement import calibrate_on_stream, judged
from bravaismap.train.plan import (
    SEED_OF_VALIDATION,
    Progress,
    StreamPlan,
    classes_of,
    distortions_of,
    draws_of,
    held_out,
)
from bravaismap.train.pool import Lessons, Pool

__all__ = ["train_on_stream"]

_WARM_UP: Final = 200  # steps in which the learning rate rises: without, a network is right half as often at first
_LARGEST_GRADIENT: Final = 1.0  # norm to which a gradient is clipped
_MOST_LOST: Final = 20  # draws that may fail, of which a training of minutes has hundreds
_LEARNED_ON_PROCESSOR: Final = 128  # windows, for which a network needs 0.5 GB
_MOST_REPEATS: Final = 4  # times as many batches as planned, where windows are slow to come and time is short
_WRITTEN_EVERY: Final = 30.0  # seconds between two looks at the validation windows, after which weights are written
_TIMES_A_LOOK: Final = 20.0  # times as long as a look takes, in which at least there is no other


def train_on_stream(
    plan: StreamPlan,
    output: str | Path,
    *,
    name: str = "model",
    seed: int = 0,
    device: str | None = None,
    minutes: float | None = None,
    checkpoints: str | Path | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> ModelCard:
    """Train an ensemble and write ``<name>.safetensors``, its card ``<name>.json`` and ``<name>.log.jsonl``.

    While it runs, the averaged weights are judged on windows of another seed every 30 s, or as often as takes a
    twentieth of the time. Those of the highest likelihood so far are written, so that a training that is killed leaves
    a model. The checkpoint of a training on a GPU is continued on a processor and the other way round, with a warning,
    for the windows are drawn in other numbers there.

    Parameters
    ----------
    plan : StreamPlan
    output : path
        Folder for the model.
    name : str
    seed : int
        Of the simulation, the first weights, the batches and the dropout.
    device : str, optional
        For example ``"cpu"`` or ``"cuda"``; the GPU when there is one.
    minutes : float, optional
        Time to learn for, instead of a number of windows; such a training is not the same when repeated. Windows to
        judge and to calibrate by take up to 20 s each, or a tenth of the time, besides.
    checkpoints : path, optional
        Folder of the checkpoint, the output when not given. A training of the same plan and seed is continued.
    command : str
        Command recorded on the card.
    progress : callable, optional
        Called with ``("train", windows done, of)``, or thousandths of the time, and with ``("hold out", draws done,
        of)`` before and after it.

    Returns
    -------
    ModelCard
        Of the weights that were kept.

    Raises
    ------
    InputError
        If a recipe book does not exist, or the checkpoint belongs to another plan or seed.
    OutputError
        If a folder cannot be written to.
    """
    target = torch.empty(0, device=checked_device(device or "auto")).device
    run = _Run(plan, seed, target, minutes, Path(checkpoints or output) / f"{name}.checkpoint", Path(output), name)
    run.command = command
    run.restore()
    return run.train(progress)


class _Run:
    """The state of a training: networks, their averages, optimiser, pool and log."""

    def __init__(
        self,
        plan: StreamPlan,
        seed: int,
        device: torch.device,
        minutes: float | None,
        checkpoint: Path,
        output: Path,
        name: str,
    ) -> None:
        self.given, self.plan = plan, plan.on(device.type)
        plan = self.plan
        self.seed, self.device, self.minutes = seed, device, minutes
        self.checkpoint, self.output, self.name, self.command = checkpoint, output, name, ""
        self.classes = classes_of(plan)
        self.distortions = torch.tensor(distortions_of(plan), device=device)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.network = build_ensemble(plan.architecture, len(self.classes), plan.dropout, plan.members).to(device)
        self.averages = [value.detach().clone() for value in self.network.parameters()]
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, betas=(0.9, 0.98)
        )
        self.pool = Pool(plan.pool)
        self.draw, self.lost, self.step, self.skipped, self.seconds = 0, 0, 0, 0, 0.0
        self.log: list[dict[str, Any]] = []
        self.best = math.inf
        self.card: ModelCard | None = None

    @property
    def fingerprint(self) -> str:
        """What a checkpoint must agree in to be continued, on whatever device."""
        return hashlib.sha256(json.dumps([asdict(self.given), self.seed]).encode()).hexdigest()

    def train(self, progress: Progress | None) -> ModelCard:
        """Train up to the end of the budget."""
        unseen = held_out(
            self.plan, self.seed + SEED_OF_VALIDATION, self.plan.validation, str(self.device), self.minutes, progress
        )
        stream, begun, written = self._stream(), time.perf_counter() - self.seconds, time.perf_counter()
        pause = _WRITTEN_EVERY
        losses: list[Tensor] = []
        while (share := self._share_done(time.perf_counter() - begun)) < 1:
            drawn = time.perf_counter()
            try:
                self.pool.put(next(stream))
            except RuntimeError:  # of PyTorch: memory that a draw asked for in vain, a matrix without eigenvalues
                self.lost += 1
                if self.lost > _MOST_LOST:
                    raise
                stream = draws_of(self.plan, self.seed, str(self.device), self.draw + 1)
            self.draw += 1
            if self.pool.count == 0:
                continue
            losses += self._repeated(share, drawn, begun)
            if progress is not None:
                of = self.plan.windows if self.minutes is None else 1000
                progress("train", min(of, round(of * self._share_done(time.perf_counter() - begun))), of)
            if (now := time.perf_counter()) - written > pause:
                self.seconds = now - begun
                self._write(unseen, losses, share)
                losses, written = [], time.perf_counter()
                pause = max(_WRITTEN_EVERY, _TIMES_A_LOOK * (written - now))
        self.seconds = time.perf_counter() - begun
        self._write(unseen, losses, 1.0)
        if self.card is None:
            raise InputError("the training never came to finite scores; give a lower learning rate")
        if self.plan.calibration:
            self.card = calibrate_on_stream(
                self.output / f"{self.name}.safetensors",
                self.plan,
                self.seed,
                str(self.device),
                self.minutes,
                progress,
            )
        self.checkpoint.unlink(missing_ok=True)
        return self.card

    def _repeated(self, share: float, drawn: float, started: float) -> list[Tensor]:
        """Learn from as many batches as the plan has; within a budget of time, for as long as the draw took.

        No longer than the budget lasts, which began at `started`, but from one batch at least.
        """
        losses: list[Tensor] = []
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        begun = time.perf_counter()
        least, most = self.plan.repeats, self.plan.repeats * (1 if self.minutes is None else _MOST_REPEATS)
        while len(losses) < least or (len(losses) < most and time.perf_counter() - begun < begun - drawn):
            losses.append(self._learn(share))
            self.step += 1
            if self.minutes is not None and self._share_done(time.perf_counter() - started) >= 1:
                break
        return losses

    def _share_done(self, seconds: float) -> float:
        return self.draw / self.plan.draws if self.minutes is None else seconds / (60 * self.minutes)

    def _stream(self) -> Iterator[Lessons]:
        """The draws from the present one on; the pool holds those before it, as if it had never stopped."""
        kept = min(self.draw, self.plan.pool // self.plan.draw)
        stream = draws_of(self.plan, self.seed, str(self.device), self.draw - kept)
        self.pool.refill(kept, (self.draw - kept) * self.plan.draw, stream)
        return stream

    def _learn(self, share: float) -> Tensor:
        """One step of every network; return their mean losses of class and cell."""
        plan = self.plan
        for group in self.optimiser.param_groups:
            group["lr"] = plan.learning_rate * _learning_rate(share, self.step)
        generator = torch.Generator().manual_seed(_number(self.seed, self.step))
        self.network.train()
        losses = []
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(_number(self.seed + 1, self.step))
            self.optimiser.zero_grad()
            for member in members_of(self.network):
                windows = _told(self.pool.drawn(plan.batch, generator), self.distortions)
                losses.append(self._gradient(member, windows))
        norms = torch.stack(
            [nn.utils.clip_grad_norm_(member.parameters(), _LARGEST_GRADIENT) for member in members_of(self.network)]
        )
        if not bool(norms.isfinite().all()):
            self.skipped += 1
            return torch.full((2,), math.nan, device=self.device)
        self.optimiser.step()
        decay = min(plan.averaging, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.averages, list(self.network.parameters()), 1 - decay)
        return torch.stack(losses).mean(0)

    def _gradient(self, member: DropoutNetwork, windows: Lessons) -> Tensor:
        """Add up the gradient of a network over a batch, in parts that fit the device; return the mean losses."""
        together = len(windows) if self.device.type == "cuda" else _LEARNED_ON_PROCESSOR
        losses = []
        for start in range(0, len(windows), together):
            part = windows[start : start + together]
            share = len(part) / len(windows)
            of_class, of_cell = _losses(member, part)
            (share * (of_class + self.plan.cell_weight * of_cell)).backward()  # type: ignore[no-untyped-call]
            losses.append(share * torch.stack([of_class.detach(), of_cell.detach()]))
        return torch.stack(losses).sum(0)

    def _write(self, unseen: Lessons, losses: list[Tensor], share: float) -> None:
        """Judge the averaged weights, keep them if they are the best so far, and write log and checkpoint."""
        averaged = self._averaged()
        figures = judged(averaged, unseen, self.plan.kinds)
        loss = torch.stack(losses).nanmean(0).tolist() if losses else []
        self.log.append(
            {
                "seconds": round(self.seconds, 1),
                "share": round(share, 4),
                "windows": self.draw * self.plan.draw,
                "steps": self.step,
                "skipped": self.skipped,
                "lost draws": self.lost,
                "loss of class and cell": [round(value, 4) for value in loss if math.isfinite(value)],
                **figures,
            }
        )
        lines = "".join(json.dumps(line) + "\n" for line in self.log)
        write_atomically(self.output / f"{self.name}.log.jsonl", lines.encode())
        if figures["negative log likelihood"] < self.best:
            self.best = figures["negative log likelihood"]
            self.card = save_network(
                averaged, self._new_card(figures), self.output / f"{self.name}.safetensors", torch.float16
            )
        if self.checkpoint.parent != self.output or share < 1:
            self.save()

    def _averaged(self) -> DropoutNetwork | Ensemble:
        averaged = deepcopy(self.network)
        with torch.no_grad():
            for value, average in zip(averaged.parameters(), self.averages, strict=True):
                value.copy_(average)
        return averaged.eval()

    def _new_card(self, figures: dict[str, Any]) -> ModelCard:
        machine = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else platform.machine()
        return ModelCard(
            name=self.name,
            architecture=self.plan.architecture,
            classes=self.classes,
            dropout=self.plan.dropout,
            window=128,
            weights_sha256="",
            members=self.plan.members,
            training={
                "command": self.command,
                "seed": self.seed,
                "plan": json.loads(json.dumps(asdict(self.plan))),
                "windows": self.draw * self.plan.draw,
                "seconds": round(self.seconds, 1),
                "steps": self.step,
                "skipped steps": self.skipped,
                "lost draws": self.lost,
                "machine": f"{machine}, {os.cpu_count()} cores, torch {torch.__version__}",
            },
            accuracy={"validation": figures["accuracy"], "of held-out windows of the stream": figures},
            description=self.plan.description,
        )

    def save(self) -> None:
        """Write the checkpoint."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{i}": value for i, value in enumerate(self.averages)}
        for index, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{k}": torch.as_tensor(v) for k, v in values.items()}
        names = ("draw", "lost", "step", "skipped", "seconds", "log", "best")
        state = {name: getattr(self, name) for name in names} | {"windows of a draw": self.plan.draw}
        write_checkpoint(
            self.checkpoint, tensors, state | {"card": asdict(self.card) if self.card else None}, self.fingerprint
        )

    def restore(self) -> None:
        """Continue from the checkpoint, if there is one."""
        if not self.checkpoint.exists():
            return
        tensors, state = read_checkpoint(self.checkpoint, self.fingerprint)
        if (size := state.get("windows of a draw", self.plan.draw)) != self.plan.draw:
            state["draw"] = state["draw"] * size // self.plan.draw
            warn(
                f"{self.checkpoint}: a training in draws of {size} windows goes on in draws of {self.plan.draw}, as "
                "this device takes them; its windows and weights are not those of a training on one device"
            )
        for name in ("draw", "lost", "step", "skipped", "seconds", "log", "best"):
            setattr(self, name, state[name])
        self.card = ModelCard(**{**state["card"], "classes": self.classes}) if state["card"] else None
        self.network.load_state_dict(section(tensors, "network."))
        self.averages = [tensors[f"average.{i}"].to(self.device) for i in range(len(self.averages))]
        adam: dict[int, dict[str, Tensor]] = {}
        for key, value in section(tensors, "adam.").items():
            index, field = key.split(".", 1)
            adam.setdefault(int(index), {})[field] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": adam})


def _told(windows: Lessons, distortions: Tensor) -> Lessons:
    """Tell the network of half of the windows how far their instrument distorts, as roughly as a user knows it."""
    true = distortions[windows.kind].clamp_min(SMALLEST_DISTORTION)
    rough = true * (_ROUGHNESS * torch.randn_like(true)).exp()
    known = torch.rand_like(true) < _TOLD
    return replace(windows, tokens=replace(windows.tokens, distortion=torch.where(known, rough, torch.nan)))


_ROUGHNESS: Final = 0.35  # standard deviation of the logarithm
_TOLD: Final = 0.5  # share of the windows


def _losses(member: DropoutNetwork, windows: Lessons) -> tuple[Tensor, Tensor]:
    """Return the mean negative log likelihood of class and cell."""
    stem = member.stem
    if not isinstance(stem, TokenStem):
        raise InputError("a network that reads spectra was given; a stream trains one that reads tokens")
    with torch.autocast(windows.label.device.type, torch.bfloat16, enabled=windows.label.is_cuda):
        vector, mixture = stem.read(windows.tokens)
        scores = member.scores(vector)
    of_class = nn.functional.cross_entropy(scores.float(), windows.label)
    there = windows.cell.isfinite().all(-1)
    likelihood = mixture.negative_log_likelihood(torch.where(there[:, None], windows.cell, 0.0)).clamp_max(_UNLIKELY)
    return of_class, (likelihood * there).sum() / there.sum().clamp_min(1)


#: Largest negative log likelihood of a cell: beyond it, which the first steps reach, it pulls no more.
_UNLIKELY: Final = 50.0


def _learning_rate(share: float, step: int) -> float:
    """Return the factor on the learning rate in a step, when a share of the budget is done."""
    return min(1.0, (step + 1) / _WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, share)) + 1e-4)


def _number(seed: int, step: int) -> int:
    """Return the seed of a step, of 63 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{step}".encode()).digest()[:8], "big") >> 1
