"""Writers of the smallest genuine files of microscopes, byte by byte where no library writes them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import gwyfile.objects as gwy
import h5py
import numpy as np
import tifffile
import zarr

#: Four frames, as most of the files hold them.
STACK = np.random.default_rng(0).integers(0, 250, (4, 12, 17)).astype(np.uint16)
#: The (step, unit) of y and x in DigitalMicrograph files.
NM = ((0.03, "nm"), (0.03, "nm"))


def hyperspy_signal(data: np.ndarray, units: tuple[str, ...] = ("s", "nm", "nm")) -> dict[str, Any]:
    steps, names = (0.2, 0.03, 0.03), ("time", "y", "x")
    first = 3 - data.ndim
    axes = [
        {
            "_type": "UniformDataAxis", "name": names[i], "units": units[i], "scale": steps[i], "offset": 1.0,
            "size": data.shape[i - first], "navigate": i == 0, "index_in_array": i - first, "is_binned": False,
        }
        for i in range(first, 3)
    ]  # fmt: skip
    return {
        "data": data,
        "axes": axes,
        "metadata": {"General": {"title": "film"}, "Signal": {"signal_type": ""}},
        "original_metadata": {},
        "package_info": {},
        "learning_results": {},
        "models": {},
        "attributes": {"_lazy": False},
        "tmp_parameters": {},
    }


def dm_bytes(version: int, images: list[tuple[np.ndarray, tuple[tuple[float, str], ...]]], thumbnail: bool) -> bytes:
    """Return a DigitalMicrograph file: a tree of tags, each image with the (step, unit) of its axes, x first."""
    word = "q" if version == 4 else "i"
    types = {
        np.dtype("uint16"): (10, 4),
        np.dtype("float32"): (2, 6),
        np.dtype("int32"): (7, 3),
        np.dtype("uint32"): (23, 5),
    }

    def data_tag(info: list[int], raw: bytes) -> bytes:
        body = b"%%%%" + struct.pack(f">{word}{len(info)}{word}", len(info), *info) + raw
        return (struct.pack(">q", len(body)) if version == 4 else b"") + body

    def tag(name: str, value: Any) -> bytes:
        head = struct.pack(">H", len(name)) + name.encode()
        if isinstance(value, list | dict):
            items = list(value.items()) if isinstance(value, dict) else [("", v) for v in value]
            body = b"".join(tag(k, v) for k, v in items)
            size = struct.pack(">q", len(body)) if version == 4 else b""
            return b"\x14" + head + b"\1\0" + size + struct.pack(f">{word}", len(items)) + body
        if isinstance(value, np.ndarray):
            return b"\x15" + head + data_tag([20, types[value.dtype][1], value.size], value.tobytes())
        if isinstance(value, str):
            return b"\x15" + head + data_tag([20, 4, len(value)], value.encode("utf-16-le"))
        kind, code = (6, "<f") if isinstance(value, float) else (5, "<I")
        return b"\x15" + head + data_tag([kind], struct.pack(code, value))

    listed = [
        {
            "ImageData": {
                "Calibrations": {
                    "Brightness": {"Origin": 0.0, "Scale": 1.0, "Units": ""},
                    "Dimension": [{"Origin": 0.0, "Scale": step, "Units": unit} for step, unit in axes],
                },
                "Data": data,
                "DataType": types[data.dtype][0],
                "Dimensions": [int(n) for n in data.shape[::-1]],
                "PixelDepth": data.itemsize,
            },
            "ImageTags": {},
            "Name": f"image {number}",
        }
        for number, (data, axes) in enumerate(images)
    ]
    root: dict[str, Any] = {"ImageList": listed} | ({"Thumbnails": [{"ImageIndex": 0}]} if thumbnail else {})
    body = b"\1\0" + struct.pack(f">{word}", len(root)) + b"".join(tag(k, v) for k, v in root.items()) + bytes(8)
    return struct.pack(f">i{word}i", version, len(body), 1) + body


def ser_bytes(stack: np.ndarray, step: float, wide: bool, seconds: int) -> bytes:
    """Return a TIA series of uint16 images whose time stamps are `seconds` apart."""
    word = "Q" if wide else "I"
    count, height, width = stack.shape
    start = (34 if wide else 30) + 4 + 8 + 8 + 4 + 4 + 4
    length = 50 + stack[0].nbytes
    offsets = [start + i * (length + 8) for i in range(count)]
    table = start + count * (length + 8)
    head = struct.pack("<HHHIIII", 0x4949, 0x0197, 0x0220 if wide else 0x0210, 0x4122, 0x4152, count, count)
    head += struct.pack(f"<{word}I", table, 1) + struct.pack("<IddIII", count, 0.0, 1.0, 0, 0, 0)
    body = b""
    for number, image in enumerate(stack):
        body += struct.pack("<ddIddIHII", 0.0, step, 0, 0.0, step, 0, 2, width, height) + image[::-1].tobytes()
        body += struct.pack("<HHI", 0x4152, 0, 1000 + seconds * number)
    tags = [offset + length for offset in offsets]
    assert len(head) + len(body) == table - (start - len(head))
    return head.ljust(start, b"\0") + body + struct.pack(f"<{2 * count}{word}", *offsets, *tags)


def write_gwy(path: Path, channels: dict[str, np.ndarray], unit: str = "m") -> None:
    container = gwy.GwyContainer()
    for number, (title, data) in enumerate(channels.items()):
        container[f"/{number}/data/title"] = title
        container[f"/{number}/data"] = gwy.GwyDataField(
            data.astype(float), xreal=1e-10 * data.shape[1], yreal=1e-10 * data.shape[0], si_unit_xy=unit
        )
    container.tofile(str(path))


def gsf_bytes(image: np.ndarray, **header: object) -> bytes:
    fields = {"XRes": image.shape[1], "YRes": image.shape[0]} | header
    text = "Gwyddion Simple Field 1.0\n" + "".join(f"{name} = {value}\n" for name, value in fields.items())
    head = text.encode()
    return head + b"\0" * (4 - len(head) % 4) + image.astype("<f4").tobytes()


def sxm_bytes(images: list[np.ndarray], direction: str = "both", scan: str = "down") -> bytes:
    height, width = images[0].shape
    header = {
        "NANONIS_VERSION": "2",
        "SCANIT_TYPE": "              FLOAT            MSBFIRST",
        "ACQ_TIME": "       10.0",
        "SCAN_PIXELS": f"       {width}       {height}",
        "SCAN_TIME": "             1.0E+0             1.0E+0",
        "SCAN_RANGE": f"           {width * 1e-10:.6E}           {height * 1e-10:.6E}",
        "SCAN_OFFSET": "             0.0E+0         0.0E+0",
        "SCAN_ANGLE": "            0.0E+0",
        "SCAN_DIR": scan,
        "BIAS": "            1.0E-1",
        "COMMENT": "",
    }
    text = "".join(f":{key}:\n{value}\n" for key, value in header.items())
    text += ":DATA_INFO:\n\tChannel\tName\tUnit\tDirection\tCalibration\tOffset\n"
    text += f"\t14\tZ\tm\t{direction}\t1.0E-9\t0.0E+0\n\n:SCANIT_END:\n\n\n"
    return text.encode() + b"\x1a\x04" + b"".join(image.astype(">f4").tobytes() for image in images)


def grid_bytes(parameters: np.ndarray, sweep: np.ndarray) -> bytes:
    """Return a Nanonis grid with parameters (y, x, parameter) and one channel (y, x, sweep)."""
    height, width, count = parameters.shape
    lines = [
        f'Grid dim="{width} x {height}"',
        f"Grid settings=0E+0;0E+0;{width * 1e-10:.6E};{height * 1e-10:.6E};0E+0",
        "Filetype=Linear",
        'Sweep Signal="Bias (V)"',
        'Fixed parameters="Sweep Start;Sweep End"',
        'Experiment parameters="X (m);Y (m);Z (m);Z offset (m);Settling time (s)"',
        f"# Parameters (4 byte)={count}",
        f"Experiment size (bytes)={4 * sweep.shape[-1]}",
        f"Points={sweep.shape[-1]}",
        'Channels="Current (A)"',
        "Delay before measuring (s)=0.0",
        'Experiment="Grid Spectroscopy"',
        'Start time="01.01.2020 00:00:00"',
        'End time="01.01.2020 00:00:01"',
        "User=",
        "Comment=",
        ":HEADER_END:",
    ]
    cube = np.concatenate([parameters, sweep], axis=-1).astype(">f4")
    return ("\r\n".join(lines) + "\r\n").encode() + cube.tobytes()


def text(value: str) -> bytes:
    return struct.pack("<L", len(value)) + value.encode("utf-16-le")


def block(name: bytes, body: bytes, stamped: bool = True) -> bytes:
    return name + struct.pack("<L", len(body)) + (bytes(8) if stamped else b"") + body


def matrix_files(image: np.ndarray, filename: str) -> tuple[bytes, bytes]:
    """Return the parameter file and the value file of one forward scan of integers."""
    height, width = image.shape
    whole = {"Points": width, "Lines": height}
    real = {"Width": width * 1e-10, "Height": height * 1e-10, "X_Offset": 0.0, "Y_Offset": 0.0, "Angle": 0.0}
    values = {k: b"GNOL" + struct.pack("<l", v) for k, v in whole.items()}
    values |= {k: b"BUOD" + struct.pack("<d", v) for k, v in real.items()}
    values |= {k: b"LOOB" + struct.pack("<L", 0) for k in ("X_Retrace", "Y_Retrace")}
    items = b"".join(text(k) + text("---") + bytes(4) + v for k, v in values.items())
    scanner = bytes(4) + struct.pack("<L", 1) + text("XYScanner") + struct.pack("<L", len(values)) + items
    channel = bytes(8) + struct.pack("<L", 0) + struct.pack("<L", 1)
    channel += bytes(4) + struct.pack("<L", 7) + bytes(8) + text("Z") + text("m") + struct.pack("<L", 0)
    numbers = b"".join(text(k) + b"BUOD" + struct.pack("<d", v) for k, v in (("Factor", 4.0), ("Offset", 0.0)))
    transfer = bytes(4) + struct.pack("<L", 7) + text("TFF_Linear1D") + text("m") + struct.pack("<L", 2) + numbers
    inner = block(b"TCID", channel, False) + block(b"REFX", transfer, False)
    parameters = block(b"APEE", scanner) + block(b"YSCC", bytes(4) + inner) + block(b"FERB", bytes(4) + text(filename))
    described = bytes(20) + struct.pack("<ii", image.size, image.size)
    data = block(b"CSED", described, False) + block(b"ATAD", image.astype("<i4").tobytes(), False)
    body = struct.pack("<Q", 0) + bytes(4) + data
    values_file = b"ONTMATRX0101" + b"TLKB" + struct.pack("<L", len(body) - 8) + body
    return b"ONTMATRX0101" + parameters, values_file


def write_emd_1(path: Path) -> None:
    """Write an EMD 1.0 file as emdfile does: two values for each axis, the axes of the image called Rx and Ry."""
    with h5py.File(path, "w") as file:
        file.attrs.update({"emd_group_type": "file", "version_major": 1, "version_minor": 0})
        file.create_group("root").attrs["emd_group_type"] = "root"
        group = file.create_group("root/image")
        group.attrs["emd_group_type"] = "array"
        group["data"] = STACK
        for i, (name, unit, step) in enumerate((("t", "s", 0.2), ("Rx", "A", 0.3), ("Ry", "A", 0.3))):
            group[f"dim{i}"] = np.array([0.0, step])
            group[f"dim{i}"].attrs.update({"name": name, "units": unit})


def write_zspy(path: Path, store: Any) -> None:
    """Write what HyperSpy writes to a .zspy: the layout of hspy as zarr 2."""
    root = zarr.open_group(store, mode="w", zarr_format=2)
    group = root.create_group("Experiments/film")
    group.create_array("data", data=STACK)
    for i, axis in enumerate(hyperspy_signal(STACK)["axes"]):
        group.create_group(f"axis-{i}").attrs.update({key: axis[key] for key in ("name", "units", "scale", "offset")})
    root.attrs.update({"file_format": "ZSpy", "file_format_version": "3.3"})


def ome_zarr(path: Path, data: np.ndarray, axes: list[tuple[str, str]], scale: list[float], version: str) -> None:
    """Write an OME-Zarr image of two levels, the second of half the size."""
    root = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    root.create_array("0", data=data)
    root.create_array("1", data=np.ascontiguousarray(data[..., ::2, ::2]))
    kinds = {"t": "time", "c": "channel"}
    levels = [
        {
            "path": str(i),
            "coordinateTransformations": [
                {"type": "scale", "scale": [s * f for s, f in zip(scale, half, strict=True)]}
            ],
        }
        for i, half in enumerate(([1.0] * data.ndim, [1.0] * (data.ndim - 2) + [2.0, 2.0]))
    ]
    image = {
        "version": version,
        "axes": [{"name": n, "type": kinds.get(n, "space"), **({"unit": u} if u else {})} for n, u in axes],
        "datasets": levels,
    }
    about: dict[str, Any] = {"multiscales": [image], "omero": {"channels": [{"label": "HAADF"}, {"label": "BF"}]}}
    root.attrs.update({"ome": about} if version == "0.5" else about)


def tvips_header(size: float) -> bytes:
    """Return the header of EM-MENU, version 2, with a pixel size in nm."""
    first = np.zeros(1, np.dtype(tifffile.TIFF.TVIPS_HEADER_V1))
    second = np.zeros(1, np.dtype(tifffile.TIFF.TVIPS_HEADER_V2))
    first["Version"], second["Magic"] = 2, 0xAAAAAAAA
    second["PixelSizeX"] = second["PixelSizeY"] = size
    return first.tobytes() + second.tobytes()


def write_sis(path: Path, image: np.ndarray, metres: float) -> None:
    """Write a TIFF with the tag of Olympus SIS, whose calibration lies at an offset of the file."""
    head = struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 0, 0, 1, 1, 100, b"", 1)
    calibration = struct.pack("<10xhdd8xd2x34s32s", -9, metres * 1e9, metres * 1e9, 1.0, b"", b"")
    tifffile.imwrite(path, image, extratags=[(33560, "B", len(head) + 8, head + struct.pack("<hhI", 1, 0, 0), True)])
    content = bytearray(path.read_bytes())
    place = content.index(b"SIS0") + len(head)
    content[place : place + 8] = struct.pack("<hhI", 1, 0, len(content))
    path.write_bytes(bytes(content) + calibration)
