"""The scale of what was read: side of a pixel, time of a frame, and where they are from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from bravaismap.errors import warn
from bravaismap.movie import check_scale
from bravaismap.read import signal as stored
from bravaismap.read.signal import Signal

__all__ = ["LARGEST_PIXEL", "LEAST_PIXEL", "MOST_ELONGATED", "Scale", "scale_of"]

#: Pixel sizes (nm) outside of which no image shows atoms: 1 nm, and a tenth of a picometre.
LARGEST_PIXEL: Final = 1.0
LEAST_PIXEL: Final = 1e-4
#: A file whose pixels are longer than this many times their width is not resampled, which would make too much of it.
MOST_ELONGATED: Final = 64


class Scale(NamedTuple):
    """Side of a pixel (nm), time of a frame (s), where they are from, and by what the pixels are to be stretched.

    `aspect` is the height of a pixel of the file over its width, and 1 where it is taken as square.
    """

    size: float | None
    time: float | None
    aspect: float
    sources: dict[str, Any]


def scale_of(signal: Signal, path: Path, size: float | None, time: float | None) -> Scale:
    """Return the calibration of a file, unless another is given; warn of a pixel that shows no atoms.

    Parameters
    ----------
    signal : Signal
    path : Path
        For the warnings.
    size, time : float or None
        Side of a pixel in nm and time of a frame in s that are given instead.

    Raises
    ------
    InputError
        If one that is given is not a positive number.
    """
    check_scale(size, time)
    height, width = stored.pixel_sides(signal)
    aspect = 1.0
    sources: dict[str, Any] = {}
    if size is not None:
        sources["pixel_size_from"] = "given"
    else:
        aspect = _aspect(signal, path, height, width)
        if height and width and aspect != 1:
            size = min(height, width)
            sources |= {"pixel_height_nm": height, "pixel_width_nm": width}
        else:
            size = width or height
        sources |= {} if size is None else {"pixel_size_from": "file"}
    if time is not None:
        sources["frame_time_from"] = "given"
    else:
        time = stored.frame_period(signal)
        sources |= {} if time is None else {"frame_time_from": "playback rate" if signal.playback else "file"}
    if size is not None and not LEAST_PIXEL <= size <= LARGEST_PIXEL:
        what = "above 1 nm, which shows no atoms" if size > LARGEST_PIXEL else "below 0.1 pm"
        origin = "given" if sources["pixel_size_from"] == "given" else "in the file"
        text = f"{path}: a pixel size of {size:.4g} nm ({origin}) is {what}; --pixel-size NM (pixel_size) sets another"
        warn(text)
    return Scale(size, time, aspect, sources)


def _aspect(signal: Signal, path: Path, height: float | None, width: float | None) -> float:
    """Return the height of a pixel over its width, 1 for one that is taken as square; warn where it is not."""
    aspect = height / width if height and width else signal.aspect
    if abs(aspect - 1) <= stored.ANISOTROPY:
        return 1.0
    sides = f"a height of {aspect:.3g} times their width"
    if height and width:
        sides = f"{width:.6g} nm along x and {height:.6g} nm along y"
    if not 1 / MOST_ELONGATED <= aspect <= MOST_ELONGATED:
        what = "which is too elongated to be resampled; they are taken as square"
        aspect = 1.0
    else:
        what = "resampled to square ones of the shorter side; --pixel-size NM (pixel_size) takes them as square"
    warn(f"{path}: pixels of {sides}, {what}")
    return aspect
