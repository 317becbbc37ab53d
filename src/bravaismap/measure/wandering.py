"""Wandering phases: the lattice of windows in which the crystal is not one wave."""

from __future__ import annotations

import torch
from torch import Tensor

from bravaismap.measure.explanation import Explanation, View
from bravaismap.measure.search import Searched

__all__ = ["wandering"]


def wandering(first: Searched, shown: Tensor, windows: View) -> tuple[Explanation, Tensor]:
    return first.best, shown
