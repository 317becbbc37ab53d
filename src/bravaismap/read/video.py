"""Video files in, lazily."""

from __future__ import annotations

import re
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bravaismap.errors import InputError, OutputError
from bravaismap.read.signal import Axis, Index, Signal, reading

__all__ = ["read_video", "require_ffmpeg"]

#: On Windows, no console opens for ffmpeg.
_WINDOWLESS = int(getattr(subprocess, "CREATE_NO_WINDOW", 0))


def read_video(path: Path) -> list[Signal]:
    """Describe a video (mp4, avi, mov, mkv): the luma of its frames; colour is found in its first frame."""
    ffmpeg = require_ffmpeg(InputError, f"{path}: reading it")
    with reading(path, f"a video ({path.suffix[1:]})"):
        _check_container(path)
        try:
            count, last = ffmpeg.count_frames_and_secs(str(path))
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1][-120:]
            raise InputError(
                f"{path}: no video stream can be decoded ({reason}); it may be truncated or damaged: "
                "copy or save it again"
            ) from error
        first = ffmpeg.read_frames(str(path), pix_fmt="rgb24", output_params=["-frames:v", "1"])
        try:
            about = next(first)
            raw = next(first, b"")
        finally:
            first.close()
    if count < 1 or not raw:
        raise InputError(f"{path}: no frame in it; save the video again")
    width, height = about["size"]
    fps = _exact_rate(float(about.get("fps") or 0))
    deep = any(mark in str(about.get("pix_fmt", "")) for mark in ("10le", "12le", "14le", "16le", "16be"))
    durations = (float(about.get("duration") or 0), last)  # they differ where the frames do not begin at time 0
    constant = fps > 0 and all(abs(count / fps - duration) < 0.01 + 0.1 / fps for duration in durations)
    dtype = np.dtype(np.uint16 if deep else np.uint8)
    load = partial(_load_video, str(path), (count, height, width), dtype, fps if constant else None)
    time = Axis("time", 1 / fps if fps else None, "s")
    axes = (time, Axis("y"), Axis("x"))
    colour, aspect = _is_coloured(raw, width, height), _aspect(ffmpeg, path)
    shape = (count, height, width)
    return [Signal(path.stem, shape, dtype, load, axes, colour=colour, aspect=aspect, playback=True)]


def _aspect(ffmpeg: Any, path: Path) -> float:
    """Return the height of a pixel over its width: the inverse of the sample aspect ratio that ffmpeg reports."""
    command = [ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-i", str(path)]  # fails, having described the file
    done = subprocess.run(command, capture_output=True, check=False, creationflags=_WINDOWLESS)
    streams = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if " Video: " in line]
    ratio = re.search(r"\bSAR (\d+):(\d+)", streams[0]) if streams else None
    return int(ratio[2]) / int(ratio[1]) if ratio and int(ratio[1]) and int(ratio[2]) else 1.0


def _check_container(path: Path) -> None:
    """Raise `ValueError` unless the file is a video by its first bytes.

    ffmpeg takes playlists, which lead to other files, whatever their extension; they are refused here.
    """
    with path.open("rb") as file:
        head = file.read(12)
    quicktime = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
    if not (quicktime or (head[:4] == b"RIFF" and head[8:] == b"AVI ") or head[:4] == b"\x1aE\xdf\xa3"):
        raise ValueError("its first bytes are not those of an mp4, mov, avi or mkv file")


def _exact_rate(fps: float) -> float:
    """Return the frame rate that is meant by one rounded to two digits, such as 29.97 for 30000/1001."""
    return next((n / 1001 for n in (24000, 30000, 60000, 120000) if abs(n / 1001 - fps) < 0.005), fps)


def _is_coloured(raw: bytes, width: int, height: int) -> bool:
    """Return whether the channels of a frame differ by more than compression makes them."""
    rgb = np.frombuffer(raw, np.uint8).reshape(height, width, 3).astype(np.int16)
    return bool(np.mean(np.ptp(rgb, axis=-1)) > 4)


def _load_video(
    path: str, shape: tuple[int, int, int], dtype: np.dtype[Any], fps: float | None, index: Index
) -> np.ndarray:
    """Decode the frames of a slice: from the nearest key frame at a constant rate, else from the beginning."""
    start, stop, step = index[0].indices(shape[0])
    count = stop - start
    seek = ["-ss", f"{(start - 0.5) / fps:.6f}"] if fps and start else []
    skip = ["-vf", f"select=gte(n\\,{start})"] if start and not fps else []
    command = [
        require_ffmpeg(InputError, f"{path}: reading it").get_ffmpeg_exe(), "-v", "error", "-nostdin", *seek,
        "-i", path, "-map", "0:v:0", *skip, "-frames:v", str(count), "-fps_mode", "passthrough",
        "-pix_fmt", "gray" if dtype.itemsize == 1 else "gray16le", "-f", "rawvideo", "-",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False, creationflags=_WINDOWLESS)
    found = len(done.stdout) // (shape[1] * shape[2] * dtype.itemsize)
    if found != count:
        raise InputError(
            f"{path}: {found} frames decoded from frame {start} on, expected {count}; "
            "the video is truncated or damaged: copy or save it again"
        )
    return np.frombuffer(done.stdout, dtype).reshape(count, *shape[1:])[(slice(None, None, step), *index[1:])]


def require_ffmpeg(error: type[InputError] | type[OutputError], purpose: str) -> Any:
    """Return imageio-ffmpeg, or raise an error of the given kind that says what needs it and how to install it."""
    try:
        import imageio_ffmpeg
    except ImportError as missing:
        raise error(f'{purpose} needs imageio-ffmpeg; install it with: pip install "bravaismap[video]"') from missing
    return imageio_ffmpeg
