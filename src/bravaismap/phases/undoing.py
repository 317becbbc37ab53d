"""Undoing: what an instrument did to a frame as a whole, undone before it is mapped: displaced lines, and pick-up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bravaismap.errors import warn
from bravaismap.measure.enlargement import native
from bravaismap.measure.interlace import interleaved
from bravaismap.measure.whole_image import enlarged_noise, leveled_lines, undisturbed
from bravaismap.movie import finite_pixels, missing_pixels
from bravaismap.result.undone import Undone, changed_texts

__all__ = ["undone", "warn_undone", "without_own_pixels", "without_pickup_of"]


def undone(frame: NDArray[Any]) -> tuple[NDArray[Any], Undone]:
    """Return a frame whose odd lines continue the even ones, without what was picked up, and what was undone.

    Parameters
    ----------
    frame : array, shape (y, x)
        Finite. It is returned as it is if nothing had to be undone.
    """
    plain = torch.from_numpy(np.ascontiguousarray(frame, np.float32))
    with torch.inference_mode():
        quiet = undisturbed(plain)
        moved, displaced = interleaved(quiet.image)
        done = Undone(displaced, quiet.length, leveled_lines(plain), native(plain).repeated)
    return (moved.numpy() if done.changed else frame), done


def without_pickup_of(frame: NDArray[Any]) -> NDArray[Any]:
    """Return a frame (y, x), of which pixels may be missing, without what was picked up."""
    image = np.ascontiguousarray(finite_pixels(frame[None], nan="missing")[0], np.float32)
    quiet = undisturbed(torch.from_numpy(image))
    return np.where(missing_pixels(frame), np.nan, quiet.image.numpy()) if quiet.length else frame


def without_own_pixels(frame: NDArray[Any]) -> NDArray[Any]:
    """Return a frame (y, x) without the grid of the pixels of a scan that it was interpolated from, as windows see it.

    It is returned as it is unless that scan shows no lattice.
    """
    with torch.inference_mode():
        scan = enlarged_noise(torch.from_numpy(np.ascontiguousarray(frame, np.float32)))
    return frame if scan is None else scan.enlarged(frame.shape).astype(np.float32)


def warn_undone(done: Mapping[int, Undone]) -> None:
    """Say what was undone in which frames, by their numbers."""
    numbers = sorted(done)
    displaced = np.array([done[number].displaced for number in numbers]).reshape(-1, 2)
    for text in changed_texts(numbers, displaced, np.array([done[number].pickup for number in numbers]), "px"):
        warn(text)
