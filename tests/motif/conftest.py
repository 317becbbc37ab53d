"""A fixture that draws patterns, so that tests say what they need."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from patterns import Pattern, draw


@pytest.fixture(scope="session")
def pattern() -> Callable[..., Pattern]:
    """Return a function that draws a pattern of a plane group."""
    return draw
