"""Round trips of `read`: each format is written by its own writer, or byte by byte where there is none."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import xarray as xr
import zarr
from PIL import Image

from bravaismap.errors import InputError
from bravaismap.movie import frame_time, pixel_size
from bravaismap.read import signal
from bravaismap.read.reading import read

STACK = np.random.default_rng(0).integers(0, 250, (4, 12, 17)).astype(np.uint16)


def check(movie: xr.DataArray, values: np.ndarray, size: float | None, time: float | None) -> None:
    """Assert dimensions, values and calibration."""
    assert movie.dims == ("time", "y", "x")
    np.testing.assert_array_equal(movie.values, values if values.ndim == 3 else values[None])
    for found, expected in ((pixel_size(movie), size), (frame_time(movie), time)):
        assert found == (None if expected is None else pytest.approx(expected, rel=1e-4))


def make_lazy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every file as large: blocks of one frame."""
    monkeypatch.setattr(signal, "LAZY_BYTES", 10)
    monkeypatch.setattr(signal, "CHUNK_BYTES", 10)


def check_both(
    path: Path, monkeypatch: pytest.MonkeyPatch, values: np.ndarray, size: float | None, time: float | None, **how: Any
) -> None:
    """Assert that a file reads the same whether it counts as large or not, and without any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(read(path, **how), values, size, time)
        make_lazy(monkeypatch)
        movie = read(path, **how)
        assert isinstance(movie.data, da.Array)
        assert movie.data.numblocks[0] == (len(values) if values.ndim == 3 else 1)
        check(movie, values, size, time)


# The writers of RosettaSciIO


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


@pytest.mark.parametrize("data", [STACK, STACK[0]], ids=["movie", "image"])
def test_hspy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: np.ndarray) -> None:
    from rsciio.hspy import file_writer

    file_writer(str(tmp_path / "a.hspy"), hyperspy_signal(data), show_progressbar=False)
    check_both(tmp_path / "a.hspy", monkeypatch, data, 0.03, 0.2 if data.ndim == 3 else None)
    assert read(tmp_path / "a.hspy").attrs["dataset"] == "film"


def test_hspy_of_something_else(tmp_path: Path) -> None:
    from rsciio.hspy import file_writer

    file_writer(str(tmp_path / "a.hspy"), hyperspy_signal(STACK, ("eV", "nm", "nm")), show_progressbar=False)
    with pytest.raises(InputError, match=r"a\.hspy: a spectrum \(axis in eV\)"):
        read(tmp_path / "a.hspy")
    h5py.File(tmp_path / "b.hspy", "w").close()
    with pytest.raises(InputError, match=r"b\.hspy: no group 'Experiments'"):
        read(tmp_path / "b.hspy")


@pytest.mark.parametrize("data", [STACK, STACK[0]], ids=["movie", "image"])
def test_nexus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: np.ndarray) -> None:
    from rsciio.nexus import file_writer

    file_writer(str(tmp_path / "a.nxs"), hyperspy_signal(data))
    check_both(tmp_path / "a.nxs", monkeypatch, data, 0.03, 0.2 if data.ndim == 3 else None)


@pytest.mark.parametrize("data", [STACK, STACK[0]], ids=["movie", "image"])
def test_emd_of_ncem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: np.ndarray) -> None:
    from rsciio.emd import file_writer

    file_writer(str(tmp_path / "a.emd"), hyperspy_signal(data))
    check_both(tmp_path / "a.emd", monkeypatch, data, 0.03, 0.2 if data.ndim == 3 else None)


def test_emd_of_ncem_in_the_order_of_its_specification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file.attrs.update(version_major=0, version_minor=2)
        group = file.create_group("data/film")
        group.attrs["emd_group_type"] = 1
        group["data"] = STACK
        for i, (n, unit, step) in enumerate(
            zip(STACK.shape, ("[m_s]", "[n_m]", "[n_m]"), (20, 0.03, 0.03), strict=True)
        ):
            group[f"dim{i + 1}"] = np.arange(n) * step
            group[f"dim{i + 1}"].attrs["units"] = np.bytes_(unit)
    check_both(tmp_path / "a.emd", monkeypatch, STACK, 0.03, 0.02)


def test_emd_of_velox_with_a_derived_image_and_one_without_detector(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file["Version"] = [json.dumps({"format": "Velox", "version": "9"})]
        for uuid in ("0a", "0b"):
            file[f"Data/Image/{uuid}/Data"] = STACK[0][..., None]
            file[f"Data/Image/{uuid}/Metadata"] = np.frombuffer(b"{}\0\0", np.uint8)[:, None]
        file["Operations/IntegrationOperation/0c"] = [json.dumps({"dataPath": "/Data/Image/0b"})]
    with pytest.raises(InputError, match=r"holds 2 images: 'image 0' .*, 'DCFI'"):
        read(tmp_path / "a.emd")
    check(read(tmp_path / "a.emd", dataset="DCFI"), STACK[0], None, None)


def test_emd_of_velox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file.create_dataset("Version", data=[json.dumps({"format": "Velox", "version": "9"}).encode()])
        for detector, values in (("HAADF", STACK), ("BF", STACK[:1] + 1)):
            metadata = {
                "BinaryResult": {
                    "PixelSize": {"width": "3e-11", "height": "3e-11"},
                    "PixelUnitX": "m",
                    "PixelUnitY": "m",
                    "DetectorIndex": "1",
                    "Detector": detector,
                },
                "Scan": {"FrameTime": "0.25"},
                "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "0"}},
                "Detectors": {"Detector-1": {"DetectorName": detector}},
            }
            group = file.create_group(f"Data/Image/{detector.encode().hex():0>32}")
            group.create_dataset("Data", data=np.moveaxis(values, 0, -1), chunks=(*values.shape[1:], 1))
            text = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
            group["Metadata"] = np.repeat(np.pad(text, (0, 40))[:, None], len(values), axis=1)
    movie = read(tmp_path / "a.emd")
    assert movie.attrs["dataset"] == "HAADF"
    assert movie.attrs["available"] == "BF"
    check(read(tmp_path / "a.emd", dataset="BF"), STACK[:1] + 1, 0.03, None)
    from rsciio.emd import file_reader

    theirs = next(s for s in file_reader(str(tmp_path / "a.emd"), select_type="images") if s["data"].ndim == 3)
    np.testing.assert_array_equal(theirs["data"], movie.values)
    check_both(tmp_path / "a.emd", monkeypatch, STACK, 0.03, 0.25)


# Formats of microscopes without a writer: the smallest genuine file


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


NM = ((0.03, "nm"), (0.03, "nm"))


@pytest.mark.parametrize("version", [3, 4])
def test_dm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    path = tmp_path / f"a.dm{version}"
    thumbnail = (np.zeros((3, 3), np.int32), ((1.0, ""), (1.0, "")))
    path.write_bytes(dm_bytes(version, [thumbnail, (STACK, (*NM, (0.5, "s")))], True))
    assert read(path).attrs["dataset"] == "image 1"
    from rsciio.digitalmicrograph import file_reader

    np.testing.assert_array_equal(read(path).values, file_reader(str(path))[0]["data"])
    check_both(path, monkeypatch, STACK, 0.03, 0.5)


def test_dm_in_colour(tmp_path: Path) -> None:
    grey = STACK[0].astype(np.uint32)
    pixels = grey | grey << 8 | grey << 16 | np.uint32(255 << 24)
    (tmp_path / "a.dm4").write_bytes(dm_bytes(4, [(pixels, NM)], False))
    with pytest.warns(UserWarning, match=r"a\.dm4: colour was turned into luminance"):
        check(read(tmp_path / "a.dm4"), STACK[0], 0.03, None)


def test_dm_with_several_images(tmp_path: Path) -> None:
    path = tmp_path / "a.dm4"
    images = [(STACK, (*NM, (1.0, ""))), (STACK[0].astype("float32"), ((0.4, "1/nm"), (0.4, "1/nm")))]
    path.write_bytes(dm_bytes(4, images, False))
    with pytest.raises(InputError, match=r"a\.dm4: holds 2 images: 'image 0' \(4, 12, 17\) uint16, 'image 1'"):
        read(path)
    check(read(path, dataset="image 0"), STACK, 0.03, None)
    check(read(path, dataset="1"), STACK[0].astype("float32"), None, None)


@pytest.mark.parametrize("kept", [0.02, 0.2, 0.9])
def test_truncated_dm4(tmp_path: Path, kept: float) -> None:
    content = dm_bytes(4, [(STACK, (*NM, (0.5, "s")))], False)
    (tmp_path / "a.dm4").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=r"a\.dm4: .*truncated.*copy"):
        read(tmp_path / "a.dm4")


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


@pytest.mark.parametrize("wide", [False, True])
def test_ser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wide: bool) -> None:
    path = tmp_path / "a_1.ser"
    path.write_bytes(ser_bytes(STACK[:, :, :12], 3e-11, wide, 2))
    from rsciio.tia import file_reader

    np.testing.assert_array_equal(read(path).values, file_reader(str(path))[0]["data"])
    path.write_bytes(ser_bytes(STACK, 3e-11, wide, 2))
    check_both(path, monkeypatch, STACK, 0.03, 2.0)
    path.write_bytes(ser_bytes(STACK[:1], 4e8, wide, 0))  # a diffraction pattern, its step in 1/m
    check(read(path), STACK[:1], None, None)
    path.write_bytes(ser_bytes(STACK, 3e-11, wide, 2)[:-400])
    with pytest.raises(InputError, match=r"a_1\.ser: truncated"):
        read(path)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "int8"])
def test_mrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    stack = (STACK // 2).astype(dtype)
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(stack)
        file.set_image_stack()
        file.voxel_size = 0.3
    check_both(tmp_path / "a.mrc", monkeypatch, stack, 0.03, None)


@pytest.mark.parametrize("largest", [127, 128, 255])
def test_bytes_of_mrc_are_unsigned_where_the_header_announces_it(tmp_path: Path, largest: int) -> None:
    image = (STACK[0] % largest + 1).astype(np.uint8)
    image[0, 0] = largest
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(image.view(np.int8))
        file.header.dmin, file.header.dmax = 1, largest
    check(read(tmp_path / "a.mrc"), image.view(np.uint8 if largest > 127 else np.int8), None, None)


@pytest.mark.parametrize("order", [(1, 2, 3), (2, 1, 3), (1, 3, 2), (3, 2, 1), (0, 0, 0)])
def test_axes_of_mrc_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[int, int, int]) -> None:
    # columns, rows and sections are x, y and z in this order; cell and intervals are along x, y, z
    places = {axis: 2 - place for place, axis in enumerate(order)} if sorted(order) == [1, 2, 3] else {1: 2, 2: 1, 3: 0}
    stored = np.ascontiguousarray(np.moveaxis(STACK, (0, 1, 2), (places[3], places[2], places[1])))
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(stored)
        file.header.mapc, file.header.mapr, file.header.maps = order
        file.header.mx, file.header.my, file.header.mz = STACK.shape[::-1]
        file.header.cella.x, file.header.cella.y, file.header.cella.z = (0.3 * n for n in STACK.shape[::-1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(read(tmp_path / "a.mrc"), STACK, 0.03, None)


def test_mrc_without_calibration_and_truncated(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(STACK[0])
    check(read(tmp_path / "a.mrc"), STACK[0], None, None)
    (tmp_path / "b.mrc").write_bytes((tmp_path / "a.mrc").read_bytes()[:-10])
    with pytest.raises(InputError, match=r"b\.mrc: truncated"):
        read(tmp_path / "b.mrc")


# TIFF and its calibrated kinds


@pytest.mark.parametrize("big", [False, True])
def test_tiff_of_imagej(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, big: bool) -> None:
    metadata = {"unit": "\\u00B5m", "finterval": 0.2, "axes": "TYX"}
    options: dict[str, Any] = {} if big else {"compression": "zlib"}
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, resolution=(1e5 / 3,) * 2, metadata=metadata, **options)
    check_both(tmp_path / "a.tif", monkeypatch, STACK, 0.03, 0.2)


def test_tiff_of_ome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = {
        "axes": "TYX", "PhysicalSizeX": 0.3, "PhysicalSizeXUnit": "Å", "PhysicalSizeY": 0.3, "PhysicalSizeYUnit": "Å",
        "TimeIncrement": 40, "TimeIncrementUnit": "ms",
    }  # fmt: skip
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=metadata)
    check_both(tmp_path / "a.ome.tif", monkeypatch, STACK, 0.03, 0.04)


def test_tiff_of_ome_does_not_open_the_files_it_names(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "secret.ome.tif", STACK + 1, metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata={"axes": "TYX"})
    content = (tmp_path / "a.ome.tif").read_bytes()
    (tmp_path / "a.ome.tif").write_bytes(content.replace(b"a.ome.tif", b"secret.ome.tif"[:9]))
    check(read(tmp_path / "a.ome.tif"), STACK, None, None)


def test_tiff_of_digital_micrograph(tmp_path: Path) -> None:
    from rsciio.tiff import file_writer

    file_writer(str(tmp_path / "a.tif"), hyperspy_signal(STACK[0]))
    check(read(tmp_path / "a.tif"), STACK[0], 0.03, None)


def test_tiff_of_fei_and_zeiss(tmp_path: Path) -> None:
    fei = "[User]\r\nDate=1\r\n\r\n[Scan]\r\nPixelWidth=3e-011\r\nPixelHeight=3e-011\r\n"
    zeiss = "\r\n".join(["", "0", "0", "1.0", "AP_IMAGE_PIXEL_SIZE", "Image Pixel Size = 30.0 pm", ""])
    for name, tag, text in (("fei", 34682, fei), ("zeiss", 34118, zeiss)):
        tifffile.imwrite(tmp_path / f"{name}.tif", STACK[0], extratags=[(tag, "s", 0, text, True)])
        check(read(tmp_path / f"{name}.tif"), STACK[0], 0.03, None)


@pytest.mark.parametrize("options", [{}, {"resolution": (72, 72), "resolutionunit": 2}, {"byteorder": ">"}])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_plain_tiff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], compression: str | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack", compression=compression, **options)
    check_both(tmp_path / "a.tif", monkeypatch, STACK, None, None)
    assert read(tmp_path / "a.tif").dtype.isnative


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_tiff(tmp_path: Path, planar: str) -> None:
    grey = STACK[0].astype(np.uint8)
    rgb = np.stack([grey] * 3, axis=-1 if planar == "contig" else 0)
    tifffile.imwrite(tmp_path / "a.tif", rgb, photometric="rgb", planarconfig=planar)
    with pytest.warns(UserWarning, match="luminance"):
        check(read(tmp_path / "a.tif"), grey, None, None)


def test_tiff_with_channels_or_pages_of_several_sizes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK.reshape(2, 2, 12, 17), imagej=True, metadata={"axes": "TCYX"})
    with pytest.raises(InputError, match=r"a\.tif: holds 2 images: 'channel 0' \(2, 12, 17\)"):
        read(tmp_path / "a.tif")
    check(read(tmp_path / "a.tif", dataset="channel 1"), STACK[1::2], None, None)
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(STACK[0])
        file.write(STACK[0, :5, :5])
    with pytest.raises(InputError, match=r"b\.tif: holds 2 images: .*\(12, 17\).*\(5, 5\)"):
        read(tmp_path / "b.tif")
    check(read(tmp_path / "b.tif", dataset="1"), STACK[0, :5, :5], None, None)


# Pictures


@pytest.mark.parametrize(("suffix", "dtype"), [("png", "uint8"), ("png", "uint16"), ("bmp", "uint8"), ("jpg", "uint8")])
def test_picture(tmp_path: Path, suffix: str, dtype: str) -> None:
    image = STACK[0].astype(dtype) if suffix != "jpg" else np.full((16, 16), 77, np.uint8)
    Image.fromarray(image).save(tmp_path / f"a.{suffix}", dpi=(72, 72))
    check(read(tmp_path / f"a.{suffix}"), image, None, None)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colour_picture(tmp_path: Path, mode: str) -> None:
    grey = STACK[0].astype(np.uint8)
    Image.fromarray(np.stack([grey] * 3, axis=-1)).convert(mode).save(tmp_path / "a.png")
    with pytest.warns(UserWarning, match="luminance"):
        check(read(tmp_path / "a.png"), grey, None, None)


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp"])
def test_palette_of_a_picture(tmp_path: Path, suffix: str) -> None:
    grey = STACK[0].astype(np.uint8)
    order = np.random.default_rng(1).permutation(256)
    for name, colours in (
        ("grey", np.repeat(np.arange(256)[:, None], 3, axis=1)),
        ("colour", np.random.default_rng(2).integers(0, 256, (256, 3))),
    ):
        palette = np.zeros((256, 3), np.uint8)
        palette[order] = colours
        picture = Image.fromarray(order[grey].astype(np.uint8)).convert("P")
        picture = Image.frombytes("P", picture.size, order[grey].astype(np.uint8).tobytes())
        picture.putpalette(palette.tobytes())
        picture.save(tmp_path / f"{name}.{suffix}")
        if name == "grey":
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                check(read(tmp_path / f"{name}.{suffix}"), grey, None, None)
            continue
        with pytest.warns(UserWarning, match="luminance"):
            movie = read(tmp_path / f"{name}.{suffix}")
        np.testing.assert_allclose(movie.values[0], colours[grey] @ [0.299, 0.587, 0.114], rtol=1e-6)


def test_animated_gif(tmp_path: Path) -> None:
    levels = [Image.fromarray(np.full((9, 9), 30 * i, np.uint8)) for i in range(5)]
    levels[0].save(tmp_path / "a.gif", save_all=True, append_images=levels[1:], duration=40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        movie = read(tmp_path / "a.gif")
    np.testing.assert_array_equal(movie.mean(["y", "x"]), [0, 30, 60, 90, 120])
    assert frame_time(movie) is None  # how long a frame is shown is no time of the experiment
    coloured = [Image.fromarray(np.full((9, 9, 3), (30 * i, 0, 9), np.uint8)) for i in range(3)]
    coloured[0].save(tmp_path / "b.gif", save_all=True, append_images=coloured[1:])
    with pytest.warns(UserWarning, match="luminance"):
        assert read(tmp_path / "b.gif").shape == (3, 9, 9)


def test_dots_of_a_picture_that_are_not_square(tmp_path: Path) -> None:
    Image.fromarray(STACK[0].astype(np.uint8)).save(tmp_path / "a.png", dpi=(72, 144))
    with pytest.warns(UserWarning, match=r"a height of 0\.5 times their width, resampled"):
        assert read(tmp_path / "a.png").shape == (1, 12, 34)


def test_grey_picture_with_transparency(tmp_path: Path) -> None:
    Image.fromarray(STACK[0].astype(np.uint8)).convert("LA").save(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(read(tmp_path / "a.png"), STACK[0], None, None)


# HDF5 as other programs write it


def test_netcdf4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["image"] = STACK
        for i, (name, n, step, unit) in enumerate([("time", 4, 40, "ms"), ("y", 12, 0.3, "Å"), ("x", 17, 0.3, "Å")]):
            file[name] = np.arange(n) * step
            file[name].attrs["units"] = unit
            file[name].make_scale(name)
            file["image"].dims[i].attach_scale(file[name])
    check_both(tmp_path / "a.nc", monkeypatch, STACK, 0.03, 0.04)


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


@pytest.mark.parametrize("suffix", ["h5", "hdf5", "emd"])
def test_emd_1_by_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    write_emd_1(tmp_path / f"a.{suffix}")
    check_both(tmp_path / f"a.{suffix}", monkeypatch, STACK, 0.03, 0.2)


def test_hspy_named_hdf5_and_plain_hdf5_named_emd(tmp_path: Path) -> None:
    from rsciio.hspy import file_writer

    file_writer(str(tmp_path / "a.hspy"), hyperspy_signal(STACK), show_progressbar=False)
    (tmp_path / "a.hspy").rename(tmp_path / "a.hdf5")
    check(read(tmp_path / "a.hdf5", dataset="/Experiments/film/data"), STACK, 0.03, 0.2)
    with h5py.File(tmp_path / "a.emd", "w") as file:
        file["stack"] = STACK
    check(read(tmp_path / "a.emd"), STACK, None, None)


@pytest.mark.parametrize(
    ("axes", "size"), [([".", "y", "x"], 0.03), (["t", "y", "x"], 0.03), (["y", "x"], None), (["."] * 3, None)]
)
def test_nexus_axes_without_coordinate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: list[str], size: float | None
) -> None:
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        group = file.create_group("entry/data")
        group.attrs.update({"NX_class": "NXdata", "signal": "data", "axes": axes})
        group["data"] = STACK
        for name, n in (("y", 12), ("x", 17)):
            group[name] = 0.03 * np.arange(n)
            group[name].attrs["units"] = "nm"
    check_both(tmp_path / "a.nxs", monkeypatch, STACK, size, None)


def test_nexus_as_before_2014(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        group = file.create_group("entry/data")
        group["counts"], group["other"] = STACK, STACK[0]
        group["counts"].attrs.update({"signal": "1", "axes": "time:y:x"})
        for name, n, step, unit in (("time", 4, 0.2, "s"), ("y", 12, 0.03, "nm"), ("x", 17, 0.03, "nm")):
            group[name] = step * np.arange(n)
            group[name].attrs["units"] = unit
    check(read(tmp_path / "a.nxs"), STACK, 0.03, 0.2)


# zarr as other programs write it


def write_zspy(path: Path, store: Any) -> None:
    """Write what HyperSpy writes to a .zspy: the layout of hspy as zarr 2."""
    root = zarr.open_group(store, mode="w", zarr_format=2)
    group = root.create_group("Experiments/film")
    group.create_array("data", data=STACK)
    for i, axis in enumerate(hyperspy_signal(STACK)["axes"]):
        group.create_group(f"axis-{i}").attrs.update({key: axis[key] for key in ("name", "units", "scale", "offset")})
    root.attrs.update({"file_format": "ZSpy", "file_format_version": "3.3"})


@pytest.mark.parametrize("packed", [False, True])
def test_zspy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    path = tmp_path / "a.zspy"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store: Any = zarr.storage.ZipStore(path, mode="w") if packed else path
        write_zspy(path, store)
        if packed:
            store.close()
    check_both(path, monkeypatch, STACK, 0.03, 0.2)
    assert read(path).attrs["dataset"] == "film"


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


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    path = tmp_path / "a.ome.zarr"
    axes = [("t", "millisecond"), ("z", "nanometer"), ("y", "angstrom"), ("x", "angstrom")]
    ome_zarr(path, STACK[:, None], axes, [200.0, 1.0, 0.3, 0.3], version)
    movie = read(path, dataset="1")
    assert movie.shape == (4, 6, 9)
    assert pixel_size(movie) == pytest.approx(0.06)
    check_both(path, monkeypatch, STACK, 0.03, 0.2)


def test_channels_of_ome_zarr(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    axes = [("t", "second"), ("c", ""), ("y", "nanometer"), ("x", "nanometer")]
    ome_zarr(path, STACK.reshape(2, 2, 12, 17), axes, [0.2, 1.0, 0.03, 0.03], "0.4")
    with pytest.raises(InputError, match=r"holds 2 images: 'HAADF' \(2, 12, 17\) uint16, 'BF'.*--channel NAME"):
        read(path)
    check(read(path, channel="BF"), STACK[1::2], 0.03, 0.2)
