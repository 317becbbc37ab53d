"""Chunks: byte for byte those of zarr, whole or not there, and none where zarr writes none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import GzipCodec

from bravaismap.result.chunks import plain_chunks, write_chunk


def arrays(folder: Path, dtype: str, shape: tuple[int, ...], fill: Any) -> tuple[zarr.Array[Any], zarr.Array[Any]]:
    """Two equal arrays, in folders of their names."""
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    options = {"shape": (5, *shape), "dtype": dtype, "chunks": (1, *shape), "fill_value": fill}
    return tuple(group.create_array(name, **options) for name in "ab")  # type: ignore[return-value]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("dtype", "shape", "fill"),
    [
        ("float32", (3, 4, 2), np.nan),
        ("float64", (6,), 0.0),
        ("int8", (4, 4), -1),
        ("uint32", (), 0),
        ("int16", (2,), 7),
    ],
)
def test_files_are_those_of_zarr(tmp_path: Path, dtype: str, shape: tuple[int, ...], fill: Any) -> None:
    mine, theirs = arrays(tmp_path, dtype, shape, fill)
    compressor = plain_chunks(mine)
    assert compressor is not None
    rng = np.random.default_rng(0)
    frames = [rng.uniform(0, 100, shape).astype(dtype) for _ in range(3)]
    frames += [np.full(shape, fill, dtype), np.zeros(shape, dtype)]
    for index, frame in enumerate(frames):
        write_chunk(tmp_path / "a", mine, compressor, index, frame)
        theirs[index] = frame
    assert files(tmp_path / "a") == files(tmp_path / "b")
    np.testing.assert_array_equal(mine[:], np.stack(frames))


def test_a_frame_that_is_written_again_replaces_the_first(tmp_path: Path) -> None:
    array, _ = arrays(tmp_path, "float32", (3,), np.nan)
    compressor = plain_chunks(array)
    assert compressor is not None
    for values in ([1, 2, 3], [4, 5, np.nan], [np.nan] * 3):
        write_chunk(tmp_path / "a", array, compressor, 2, values)
        np.testing.assert_array_equal(array[2], np.array(values, np.float32))
    assert not [name for name in files(tmp_path / "a") if "partial" in name]


def test_nothing_is_left_of_a_frame_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array, _ = arrays(tmp_path, "float32", (3,), np.nan)
    compressor = plain_chunks(array)
    assert compressor is not None
    with pytest.raises(ValueError, match="shape"):
        write_chunk(tmp_path / "a", array, compressor, 0, np.zeros(4))
    before = files(tmp_path)

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("bravaismap.result.chunks.os.replace", full)
    with pytest.raises(OSError, match="no space"):
        write_chunk(tmp_path / "a", array, compressor, 0, np.ones(3))
    assert files(tmp_path) == before


def test_other_layouts_are_left_to_zarr(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path, mode="w", zarr_format=3)
    options: dict[str, Any] = {"shape": (4, 6), "dtype": "float32"}
    for name, other in (
        ("chunks", {"chunks": (2, 6)}),
        ("parts", {"chunks": (1, 3)}),
        ("gzip", {"chunks": (1, 6), "compressors": GzipCodec()}),
        ("big", {"chunks": (1, 6), "serializer": zarr.codecs.BytesCodec(endian="big")}),
    ):
        assert plain_chunks(group.create_array(name, **options, **other)) is None
