"""Frames of a mapped movie whose pixels are asked once more, for what no result holds: sites, strain, distortion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import xarray as xr
from numpy.typing import NDArray

from bravaismap.movie import missing_pixels, read_frames
from bravaismap.phases.first_look import choose_window
from bravaismap.phases.frame_pixels import AskedFrame, asked_frame, pixel_step_for
from bravaismap.phases.pixels import NEEDED, checked_frames, frame_windows
from bravaismap.phases.reclassification import check_cells
from bravaismap.phases.undoing import without_pickup_of
from bravaismap.result.mapped_movie import mapped_images
from bravaismap.result.phase_map import mapped_frames

__all__ = ["AskedMovie", "asked_movie"]


@dataclass(frozen=True)
class AskedMovie:
    """A mapped movie and which of its frames are asked.

    Attributes
    ----------
    result : Dataset
    images : DataArray (time, y, x)
        Of the movie, with the pixel size of the result.
    numbers : list of int
        Of the frames that are asked, in the order of time.
    pixel_step : int
        Distance in px between the points.
    pixel_size : float or None
        In nm, if it is known.
    """

    result: xr.Dataset
    images: xr.DataArray
    numbers: list[int]
    pixel_step: int
    pixel_size: float | None

    def frames(self, progress: Callable[[int], object] | None) -> Iterator[tuple[int, NDArray[Any], AskedFrame | None]]:
        """Yield number, image and pixels of each frame; no pixels if it is not mapped or shows no lattice.

        Parameters
        ----------
        progress : callable or None
            Called with the number of frames done so far.
        """
        mapped = mapped_frames(self.result)
        for done, (index, frame) in enumerate(read_frames(self.images, self.numbers), 1):
            asked = None
            if mapped[index] and not missing_pixels(frame).all():
                quiet = without_pickup_of(frame)
                asked = asked_frame(quiet, frame_windows(self.result, index), self.pixel_step, self.pixel_size)
            yield index, frame, asked
            if progress is not None:
                progress(done)


def asked_movie(result: xr.Dataset, movie: Any, frames: Sequence[int] | None) -> AskedMovie:
    """Return a mapped movie with the frames of it that are asked.

    Parameters
    ----------
    result : Dataset
        Of a model that measures cells.
    movie : array (time, y, x) or (y, x)
        The frames that were mapped.
    frames : sequence of int, optional
        Their numbers, −1 being the last; all when not given.

    Raises
    ------
    InputError
        If the result holds no measured cells, or the movie or the frames are not those of the result.
    """
    check_cells(result, NEEDED)
    numbers = checked_frames(result, frames)
    images = mapped_images(result, movie)
    step = int(result.attrs.get("pixel_step") or pixel_step_for(choose_window(images).cell))
    return AskedMovie(result, images, numbers, step, result.attrs.get("pixel_size_nm"))
