"""Errors of one kind, and warnings that point at the user's line."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bravaismap import classify, map_phases
from bravaismap.errors import BravaismapError, InputError, ModelError, OutputError, warn
from bravaismap.windows import window_grid

CONSTANT = np.full((64, 64), 3.0)


def line_of(call: Callable[[], object]) -> int:
    """Return the line of a call on one line, which is that of the lambda that makes it."""
    return call.__code__.co_firstlineno


def test_every_error_is_one_that_users_can_catch() -> None:
    for kind in (InputError, ModelError, OutputError):
        assert issubclass(kind, BravaismapError)
        assert issubclass(kind, ValueError)


@pytest.mark.parametrize("kind", ["image", "memory", "file", "grid", "itself"])
def test_warnings_point_at_the_line_that_called(kind: str, tmp_path: Path) -> None:
    calls: dict[str, Callable[[], object]] = {
        "image": lambda: classify(CONSTANT, samples=0),
        "memory": lambda: map_phases(CONSTANT, window=64, samples=0),
        "file": lambda: map_phases(CONSTANT, window=64, samples=0, output=tmp_path / "r.zarr"),
        "grid": lambda: window_grid((64, 80), 20, 40),
        "itself": lambda: warn("by a stranger"),
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        calls[kind]()
    (said,) = [one for one in caught if issubclass(one.category, UserWarning)]
    assert Path(said.filename) == Path(__file__)
    assert said.lineno == line_of(calls[kind])


def test_the_same_warning_of_the_same_line_is_shown_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            window_grid((64, 80), 20, 41)
        window_grid((64, 80), 20, 41)
    assert len(caught) == 2


def test_warnings_as_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="constant"):
            classify(CONSTANT, samples=0)
