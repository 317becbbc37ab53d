"""Formats of electron microscopes that are their own: DigitalMicrograph (dm3, dm4), TIA (ser) and MRC."""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bravaismap.errors import InputError
from bravaismap.read.signal import Axis, Index, Signal, raw_signal, reading, take

__all__ = ["read_dm", "read_mrc", "read_ser"]

_SER_TYPES = {1: "<u1", 2: "<u2", 3: "<u4", 4: "<i1", 5: "<i2", 6: "<i4", 7: "<f4", 8: "<f8", 9: "<c8", 10: "<c16"}
#: What IMOD writes at byte 152 ("IMOD").
_IMOD = 1146047817
_MRC_TYPES = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2"}


def read_dm(path: Path) -> list[Signal]:
    """Describe the images of a DigitalMicrograph file; its thumbnail is left out."""
    from rsciio.digitalmicrograph import file_reader

    with reading(path, "dm3/dm4"):
        try:
            stored = file_reader(str(path), lazy=True)
        except ValueError as error:
            if "RGBA" not in str(error):
                raise
            stored = file_reader(str(path), lazy=False)
        return [_dm_signal(path, number, image) for number, image in enumerate(stored)]


def _dm_signal(path: Path, number: int, image: dict[str, Any]) -> Signal:
    data = image["data"]
    axes = tuple(Axis(str(a["name"] or ""), float(a["scale"]), str(a["units"] or "")) for a in image["axes"])
    name = str(image["metadata"]["General"].get("title") or f"image {number}")
    if data.dtype.names:
        colours = np.stack([np.asarray(data[c]) for c in "RGB"], axis=-1)
        return Signal(name, colours.shape, colours.dtype, partial(take, colours), (*axes, Axis("rgb")))
    where = image["original_metadata"]["ImageList"]["TagGroup0"]["ImageData"]["Data"]
    if isinstance(where, dict) and data.dtype.kind in "iuf":
        dtype = data.dtype.newbyteorder("<" if where["endian"] == "little" else ">")
        return raw_signal(path, int(where["offset"]), tuple(data.shape), dtype, name=name, axes=axes)
    return Signal(name, tuple(data.shape), np.dtype(data.dtype), partial(take, data), axes)


def read_ser(path: Path) -> list[Signal]:
    """Describe the image or the series of images of a TIA file (.ser)."""
    with reading(path, "ser"), path.open("rb") as file:
        head = file.read(30)
        order, _, version, kind, _, total, valid = struct.unpack("<HHHIIII", head[:22])
        if order != 0x4949:
            raise InputError(f"{path}: does not begin like a TIA file (.ser); give it the extension of what it is")
        if kind != 0x4122:
            raise InputError(f"{path}: holds spectra; expected images")
        wide = version > 0x0210
        table = struct.unpack("<Q", head[22:30])[0] if wide else struct.unpack("<I", head[22:26])[0]
        count = min(total, valid)
        if count < 1:
            raise InputError(f"{path}: holds no valid image; the acquisition may have been stopped before the first")
        file.seek(0)
        period = _ser_period(file, 26 + 4 * wide)
        file.seek(table)
        size = 8 if wide else 4
        if path.stat().st_size < table + 2 * total * size:
            raise InputError(f"{path}: truncated: the table of its images is cut off; copy it again")
        tables = np.frombuffer(file.read(2 * total * size), dtype=f"<u{size}")
        offsets, tags = tables[:count].astype(np.int64), tables[total : total + count].astype(np.int64)
        file.seek(int(offsets[0]))
        fields = struct.unpack("<ddIddIHII", file.read(50))
        dtype = np.dtype(_SER_TYPES[fields[6]])
        width, height = fields[7], fields[8]
        last = int(offsets.max()) + 50 + width * height * dtype.itemsize
        if path.stat().st_size < last:
            raise InputError(f"{path}: truncated: {path.stat().st_size} bytes, but it announces {last}; copy it again")
        period = period or _ser_mean_period(file, tags)
    frame = (Axis("y", *_ser_step(fields[4])), Axis("x", *_ser_step(fields[1])))
    load = partial(_load_ser, str(path), tuple(offsets.tolist()), (height, width), dtype)
    return [Signal(path.stem, (count, height, width), dtype, load, (Axis("time", period, "s"), *frame))]


def _ser_step(metres: float) -> tuple[float | None, str]:
    """Return the pixel size; a step of more than a micrometre is a diffraction pattern in 1/m, its length unknown."""
    return (metres, "m") if 0 < abs(metres) < 1e-6 else (None, "")


def _ser_period(file: Any, start: int) -> float | None:
    """Return the step of the first dimension of the series if it is in seconds."""
    file.seek(start - 4)
    if struct.unpack("<I", file.read(4))[0] < 1:
        return None
    _, _, delta, _, length = struct.unpack("<IddII", file.read(28))
    file.seek(length, 1)
    unit = file.read(struct.unpack("<I", file.read(4))[0]).decode("latin-1").strip().casefold()
    return float(delta) if unit in ("s", "seconds") and delta > 0 else None


def _ser_mean_period(file: Any, tags: np.ndarray) -> float | None:
    """Return the mean time between images from their time stamps, which count whole seconds."""
    stamps = []
    for tag in (tags[0], tags[-1]):
        file.seek(int(tag) + 4)
        raw = file.read(4)
        if len(raw) < 4:
            return None
        stamps.append(struct.unpack("<I", raw)[0])
    elapsed = stamps[1] - stamps[0]
    return float(elapsed / (len(tags) - 1)) if len(tags) > 1 and elapsed > 0 else None


def _load_ser(
    path: str, offsets: tuple[int, ...], shape: tuple[int, int], dtype: np.dtype[Any], index: Index
) -> np.ndarray:
    """Load images of a series, which are stored with the lowest line first."""
    images = [np.memmap(path, dtype, "r", offset + 50, shape)[::-1][index[1:]] for offset in offsets[index[0]]]
    return np.stack(images)


def read_mrc(path: Path) -> list[Signal]:
    """Describe the image or stack of an MRC file (MRC2014, and the older kinds of IMOD)."""
    with reading(path, "MRC"), path.open("rb") as file:
        head = file.read(1024)
        if len(head) < 1024:
            raise InputError(f"{path}: truncated: {len(head)} bytes, shorter than an MRC header (1024); copy it again")
        order = _mrc_order(head)
        if order is None:
            raise InputError(f"{path}: its header is not that of an MRC file; give it the extension of what it is")
        nx, ny, nz, mode = struct.unpack(f"{order}4i", head[:16])
        if mode not in _MRC_TYPES:
            raise InputError(f"{path}: MRC mode {mode} is not supported; expected one of {sorted(_MRC_TYPES)}")
        intervals = struct.unpack(f"{order}3i", head[28:40])
        lengths = struct.unpack(f"{order}3f", head[40:52])
        fastest_first = struct.unpack(f"{order}3i", head[64:76])
        least, most = struct.unpack(f"{order}2f", head[76:84])
        extended = struct.unpack(f"{order}i", head[92:96])[0]
        stamp, flags = struct.unpack(f"{order}2i", head[152:160])
    dtype = np.dtype(_MRC_TYPES[mode]).newbyteorder(order)
    # before MRC2014 bytes were unsigned: IMOD flags it, else values above 127 that the header announces tell
    unsigned = not flags & 1 if stamp == _IMOD else least >= 0 and most > 127
    if mode == 0 and unsigned:
        dtype = np.dtype("u1")
    steps = [length / n if n > 0 else None for length, n in zip(lengths, intervals, strict=True)]
    along = (Axis("x", steps[0], "Å"), Axis("y", steps[1], "Å"), Axis("z"))
    order_of_axes = fastest_first if sorted(fastest_first) == [1, 2, 3] else (1, 2, 3)
    axes = tuple(along[axis - 1] for axis in reversed(order_of_axes))
    return [raw_signal(path, 1024 + extended, (nz, ny, nx), dtype, name=path.stem, axes=axes)]


def _mrc_order(head: bytes) -> Literal["<", ">"] | None:
    """Return the byte order in which the header makes sense, None if there is none."""
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    for order in orders:
        nx, ny, nz, mode = struct.unpack(f"{order}4i", head[:16])
        if min(nx, ny, nz) > 0 and max(nx, ny, nz) < 1 << 24 and 0 <= mode <= 101:
            return order
    return None
