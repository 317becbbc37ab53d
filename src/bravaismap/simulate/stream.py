"""Streams of simulated windows for training: fresh batches without end, of several recipe books and sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bravaismap.errors import InputError
from bravaismap.lattice.basis import reduce_basis
from bravaismap.simulate.books import recipe_book
from bravaismap.simulate.windows import simulate

__all__ = ["SIDES", "Batch", "batches"]

#: Sides of the windows of a stream, in px.
SIDES = (48, 64, 96, 128, 192, 256)


@dataclass(frozen=True)
class Batch:
    """A batch of simulated windows of one side, and their truth.

    Attributes
    ----------
    image : Tensor, float32, shape (n, side, side)
        Each window stretched to 0–255.
    label : Tensor, int64, shape (n,)
        The class of the crystal as it was drawn, a position in :data:`~bravaismap.conventions.CLASSES`. A crystal with
        faults, with a second grain of the same lattice, in part of the window only, or buried in noise keeps its class,
        whether its lattice can be seen in the window or not; ``none`` are atoms without order, vacuum and patterns. No
        window has two different lattices.
    basis : Tensor, float32, shape (n, 2, 2)
        Reduced primitive vectors as rows, components (y, x), in px as seen in the image; NaN where the label is
        ``none``. Of two grains that of the larger one.
    kind : Tensor, int64, shape (n,)
        Recipe book of each window, a position in `kinds`.
    """

    image: Tensor
    label: Tensor
    basis: Tensor
    kind: Tensor

    @property
    def reciprocal(self) -> Tensor:
        """Reciprocal vectors g₁, g₂ as rows, ``gᵢ·aⱼ = δᵢⱼ``, in 1/px; NaN where the label is ``none``."""
        (ay, ax), (by, bx) = (self.basis[:, i].unbind(-1) for i in (0, 1))
        rows = torch.stack([torch.stack([bx, -by], -1), torch.stack([-ax, ay], -1)], dim=-2)
        return rows / (ay * bx - ax * by)[:, None, None]


def batches(
    seed: int,
    kinds: Sequence[str] = ("simulated", "realistic", "wide", "broken"),
    sides: Sequence[int] = SIDES,
    batch_size: int = 256,
    device: str = "cpu",
    start: int = 0,
) -> Iterator[Batch]:
    """Simulate batches of windows without end.

    A batch depends on nothing but the seed, its number, its size, `kinds` and `sides`, so that a training that is
    resumed at batch `start` sees what it would have seen.

    Parameters
    ----------
    seed : int
    kinds : sequence of str
        Names of recipe books of the same classes, which share each batch evenly.
    sides : sequence of int
        Sides in px, at least 16; each batch has one of them, drawn with equal probability.
    batch_size : int
        Number of windows of a batch.
    device : str
        Where the windows are simulated, and lie.
    start : int
        Number of the first batch.

    Yields
    ------
    Batch

    Raises
    ------
    InputError
        If there is no such book, or a side or the size of a batch is too small.
    """
    if batch_size < 1 or not sides or min(sides) < 16 or start < 0 or seed < 0:
        raise InputError(
            f"batches of {batch_size} windows of {tuple(sides)} px from batch {start} on, seed {seed}, were asked for; "
            "expected at least 1 window of at least 16 px, and no negative number"
        )
    books = [recipe_book(kind) for kind in kinds]
    classes = len(books[0])
    while True:
        side = sides[int(np.random.default_rng([seed, start]).integers(len(sides)))]
        number = np.arange(batch_size) + start * batch_size
        kind = number % len(books)
        image = np.empty((batch_size, side, side), np.float32)
        basis = np.full((batch_size, 2, 2), np.nan)
        label = number // len(books) % classes
        for i in range(batch_size):
            first = int(number[i]) // len(books)
            window = simulate(1, books[kind[i]], seed=seed, size=side, first=first)
            image[i] = window.image.values[0]
            if list(books[kind[i]].values())[label[i]].lattice != "none":
                basis[i] = reduce_basis(window.primitive_vectors_px.values[0])
        arrays = (image, label, basis.astype(np.float32), kind)
        yield Batch(*(torch.from_numpy(array).to(device) for array in arrays))
        start += 1
