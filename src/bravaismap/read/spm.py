"""Scanning-probe formats: Gwyddion (gwy, gsf), Nanonis (sxm, 3ds) and Omicron Matrix (mtrx)."""

from __future__ import annotations

import io
import re
import struct
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bravaismap.errors import InputError
from bravaismap.read.signal import Axis, Signal, reading, take

__all__ = ["read_3ds", "read_gsf", "read_gwy", "read_mtrx", "read_sxm"]

#: Names of the channel that is taken when none is chosen.
_HEIGHT = ("z", "z forward", "z (forward)", "topography", "height", "topo")
#: The first line of a Gwyddion Simple Field file.
_SIMPLE_FIELD = b"Gwyddion Simple Field 1.0\n"


def _held(name: str, data: np.ndarray, size: tuple[float, float], unit: str, *, preferred: bool) -> Signal:
    """Return the signal of an image in memory, `size` being the height and width of a pixel."""
    axes = (Axis("y", size[0], unit), Axis("x", size[1], unit))
    return Signal(name, data.shape, data.dtype, partial(take, data), axes, preferred)


def _missing(path: Path, package: str) -> InputError:
    return InputError(f'{path}: reading it needs {package}; install it with: pip install "bravaismap[stm]"')


def read_gwy(path: Path) -> list[Signal]:
    """Describe the channels of a Gwyddion file."""
    import gwyfile

    with reading(path, "GWY"):
        with path.open("rb") as file:
            head = file.read(64)
        end = head.find(b"\0", 4)
        if head[:4] == b"GWYP" and end > 0:
            needed = end + 5 + struct.unpack("<I", head[end + 1 : end + 5])[0]
            if path.stat().st_size < needed:
                raise InputError(
                    f"{path}: truncated: {path.stat().st_size} bytes, but it announces {needed}; copy or save it again"
                )
        container = gwyfile.load(str(path))
        keys = sorted(int(m[1]) for key in container if (m := re.fullmatch(r"/(\d+)/data", key)))
        titles = [str(container.get(f"/{key}/data/title", f"channel {key}")) for key in keys]
        return [
            _gwy_signal(title if titles.count(title) == 1 else f"{title} ({key})", title, container[f"/{key}/data"])
            for key, title in zip(keys, titles, strict=True)
        ]


def _gwy_signal(name: str, title: str, field: Any) -> Signal:
    data = np.asarray(field.data)
    unit = field.si_unit_xy.unitstr if field.si_unit_xy is not None else ""
    size = (float(field.yreal) / data.shape[0], float(field.xreal) / data.shape[1])
    return _held(name, data, size, unit, preferred=title.casefold() in _HEIGHT)


def read_gsf(path: Path) -> list[Signal]:
    """Describe the one channel of a Gwyddion Simple Field file: lines of text, zero bytes, float32 from the top.

    The format is that of the Gwyddion user guide, "Simple Field Files".
    """
    with reading(path, "GSF"):
        content = path.read_bytes()
        if not content.startswith(_SIMPLE_FIELD):
            raise ValueError(f"it does not begin with {_SIMPLE_FIELD.decode().strip()!r}")
        text, _, _ = content.partition(b"\0")
        lines = text.decode("utf-8").splitlines()[1:]
        header = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
        if not {"XRes", "YRes"} <= set(header):
            raise ValueError("its header lacks XRes or YRes")
        width, height = int(header["XRes"]), int(header["YRes"])
        start = len(text) + 4 - len(text) % 4  # one to four zero bytes, up to a multiple of four
        needed = start + 4 * width * height
        if min(width, height) < 1 or len(content) < needed:
            raise InputError(
                f"{path}: truncated: {len(content)} bytes, but {width} × {height} values need {needed}; copy it again"
            )
        data = np.frombuffer(content, "<f4", width * height, start).reshape(height, width).astype(np.float32)
        sides = [float(header.get(name, "nan")) for name in ("YReal", "XReal")]
    unit = header.get("XYUnits", "") if np.isfinite(sides).all() else ""
    size = (sides[0] / height, sides[1] / width)
    return [_held(header.get("Title") or path.stem, data, size, unit, preferred=True)]


def read_sxm(path: Path) -> list[Signal]:
    """Describe the channels of a Nanonis scan, forward and backward, as seen from above with y down."""
    try:
        from nanonispy2.read import Scan
    except ImportError as error:
        raise _missing(path, "nanonispy2") from error

    class Header(Scan):  # type: ignore[misc]
        """The header alone: the values are read below, which takes channels of one direction too."""

        def _load_data(self) -> dict[str, Any]:
            return {}

    with reading(path, "sxm"), redirect_stdout(io.StringIO()):
        scan = Header(str(path))
        width, height = (int(n) for n in scan.header["scan_pixels"])
        span_x, span_y = (float(v) for v in scan.header["scan_range"])
        names = _sxm_images(scan.header["data_info"])
        needed = scan.byte_offset + 4 * len(names) * width * height
        if path.stat().st_size < needed:
            raise InputError(
                f"{path}: truncated: {path.stat().st_size} bytes, but it announces {needed}; copy it again"
            )
        values = np.fromfile(path, ">f4", len(names) * width * height, offset=scan.byte_offset)
        upwards = scan.header.get("scan_dir", "down") == "up"
    images = values.reshape(len(names), height, width)
    return [
        _held(
            name,
            image[:: -1 if upwards else 1, :: -1 if name.endswith(" backward") else 1].astype(np.float32),
            (span_y / height, span_x / width),
            "m",
            preferred=name == "Z",
        )
        for name, image in zip(names, images, strict=True)
    ]


def _sxm_images(info: dict[str, tuple[str, ...]]) -> list[str]:
    """Return the name of each image in the order in which they are stored."""
    names = []
    for name, direction in zip(info["Name"], info["Direction"], strict=True):
        names += {"both": [name, f"{name} backward"], "backward": [f"{name} backward"]}.get(direction, [name])
    return names


def read_3ds(path: Path) -> list[Signal]:
    """Describe a Nanonis grid: its topography, and each channel as a stack over the sweep."""
    try:
        from nanonispy2.read import Grid
    except ImportError as error:
        raise _missing(path, "nanonispy2") from error

    class Header(Grid):  # type: ignore[misc]
        """The header alone: the values of an unfinished grid would be filled with zeros in silence."""

        def _load_data(self) -> dict[str, Any]:
            return {"params": np.zeros((1, 1, 5), np.float32)}

    with reading(path, "3ds"), redirect_stdout(io.StringIO()):
        grid = Header(str(path))
        header = grid.header
        width, height = header["dim_px"]
        points, count = header["num_sweep_signal"], header["num_parameters"]
        channels = list(header["channels"])
        per_pixel = count + points * len(channels)
        needed = grid.byte_offset + 4 * per_pixel * width * height
        if path.stat().st_size < needed:
            raise InputError(
                f"{path}: truncated: {path.stat().st_size} bytes, but it announces {needed}; copy it again"
            )
        values = np.fromfile(path, ">f4", per_pixel * width * height, offset=grid.byte_offset)
        size = (header["size_xy"][1] / height, header["size_xy"][0] / width)
    cube = values.reshape(height, width, per_pixel)[::-1].astype(np.float32)  # a grid is recorded upwards
    signals = [_held("topo", cube[..., 4], size, "m", preferred=True)] if count > 4 else []
    for i, channel in enumerate(channels):
        start = count + i * points
        stack = np.ascontiguousarray(np.moveaxis(cube[..., start : start + points], -1, 0))
        axes = (Axis("sweep"), Axis("y", size[0], "m"), Axis("x", size[1], "m"))
        signals.append(Signal(channel, stack.shape, stack.dtype, partial(take, stack), axes))
    return signals


def read_mtrx(path: Path) -> list[Signal]:
    """Describe the traces of an Omicron Matrix image (``*_mtrx``), which needs its ``_0001.mtrx`` file beside it."""
    try:
        from access2thematrix import MtrxData
    except ImportError as error:
        raise _missing(path, "access2theMatrix") from error
    if path.suffix.casefold() == ".mtrx":
        raise InputError(f"{path}: holds the parameters of a Matrix session; give an image file such as *.Z_mtrx")
    with reading(path, "mtrx"), redirect_stdout(io.StringIO()):
        matrix = MtrxData()
        traces, message = matrix.open(str(path))
        if not traces:
            chain = path.name[: path.name.rfind("--")] + "_0001.mtrx"
            what = "" if (path.parent / chain).exists() else f"; its parameter file {chain} must lie beside it"
            what = what or "; it may be truncated or damaged: copy it and its parameter files again"
            raise InputError(f"{path}: {message.rstrip('.')}{what}")
        if matrix.axis is None:
            raise InputError(f"{path}: holds curves; expected an image")
        return [_mtrx_signal(matrix, trace) for trace in traces.values()]


def _mtrx_signal(matrix: Any, trace: str) -> Signal:
    image, _ = matrix.select_image(trace)
    data = np.asarray(image.data)[::-1]  # the first line is the lowest
    size = (image.height / data.shape[0], image.width / data.shape[1])
    return _held(trace, data, size, "m", preferred=trace == "forward/up")
