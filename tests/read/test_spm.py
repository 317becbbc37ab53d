"""Scanning-probe formats: Gwyddion by its own writer; its simple fields, Nanonis and Matrix files byte by byte."""

from __future__ import annotations

import builtins
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from instrument_files import grid_bytes, gsf_bytes, matrix_files, sxm_bytes, write_gwy

from bravaismap.errors import InputError
from bravaismap.movie import pixel_size
from bravaismap.read.reading import read

Z = np.random.default_rng(0).normal(size=(12, 17)).astype(np.float32)


def check(movie: xr.DataArray, image: np.ndarray, size: float | None = 0.1) -> None:
    assert movie.dims == ("time", "y", "x")
    np.testing.assert_array_equal(movie.values, image if image.ndim == 3 else image[None])
    assert pixel_size(movie) == (None if size is None else pytest.approx(size, rel=1e-4))


# Gwyddion


def test_gwy(tmp_path: Path) -> None:
    write_gwy(tmp_path / "a.gwy", {"Current": Z + 1, "Topography": Z, "Current backward": Z + 2})
    movie = read(tmp_path / "a.gwy")
    check(movie, Z.astype(float))
    assert movie.attrs["dataset"] == "Topography"
    assert movie.attrs["available"] == "Current, Current backward"
    check(read(tmp_path / "a.gwy", dataset="current backward"), (Z + 2).astype(float))


def test_gwy_without_a_default(tmp_path: Path) -> None:
    write_gwy(tmp_path / "a.gwy", {"Phase": Z, "Amplitude": Z}, unit="1/m")
    with pytest.raises(InputError, match=r"a\.gwy: holds 2 images: 'Phase' \(12, 17\) float64, 'Amplitude'"):
        read(tmp_path / "a.gwy")
    check(read(tmp_path / "a.gwy", dataset="1"), Z.astype(float), None)


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.95])
def test_truncated_gwy(tmp_path: Path, kept: float) -> None:
    write_gwy(tmp_path / "a.gwy", {"Z": Z})
    content = (tmp_path / "a.gwy").read_bytes()
    (tmp_path / "a.gwy").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=r"a\.gwy: .*truncated"):
        read(tmp_path / "a.gwy")


@pytest.mark.parametrize("title", ["Z", "Höhe", "Topography", ""])  # of every length modulo four
def test_gsf(tmp_path: Path, title: str) -> None:
    content = gsf_bytes(Z, XReal=1.7e-9, YReal=1.2e-9, XYUnits="m", ZUnits="m", Title=title)
    (tmp_path / "scan.gsf").write_bytes(content)
    movie = read(tmp_path / "scan.gsf")
    check(movie, Z)
    assert movie.dtype == np.float32
    assert movie.attrs["dataset"] == (title or "scan")


@pytest.mark.parametrize("header", [{}, {"XReal": 1.7}, {"XReal": 1.7, "YReal": 1.2}, {"XYUnits": "m"}])
def test_gsf_of_unknown_size(tmp_path: Path, header: dict[str, Any]) -> None:
    (tmp_path / "a.gsf").write_bytes(gsf_bytes(Z, **header))
    check(read(tmp_path / "a.gsf"), Z, None)


def test_gsf_that_is_not_complete(tmp_path: Path) -> None:
    content = gsf_bytes(Z)
    for kept in (40, len(content) // 2, len(content) - 1):
        (tmp_path / "a.gsf").write_bytes(content[:kept])
        with pytest.raises(InputError, match=r"a\.gsf: .*truncated"):
            read(tmp_path / "a.gsf")
    (tmp_path / "a.gsf").write_bytes(gsf_bytes(Z, XRes=0))
    with pytest.raises(InputError, match="0 × 12 values"):
        read(tmp_path / "a.gsf")
    (tmp_path / "a.gwy").write_bytes(content)
    with pytest.raises(InputError, match="expected GWY, found GSF"):
        read(tmp_path / "a.gwy")


# Nanonis


def test_sxm(tmp_path: Path) -> None:
    (tmp_path / "a.sxm").write_bytes(sxm_bytes([Z, Z + 1]))
    movie = read(tmp_path / "a.sxm")
    check(movie, Z)
    assert movie.dtype == np.float32
    assert movie.attrs["dataset"] == "Z"
    assert movie.attrs["available"] == "Z backward"
    check(read(tmp_path / "a.sxm", dataset="Z backward"), (Z + 1)[:, ::-1])


def test_sxm_upwards_and_of_one_direction(tmp_path: Path) -> None:
    (tmp_path / "a.sxm").write_bytes(sxm_bytes([Z], "forward", "up"))
    check(read(tmp_path / "a.sxm"), Z[::-1])


def test_3ds(tmp_path: Path) -> None:
    parameters = np.random.default_rng(1).normal(size=(12, 17, 7)).astype(np.float32)
    sweep = np.random.default_rng(2).normal(size=(12, 17, 5)).astype(np.float32)
    content = grid_bytes(parameters, sweep)
    (tmp_path / "a.3ds").write_bytes(content)
    movie = read(tmp_path / "a.3ds")
    check(movie, parameters[::-1, :, 4])
    assert movie.attrs["dataset"] == "topo"
    check(read(tmp_path / "a.3ds", dataset="Current (A)"), np.moveaxis(sweep[::-1], -1, 0))
    (tmp_path / "b.3ds").write_bytes(content[:-100])
    with pytest.raises(InputError, match=r"b\.3ds: truncated"):
        read(tmp_path / "b.3ds")


# Omicron Matrix: a file of parameters and a file of values


def test_mtrx(tmp_path: Path) -> None:
    image = np.random.default_rng(3).integers(-1000, 1000, (12, 17))
    path = tmp_path / "run--1_1.Z_mtrx"
    parameters, values = matrix_files(image, path.name)
    path.write_bytes(values)
    with pytest.raises(InputError, match=r"its parameter file run_0001\.mtrx must lie beside it"):
        read(path)
    (tmp_path / "run_0001.mtrx").write_bytes(parameters)
    movie = read(path)
    check(movie, image[::-1] / 4)
    assert movie.attrs["dataset"] == "forward/up"
    assert movie.attrs["format"] == "mtrx"
    with pytest.raises(InputError, match=r"run_0001\.mtrx: holds the parameters .*\*\.Z_mtrx"):
        read(tmp_path / "run_0001.mtrx")


@pytest.mark.parametrize("kept", [0.001, 0.5, 0.99])
@pytest.mark.parametrize("suffix", ["sxm", "3ds", "Z_mtrx"])
def test_truncated(tmp_path: Path, suffix: str, kept: float, capfd: pytest.CaptureFixture) -> None:
    path = tmp_path / f"run--1_1.{suffix}"
    parameters, values = matrix_files(np.arange(204).reshape(12, 17), path.name)
    (tmp_path / "run_0001.mtrx").write_bytes(parameters)
    content = {"sxm": sxm_bytes([Z, Z]), "3ds": grid_bytes(np.zeros((12, 17, 7)), np.zeros((12, 17, 5)))}
    content = content.get(suffix, values)
    path.write_bytes(content[: int(kept * len(content)) + 1])
    with pytest.raises(InputError) as error:
        read(path)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("package", "suffix"), [("nanonispy2", "sxm"), ("nanonispy2", "3ds"), ("access2thematrix", "Z_mtrx")]
)
def test_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, suffix: str) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith(package):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    (tmp_path / f"a.{suffix}").write_bytes(b"x")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=rf'a\.{suffix}: .*pip install "bravaismap\[stm\]"'):
        read(tmp_path / f"a.{suffix}")


def test_sxm_with_pixels_that_are_not_square(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(12, 17)).astype(np.float32)
    content = sxm_bytes([image], "forward")
    ranges = re.search(rb":SCAN_RANGE:\n([^\n]*)\n", content)
    assert ranges is not None
    x, y = ranges[1].split()
    wide = f"{float(x):.6E}  {2 * float(y):.6E}".encode().ljust(len(ranges[1]))
    (tmp_path / "a.sxm").write_bytes(content.replace(ranges[1], wide))
    with pytest.warns(UserWarning, match="resampled to square ones"):
        movie = read(tmp_path / "a.sxm")
    assert movie.shape == (1, 24, 17)
    assert movie.attrs["pixel_height_nm"] == pytest.approx(2 * pixel_size(movie), rel=1e-3)
