"""Sentences that the viewer shows: which frame, at what time, and why there is no map yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bravaismap.conventions import Floats, counted

if TYPE_CHECKING:
    from bravaismap.viewer.result_source import Source

__all__ = ["empty_message", "extent_text", "progress_text", "time_text"]


def extent_text(source: Source) -> str:
    """Return how many frames a source has, and how large they are."""
    extent = source.extent
    height, width = (round(side / source.pixel) for side in (extent.y1 - extent.y0, extent.x1 - extent.x0))
    return f"{counted(len(source.time), 'frame')} of {height} × {width} px"


def progress_text(source: Source) -> str:
    """Return the same, after how many of the frames are known to be mapped, if that is not all."""
    done = int(source.done.sum())
    return extent_text(source) if done == len(source.time) else f"{done} mapped of {extent_text(source)}"


def empty_message(done: int, total: int, *, growing: bool, mapping: bool, problem: str, frame_done: bool) -> str:
    """Return why no map is shown, an empty text if one is."""
    if problem:
        return problem
    if not done and mapping:
        return "The first frame is being mapped; it appears here by itself."
    if not done and growing:
        return (
            "No frame is mapped yet. This page follows the result while `bravaismap map` or `bravaismap watch` writes "
            "it; if that was interrupted, the same command continues it."
        )
    if not done:
        return "No frame of this result is mapped: map the movie with bm.map_phases first."
    if not frame_done:
        return f"This frame is not mapped yet ({done} of {total} are)."
    return ""


def time_text(times: Floats, index: int, unit: str) -> str:
    """Return the number of a frame and its time; of a single one that it is an image."""
    if len(times) == 1:
        return "an image"
    number = f"frame {index} of 0 to {len(times) - 1}"
    return number if unit == "frame" else f"{number} · t = {times[index]:.4g} {unit}"
