"""Pool: the tokens of the latest windows of a stream, from which the batches of a training are drawn.

The windows of a batch of the stream are all of one side. A pool mixes sides, and a window may be drawn several times
before newer ones take its place, for it costs more to simulate a window than to learn from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from bravaismap.classify.tokens import Tokens, window_tokens
from bravaismap.compute.device import in_batches
from bravaismap.lattice.shape import shape
from bravaismap.simulate.stream import Batch

__all__ = ["Lessons", "Pool", "lessons"]


@dataclass(frozen=True)
class Lessons:
    """Windows as a network learns from them.

    Attributes
    ----------
    tokens : Tokens
    label : Tensor, int64, shape (n,)
    cell : Tensor, shape (n, 3)
        Re τ, log Im τ and the logarithm of the side (px) of a square of the area of the cell; NaN where there is none.
    kind, side : Tensor, int64, shape (n,)
        Number of the recipe book, and side in px.
    """

    tokens: Tokens
    label: Tensor
    cell: Tensor
    kind: Tensor
    side: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, rows: slice | Tensor) -> Lessons:
        """Return some of the windows."""
        return Lessons(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def concatenate(cls, parts: list[Lessons]) -> Lessons:
        """Return several batches as one."""
        tokens = Tokens.concatenate([part.tokens for part in parts])
        names = ("label", "cell", "kind", "side")
        return cls(tokens, *(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def to(self, dtype: torch.dtype) -> Lessons:
        """Return the windows with their tokens in another precision."""
        return replace(self, tokens=self.tokens.to(dtype))


def lessons(batch: Batch) -> Lessons:
    """Return the tokens and the truth of simulated windows, in half precision, on their device."""
    image = batch.image

    def part(rows: slice) -> Tokens:
        with torch.no_grad():
            return window_tokens(image[rows].float()).to(torch.float16)

    tokens = Tokens.concatenate(in_batches(part, image.shape, str(image.device)))
    side = torch.full_like(batch.label, image.shape[-1])
    return Lessons(tokens, batch.label, _cell(batch.basis).to(image.device), batch.kind, side)


def _cell(basis: Tensor) -> Tensor:
    vectors = basis.double().cpu().numpy()
    there = np.isfinite(vectors).all(axis=(1, 2))
    tau = shape(np.where(there[:, None, None], vectors, np.eye(2)))
    area = np.abs(np.linalg.det(np.where(there[:, None, None], vectors, np.eye(2))))
    cell = np.stack([tau.real, np.log(tau.imag), 0.5 * np.log(area)], axis=-1)
    return torch.from_numpy(np.where(there[:, None], cell, np.nan)).float()


class Pool:
    """The latest windows of a stream.

    Parameters
    ----------
    size : int
        Most windows that it holds; a multiple of how many are put into it at a time.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.count = 0
        self._windows: Lessons | None = None
        self._next = 0

    def put(self, new: Lessons) -> None:
        """Take in windows, for which the oldest give way."""
        if self._windows is None:
            self._windows = _mapped(lambda values: values.new_empty(self.size, *values.shape[1:]), new)
        place = slice(self._next, self._next + len(new))
        for old, fresh in zip(_tensors(self._windows), _tensors(new), strict=True):
            old[place] = fresh
        self._next = place.stop % self.size
        self.count = max(self.count, place.stop)

    def refill(self, kept: int, windows: int, draws: Iterator[Lessons]) -> None:
        """Put in the draws after the first so many windows of a stream, at the places where these would be.

        Parameters
        ----------
        kept : int
            Number of draws.
        windows : int
            Number of windows of the stream before them.
        draws : iterator of Lessons
        """
        self._next = windows % self.size
        for _ in range(kept):
            self.put(next(draws))

    def drawn(self, count: int, generator: torch.Generator) -> Lessons:
        """Return so many windows, drawn at random, with their tokens in single precision."""
        if self._windows is None:
            raise ValueError("nothing was put into the pool")
        rows = torch.randint(self.count, (count,), generator=generator).to(self._windows.label.device)
        return self._windows[rows].to(torch.float32)


def _mapped(function: Callable[[Tensor], Tensor], windows: Lessons) -> Lessons:
    mapped = [function(values) for values in _tensors(windows)]
    tokens = len(fields(Tokens))
    return Lessons(Tokens(*mapped[:tokens]), *mapped[tokens:])


def _tensors(windows: Lessons) -> list[Tensor]:
    tokens = [getattr(windows.tokens, field.name) for field in fields(Tokens)]
    return [*tokens, windows.label, windows.cell, windows.kind, windows.side]
