"""Colours of classes: those of the conventions, and free ones for other classes."""

from __future__ import annotations

from bravaismap.conventions import CLASSES, COLORS
from bravaismap.show.colors import class_colors


def test_class_colours() -> None:
    assert class_colors(CLASSES) == COLORS
    own = class_colors(["2H", "hexagonal", *(f"phase {i}" for i in range(9)), "none"])
    assert own["hexagonal"] == COLORS["hexagonal"]
    assert own["none"] == COLORS["none"]
    assert own["2H"] == "#56B4E9"
    assert len(set(own.values())) == len(own)
