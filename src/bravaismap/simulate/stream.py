"""Streams of simulated windows for training: fresh batches without end, of several recipe books and sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from bravaismap.compute.device import PROCESSOR, checked_device, in_batches
from bravaismap.errors import InputError
from bravaismap.measure.indexing import reduce_rows
from bravaismap.simulate.batch.draws import Draws, RecipeTable
from bravaismap.simulate.batch.windows import window_images
from bravaismap.simulate.books import recipe_book

__all__ = ["SIDES", "Batch", "batches", "stretched"]

#: Sides of the windows of a stream, in px.
SIDES = (48, 64, 96, 128, 192, 256)
#: Pixels of the batches that a GPU simulates together: 8192 windows of 128 px, half a gigabyte. It is asked for about
#: as many operations for thirty batches as for one.
_PIXELS_TOGETHER = 2**27


@dataclass(frozen=True)
class Batch:
    """A batch of simulated windows of one side, and their truth.

    Attributes
    ----------
    image : Tensor, float32, shape (n, side, side)
        Each window stretched to 0–255.
    label : Tensor, int64, shape (n,)
        The class of the crystal as it was drawn, a position in the classes of the books. A crystal with faults, with a
        second grain of the same lattice, in part of the window only, or buried in noise keeps its class, whether its
        lattice can be seen in the window or not; ``none`` are atoms without order, vacuum and patterns. No window has
        two different lattices.
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

    def split(self, size: int) -> list[Batch]:
        """Return batches of `size` windows each, without copies."""
        parts = zip(*(getattr(self, part.name).split(size) for part in fields(self)), strict=True)
        return [Batch(*part) for part in parts]

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
    resumed at batch `start` sees what it would have seen. It is the same on every device but for rounding, by which now
    and then a pixel of a counted image may differ by one count. A GPU simulates many batches at once, those of one side
    together, and yields one after another.

    Parameters
    ----------
    seed : int
    kinds : sequence of str
        Recipe books of the same classes, names or TOML files, which share each batch evenly.
    sides : sequence of int
        Sides in px, at least 16; each batch has one of them, drawn with equal probability.
    batch_size : int
        Number of windows of a batch.
    device : str
        Where the windows are simulated, and lie: ``"cpu"``, ``"cuda"``, or ``"auto"`` for a GPU if there is one.
    start : int
        Number of the first batch.

    Yields
    ------
    Batch

    Raises
    ------
    InputError
        If there is no such book, books differ in their classes, or a side or the size of a batch is too small.
    ModelError
        If PyTorch cannot compute on the device.
    """
    if batch_size < 1 or not sides or min(sides) < 16 or start < 0 or seed < 0:
        raise InputError(
            f"batches of {batch_size} windows of {tuple(sides)} px from batch {start} on, seed {seed}, were asked for; "
            "expected at least 1 window of at least 16 px, and no negative number"
        )
    device = checked_device(device)
    table, classes = _table(tuple(kinds), device)
    together = _batches_together(batch_size, sides, device)
    while True:
        first = start // together * together  # whole groups: rounding does not depend on where a stream was left
        yield from _group(table, classes, seed, range(first, first + together), batch_size, sides)[start - first :]
        start = first + together


def _batches_together(batch_size: int, sides: Sequence[int], device: str) -> int:
    """Return how many batches are simulated at once, those of one side in one pass: one on a processor."""
    if device == PROCESSOR:
        return 1
    pixels = batch_size * sum(side**2 for side in sides) // len(sides)
    return max(1, _PIXELS_TOGETHER // pixels)


def _side(seed: int, number: int, sides: Sequence[int]) -> int:
    """Return the side of the windows of a batch."""
    return sides[int(np.random.default_rng([seed, number]).integers(len(sides)))]


def _group(
    table: RecipeTable, classes: int, seed: int, numbers: range, batch_size: int, sides: Sequence[int]
) -> list[Batch]:
    """Simulate the batches of some numbers, those of one side together."""
    alike: dict[int, list[int]] = {}
    for number in numbers:
        alike.setdefault(_side(seed, number, sides), []).append(number)
    group: dict[int, Batch] = {}
    for side, own in alike.items():
        windows = torch.cat([torch.arange(i * batch_size, (i + 1) * batch_size) for i in own])
        group |= zip(own, _batch(table, classes, seed, windows, side).split(batch_size), strict=True)
    return [group[number] for number in numbers]


def _table(kinds: tuple[str, ...], device: str) -> tuple[RecipeTable, int]:
    """Return the recipes of some books, one book after the other, and the number of their classes."""
    books = [recipe_book(kind) for kind in kinds]
    for kind, book in zip(kinds, books, strict=True):
        if list(book) != list(books[0]):
            raise InputError(
                f"the recipe books {kinds[0]} and {kind} have the classes {', '.join(books[0])} and "
                f"{', '.join(book)}; expected the same classes in the same order"
            )
    return RecipeTable([recipe for book in books for recipe in book.values()], device), len(books[0])


def _batch(table: RecipeTable, classes: int, seed: int, number: Tensor, side: int) -> Batch:
    """Simulate the windows of some numbers (n,): of every kind, of each of the classes in turn."""
    kinds = len(table.recipes) // classes
    number = number.to(table.low.device)
    kind, label = number % kinds, number // kinds % classes

    def part(rows: slice) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            recipe = kind[rows] * classes + label[rows]
            image, basis = window_images(Draws.of(table, recipe, seed, number[rows]), side)
            reduced = reduce_rows(basis).masked_fill(~table.lattice[recipe, None, None], float("nan"))
            return stretched(image), reduced.to(torch.float32)

    parts = in_batches(part, (len(number), side, side), str(number.device))
    image, basis = (torch.cat(columns) for columns in zip(*parts, strict=True))
    return Batch(image, label, basis, kind)


def stretched(image: Tensor) -> Tensor:
    """Return images (n, height, width) stretched to 0–255; a constant image becomes 0."""
    low, high = image.amin(dim=(1, 2), keepdim=True), image.amax(dim=(1, 2), keepdim=True)
    factor = torch.where(high > low, 255 / (high - low), 0.0)
    return (image - low).mul_(factor)
