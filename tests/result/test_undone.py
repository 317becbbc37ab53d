"""Undone: what a result holds of what was taken out of its frames, through a run that is continued, and in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bravaismap as bm
from bravaismap.cli.answers import map_answer
from bravaismap.export.report import report
from bravaismap.lattice.basis import basis_from_cell
from bravaismap.result.schema import VARIABLES
from bravaismap.result.undone import Undone, undone_lines

SIDE = 160
UNDONE = {variable.name for variable in VARIABLES if variable.group == "undone"}


@pytest.fixture
def movie(crystal: Callable[..., np.ndarray]) -> np.ndarray:
    """Frames of a crystal: as it is, with hum, with odd rows displaced, with offsets of its rows."""
    rng = np.random.default_rng(1)
    image = crystal((SIDE, SIDE), basis_from_cell(9.0, 9.0, np.radians(90), np.radians(17)))
    image = image / image.std()
    y, x = np.mgrid[:SIDE, :SIDE]
    shifted = np.where(y % 2 == 1, np.roll(image, 3, axis=1), image)
    hum, offsets = 1.5 * np.sin(2 * np.pi * (0.046 * x - 0.137 * y)), 2.0 * rng.standard_normal((SIDE, 1))
    frames = np.stack([image, image + hum, shifted, image + offsets])
    return np.asarray(frames + 0.2 * rng.standard_normal(frames.shape))


@pytest.mark.filterwarnings("ignore::bravaismap.errors.BravaismapWarning")
def test_a_result_holds_what_was_undone_and_a_continued_one_too(movie: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "map.zarr"

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise Stop

    given = {"window": 64, "step": 48, "samples": 0, "pixel_size": 0.1}
    with pytest.raises(Stop):
        bm.map_phases(movie, output=path, progress=stop, **given)
    unfinished = bm.open_result(path)  # its frames are in files of their own
    np.testing.assert_allclose(unfinished.frame_pickup[:3], [0, 0.69, 0], atol=0.01)
    result = bm.map_phases(movie, output=path, **given)
    again = bm.open_result(path)
    lines = undone_lines(again)
    assert lines == undone_lines(result)
    assert [line.split(" ", 3)[:3] for line in lines] == [
        ["the", "odd", "rows"],
        ["a", "wave", "of"],
        ["the", "rows", "of"],
    ]
    assert "(frame 2) were displaced by 0.3 nm along x" in lines[0]
    assert "0.69" in lines[1]
    assert "(frame 1)" in lines[1]
    assert "(frame 3)" in lines[2]
    assert "undone: " + lines[0] in repr(again)
    assert lines[2] in report(again)
    assert map_answer(again, path, [])["undone"] == lines
    assert undone_lines(again.drop_vars(UNDONE)) == []


def test_words_count_frames_and_give_the_range_of_what_was_undone() -> None:
    done = [Undone(), Undone((0.0, 1.5), 7.25), Undone((0.0, 0.5), 0.0, (True, False), (2.0, 2.0))]
    values = [own.variables(None) for own in done]
    dims = {"frame_displaced": ("time", "component"), "frame_pickup": ("time",)}
    result = bm.map_phases(np.zeros((3, 64, 64)) + np.random.default_rng(0).random((3, 64, 64)), samples=0, window=64)
    for name in UNDONE:
        result[name] = (dims.get(name, ("time", "component")), np.stack([own[name] for own in values]))
    assert undone_lines(result) == [
        "the odd rows of 2 frames (frame 1, 2) were displaced by 0.50 to 1.50 px along x: moved back",
        "a wave of 7.25 px beside any lattice runs through 1 frame (frame 1), as mains hum does: taken out",
        "the rows of 1 frame (frame 2) have offsets: taken out of the windows",
        "the pixels of 1 frame (frame 2) are repeated 2 times: windows are measured in those of the scan itself",
    ]
    assert undone_lines(result.isel(time=[2]), [7])[0].startswith("the odd rows of 1 frame (frame 7)")
