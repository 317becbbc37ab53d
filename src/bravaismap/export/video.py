"""Video files, of a result or of any frames."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.errors import InputError, OutputError
from bravaismap.files import advice, made_folder, replacing
from bravaismap.read.video import require_ffmpeg

__all__ = ["export_video", "write_video"]


def export_video(
    result: xr.Dataset,
    path: str | os.PathLike[str],
    images: Any = None,
    fps: float = 8.0,
    *,
    progress: Callable[[int], object] | None = None,
) -> list[Path]:
    """Write the movie of the probability maps of all classes.

    Parameters
    ----------
    result : Dataset
        As :func:`~bravaismap.map_phases` returns it; it is read one frame at a time.
    path : str or path
        Ends in ``.mp4``. Its folder is created if it does not exist; an existing file is replaced.
    images : movie (time, y, x), optional
        Drawn beside the maps.
    fps : float
        Frames per second.
    progress : callable, optional
        Called with the number of frames written so far.

    Returns
    -------
    list of Path
        The file written.

    Raises
    ------
    InputError
        If the images do not belong to the result, or `fps` is not positive.
    OutputError
        If imageio-ffmpeg is missing, or the file cannot be written.
    """
    from bravaismap.export.video import write_video
    from bravaismap.show.movie import probability_frames

    path = Path(path)
    made_folder(path.parent)
    with advice(path):
        write_video(path, _counted(probability_frames(result, images), progress), fps)
    return [path]


def _counted(frames: Iterable[np.ndarray], progress: Callable[[int], object] | None) -> Iterator[np.ndarray]:
    for done, frame in enumerate(frames, 1):
        yield frame
        if progress is not None:
            progress(done)


def write_video(path: str | os.PathLike[str], frames: Iterable[np.ndarray], fps: float) -> None:
    """Write frames as a video (H.264, yuv420p); the file appears under its name only when it is complete.

    Parameters
    ----------
    path : str or path
        Ends in ``.mp4`` or the name of another container of H.264. An existing file is replaced.
    frames : iterable of array, shape (y, x, 3), uint8
        Red, green, blue; all of one size. An odd height or width is padded by repeating the last row or column.
    fps : float
        Frames per second.

    Raises
    ------
    OutputError
        If imageio-ffmpeg is missing, or the file cannot be written.
    InputError
        If there is no frame, or one differs in shape or type.
    """
    target = Path(path)
    ffmpeg = require_ffmpeg(OutputError, f"{target}: writing it")
    if not target.parent.is_dir():
        raise OutputError(f"{target}: the folder {target.parent} does not exist; make it or choose another")
    if not fps > 0:
        raise InputError(f"{fps} frames per second were given; expected a positive number")
    source = iter(frames)
    first = next(source, None)
    if first is None:
        raise InputError(f"{target}: no frames were given; expected at least one")
    _check_frame(first, first.shape)
    height, width = first.shape[:2]
    with replacing(target) as temporary:
        writer = ffmpeg.write_frames(
            str(temporary),
            (width + width % 2, height + height % 2),
            fps=fps,
            codec="libx264",
            pix_fmt_out="yuv420p",
            quality=8,
            macro_block_size=1,
            ffmpeg_log_level="error",
        )
        _send(writer, chain([first], source), first.shape, target)
        if not temporary.exists():
            raise OutputError(f"{target}: no video was written; name it .mp4 in a folder that exists and is writable")


def _send(writer: Any, frames: Iterable[np.ndarray], shape: tuple[int, ...], target: Path) -> None:
    """Send the frames to ffmpeg and wait until it has finished."""
    try:
        writer.send(None)
        for frame in frames:
            _check_frame(frame, shape)
            padded = np.pad(frame, ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0)), mode="edge")
            writer.send(np.ascontiguousarray(padded))
    except OSError as error:
        reason = " ".join(str(error).split())[-160:]
        raise OutputError(f"{target}: the video cannot be written ({reason}); choose another folder or name") from error
    finally:
        writer.close()


def _check_frame(frame: np.ndarray, shape: tuple[int, ...]) -> None:
    if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8 or frame.shape != shape:
        raise InputError(
            f"a video frame of shape {frame.shape} and type {frame.dtype} was given; expected {(*shape[:2], 3)} uint8"
        )
