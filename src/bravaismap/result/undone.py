"""Undone: what an instrument did to the frames of a movie, which was undone before or in their windows, with the words.

A wave that was picked up and displaced lines are taken out of a frame before its windows are cut. Windows of a frame
whose rows or columns have offsets are levelled, and those of a frame that was shown larger than it was measured are
measured in its own pixels. A result holds of each frame what was undone, so that a run that is continued has it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import counted

__all__ = ["Undone", "changed_texts", "undone_lines"]


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
    leveled : (bool, bool)
        Whether the rows, and the columns, have offsets, which are taken out of the windows.
    repeated : (float, float)
        How often each pixel was repeated along y and x; 1 if it was not.
    """

    displaced: tuple[float, float] = (0.0, 0.0)
    pickup: float = 0.0
    leveled: tuple[bool, bool] = (False, False)
    repeated: tuple[float, float] = (1.0, 1.0)

    @property
    def changed(self) -> bool:
        """Whether the frame itself was changed, and not its windows alone."""
        return any(self.displaced) or self.pickup != 0

    def variables(self, pixel_size: float | None) -> dict[str, NDArray[Any]]:
        """Return the variables of a frame that hold this, in px or, with the size of a pixel in nm, in nm."""
        length = pixel_size or 1.0
        return {
            "frame_displaced": np.array(self.displaced) * length,
            "frame_pickup": np.array(self.pickup * length),
            "frame_leveled": np.array(self.leveled, np.int8),
            "frame_repeated": np.array(self.repeated),
        }


def changed_texts(
    numbers: Sequence[int], displaced: NDArray[np.floating], pickup: NDArray[np.floating], unit: str
) -> list[str]:
    """Return what was undone in frames themselves, in words.

    Parameters
    ----------
    numbers : sequence of int
        Of the frames.
    displaced : array, shape (frames, 2)
    pickup : array, shape (frames,)
    unit : {"px", "nm"}
    """
    texts = []
    for axis, (lines, along) in enumerate((("columns", "y"), ("rows", "x"))):
        by = {number: value for number, value in zip(numbers, displaced[:, axis].tolist(), strict=True) if value}
        if by:
            size = _range(list(by.values()), unit)
            texts.append(f"the odd {lines} of {_frames(list(by))} were displaced by {size} along {along}: moved back")
    lengths = {number: value for number, value in zip(numbers, pickup.tolist(), strict=True) if value}
    if lengths:
        frames, size = _frames(list(lengths)), _range(list(lengths.values()), unit)
        texts.append(f"a wave of {size} beside any lattice runs through {frames}, as mains hum does: taken out")
    return texts


def undone_lines(result: xr.Dataset, numbers: Sequence[int] | None = None) -> list[str]:
    """Return what was undone in the frames of a result, in words; none of a result that does not hold it.

    Parameters
    ----------
    result : Dataset
        A phase map, or frames of one.
    numbers : sequence of int, optional
        Of these frames; from 0 on when not given.
    """
    if "frame_pickup" not in result:
        return []
    unit = str(result["frame_pickup"].attrs.get("units", "px"))
    pickup = np.atleast_1d(np.nan_to_num(result["frame_pickup"].values.astype(float)))
    displaced, leveled, repeated = (
        np.nan_to_num(result[f"frame_{name}"].values.astype(float)).reshape(len(pickup), 2)
        for name in ("displaced", "leveled", "repeated")
    )
    frames = np.arange(len(pickup)) if numbers is None else np.asarray(numbers)
    lines = changed_texts(frames.tolist(), displaced, pickup, unit)
    for axis, name in enumerate(("rows", "columns")):
        uneven = leveled[:, axis] > 0
        if uneven.any():
            lines.append(f"the {name} of {_frames(frames[uneven].tolist())} have offsets: taken out of the windows")
    enlarged = (repeated > 1).any(1)
    if enlarged.any():
        times, which = _range(repeated[enlarged].max(1).tolist(), "times"), _frames(frames[enlarged].tolist())
        lines.append(f"the pixels of {which} are repeated {times}: windows are measured in those of the scan itself")
    return lines


def _frames(numbers: Sequence[int]) -> str:
    named = ", ".join(map(str, sorted(numbers)[:5])) + (", …" if len(numbers) > 5 else "")
    return f"{counted(len(numbers), 'frame')} (frame {named})"


def _range(values: Sequence[float], unit: str) -> str:
    low, high = (f"{value:.2f}" if unit == "px" else f"{value:.3g}" for value in (min(values), max(values)))
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
