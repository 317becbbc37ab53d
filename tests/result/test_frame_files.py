"""Files of single frames: whole or not there, and what is damaged is not read."""

from __future__ import annotations

import errno
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bravaismap.result import frame_files
from bravaismap.result.checksum import frame_checksum
from bravaismap.result.frame_files import FrameFiles

VALUES = {
    "probability": np.linspace(0, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    "label": np.array([[1, -1, 2]], np.int8),
    "fraction": np.array([0.25, np.nan]),
}


@pytest.fixture
def files(tmp_path: Path) -> FrameFiles:
    (tmp_path / "frame_done").mkdir()
    return FrameFiles(tmp_path)


def test_what_was_written_is_read(files: FrameFiles) -> None:
    for index in (10, 2):
        files.write(index, VALUES)
    assert files.numbers() == [2, 10]
    values = files.read(2)
    assert values is not None
    assert {name: array.dtype for name, array in values.items()} == {n: array.dtype for n, array in VALUES.items()}
    for name, array in VALUES.items():
        np.testing.assert_array_equal(values[name], array)
        np.testing.assert_array_equal(files.variable(10, name), array)
    assert files.checksum(10) == frame_checksum(VALUES)
    files.remove(2)
    files.remove(2)
    assert files.numbers() == [10]
    assert files.read(2) is None
    assert files.variable(10, "nothing") is None
    assert FrameFiles(files.folder / "nowhere").numbers() == []


def test_arrays_in_any_order_of_memory(files: FrameFiles) -> None:
    turned = {"a": np.arange(12.0).reshape(3, 4).T, "b": np.arange(8, dtype=np.int8)[::2]}
    files.write(0, turned)
    for name, array in turned.items():
        np.testing.assert_array_equal(files.variable(0, name), array)


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "foreign", "no checksum"])
def test_damaged_files_are_not_read(files: FrameFiles, how: str) -> None:
    files.write(0, VALUES)
    path = files.folder / "0.safetensors"
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[-5] ^= 1
    if how in ("cut", "empty"):
        content = content[: len(content) // 2 if how == "cut" else 0]
    path.write_bytes(b"no frame" if how == "foreign" else content)
    if how == "no checksum":
        save_file(VALUES, path)
    assert files.read(0) is None


def test_nothing_is_left_of_a_file_that_cannot_be_written(files: FrameFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(frame_files.os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        files.write(0, VALUES)
    assert not list(files.folder.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit to the size of a file")
def test_the_reason_is_said(files: FrameFiles) -> None:
    import resource

    heeded, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(OSError, match="too large") as error:
            files.write(0, VALUES)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, heeded)
    assert error.value.errno == errno.EFBIG
    assert files.numbers() == []
