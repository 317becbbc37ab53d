"""Pictures: TIFF, whose pages of one size are the frames of a movie, and PNG, JPEG, BMP, GIF."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bravaismap.errors import InputError
from bravaismap.read.signal import Axis, Index, Signal, at, channels, reading
from bravaismap.read.tifftags import channel_names, shown_greys, tiff_steps

__all__ = ["read_picture", "read_tiff"]

#: Channels that ImageJ shows together at most (CompositeImage.MAX_CHANNELS in its source).
_MOST_CHANNELS = 7
_PLAIN = ("1", "L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def read_picture(path: Path) -> list[Signal]:
    """Describe a PNG, JPEG, BMP or GIF picture; the resolution tags of these formats are not a pixel size."""
    from PIL import Image

    with reading(path, path.suffix[1:].upper().replace("JPG", "JPEG")), Image.open(path) as picture:
        count = getattr(picture, "n_frames", 1)
        plain = all(_is_grey(picture, frame) for frame in range(count))
        dtype = np.asarray(picture).dtype if picture.mode in _PLAIN else np.dtype(np.uint8)
        dots = picture.info.get("dpi") or picture.info.get("aspect") or picture.info.get("jfif_density") or (1, 1)
        shape = (count, picture.height, picture.width) + (() if plain else (3,))
    axes = (Axis("time"), Axis("y"), Axis("x")) + (() if plain else (Axis("rgb"),))
    load = partial(_load_picture, str(path), not plain)
    signal = Signal(path.stem, shape, dtype, load, axes, aspect=_aspect(dots))
    return [at(signal, 0, 0, path.stem)] if count == 1 else [signal]


def _aspect(dots: tuple[float, float]) -> float:
    """Return the height of a pixel over its width from the dots per length along x and y, which need not be a size."""
    x, y = (float(n) for n in dots)
    return x / y if x > 0 and y > 0 and 0.25 <= x / y <= 4 else 1.0


def _is_grey(picture: Any, frame: int) -> bool:
    """Return whether a frame is in grey, or its palette has no colour that the picture uses."""
    picture.seek(frame)
    if picture.mode in ("P", "PA"):
        used = {number for _, number in picture.getchannel(0).getcolors()}
        colours = np.array(picture.getpalette("RGB")).reshape(-1, 3)
        return bool(all(len({*colours[number].tolist()}) == 1 for number in used if number < len(colours)))
    if picture.format == "GIF" and picture.mode in ("RGB", "RGBA"):  # as Pillow gives the frames after the first
        pixels = np.asarray(picture.convert("RGB"))
        return bool((pixels == pixels[..., :1]).all())
    return picture.mode in (*_PLAIN, "LA", "La")


def _load_picture(path: str, coloured: bool, index: Index) -> np.ndarray:
    from PIL import Image

    frames = []
    with Image.open(path) as picture:
        for i in range(*index[0].indices(getattr(picture, "n_frames", 1))):
            picture.seek(i)
            if picture.mode in _PLAIN:
                frames.append(np.asarray(picture))
            else:
                frames.append(np.asarray(picture.convert("RGB" if coloured else "L")))
    return np.stack(frames)[(slice(None), *index[1:])]


def read_tiff(path: Path) -> list[Signal]:
    """Describe the series of a TIFF file; files that its OME metadata names are not opened."""
    import tifffile

    log = _Log()
    logger = logging.getLogger("tifffile")
    with reading(path, "TIFF"):
        logger.addHandler(log)
        try:
            with tifffile.TiffFile(path, _multifile=False) as tif:
                series = list(tif.series)
                if log.lines or not series:
                    raise InputError(
                        f"{path}: truncated or damaged TIFF ({(log.lines or ['no image in it'])[0][:120]}); "
                        "copy or save it again"
                    )
                _check_complete(path, series)
                return _tiff_signals(path, tif)
        finally:
            logger.removeHandler(log)


class _Log(logging.Handler):
    """Keeps what tifffile reports as wrong instead of raising it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= logging.ERROR or "invalid" in text or "corrupt" in text or "missing data" in text:
            self.lines.append(" ".join(text.split()))


def _check_complete(path: Path, series: list[Any]) -> None:
    """Raise `InputError` if a page lies beyond the end of the file."""
    found = path.stat().st_size
    for one in series:
        ends = [one.dataoffset + one.nbytes] if one.dataoffset is not None else []
        for page in (one.pages[0], one.pages[-1]):
            ends += [o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False)] if page else []
        if max(ends, default=0) > found:
            raise InputError(f"{path}: truncated: {found} bytes, but it announces {max(ends)}; copy or save it again")


def _tiff_signals(path: Path, tif: Any) -> list[Signal]:
    """Describe the movies and images of a TIFF file: pages of one size and type are the frames of a movie."""
    groups = _alike(tif)
    lengths = [sum(_length(tif.series[number]) for number in numbers) for numbers in groups]
    whole = [not tif.series[numbers[0]].pages[0].is_reduced for numbers in groups]
    signals: list[Signal] = []
    for numbers, length in zip(groups, lengths, strict=True):
        # a page beside a movie, or a reduced one beside an image, is there for show
        alone = (lengths.count(1) == len(groups) - 1 and length > 1) or (
            sum(whole) == 1 and whole[len(signals)] and max(lengths) == 1
        )
        signals += _described(path, tif, numbers, preferred=alone and len(groups) > 1)
    return signals


def _alike(tif: Any) -> list[list[int]]:
    """Return the numbers of the series, those together whose frames are of one size and type.

    tifffile makes a series of every page that was written by a call of its own. The series of an OME file, and those
    with channels, are apart on purpose.
    """
    groups: dict[Any, list[int]] = {}
    for number, series in enumerate(tif.series):
        page = series.pages[0]
        paged = len(series.pages) == _length(series) and set(series.axes.replace("S", "")[:-2]) <= {*"TIQZR"}
        key = (page.shape, np.dtype(series.dtype), page.photometric, page.is_reduced)
        groups.setdefault(key if paged and not tif.is_ome else number, []).append(number)
    return list(groups.values())


def _length(series: Any) -> int:
    """Return how many frames a series has."""
    return int(np.prod([n for n, axis in zip(series.shape, series.axes, strict=True) if axis not in "YXS"]))


def _described(path: Path, tif: Any, numbers: list[int], *, preferred: bool) -> list[Signal]:
    """Describe the series of these numbers, which are alike; their channels are apart."""
    first = tif.series[numbers[0]]
    name = first.name or str(numbers[0])
    name = f"{name} ({numbers[0]})" if len(tif.series) > len(numbers) and first.name else name
    signal = _stack(path, tif, numbers, name) if len(numbers) > 1 else _series(path, tif, numbers[0], name)
    signal = replace(_as_shown(signal, tif, first.pages[0]), preferred=preferred)
    letters = _axes_of(tif, first)
    if len(numbers) == 1 and "C" in letters and first.shape[letters.index("C")] > 1:
        where = letters.index("C")
        names = channel_names(tif, numbers[0], first.shape[where])
        return channels(signal, where, names, "" if len(tif.series) == 1 else f"{name} ")
    return [signal]


def _axes_of(tif: Any, series: Any) -> str:
    """Return the letters of the axes of a series.

    More channels than ImageJ shows together, and neither times nor slices beside them, are frames: tifffile writes a
    stack so where it is told nothing of its axes.
    """
    axes = str(series.axes)
    many = "C" in axes and series.shape[axes.index("C")] > _MOST_CHANNELS
    return axes.replace("C", "T") if tif.is_imagej and many and not {*"TZ"} & {*axes} else axes


def _series(path: Path, tif: Any, number: int, name: str) -> Signal:
    series = tif.series[number]
    axes = _tiff_axes(tif, number, _axes_of(tif, series), series.shape)
    load = partial(_load_series, str(path), number)
    return Signal(
        name, tuple(series.shape), np.dtype(series.dtype), load, axes, aspect=_printed_aspect(series.pages[0])
    )


def _printed_aspect(page: Any) -> float:
    """Return the height of a pixel over its width from the resolution of a print."""
    fractions = [page.tags[tag].value for tag in ("XResolution", "YResolution") if tag in page.tags]
    if len(fractions) < 2 or not all(fraction[1] for fraction in fractions):
        return 1.0
    return _aspect((fractions[0][0] / fractions[0][1], fractions[1][0] / fractions[1][1]))


def _stack(path: Path, tif: Any, numbers: list[int], name: str) -> Signal:
    """Return the movie whose frames are the pages of several series."""
    pages = [page for number in numbers for page in tif.series[number].pages]
    first = tif.series[numbers[0]]
    shape = (len(pages), *first.pages[0].shape)
    axes = _tiff_axes(tif, numbers[0], "T" + first.axes[-len(shape) + 1 :], shape)
    load = partial(_load_pages, str(path), tuple(int(page.index) for page in pages))
    return Signal(name, shape, np.dtype(first.dtype), load, axes, aspect=_printed_aspect(first.pages[0]))


def _tiff_axes(tif: Any, number: int, letters: str, shape: tuple[int, ...]) -> tuple[Axis, ...]:
    words = {"T": "time", "Y": "y", "X": "x", "S": "rgb"}
    names = [words.get(letter, letter if n == 1 else "") for letter, n in zip(letters, shape, strict=True)]
    if "time" not in names and names.count("") == 1:
        names[names.index("")] = "time"
    steps = tiff_steps(tif, number, tif.series[number].pages[0])._asdict()
    return tuple(Axis(name, *steps.get(name, (None, ""))) for name in names)


def _as_shown(signal: Signal, tif: Any, page: Any) -> Signal:
    """Return a signal whose values are the greys or colours that its palette gives them."""
    greys = shown_greys(tif, page)
    if greys is None or signal.dtype.kind not in "bu":
        return signal
    load = partial(_load_palette, signal.load, greys)
    if greys.ndim == 1:
        return replace(signal, dtype=greys.dtype, load=load)
    axes = (*signal.axes, Axis("rgb"))
    return replace(signal, dtype=greys.dtype, load=load, shape=(*signal.shape, 3), axes=axes)


def _load_palette(load: Callable[[Index], np.ndarray], palette: np.ndarray, index: Index) -> np.ndarray:
    numbers = load(index[:-1] if palette.ndim == 2 else index).astype(np.intp)
    shown = palette[np.minimum(numbers, len(palette) - 1)]
    return shown[..., index[-1]] if palette.ndim == 2 else shown


def _load_pages(path: str, numbers: tuple[int, ...], index: Index) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(path, _multifile=False) as tif:
        pages: list[Any] = [tif.pages[number] for number in numbers[index[0]]]
        return np.stack([page.asarray() for page in pages])[(slice(None), *index[1:])]


def _load_series(path: str, number: int, index: Index) -> np.ndarray:
    import tifffile

    with tifffile.TiffFile(path, _multifile=False) as tif:
        series = tif.series[number]
        if series.dataoffset is not None:
            dtype = np.dtype(series.dtype).newbyteorder(tif.byteorder)
            return np.array(np.memmap(path, dtype, "r", series.dataoffset, series.shape)[index])
        if len(series.pages) == series.shape[0] and len(series.shape) > 2:
            pages: list[Any] = [series.pages[i] for i in range(*index[0].indices(series.shape[0]))]
            return np.stack([page.asarray() for page in pages])[(slice(None), *index[1:])]
        return np.asarray(series.asarray()[index])
