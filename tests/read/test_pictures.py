"""Round trips of `read` on TIFF with its calibrated kinds, and on pictures."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from instrument_files import STACK, hyperspy_signal
from movie_checks import check, check_both
from PIL import Image

from bravaismap.errors import InputError
from bravaismap.movie import frame_time
from bravaismap.read.reading import read


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


def test_many_channels_of_imagej_are_frames(tmp_path: Path) -> None:
    stack = np.arange(8 * 12 * 17, dtype=np.uint16).reshape(8, 12, 17)  # without axes tifffile writes channels
    metadata = {"unit": "nm", "finterval": 0.5, "tunit": "s"}
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, resolution=(50, 50), metadata=metadata)
    check(read(tmp_path / "a.tif"), stack, 0.02, 0.5)
    tifffile.imwrite(tmp_path / "b.tif", stack[:7], imagej=True)
    with pytest.raises(InputError, match="holds 7 images: 'channel 0'"):
        read(tmp_path / "b.tif")


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
