"""Frames under way: no more than the workers ask for, each once, and given up when nobody wants them any more."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import pytest

from bravaismap.phases.frame import MappedFrame
from bravaismap.phases.under_way import mapped_by


class Slow:
    """Workers of which the last frame that was handed out is finished first, and only at the second question."""

    def __init__(self, most: list[int], wrong: int = -1) -> None:
        self._most, self._wrong, self.asked = most, wrong, 0
        self.longest, self.given_up = 0, list[str]()

    def most(self) -> int:
        return self._most.pop(0) if len(self._most) > 1 else self._most[0]

    def begin(self, index: int, pixels: Any) -> str:
        return f"frame {index} of {pixels.shape}"

    def finished(self, under_way: dict[str, int]) -> str | None:
        self.asked += 1
        self.longest = max(self.longest, len(under_way))
        return max(under_way, key=under_way.__getitem__) if self.asked % 2 == 0 else None

    def answer(self, task: str, index: int) -> MappedFrame:
        if index == self._wrong:
            raise ValueError(task)
        return MappedFrame({"task": np.array(task)}, constant=False)

    def end(self, under_way: Collection[str]) -> None:
        self.given_up += list(under_way)


def frames(count: int) -> Iterator[tuple[int, np.ndarray]]:
    yield from ((index, np.zeros((2, 3))) for index in range(count))


def test_every_frame_is_mapped_once() -> None:
    workers = Slow([3])
    mapped = list(mapped_by(workers, frames(7)))
    assert sorted(index for index, _ in mapped) == list(range(7))
    assert next(index for index, _ in mapped) == 2
    assert all(frame.variables["task"] == f"frame {index} of (2, 3)" for index, frame in mapped)
    assert (workers.longest, workers.given_up) == (3, [])


def test_workers_may_join_and_leave() -> None:
    for most in ([4, 1], [1, 1, 4, 0, 2]):
        workers = Slow(most)
        assert sorted(index for index, _ in mapped_by(workers, frames(9))) == list(range(9))
        assert workers.longest == 4


def test_what_is_under_way_is_given_up_at_the_end_and_after_an_error() -> None:
    taken: list[int] = []

    def counted() -> Iterator[tuple[int, np.ndarray]]:
        for index, pixels in frames(100):
            taken.append(index)
            yield index, pixels

    workers = Slow([3])
    mapped = mapped_by(workers, counted())
    next(mapped)
    mapped.close()
    assert set(workers.given_up) >= {"frame 0 of (2, 3)", "frame 1 of (2, 3)"}
    assert len(taken) == 3
    workers = Slow([2], wrong=1)
    with pytest.raises(ValueError, match="frame 1"):
        list(mapped_by(workers, frames(5)))
    assert "frame 0 of (2, 3)" in workers.given_up
