"""Pictures: TIFF with its calibrated kinds (ImageJ, OME, DigitalMicrograph, FEI, Zeiss), and PNG, JPEG, BMP, GIF."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from bravaismap.errors import InputError
from bravaismap.read.signal import Axis, Index, Signal, at, reading

__all__ = ["read_picture", "read_tiff"]

_PLAIN = ("1", "L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def read_picture(path: Path) -> list[Signal]:
    """Describe a PNG, JPEG, BMP or GIF picture; the resolution tags of these formats are not a pixel size."""
    from PIL import Image

    with reading(path, path.suffix[1:].upper().replace("JPG", "JPEG")), Image.open(path) as picture:
        count, plain = getattr(picture, "n_frames", 1), _is_grey(picture.mode)
        dtype = np.asarray(picture).dtype if picture.mode in _PLAIN else np.dtype(np.uint8)
        shape = (count, picture.height, picture.width) + (() if plain else (3,))
    axes = (Axis("time"), Axis("y"), Axis("x")) + (() if plain else (Axis("rgb"),))
    signal = Signal(path.stem, shape, dtype, partial(_load_picture, str(path)), axes)
    return [at(signal, 0, 0, path.stem)] if count == 1 else [signal]


def _is_grey(mode: str) -> bool:
    return mode in (*_PLAIN, "LA", "La")


def _load_picture(path: str, index: Index) -> np.ndarray:
    from PIL import Image

    frames = []
    with Image.open(path) as picture:
        for i in range(*index[0].indices(getattr(picture, "n_frames", 1))):
            picture.seek(i)
            if picture.mode in _PLAIN:
                frames.append(np.asarray(picture))
            else:
                frames.append(np.asarray(picture.convert("L" if _is_grey(picture.mode) else "RGB")))
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
                return [s for i, one in enumerate(series) for s in _tiff_signals(path, tif, i, one)]
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


def _tiff_signals(path: Path, tif: Any, number: int, series: Any) -> list[Signal]:
    axes = _tiff_axes(tif, number, series)
    name = series.name or str(number)
    name = f"{name} ({number})" if len(tif.series) > 1 and series.name else name
    signal = Signal(name, tuple(series.shape), np.dtype(series.dtype), partial(_load_tiff, str(path), number), axes)
    if "C" in series.axes and series.shape[series.axes.index("C")] > 1:
        where = series.axes.index("C")
        label = "" if len(tif.series) == 1 else f"{name} "
        return [at(signal, where, c, f"{label}channel {c}") for c in range(series.shape[where])]
    return [signal]


def _tiff_axes(tif: Any, number: int, series: Any) -> tuple[Axis, ...]:
    letters = {"T": "time", "Y": "y", "X": "x", "S": "rgb"}
    y, x, time = _tiff_calibration(tif, number, series)
    known = {"time": time, "y": y, "x": x}
    names = [letters.get(letter, letter) for letter in series.axes]
    names = [
        name if name in letters.values() or size == 1 else "" for name, size in zip(names, series.shape, strict=True)
    ]
    if "time" not in names and names.count("") == 1:
        names[names.index("")] = "time"
    return tuple(Axis(name, *known.get(name, (None, ""))) for name in names)


Step = tuple[float | None, str]


def _tiff_calibration(tif: Any, number: int, series: Any) -> tuple[Step, Step, Step]:
    """Return the steps along y, x and time that the metadata of the program that wrote the file give."""
    unknown: Step = (None, "")
    page = series.pages[0]
    if tif.is_ome:
        return _ome_calibration(tif.ome_metadata, number)
    if tif.is_imagej:
        about = tif.imagej_metadata or {}
        unit = str(about.get("unit", ""))
        y, x = (_resolution(page, tag) for tag in ("YResolution", "XResolution"))
        interval = about.get("finterval") or (1 / about["fps"] if about.get("fps") else None)
        unit = "" if unit.casefold() in ("inch", "pixel", "pixels") else unit
        return (y, str(about.get("yunit", unit))), (x, unit), (interval, str(about.get("tunit", "s")))
    for tags in (("65003", "65009", "65010"), (65003, 65009, 65010)):  # DigitalMicrograph: unit, x step, y step
        if all(tag in page.tags for tag in tags):
            unit, x, y = (page.tags[tag].value for tag in tags)
            return (float(y), str(unit)), (float(x), str(unit)), unknown
    if tif.is_fei and "Scan" in (tif.fei_metadata or {}):
        scan = tif.fei_metadata["Scan"]
        return (scan.get("PixelHeight"), "m"), (scan.get("PixelWidth"), "m"), unknown
    if tif.is_sem and "ap_image_pixel_size" in (tif.sem_metadata or {}):
        _, size, unit = tif.sem_metadata["ap_image_pixel_size"]
        return (size, unit), (size, unit), unknown
    return unknown, unknown, unknown


def _resolution(page: Any, tag: str) -> float | None:
    """Return the length of a pixel from a tag that holds pixels per unit as a fraction."""
    if tag not in page.tags:
        return None
    above, below = page.tags[tag].value
    return below / above if above else None


def _ome_calibration(xml: str, number: int) -> tuple[Step, Step, Step]:
    pixels = [element for element in ElementTree.fromstring(xml).iter() if element.tag.endswith("}Pixels")]
    about = pixels[number].attrib if number < len(pixels) else {}

    def step(key: str, default: str) -> Step:
        return (float(about[key]) if key in about else None), about.get(f"{key}Unit", default)

    return step("PhysicalSizeY", "µm"), step("PhysicalSizeX", "µm"), step("TimeIncrement", "s")


def _load_tiff(path: str, number: int, index: Index) -> np.ndarray:
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
