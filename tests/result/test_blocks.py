"""Blocks of frames: gathered from files, taken apart again, and at no moment is a frame nowhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stored_frames import FRAMES, VARIABLES, frame

from bravaismap.result.blocks import FrameBlocks
from bravaismap.result.open import open_result
from bravaismap.result.stored import written_frames
from bravaismap.result.zarr_store import open_group


def opened(path: Path) -> FrameBlocks:
    return FrameBlocks(path, open_group(path, "r+"), VARIABLES)


def holds(path: Path, numbers: set[int]) -> None:
    """Assert that a result holds these frames and no others."""
    found = open_result(path).load()
    for index in range(FRAMES):
        for name, values in frame(index).items():
            stored = found[name].values[index]
            if index in numbers:
                np.testing.assert_array_equal(stored, values)
            else:
                assert (stored == -1).all() if stored.dtype.kind == "i" else np.isnan(stored).all()
    assert set(np.flatnonzero(written_frames(path))) == numbers


def test_frames_are_read_wherever_they_are(blocks: FrameBlocks) -> None:
    assert blocks.length == 3
    for index in (0, 5, 2, 1, 6):
        blocks.write(index, frame(index))
    holds(blocks.path, {0, 1, 2, 5, 6})
    blocks.gather(0)
    assert blocks.files.numbers() == [5, 6]
    holds(blocks.path, {0, 1, 2, 5, 6})
    blocks.gather_all()
    assert blocks.files.numbers() == []
    assert blocks.marked().tolist() == [True, True, True, False, False, True, True]
    assert blocks.intact(blocks.marked()).tolist() == blocks.marked().tolist()
    holds(blocks.path, {0, 1, 2, 5, 6})


def test_a_frame_of_another_shape_is_refused(blocks: FrameBlocks) -> None:
    with pytest.raises(ValueError, match="a frame of shape"):
        blocks.write(3, {name: values[..., :1] for name, values in frame(3).items()})


def test_a_frame_that_is_written_again_leaves_the_others_of_its_block(blocks: FrameBlocks) -> None:
    for index in (0, 1, 2):
        blocks.write(index, frame(9))
    blocks.gather(0)
    for index in (0, 1, 2):
        blocks.write(index, frame(index))
        blocks.gather(0)
    holds(blocks.path, {0, 1, 2})


def test_what_a_run_has_left_is_settled(blocks: FrameBlocks) -> None:
    path = blocks.path
    for index in (0, 1, 2, 3, 5, 6):
        blocks.write(index, frame(index))
    blocks.gather(1)  # one of its frames is missing
    (path / "label" / "c" / "1" / "half.partial").touch()
    for place in ("zarr.json.partial", "frame_done/0.safetensors.x.partial", "frame_done/.tmpabc", "time/c/x.partial"):
        (path / place).touch()
    blocks.files.write(12, frame(12))  # of no frame of this result
    written = opened(path).settle(blocks.marked())
    assert written.tolist() == [True, True, True, True, False, True, True]
    holds(path, {0, 1, 2, 3, 5, 6})
    assert blocks.files.numbers() == [3, 5]
    assert not [file for file in path.rglob("*") if "partial" in file.name or ".tmp" in file.name]


def test_a_file_that_the_end_of_a_process_has_left_beside_its_block_is_gathered_again(blocks: FrameBlocks) -> None:
    for index in (0, 1, 2):
        blocks.write(index, frame(index))
    blocks.gather(0)
    blocks.files.write(2, frame(2))  # the others were removed, and then the process was killed
    holds(blocks.path, {0, 1, 2})
    assert blocks.settle(blocks.marked()).sum() == 3
    assert blocks.files.numbers() == []
    holds(blocks.path, {0, 1, 2})


@pytest.mark.parametrize("lost", [0, 1])
def test_a_block_of_which_a_frame_is_damaged_is_taken_apart(blocks: FrameBlocks, lost: int) -> None:
    for index in (0, 1, 2):
        blocks.write(index, frame(index))
    blocks.gather(0)
    kept = blocks.marked()
    kept[lost] = False
    assert blocks.settle(kept).sum() == 2
    holds(blocks.path, {0, 1, 2} - {lost})
    blocks.write(lost, frame(lost))
    blocks.gather(0)
    holds(blocks.path, {0, 1, 2})
