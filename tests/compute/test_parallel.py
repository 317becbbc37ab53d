"""Parts side by side: the order of the answers, the threads that are left as they were, and the memory that is kept."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import torch

from bravaismap.compute import parallel


@pytest.mark.parametrize("threads", [1, 3])
def test_answers_in_the_order_of_the_parts_and_threads_as_before(threads: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        seen = parallel.side_by_side(lambda part: (part, torch.get_num_threads()), range(7))
        assert [part for part, _ in seen] == list(range(7))
        assert {inside for _, inside in seen} == {1}
        assert torch.get_num_threads() == threads
        with pytest.raises(ZeroDivisionError):
            parallel.side_by_side(lambda part: 1 // part, [1, 0])
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_one_thread_and_those_of_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert parallel.one_thread()(torch.get_num_threads)() == 1
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError):
            parallel.one_thread()(lambda: 1 // 0)()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_the_next_item_is_made_while_one_is_in_use() -> None:
    made = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for i, event in enumerate(made):
            event.set()
            yield i

    for item in parallel.one_ahead(items()):
        assert made[min(item + 1, 2)].wait(5)


def test_an_item_is_used_while_the_next_ones_are_made_and_in_order() -> None:
    made, used = [threading.Event() for _ in range(6)], []

    def items() -> Iterator[int]:
        for i, event in enumerate(made):
            event.set()
            yield i

    def use(item: int) -> None:
        assert made[min(item + 1, 5)].wait(5)
        used.append(item)

    yielded = []
    for item in parallel.one_behind(use, items()):
        assert item in used
        yielded.append(item)
    assert yielded == used == list(range(6))


def test_items_that_were_made_are_used_before_an_error_in_the_making_is_raised() -> None:
    used: list[float] = []
    with pytest.raises(ZeroDivisionError):
        list(parallel.one_behind(used.append, (6 // (2 - i) for i in range(4))))
    assert used == [3, 6]


def test_after_an_error_no_other_item_is_used() -> None:
    used: list[int] = []

    def use(item: int) -> None:
        used.append(item)
        if item == 1:
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        list(parallel.one_behind(use, range(9)))
    assert used == [0, 1]


KEPT = "from bravaismap.compute.parallel import keep_freed_memory as keep; print(keep())"


@pytest.mark.skipif(sys.platform != "linux", reason="what glibc does with freed memory")
def test_memory_is_kept_unless_the_user_has_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MALLOC_TRIM_THRESHOLD_", "131072"), ("GLIBC_TUNABLES", "glibc.malloc.arena_max=1")):
        with monkeypatch.context() as patched:
            patched.setenv(name, value)
            assert not parallel.keep_freed_memory.__wrapped__()
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True, env={})
    assert done.stdout.strip() == "True"
