"""Undoing: what an instrument did to a frame as a whole, undone before it is mapped: displaced lines, and pick-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bravaismap.conventions import counted
from bravaismap.errors import warn
from bravaismap.measure.interlace import interleaved
from bravaismap.measure.pickup import without_pickup
from bravaismap.movie import finite_pixels, missing_pixels

__all__ = ["Undone", "undone", "warn_undone", "without_pickup_of"]


@dataclass(frozen=True)
class Undone:
    """What was undone in a frame.

    Attributes
    ----------
    displaced : (float, float)
        By how many px the odd columns were displaced down, and the odd rows to the right of the even ones; 0 if they
        were not.
    pickup : float
        Wavelength in px of a wave that the instrument picked up, which was taken out; 0 if there was none.
    """

    displaced: tuple[float, float] = (0.0, 0.0)
    pickup: float = 0.0

    def __bool__(self) -> bool:
        return any(self.displaced) or self.pickup != 0


def undone(frame: NDArray[Any]) -> tuple[NDArray[Any], Undone]:
    """Return a frame whose odd lines continue the even ones, without what was picked up, and what was undone.

    Parameters
    ----------
    frame : array, shape (y, x)
        Finite. It is returned as it is if nothing had to be undone.
    """
    plain = torch.from_numpy(np.ascontiguousarray(frame, np.float32))
    quiet, pickup = without_pickup(plain)
    moved, displaced = interleaved(quiet)
    done = Undone(displaced, pickup)
    return (moved.numpy() if done else frame), done


def without_pickup_of(frame: NDArray[Any]) -> NDArray[Any]:
    """Return a frame (y, x), of which pixels may be missing, without what was picked up."""
    image = np.ascontiguousarray(finite_pixels(frame[None], nan="missing")[0], np.float32)
    quiet, length = without_pickup(torch.from_numpy(image))
    return np.where(missing_pixels(frame), np.nan, quiet.numpy()) if length else frame


def warn_undone(done: Mapping[int, Undone]) -> None:
    """Say what was undone in which frames, by their numbers."""
    for axis, (lines, along) in enumerate((("columns", "y"), ("rows", "x"))):
        by = {frame: own.displaced[axis] for frame, own in done.items() if own.displaced[axis]}
        if by:
            frames, size = _frames(by), _range(by)
            warn(f"the odd {lines} of {frames} were displaced by {size} along {along}: moved back")
    if lengths := {frame: own.pickup for frame, own in done.items() if own.pickup}:
        frames, size = _frames(lengths), _range(lengths)
        warn(f"a wave of {size} beside any lattice runs through {frames}, as mains hum does: taken out")


def _frames(numbered: Mapping[int, float]) -> str:
    named = ", ".join(map(str, sorted(numbered)[:5])) + (", …" if len(numbered) > 5 else "")
    return f"{counted(len(numbered), 'frame')} (frame {named})"


def _range(values: Mapping[int, float]) -> str:
    low, high = min(values.values()), max(values.values())
    return f"{low:.2f} px" if len(values) == 1 else f"{low:.2f} to {high:.2f} px"
