"""Round trips of `read` on formats of microscopes without a writer: the smallest genuine file, byte by byte."""

from __future__ import annotations

import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from instrument_files import NM, STACK, dm_bytes, ser_bytes
from movie_checks import check, check_both

from bravaismap.errors import InputError
from bravaismap.read.reading import read


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
