"""Variables of a store that is being written: each frame is read from where it is at the moment."""

from __future__ import annotations

import numpy as np
from stored_frames import FRAMES, frame

from bravaismap.result.blocks import FrameBlocks
from bravaismap.result.open import open_result
from bravaismap.result.schema import DONE
from bravaismap.result.stored import StoredVariable, marked_frames, written_frames
from bravaismap.result.zarr_store import array_of, open_group


def test_parts_of_a_variable(blocks: FrameBlocks) -> None:
    for index in (0, 1, 2, 4):
        blocks.write(index, frame(index))
    blocks.gather(0)
    probability = StoredVariable(array_of(open_group(blocks.path, "r"), "probability"), blocks.path)
    whole = np.full((FRAMES, 2, 3, 6), np.nan, np.float32)
    for index in (0, 1, 2, 4):
        whole[index] = frame(index)["probability"]
    assert (len(probability), probability.shape, probability.dtype) == (FRAMES, whole.shape, whole.dtype)
    for key in (
        4,
        -3,
        slice(1, 6),
        slice(None, None, 2),
        slice(5, 2, -1),
        [4, 0],
        slice(3, 3),
        (4, 1),
        (slice(2, 5), 0),
    ):
        np.testing.assert_array_equal(probability[key], whole[key])


def test_a_file_that_does_not_fit_is_not_taken_for_a_frame(blocks: FrameBlocks) -> None:
    blocks.files.write(3, {name: values[..., :1] for name, values in frame(3).items()})
    label = open_result(blocks.path)["label"].values
    assert (label[3] == -1).all()


def test_frames_are_marked_when_their_block_is_in_the_arrays_and_written_before(blocks: FrameBlocks) -> None:
    marks = array_of(open_group(blocks.path, "r"), DONE)
    assert not written_frames(blocks.path).any()
    for index in (0, 1, 2, 6):
        blocks.write(index, frame(index))
    blocks.files.write(12, frame(12))  # of no frame of this result
    assert not marked_frames(marks).any()
    assert np.flatnonzero(written_frames(blocks.path)).tolist() == [0, 1, 2, 6]
    blocks.gather(0)
    assert np.flatnonzero(marked_frames(marks)).tolist() == [0, 1, 2]
    assert np.flatnonzero(written_frames(blocks.path)).tolist() == [0, 1, 2, 6]


def test_marks_that_cannot_be_read_are_none(blocks: FrameBlocks) -> None:
    for index in range(6):
        blocks.write(index, frame(index))
    blocks.gather_all()
    (blocks.path / DONE / "c" / "1").write_bytes(b"damaged")
    marks = array_of(open_group(blocks.path, "r"), DONE)
    assert np.flatnonzero(marked_frames(marks)).tolist() == [0, 1, 2]
