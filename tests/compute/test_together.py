"""Records together: the answers of each, in their order, whatever their forms."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from bravaismap.compute import together as records
from bravaismap.compute.together import Length, number, numbers_of, together


@dataclass(frozen=True)
class Shape:
    sides: Tensor
    name: str
    inner: tuple[Tensor, ...] = ()


def doubled(shape: Shape, factor: int) -> Shape:
    assert shape.sides.ndim == 1
    return Shape(factor * shape.sides.cumsum(0), shape.name + "!", tuple(part + 1 for part in shape.inner))


@pytest.mark.parametrize("at_once", [False, True])
def test_each_record_has_the_answer_of_the_function(monkeypatch: pytest.MonkeyPatch, at_once: bool) -> None:
    monkeypatch.setattr(records, "_gains", lambda device: at_once)
    shapes = [Shape(torch.arange(3.0) + i, "ab"[i % 2], (torch.ones(i % 2),)) for i in range(5)]
    shapes.append(Shape(torch.arange(4.0), "a", (torch.ones(0),)))
    factors = [2, 2, 3, 2, 2, 2]
    for shape, factor, answer in zip(shapes, factors, together(doubled, shapes, factors), strict=True):
        torch.testing.assert_close(answer.sides, factor * shape.sides.cumsum(0))
        assert answer.name == shape.name + "!"
        torch.testing.assert_close(answer.inner[0], shape.inner[0] + 1)
    assert together(doubled, [], []) == []


def test_records_of_one_form_are_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_gains", lambda device: True)
    calls = []

    def traced(values: Tensor) -> Tensor:
        calls.append(tuple(values.shape))
        return values.sum()

    answers = together(traced, [torch.ones(2), torch.ones(3), 2 * torch.ones(2)])
    assert numbers_of(answers) == [2, 3, 4]
    assert calls == [(2,), (3,)]


def test_lengths_have_bounds_that_most_share() -> None:
    like = torch.zeros(1)
    first, second, alone = (Length.of(value, like, alone=only) for value, only in ((10, 0), (10.2, 0), (10.2, 1)))
    assert first.most == second.most >= 10.2
    assert first.most < 10.2 * 2**0.25
    assert float(number(second)) == pytest.approx(10.2)
    assert alone.most == number(alone) == 10.2
    half = 0.5 * second / 2
    assert float(number(half)) == pytest.approx(10.2 / 4)
    assert half.most == pytest.approx(second.most / 4)
    assert number(3.0) == 3.0
