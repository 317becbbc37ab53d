"""Round trips of `read` on zarr as other programs write it."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from instrument_files import STACK, ome_zarr, write_zspy
from movie_checks import check, check_both

from bravaismap.errors import InputError
from bravaismap.movie import pixel_size
from bravaismap.read.reading import read


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
