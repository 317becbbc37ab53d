"""Plan of a training on a stream: which windows, how many networks, and how they learn; and the windows themselves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bravaismap.compute.device import PROCESSOR
from bravaismap.errors import InputError
from bravaismap.simulate.books import recipe_book
from bravaismap.simulate.stream import batches
from bravaismap.train.pool import Lessons, lessons

__all__ = [
    "SEED_OF_CALIBRATION",
    "SEED_OF_VALIDATION",
    "Progress",
    "StreamPlan",
    "classes_of",
    "distortions_of",
    "draws_of",
    "held_out",
]

#: Added to the seed of a training, so that no window is used twice.
SEED_OF_VALIDATION: Final = 1_000_003
SEED_OF_CALIBRATION: Final = 2_000_006
_LABORATORY: Final = Path(__file__).parent / "laboratory.toml"
_LONGEST_SIMULATION: Final = 20.0  # seconds, for windows that are held out beside a budget of time
_SHARE_OF_BUDGET: Final = 0.1  # of a budget of time, which this may take at most
_HELD_OUT_AT_ONCE: Final = 2048  # windows of a draw that is held out: fewer than of one to learn from, for more sides

_DRAW_ON_PROCESSOR: Final = 256  # windows, whose images take 150 MB at 384 px; a core simulates them in 2 to 10 s
_BATCH_ON_PROCESSOR: Final = 512
_POOL_ON_PROCESSOR: Final = 65536  # windows, of which the tokens take 1.4 GB

#: Called with the name of a stage, how much of it is done, and of how much.
Progress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class StreamPlan:
    """A plan of how an ensemble is trained on a stream.

    Attributes
    ----------
    architecture : str
        That of a network that reads tokens.
    kinds : tuple of str
        Recipe books, which share the windows evenly: those of the package, TOML files, and ``laboratory``, the book
        ``broken`` with a scan distortion of 3 %.
    sides : tuple of int
        Sides of the windows in px; one that is named twice is drawn twice as often.
    windows : int
        Number of windows that are simulated.
    draw : int
        Number of windows that are simulated at once: many, since a GPU takes hardly longer for 8192 than for 2048.
    pool : int
        Number of windows, a multiple of `draw`, from which batches are drawn.
    repeats : int
        Batches that each network learns from after each draw; up to four times as many within a budget of time, if
        windows are slow to come.
    batch, members : int
    learning_rate, weight_decay : float
        Of AdamW; the rate rises in the first 200 steps and falls along half a period of a cosine.
    dropout : float
    averaging : float
        Factor per step of the exponential average of the weights.
    cell_weight : float
        Weight of the likelihood of the cell beside that of the class.
    validation : int
        Number of draws, of another seed, on which the averaged weights are judged.
    calibration : int
        Number of draws, of a third seed, half of them to fit the temperatures and half to score the network.
    description : str
        Description of the network on the model card.
    """

    architecture: str = "tokens"
    kinds: tuple[str, ...] = ("simulated", "realistic", "wide", "broken", "laboratory")
    sides: tuple[int, ...] = (48, 64, 64, 96, 96, 128, 128, 128, 128, 128, 192, 192, 256, 384)
    windows: int = 1_500_000
    draw: int = 8192
    pool: int = 131072
    repeats: int = 8
    batch: int = 4096
    members: int = 3
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    dropout: float = 0.2
    averaging: float = 0.998
    cell_weight: float = 0.1
    validation: int = 12
    calibration: int = 20
    description: str = "ensemble of networks that read spots and candidate lattices, trained on a stream of windows"

    def __post_init__(self) -> None:
        if min(self.draw, self.repeats, self.members, self.validation) < 1 or self.batch < 2:
            raise InputError(f"draw, repeats, members and validation of at least 1 are expected; {self} was given")
        if self.windows < self.draw or self.pool < self.draw or self.pool % self.draw:
            raise InputError(
                f"{self.windows} windows, a pool of {self.pool} and draws of {self.draw} were asked for; expected at "
                "least one draw of windows, and a pool of a whole number of draws"
            )

    def on(self, device: str) -> StreamPlan:
        """Return the plan as a device carries it out.

        A processor takes smaller draws and batches, so that even a minute holds a few, from a pool that leaves other
        programs memory. A network learns from a window as often; the learning rate falls with the root of the batch.
        """
        if device != PROCESSOR:
            return self
        draw, batch = min(self.draw, _DRAW_ON_PROCESSOR), min(self.batch, _BATCH_ON_PROCESSOR)
        pool = max(1, min(self.pool, _POOL_ON_PROCESSOR) // draw) * draw
        rate = self.learning_rate * (batch / self.batch) ** 0.5
        repeats = max(1, round(self.repeats * draw / self.draw * self.batch / batch))
        return replace(self, draw=draw, batch=batch, pool=pool, learning_rate=rate, repeats=repeats)

    @property
    def draws(self) -> int:
        """Number of draws of the whole training."""
        return self.windows // self.draw


def draws_of(plan: StreamPlan, seed: int, device: str, start: int = 0) -> Iterator[Lessons]:
    """Return the draws of the stream of a seed, from one number on, as a network learns from them."""
    for batch in batches(seed, [_source(kind) for kind in plan.kinds], plan.sides, plan.draw, device, start):
        yield lessons(batch)


def held_out(
    plan: StreamPlan, seed: int, draws: int, device: str, minutes: float | None = None, progress: Progress | None = None
) -> Lessons:
    """Return so many draws of another seed; beside a budget of time no more than are simulated in a part of it.

    Parameters
    ----------
    plan : StreamPlan
    seed, draws : int
    device : str
    minutes : float, optional
        Time to train for. A tenth of it, at most 20 s, is left for these windows, but at least one draw is returned.
    progress : callable, optional
        Called with ``("hold out", draws done, of)``.
    """
    small = plan if plan.draw % _HELD_OUT_AT_ONCE else replace(plan, draw=_HELD_OUT_AT_ONCE)
    longest = math.inf if minutes is None else min(_LONGEST_SIMULATION, _SHARE_OF_BUDGET * 60 * minutes)
    stream, begun = draws_of(small, seed, device), time.perf_counter()
    parts: list[Lessons] = []
    while len(parts) < draws and (not parts or time.perf_counter() - begun < longest):
        parts.append(next(stream))
        if progress is not None:
            progress("hold out", len(parts), draws)
    if progress is not None:
        progress("hold out", draws, draws)
    return Lessons.concatenate(parts)


def _source(kind: str) -> str:
    """Return the name or path of the recipe book of a kind."""
    return str(_LABORATORY) if kind == "laboratory" else kind


def distortions_of(plan: StreamPlan) -> list[float]:
    """Return the scan distortion of each recipe book."""
    return [max(recipe.distortion for recipe in recipe_book(_source(kind)).values()) for kind in plan.kinds]


def classes_of(plan: StreamPlan) -> tuple[str, ...]:
    """Return the classes of the recipe books, which must be the same."""
    books = [tuple(recipe_book(_source(kind))) for kind in plan.kinds]
    for kind, book in zip(plan.kinds, books, strict=True):
        if book != books[0]:
            raise InputError(
                f"the recipe book {kind} has the classes {', '.join(book)} and {plan.kinds[0]} has "
                f"{', '.join(books[0])}; expected the same classes in the same order"
            )
    return books[0]
