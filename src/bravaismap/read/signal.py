"""One array of a file, described but not yet loaded, and how it becomes a movie.

Every reader of this package returns a list of `Signal`. A signal knows its shape, its type and the step of its axes,
and loads any part of itself on request, so that the choice between signals, the concatenation of a folder and the
decision to stay lazy are made here, once, for all formats.
"""

from __future__ import annotations

import logging
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from bravaismap.errors import InputError

__all__ = [
    "CHUNK_BYTES",
    "LAZY_BYTES",
    "Axis",
    "Signal",
    "at",
    "channels",
    "choose",
    "frame_period",
    "frames",
    "load_raw",
    "nanometres",
    "pixel_sides",
    "raw_signal",
    "reading",
    "roles",
    "seconds",
    "take",
]

#: Movies larger than this stay on disk and are read frame by frame (bytes).
LAZY_BYTES: int = 100_000_000
#: Size of a block of whole frames of a lazy movie (bytes).
CHUNK_BYTES: int = 32_000_000
#: Relative difference between the sides of a pixel above which it is reported.
ANISOTROPY: Final = 0.005
#: Rec. 601 weights of red, green and blue.
LUMA: Final = np.array([0.299, 0.587, 0.114])
_COLOURS: Final = {"red": 0, "green": 1, "blue": 2, "0": 0, "1": 1, "2": 2}

Index = tuple[slice, ...]

_NM: Final = {
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1e9),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e7),
    **dict.fromkeys(("mm", "millimeter", "millimetre", "millimeters"), 1e6),
    **dict.fromkeys(("um", "micron", "microns", "micrometer", "micrometers", "micrometre", "micrometres"), 1e3),
    **dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), 1.0),
    **dict.fromkeys(("å", "a", "ang", "angstrom", "angstroms", "ångström", "ångstrom", "angström", "ångströms"), 0.1),
    **dict.fromkeys(("pm", "picometer", "picometers", "picometre", "picometres"), 1e-3),
}
_SECONDS: Final = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}


class Axis(NamedTuple):
    """Name, step and unit of one axis, as far as the file says; a step of None is unknown."""

    name: str = ""
    step: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Signal:
    """An array of a file: what it is called, its shape as stored, its axes, and how to load a part of it.

    `load` takes one slice per stored axis and can be pickled, so that a lazy movie can be computed anywhere. `colour`
    marks what is in colour and loads as luma. `channel` is the name of the detector or dye where it is not that of the
    signal. `aspect` is the height of a pixel over its width where only that is known of its size. `playback` says that
    the time of a frame is the one for which it is shown.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    load: Callable[[Index], np.ndarray]
    axes: tuple[Axis, ...] = ()
    preferred: bool = False
    colour: bool = False
    channel: str = ""
    aspect: float = 1.0
    playback: bool = False

    @property
    def is_image(self) -> bool:
        """Whether the array could be an image or a movie."""
        return self.dtype.kind in "buif" and len(self.shape) >= 2 and min(self.shape[-2:]) > 0

    def __str__(self) -> str:
        return f"{self.name!r} {self.shape} {self.dtype}"


def take(array: np.ndarray, index: Index) -> np.ndarray:
    """Return a part of an array that is in memory already."""
    return array[index]


def at(signal: Signal, axis: int, position: int, name: str, *, preferred: bool = False) -> Signal:
    """Return the part of a signal at one position of an axis (one channel, say) as a signal of its own."""
    names = signal.axes or (Axis(),) * len(signal.shape)
    return replace(
        signal,
        name=name,
        shape=signal.shape[:axis] + signal.shape[axis + 1 :],
        axes=names[:axis] + names[axis + 1 :],
        load=partial(_load_at, signal.load, axis, position),
        preferred=preferred,
    )


def _load_at(load: Callable[[Index], np.ndarray], axis: int, position: int, index: Index) -> np.ndarray:
    inserted = (*index[:axis], slice(position, position + 1), *index[axis:])
    return np.squeeze(load(inserted), axis=axis)


def channels(signal: Signal, axis: int, names: Sequence[str], label: str = "") -> list[Signal]:
    """Return the channels that lie along an axis of a signal, each under its name with `label` before it."""
    parts = [at(signal, axis, c, label + name, preferred=signal.preferred) for c, name in enumerate(names)]
    return [replace(part, channel=name) for part, name in zip(parts, names, strict=True)]


def raw_signal(
    path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], *, name: str, axes: tuple[Axis, ...] = ()
) -> Signal:
    """Return the signal of an array that lies uncompressed at `offset` bytes into a file."""
    needed = offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    found = path.stat().st_size
    if found < needed:
        raise InputError(
            f"{path}: truncated: {found} bytes, but its header announces {needed}; copy it again from where it came"
        )
    return Signal(name, shape, dtype, partial(load_raw, str(path), offset, shape, dtype), axes)


def load_raw(path: str, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], index: Index) -> np.ndarray:
    """Return a part of an array that lies uncompressed in a file, which is closed again."""
    return np.array(np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)[index])


@contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a library raises on a file into an `InputError` that names it, and keep its warnings quiet."""
    logger = logging.getLogger("tifffile")
    propagates, logger.propagate = logger.propagate, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(
            f"{path}: announces more than fits into the memory; it may be damaged: copy or save it again"
        ) from error
    except Exception as error:
        raise InputError(_unreadable(path, kind, error)) from error
    finally:
        logger.propagate = propagates


def _unreadable(path: Path, kind: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    found = _starts_as(path)
    if found and found.lower() not in kind.lower() and kind.lower() not in found.lower():
        return f"{path}: expected {kind}, found {found}; give it the extension of what it is, or save it again"
    return f"{path}: cannot be read as {kind} ({reason}); it may be truncated or damaged: copy or save it again"


def _starts_as(path: Path) -> str:
    """Return what the first bytes of a file say it is, "" when they say nothing."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError:  # a folder, or a file that the microscope keeps to itself meanwhile
        return ""
    marks = {
        b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"\x89HDF": "HDF5", b"\x93NUMPY": "NPY", b"PK\x03\x04": "ZIP",
        b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"MM\0+": "TIFF", b"GWYP": "GWY",
        b"Gwyddion Simple Field": "GSF", b"%PDF": "PDF",
        b":NANONIS_VERSION": "sxm", b"Grid dim=": "3ds", b"BM": "BMP", b"GIF8": "GIF",
    }  # fmt: skip
    for mark, name in marks.items():
        if head.startswith(mark):
            return name
    printable = sum(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)
    return "text" if head and printable > 0.95 * len(head) else ""


def choose(signals: Sequence[Signal], dataset: str | None, path: Path, channel: str | None = None) -> Signal:
    """Return the signal that is asked for, or the only or preferred one.

    Parameters
    ----------
    signals : sequence of Signal
    dataset, channel : str, optional
        Name or number of a dataset, and of a channel; that of a colour picture is red, green or blue.
    path : Path
        For the message.

    Raises
    ------
    InputError
        If the file holds several and none is chosen, or none of the name; each is listed with its shape.
    """
    if not signals:
        raise InputError(f"{path}: no array in it; expected an image (y, x) or a movie (time, y, x)")
    if dataset is not None:
        signals = [_named(signals, dataset, path)]
    if channel is not None:
        signals = _of_channel(signals, channel, path)
    images = [s for s in signals if s.is_image]
    if len(images) == 1 or len(signals) == 1:
        return (images or list(signals))[0]
    preferred = [s for s in images if s.preferred]
    if len(preferred) == 1:
        return preferred[0]
    several = preferred or images or list(signals)
    option = "channel" if all(s.channel for s in several) and channel is None else "dataset"
    raise InputError(
        f"{path}: holds {len(several)} {'images' if images else 'arrays, none of them an image'}: "
        f"{_listed(several)}; choose one with --{option} NAME ({option}='NAME')"
    )


def _of_channel(signals: Sequence[Signal], channel: str, path: Path) -> list[Signal]:
    """Return the signals of a channel: by its name, its number, or the colour of a picture."""
    names = list(dict.fromkeys(s.channel or s.name for s in signals))
    wanted = channel.strip().casefold()
    named = next((n for n in names if n == channel), None) or next((n for n in names if n.casefold() == wanted), None)
    if named is None and len(signals) == 1 and "rgb" in roles(signals[0]) and wanted in _COLOURS:
        axis = roles(signals[0]).index("rgb")
        if signals[0].shape[axis] >= 3:
            return [at(signals[0], axis, _COLOURS[wanted], wanted)]
    if named is None and channel.isdecimal() and int(channel) < len(names):
        named = names[int(channel)]
    if named is None:
        raise InputError(
            f"{path}: no channel {channel!r} in it; it holds {', '.join(map(repr, names[:12]))}; "
            "choose one with --channel NAME"
        )
    return [s for s in signals if (s.channel or s.name) == named]


def _named(signals: Sequence[Signal], dataset: str, path: Path) -> Signal:
    wanted = dataset.strip("/").casefold()
    tests: list[Callable[[Signal], bool]] = [
        lambda s: s.name.strip("/") == dataset.strip("/"),
        lambda s: s.name.strip("/").casefold() == wanted,
        lambda s: s.name.rsplit("/", 1)[-1].casefold() == wanted,
    ]
    for test in tests:
        matching = [s for s in signals if test(s)]
        if len(matching) == 1:
            return matching[0]
    numbered = re.fullmatch(r"channel (\d{1,9})", wanted)
    separate = [s for s in signals if s.channel]
    if numbered and int(numbered[1]) < len(separate):
        return separate[int(numbered[1])]
    if dataset.isdecimal() and int(dataset) < len(signals):
        return signals[int(dataset)]
    raise InputError(
        f"{path}: no dataset {dataset!r} in it; it holds {_listed(signals)}; choose one with --dataset NAME"
    )


def _listed(signals: Sequence[Signal], most: int = 12) -> str:
    return ", ".join(map(str, signals[:most])) + (f" and {len(signals) - most} more" if len(signals) > most else "")


def roles(signal: Signal) -> tuple[str, ...]:
    """Return what each stored axis is: "time", "y", "x", "rgb", or "-" for an axis of one element to drop.

    The names of the axes decide where the file gives them; otherwise the order is (time, y, x), and a last axis of 3 or
    4 elements of uint8 is colour.
    """
    shape = signal.shape
    axes = signal.axes or (Axis(),) * len(shape)
    names = [axis.name.strip().casefold() for axis in axes]
    result = [""] * len(shape)
    unnamed = not any(names)
    if "rgb" in names:
        result[names.index("rgb")] = "rgb"
    elif len(shape) in (3, 4) and unnamed and shape[-1] in (3, 4) and signal.dtype == np.uint8:
        result[-1] = "rgb"
    elif len(shape) > 2 and shape[-1] == 1:
        result[-1] = "-"
    for i, size in enumerate(shape):
        if result.count("") > 3 and size == 1 and not result[i]:
            result[i] = "-"
    left = [i for i, role in enumerate(result) if not role]
    if not 2 <= len(left) <= 3:
        axes_found = f"{len(shape)} dimension{'' if len(shape) == 1 else 's'} of shape {shape}"
        raise InputError(
            f"an array with {axes_found} was found; expected an image (y, x) or a movie (time, y, x): "
            "save the part that is one"
        )
    for i, role in zip(left, _placed([axes[i] for i in left]), strict=True):
        result[i] = role
    return tuple(result)


def _placed(axes: list[Axis]) -> tuple[str, ...]:
    names = [axis.name.strip().casefold() for axis in axes]
    for axis in axes:
        if axis.unit.strip().casefold() in ("ev", "kev"):
            raise InputError(f"a spectrum (axis in {axis.unit}) was found; expected an image or a movie")
    if names.count("x") == 1 and names.count("y") == 1:
        return tuple(name if name in ("x", "y") else "time" for name in names)
    if len(axes) == 3:
        timed = [i for i, a in enumerate(axes) if names[i] in ("time", "t") or seconds(1.0, a.unit) is not None]
        order = ["y", "x"]
        order.insert(timed[0] if len(timed) == 1 else 0, "time")
        return tuple(order)
    return ("y", "x")


def frames(signal: Signal, index: slice) -> np.ndarray:
    """Load the frames of a slice, shape (time, y, x), colour turned to luminance, in native byte order."""
    role = roles(signal)
    data = signal.load(tuple(index if r == "time" else slice(None) for r in role))
    return _arranged(np.asarray(data), role)


def _arranged(data: np.ndarray, role: tuple[str, ...]) -> np.ndarray:
    data = np.squeeze(data, axis=tuple(i for i, r in enumerate(role) if r == "-"))
    kept = [r for r in role if r != "-"]
    wanted = [r for r in ("time", "y", "x", "rgb") if r in kept]
    data = np.transpose(data, [kept.index(r) for r in wanted])
    if "time" not in kept:
        data = data[None]
    if "rgb" in kept:
        data = (data[..., :3] @ LUMA).astype(np.float32) if data.shape[-1] >= 3 else data[..., 0]
    if data.dtype.kind == "b":
        return data.astype(np.uint8)
    return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))


def nanometres(step: float | None, unit: str) -> float | None:
    """Return a length in nm; None for a unit that is not a length, or a step that is not a positive finite number."""
    return _scaled(step, unit, _NM)


def seconds(step: float | None, unit: str) -> float | None:
    """Return a time in s; None for a unit that is not a time, or a step that is not a positive finite number."""
    return _scaled(step, unit, _SECONDS)


def _scaled(step: float | None, unit: str, table: dict[str, float]) -> float | None:
    word = _unit_word(unit)
    factor = table.get(word.casefold()) if word not in ("MS", "Mm", "PM", "H") else None
    if factor is None or step is None or not np.isfinite(step) or step == 0:
        return None
    return abs(float(step)) * factor


def _unit_word(unit: str) -> str:
    r"""Return a unit in one spelling: escapes such as ``\u00B5`` and composed letters resolved, the micro sign as u."""
    word = re.sub(r"\\[uU]([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), unit)
    with suppress(UnicodeError):  # UTF-8 that a program took for Latin-1
        word = word.encode("latin-1").decode("utf-8")
    word = unicodedata.normalize("NFKC", word)  # one letter for the micro sign and mu, one for the Ångström sign and Å
    word = word.replace("\N{GREEK SMALL LETTER MU}", "u").replace("_", "").replace("\0", "").strip(" []()\t\r\n")
    return re.sub(r"\s*(/|per)\s*(px|pixels?)$", "", word, flags=re.IGNORECASE)


def pixel_sides(signal: Signal) -> tuple[float | None, float | None]:
    """Return the height and width of a pixel in nm, each None when unknown."""
    steps = dict(zip(roles(signal), signal.axes, strict=False))
    found = [nanometres(steps[d].step, steps[d].unit) if d in steps else None for d in ("y", "x")]
    return found[0], found[1]


def frame_period(signal: Signal) -> float | None:
    """Return the time from one frame to the next in s, None when unknown."""
    steps = dict(zip(roles(signal), signal.axes, strict=False))
    return seconds(steps["time"].step, steps["time"].unit) if "time" in steps else None
