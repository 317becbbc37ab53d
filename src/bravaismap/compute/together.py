"""Records together: a function of one record applied to several in one pass, for a GPU.

There each step of a function costs the same for one record as for many.

The function is that of a single record. Those of one form, the same shapes of the tensors and the same of all that is
no tensor, are stacked and worked on at once; the answers are those that each has on its own, but for rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
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

    @property
    def least(self) -> float:
        """The bound from below that lengths with the same one from above share."""
        return self.most if isinstance(self.value, float) else self.most / _BOUNDS

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


#: What the form of a value begins with: a tensor, followed by its shape and type, or what is none, by itself. That of a
#: record begins with its type, and the forms of its parts follow.
_TENSOR, _OTHER = "tensor", "other"


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
        stacked = [_stacked(column) for column in zip(*(leaves[i] for i in indices), strict=True)]
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

    columns = [column.unbind() for column in torch.func.vmap(of_tensors)(*stacked)]
    return [_put_together(outcome[0], iter([column[i] for column in columns])) for i in range(count)]


def _stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of one shape as one: without a copy where they are what is left of one that was taken apart."""
    first, second = tensors[0], tensors[1]
    apart = second.storage_offset() - first.storage_offset()
    start, strides, place = first.storage_offset(), first.stride(), first.untyped_storage().data_ptr()
    if apart >= 0 and all(
        one.storage_offset() == start + i * apart
        and one.stride() == strides
        and one.untyped_storage().data_ptr() == place
        for i, one in enumerate(tensors)
    ):
        return first.as_strided((len(tensors), *first.shape), (apart, *strides))
    return torch.stack(list(tensors))


def _taken_apart(value: Any, tensors: list[Tensor]) -> tuple[Any, ...]:
    """The form of a value; its tensors are added to a list."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return _TENSOR, value.shape, value.dtype
    kind = type(value)
    if kind is tuple:
        return kind, *(_taken_apart(part, tensors) for part in value)
    names = _names(kind)
    if names is not None:
        return kind, *(_taken_apart(getattr(value, name), tensors) for name in names)
    return _OTHER, value


def _names(kind: type) -> tuple[str, ...] | None:
    """Names of the parts of a record; None of what is no record."""
    return tuple(part.name for part in fields(kind)) if is_dataclass(kind) else None


def _put_together(form: tuple[Any, ...], tensors: Iterator[Tensor]) -> Any:
    """The value of a form with the tensors of an iterator."""
    kind = form[0]
    if kind is _TENSOR:
        return next(tensors)
    if kind is _OTHER:
        return form[1]
    parts = [_put_together(part, tensors) for part in form[1:]]
    return tuple(parts) if kind is tuple else kind(*parts)
