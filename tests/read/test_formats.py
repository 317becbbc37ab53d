"""Round trips of `read`: each format is written by its own writer, or byte by byte where there is none."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from instrument_files import NM, STACK, dm_bytes, hyperspy_signal, ome_zarr, ser_bytes, write_emd_1, write_zspy
from movie_checks import check, check_both
from PIL import Image

from bravaismap.errors import InputError
from bravaismap.movie import frame_time, pixel_size
from bravaismap.read.reading import read

# The writers of RosettaSciIO


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


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    path = tmp_path / "a.ome.zarr"
    axes = [("t", "millisecond"), ("z", "nanometer"), ("y", "angstrom"), ("x", "angstrom")]
    ome_zarr(path, STACK[:, None], axes, [200.0, 1.0, 0.3, 0.3], version)
    movie = read(path, dataset="1")
    assert movie.shape == (4, 6, 9)
    assert pixel_size(movie) == pytest.approx(0.06)
    check_both(path, monkeypatch, STACK, 0.03, 0.2)


@pytest.mark.parametrize("inside", ["", "a.ome.zarr", "run/a.ome.zarr"])
@pytest.mark.parametrize("suffix", ["zip", "ozx", "zarr.zip"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_in_one_zip_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, suffix: str, inside: str
) -> None:
    axes = [("t", "millisecond"), ("z", "nanometer"), ("y", "angstrom"), ("x", "angstrom")]
    ome_zarr(tmp_path / "tree" / inside, STACK[:, None], axes, [200.0, 1.0, 0.3, 0.3], version)
    path = Path(shutil.make_archive(str(tmp_path / "a"), "zip", tmp_path / "tree")).rename(tmp_path / f"a.{suffix}")
    check_both(path, monkeypatch, STACK, 0.03, 0.2)
    assert read(path, dataset="1").shape == (4, 6, 9)


def test_zip_file_of_something_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=STACK)
    (tmp_path / "a.npz").rename(tmp_path / "a.zip")
    with pytest.raises(InputError, match=r"a\.zip: a ZIP file without a zarr store in it; unpack it"):
        read(tmp_path / "a.zip")
    (tmp_path / "b.zip").write_bytes(b"PK\3\4 and no more")
    with pytest.raises(InputError, match=r"b\.zip: cannot be read as ZIP"):
        read(tmp_path / "b.zip")
    tifffile.imwrite(tmp_path / "c.tif", STACK[0])
    check(read(tmp_path), STACK[0], None, None)  # beside images it is left alone


def test_channels_of_ome_zarr(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    axes = [("t", "second"), ("c", ""), ("y", "nanometer"), ("x", "nanometer")]
    ome_zarr(path, STACK.reshape(2, 2, 12, 17), axes, [0.2, 1.0, 0.03, 0.03], "0.4")
    with pytest.raises(InputError, match=r"holds 2 images: 'HAADF' \(2, 12, 17\) uint16, 'BF'.*--channel NAME"):
        read(path)
    check(read(path, channel="BF"), STACK[1::2], 0.03, 0.2)
