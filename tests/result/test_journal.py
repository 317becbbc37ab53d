"""The journal of a live result: a line for each frame, and nothing after the first that is not whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from bravaismap.result.journal import JOURNAL, journal_line, journal_of
from bravaismap.result.schema import DONE

FRAMES = [{"frame": i, "source": f"Größe σ {i}\n.tif", "mapped": 0.25 * i} for i in range(3)]


def written(folder: Path, text: str) -> Path:
    (folder / JOURNAL).parent.mkdir(exist_ok=True)
    (folder / JOURNAL).write_text(text, encoding="utf-8")
    return folder


def test_lines_come_back(tmp_path: Path) -> None:
    lines = [journal_line(frame) for frame in FRAMES]
    assert all(line.count("\n") == 1 and line.endswith("\n") for line in lines)
    assert "Größe σ" in lines[0]
    assert journal_of(written(tmp_path, "".join(lines))) == FRAMES


def test_it_lies_where_no_reader_of_zarr_looks() -> None:
    assert Path(JOURNAL).parent.as_posix() == DONE
    assert not JOURNAL.endswith(("zarr.json", "/c"))


@pytest.mark.parametrize("kept", range(1, 40, 6))
def test_a_line_that_a_crash_cut_does_not_count(tmp_path: Path, kept: int) -> None:
    last = journal_line(FRAMES[2])
    whole = "".join(map(journal_line, FRAMES[:2]))
    assert journal_of(written(tmp_path, whole + last[: min(kept, len(last) - 1)])) == FRAMES[:2]


@pytest.mark.parametrize(
    "line", ["\n", "[1]\n", "3\n", "{}\n", '{"frame": 1}\n', '{"frame": 3}\n', '{"frame": "2"}\n', "{broken\n"]
)
def test_what_is_not_the_next_frame_ends_it(tmp_path: Path, line: str) -> None:
    text = "".join(map(journal_line, FRAMES[:2])) + line + journal_line(FRAMES[2])
    assert journal_of(written(tmp_path, text)) == FRAMES[:2]


def test_empty_journal_has_no_frames(tmp_path: Path) -> None:
    assert journal_of(written(tmp_path, "")) == []
