"""What the tags of a TIFF file say: sizes and times of each program, palettes, channels, and pages that are frames."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from instrument_files import STACK, hyperspy_signal, tvips_header, write_sis
from movie_checks import check, check_both

from bravaismap.errors import InputError
from bravaismap.movie import frame_time, pixel_size
from bravaismap.read.reading import read
from bravaismap.read.tifftags import channel_names, shown_greys

GREY = STACK.astype(np.uint8)


# ImageJ


@pytest.mark.parametrize("unit", ["\\u00C5", "\\u212B", "A", "angstrom", "\\u00c5"])
def test_angstrom_of_imagej_in_every_spelling(tmp_path: Path, unit: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], imagej=True, resolution=(5, 5), metadata={"unit": unit})
    check(read(tmp_path / "a.tif"), STACK[0], 0.02, None)


@pytest.mark.parametrize("unit", ["\\u00B5m", "\\u03BCm", "um", "micron"])
def test_micrometre_of_imagej_in_every_spelling(tmp_path: Path, unit: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], imagej=True, resolution=(5e4, 5e4), metadata={"unit": unit})
    check(read(tmp_path / "a.tif"), STACK[0], 0.02, None)


@pytest.mark.parametrize(("unit", "dots"), [("cm", 118.11), ("inch", 300.0), ("pixel", 1.0)])
def test_resolution_of_a_print_is_no_pixel_size(tmp_path: Path, unit: str, dots: float) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], imagej=True, resolution=(dots, dots), metadata={"unit": unit})
    check(read(tmp_path / "a.tif"), STACK[0], None, None)
    tifffile.imwrite(tmp_path / "b.tif", STACK[0], resolution=(dots, dots), resolutionunit=3)
    check(read(tmp_path / "b.tif"), STACK[0], None, None)


def test_frames_per_second_of_imagej_are_a_playback_rate(tmp_path: Path) -> None:
    metadata = {"fps": 7.0, "axes": "TYX", "unit": "nm"}
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, resolution=(50, 50), metadata=metadata)
    check(read(tmp_path / "a.tif"), STACK, 0.02, None)
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata=metadata | {"finterval": 40, "tunit": "ms"})
    assert frame_time(read(tmp_path / "a.tif")) == pytest.approx(0.04)


# Tags of microscopes


def test_tiff_of_tvips_and_sis(tmp_path: Path) -> None:
    header = tvips_header(0.03)
    tifffile.imwrite(tmp_path / "tvips.tif", STACK[0], extratags=[(37706, "B", len(header), header, True)])
    check(read(tmp_path / "tvips.tif"), STACK[0], 0.03, None)
    write_sis(tmp_path / "sis.tif", STACK[0], 3e-11)
    check(read(tmp_path / "sis.tif"), STACK[0], 0.03, None)


VELOX = (
    '<?xml version="1.0" encoding="utf-16"?><Metadata xmlns:nil="http://schemas.fei.com/Metadata/v1/2013/07" '
    'xmlns="http://schemas.fei.com/Metadata/v1/2013/07"><Optics><Voltage unit="V">200000</Voltage></Optics>'
    "<BinaryResult><PixelSize>{}</PixelSize></BinaryResult></Metadata>"
)
SIDES = '<X unit="{0}">{1}</X><Y unit="{0}">{1}</Y>'


@pytest.mark.parametrize("tag", [270, 34680, 34682, 34683])
@pytest.mark.parametrize(
    "pixel",
    [SIDES.format("m", 3e-11), SIDES.format("nm", 0.03), "<width>3e-11</width><height>3e-11</height>"],
    ids=["m", "nm", "width"],
)
def test_tiff_of_velox_with_xml(tmp_path: Path, tag: int, pixel: str) -> None:
    text = VELOX.format(pixel)
    options = {"description": text} if tag == 270 else {"extratags": [(tag, "s", 0, text, True)]}
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], metadata=None, **options)
    check(read(tmp_path / "a.tif"), STACK[0], 0.03, None)


@pytest.mark.parametrize(
    "text", ["<Metadata><PixelSize>", "<a><PixelSize><X>x</X><Y>1</Y></PixelSize></a>", "<>", "a > b < c"]
)
def test_xml_that_says_no_size(tmp_path: Path, text: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], description=text, metadata=None)
    check(read(tmp_path / "a.tif"), STACK[0], None, None)


def test_tiff_of_fei_with_the_width_of_the_field_alone(tmp_path: Path) -> None:
    text = "[EBeam]\r\nHFW=5.1e-10\r\nVFW=3.6e-10\r\n[Image]\r\nResolutionX=17\r\nResolutionY=12\r\n"
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], extratags=[(34682, "s", 0, text, True)])
    check(read(tmp_path / "a.tif"), STACK[0], 0.03, None)
    tifffile.imwrite(tmp_path / "b.tif", STACK[0], extratags=[(34682, "s", 0, "[User]\r\nDate=1\r\n", True)])
    check(read(tmp_path / "b.tif"), STACK[0], None, None)


def test_stack_of_digital_micrograph_with_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tags = [(65003, "s", 3, "nm", False), (65004, "s", 3, "nm", False), (65005, "s", 2, "s", False)]
    tags += [(65009, "d", 1, 0.03, False), (65010, "d", 1, 0.03, False), (65011, "d", 1, 0.5, False)]
    tifffile.imwrite(tmp_path / "a.tif", STACK, photometric="minisblack", extratags=tags)
    check_both(tmp_path / "a.tif", monkeypatch, STACK, 0.03, 0.5)


def test_stack_that_rosettasciio_wrote(tmp_path: Path) -> None:
    from rsciio.tiff import file_writer

    file_writer(str(tmp_path / "a.tif"), hyperspy_signal(STACK))
    assert pixel_size(read(tmp_path / "a.tif")) == pytest.approx(0.03)
    np.testing.assert_array_equal(read(tmp_path / "a.tif").values, STACK)


# Pages that are frames


@pytest.mark.parametrize("how", ["loop", "append", "compressed", "chunks"])
def test_pages_written_one_by_one_are_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    path = tmp_path / "a.tif"
    if how == "append":
        for frame in STACK:
            tifffile.imwrite(path, frame, append=True)
    else:
        with tifffile.TiffWriter(path) as file:
            parts = [STACK[:3], STACK[3:]] if how == "chunks" else STACK
            for number, part in enumerate(parts):
                packed = how == "compressed" and number % 2
                file.write(part, photometric="minisblack", compression="zlib" if packed else None)
    check_both(path, monkeypatch, STACK, None, None)


def test_a_page_of_another_size_is_left_out_of_a_movie(tmp_path: Path) -> None:
    thumbnail = STACK[0, ::2, ::2]
    for place in (0, 4):
        with tifffile.TiffWriter(tmp_path / f"{place}.tif") as file:
            for number in range(5):
                file.write(thumbnail if number == place else STACK[number - (number > place)])
        movie = read(tmp_path / f"{place}.tif")
        check(movie, STACK, None, None)
        assert movie.attrs["available"]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(STACK, photometric="minisblack")
        file.write(thumbnail)
    check(read(tmp_path / "a.tif"), STACK, None, None)
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(STACK[0])
        file.write(thumbnail, subfiletype=1)
    check(read(tmp_path / "b.tif"), STACK[0], None, None)


def test_pages_in_colour_written_one_by_one(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for frame in GREY:
            file.write(np.stack([frame] * 3, axis=-1), photometric="rgb")
    with pytest.warns(UserWarning, match="luminance"):
        check(read(tmp_path / "a.tif"), GREY, None, None)


def test_the_images_of_an_ome_file_are_no_frames(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        for number in range(2):
            file.write(STACK[number], metadata={"Name": f"place {number}"})
    with pytest.raises(InputError, match="holds 2 images"):
        read(tmp_path / "a.ome.tif")
    check(read(tmp_path / "a.ome.tif", dataset="1"), STACK[1], None, None)


def test_channels_of_ome_by_name(tmp_path: Path) -> None:
    path, names = tmp_path / "a.ome.tif", ["HAADF", "BF"]
    tifffile.imwrite(path, STACK.reshape(2, 2, 12, 17), metadata={"axes": "TCYX", "Channel": {"Name": names}})
    with pytest.raises(InputError, match=r"'HAADF' \(2, 12, 17\).*'BF'.*--channel NAME"):
        read(path)
    for name in ("BF", "bf", "1"):
        check(read(path, channel=name), STACK[1::2], None, None)
    check(read(path, dataset="HAADF"), STACK[::2], None, None)
    with pytest.raises(InputError, match="no channel 'ADF' in it; it holds 'HAADF', 'BF'"):
        read(path, channel="ADF")


# Palettes and white that is zero


def palette_of(order: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return the colour map of a TIFF in which the number `order[i]` shows `colours[i]`."""
    palette = np.zeros((3, 256), np.uint16)
    palette[:, order] = colours.T * 257
    return palette


def test_palette_of_greys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = np.random.default_rng(1).permutation(256)
    palette = palette_of(order, np.repeat(np.arange(256)[:, None], 3, axis=1))
    numbers = order[GREY].astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="palette", colormap=palette)
    check_both(tmp_path / "a.tif", monkeypatch, GREY, None, None)
    assert read(tmp_path / "a.tif").dtype == np.uint8


def test_palette_of_colours(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    colours = rng.integers(0, 256, (256, 3))
    palette = palette_of(np.arange(256), colours)
    tifffile.imwrite(tmp_path / "a.tif", GREY[0], photometric="palette", colormap=palette)
    with pytest.warns(UserWarning, match="luminance"):
        movie = read(tmp_path / "a.tif")
    np.testing.assert_allclose(movie.values[0], colours[GREY[0]] @ [0.299, 0.587, 0.114], rtol=1e-6)
    np.testing.assert_array_equal(read(tmp_path / "a.tif", channel="green").values[0], colours[GREY[0], 1])


def test_palette_of_imagej_is_for_the_screen(tmp_path: Path) -> None:
    palette = palette_of(np.arange(256), np.random.default_rng(2).integers(0, 256, (256, 3)))
    tifffile.imwrite(tmp_path / "a.tif", GREY[0], imagej=True, photometric="palette", colormap=palette)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(read(tmp_path / "a.tif"), GREY[0], None, None)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_white_that_is_zero_is_turned_round(tmp_path: Path, dtype: str) -> None:
    image = STACK[0].astype(dtype)
    options: dict[str, Any] = {"photometric": "miniswhite"}
    tifffile.imwrite(tmp_path / "a.tif", image, **options)
    check(read(tmp_path / "a.tif"), np.iinfo(dtype).max - image, None, None)
    tifffile.imwrite(tmp_path / "b.tif", image, imagej=True, **options)
    check(read(tmp_path / "b.tif"), image, None, None)


# Pixels that are not square


def test_pixels_of_imagej_that_are_not_square(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], imagej=True, resolution=(50, 25), metadata={"unit": "nm"})
    with pytest.warns(UserWarning, match=r"0\.02 nm along x and 0\.04 nm along y, resampled to square ones"):
        movie = read(tmp_path / "a.tif")
    assert movie.shape == (1, 24, 17)
    assert pixel_size(movie) == pytest.approx(0.02)
    check(read(tmp_path / "a.tif", pixel_size=0.03), STACK[0], 0.03, None)


def test_dots_of_a_print_that_are_not_square(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], resolution=(72, 144), resolutionunit=2)
    with pytest.warns(UserWarning, match=r"a height of 0\.5 times their width, resampled"):
        movie = read(tmp_path / "a.tif")
    assert movie.shape == (1, 12, 34)
    assert pixel_size(movie) is None


# Page by page


def test_greys_of_a_page_by_its_kind(tmp_path: Path) -> None:
    palette = np.repeat(np.arange(255, -1, -1, dtype=np.uint16)[None] * 257, 3, axis=0)
    for name, options, expected in (
        ("plain", {"photometric": "minisblack"}, None),
        ("turned", {"photometric": "miniswhite"}, np.arange(255, -1, -1)),
        ("palette", {"photometric": "palette", "colormap": palette}, np.arange(255, -1, -1)),
    ):
        tifffile.imwrite(tmp_path / f"{name}.tif", GREY[0], **options)
        with tifffile.TiffFile(tmp_path / f"{name}.tif") as tif:
            greys = shown_greys(tif, tif.pages[0])
        assert (greys is None) == (expected is None)
        if greys is not None:
            np.testing.assert_array_equal(greys if greys.ndim == 1 else greys[:, 0], expected)


def test_channels_are_numbered_where_their_names_do_not_tell_them_apart(tmp_path: Path) -> None:
    for given, names in (
        (["HAADF", "BF"], ["HAADF", "BF"]),
        (["HAADF", "HAADF"], ["channel 0", "channel 1"]),
        (["", "BF"], ["channel 0", "BF"]),
    ):
        about = {"axes": "CYX", "Channel": {"Name": given}}
        tifffile.imwrite(tmp_path / "a.ome.tif", STACK[:2], metadata=about)
        with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
            assert channel_names(tif, 0, 2) == names
            assert channel_names(tif, 1, 2) == ["channel 0", "channel 1"]  # there is no second image
