"""Records together: a function of one record applied to several in one pass, for a GPU.

There each step of a function costs the same for one record as for many.

The function is that of a single record. Those of one form, the same shapes of the tensors and the same of all that is
no tensor, are stacked and worked on at once; the answers are those that each has on its own, but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

__all__ = ["Length", "number", "numbers_of", "together"]

Answer = TypeVar("Answer")

#: Bounds of lengths, in steps of this ratio, so that most frames of a movie have the same.
_BOUNDS = 2**0.25


@dataclass(frozen=True)
class Length:
    """A length in px that may differ between records, and a bound on it that they share.

    Attributes
    ----------
    value : tensor, shape (), or float
        A float if no other record is worked on with it.
    most : float
    """

    value: float | Tensor
    most: float

    @classmethod
    def of(cls, value: float, like: Tensor, *, alone: bool) -> Length:
        """Return a length of a value, on the device of a tensor unless no other record is worked on with it."""
        if alone:
            return cls(value, value)
        return cls(like.new_tensor(value), _BOUNDS ** math.ceil(math.log(value, _BOUNDS)))

    def __mul__(self, factor: float) -> Length:
        """Return the length times a factor."""
        return Length(self.value * factor, self.most * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Length:
        """Return the length over a divisor."""
        return self * (1 / divisor)


def number(length: float | Length) -> float | Tensor:
    """Return the value of a length."""
    return length.value if isinstance(length, Length) else length


def numbers_of(values: Sequence[Tensor]) -> list[float]:
    """Return numbers that a device has, asked for all at once."""
    return cast("list[float]", torch.stack([value.double() for value in values]).tolist()) if values else []


@dataclass(frozen=True)
class _Record:
    """A record without its tensors."""

    kind: type
    parts: tuple[Any, ...]


@dataclass(frozen=True)
class _Place:
    """Where a tensor was."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def together(function: Callable[..., Answer], *arguments: Sequence[Any]) -> list[Answer]:
    """Apply a function to each of several records, to all of one form at once.

    Parameters
    ----------
    function : callable
        Of tensors, dataclasses and tuples of them, and whatever can be compared. It may ask no tensor for its value.
    *arguments : sequences
        Its arguments, one of each for every record. On a processor, which gains nothing, one is taken after another.

    Returns
    -------
    list
        In the order of the records.
    """
    records = list(zip(*arguments, strict=True))
    if len(records) == 1:
        return [function(*records[0])]
    forms: list[Any] = []
    alike: list[list[int]] = []
    leaves: list[list[Tensor]] = []
    for index, record in enumerate(records):
        tensors: list[Tensor] = []
        form = _taken_apart(record, tensors)
        leaves.append(tensors)
        if form not in forms:
            forms.append(form)
            alike.append([])
        alike[forms.index(form)].append(index)
    answers: list[Answer | None] = [None] * len(records)
    for form, indices in zip(forms, alike, strict=True):
        if len(indices) == 1 or not _gains(leaves[indices[0]][0].device):
            for index in indices:
                answers[index] = function(*records[index])
            continue
        stacked = [torch.stack(column) for column in zip(*(leaves[i] for i in indices), strict=True)]
        for index, answer in zip(indices, _applied(function, form, stacked, len(indices)), strict=True):
            answers[index] = answer
    return cast("list[Answer]", answers)


def _gains(device: torch.device) -> bool:
    """Whether a device takes as long for one record as for many."""
    return device.type != "cpu"


def _applied(function: Callable[..., Answer], form: Any, stacked: list[Tensor], count: int) -> list[Answer]:
    """Answers of a function for stacked tensors of records of one form."""
    outcome: list[Any] = []

    def of_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
        found: list[Tensor] = []
        outcome.append(_taken_apart(function(*_put_together(form, iter(tensors))), found))
        return tuple(found)

    columns = torch.func.vmap(of_tensors)(*stacked)
    return [_put_together(outcome[0], iter([column[i] for column in columns])) for i in range(count)]


def _taken_apart(value: Any, tensors: list[Tensor]) -> Any:
    """The form of a value; its tensors are added to a list."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return _Place(tuple(value.shape), value.dtype)
    if isinstance(value, tuple):
        return _Record(tuple, tuple(_taken_apart(part, tensors) for part in value))
    if is_dataclass(value) and not isinstance(value, type):
        return _Record(type(value), tuple(_taken_apart(getattr(value, f.name), tensors) for f in fields(value)))
    return value


def _put_together(form: Any, tensors: Any) -> Any:
    """The value of a form with the tensors of an iterator."""
    if isinstance(form, _Place):
        return next(tensors)
    if isinstance(form, _Record):
        parts = [_put_together(part, tensors) for part in form.parts]
        return tuple(parts) if form.kind is tuple else form.kind(*parts)
    return form
