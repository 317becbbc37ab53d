"""How a command reads an image or movie: which part of it, in which scale, and one line that says what was read."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bravaismap.terminal import opening

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Reading"]


@dataclass(frozen=True)
class Reading:
    """What a command was told of how to read its input.

    Attributes
    ----------
    dataset, channel, frames, crop, bin, pixel_size, frame_time
        As :func:`bravaismap.read` takes them.
    """

    dataset: str | None = None
    channel: str | None = None
    frames: str | None = None
    crop: str | None = None
    bin: int = 1
    pixel_size: float | None = None
    frame_time: float | None = None

    def __call__(self, source: str, *, timed: bool = True) -> xr.DataArray:
        """Read a source and say what it is.

        Parameters
        ----------
        source : str
        timed : bool
            Whether the command needs the time of a frame, so that one which is only a playback rate is warned of.
        """
        from bravaismap.errors import BravaismapWarning
        from bravaismap.io.description import movie_line, playback_warning
        from bravaismap.io.read import read

        movie = read(source, **asdict(self))
        opening(movie_line(movie))
        doubt = playback_warning(movie) if timed else None
        if doubt is not None:
            warnings.warn(doubt, BravaismapWarning, stacklevel=2)
        return movie
