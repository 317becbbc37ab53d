"""Checksums of frames: every change is seen, and nothing else."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest

from bravaismap.result.checksum import frame_checksum, intact_frames, readable_frames


def frames(count: int = 5) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"p": rng.random((count, 2, 3), np.float32), "label": rng.integers(0, 6, (count, 2)).astype(np.int8)}


class Damaged:
    """An array of which some frames cannot be decoded."""

    def __init__(self, values: np.ndarray, bad: set[int]) -> None:
        self.values, self.bad, self.nbytes = values, bad, values.nbytes

    def __getitem__(self, rows: slice) -> np.ndarray:
        if self.bad & set(range(rows.start, rows.stop)):
            raise RuntimeError("zstd: corrupt")
        return self.values[rows]


def test_known_answer() -> None:
    expected = zlib.crc32(b"a" + struct.pack("<2f", 1, 2) + b"b" + b"\x07")
    assert frame_checksum({"b": np.int8([7]), "a": np.float32([1, 2])}) == expected
    assert frame_checksum({"a": np.array([1, 2], ">f4"), "b": np.int8([7])}) == expected


def test_every_bit_counts() -> None:
    frame = {name: values[0] for name, values in frames().items()}
    whole = frame_checksum(frame)
    for name, values in frame.items():
        for byte in range(values.nbytes):
            changed = values.copy()
            changed.reshape(-1).view(np.uint8)[byte] ^= 1
            assert frame_checksum(frame | {name: changed}) != whole


def test_every_nan_counts_alike_and_the_argument_is_left_alone() -> None:
    bits = np.array([0x7FC00000, 0xFFC00001], np.uint32)
    strange = bits.view(np.float32)
    assert frame_checksum({"a": strange}) == frame_checksum({"a": np.full(2, np.nan, np.float32)})
    np.testing.assert_array_equal(strange.view(np.uint32), bits)


@pytest.mark.parametrize("together", [1, 80, 2**24])
def test_damage_of_each_kind_is_found(monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    monkeypatch.setattr("bravaismap.result.checksum._READ_BYTES", together)
    arrays: dict[str, Any] = frames()
    sums = np.array([frame_checksum({name: v[i] for name, v in arrays.items()}) for i in range(5)], np.uint32)
    written = np.array([True, True, True, True, False])
    assert intact_frames(arrays, sums, written).tolist() == written.tolist()
    arrays["p"][1, 0, 0] += 1
    sums[2] += 1
    arrays["label"] = Damaged(arrays["label"], {3, 4})
    assert intact_frames(arrays, sums, written).tolist() == [True, False, False, False, False]


def test_what_can_be_read_is_read() -> None:
    values = np.arange(5)
    found = readable_frames({"a": Damaged(values, {0, 3})}, 0, 5)
    assert [None if frame is None else int(frame["a"]) for frame in found] == [None, 1, 2, None, 4]

    class TooLarge:
        def __getitem__(self, _: slice) -> np.ndarray:
            raise MemoryError

    with pytest.raises(MemoryError):
        readable_frames({"a": TooLarge()}, 0, 5)
