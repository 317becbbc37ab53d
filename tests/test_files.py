"""Files are written whole: at a path is the old content or the new, whatever fails, and nothing is left over."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from bravaismap.errors import OutputError
from bravaismap.files import (
    Destination,
    advice,
    made_folder,
    put_in_place,
    remove,
    replacing,
    save_figure,
    texts,
    write_atomically,
    write_table,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_replaces_the_old_one_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".txt"  # writers go by the ending
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_what_fails_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_replaces_a_folder(tmp_path: Path) -> None:
    path = tmp_path / "r.zarr"
    path.mkdir()
    (path / "old").write_text("old")
    with replacing(path) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("new")
    assert names(path) == ["new"]
    assert names(tmp_path) == ["r.zarr"]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "precious.txt").write_text("precious")
    with pytest.raises(OutputError, match=r"data: cannot be written \(it is a folder\); choose another"):
        write_table(folder, [["a"]])
    assert names(tmp_path) == ["data"]
    assert (folder / "precious.txt").read_text() == "precious"


def test_a_folder_that_cannot_be_replaced_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "r.zarr"
    path.mkdir()
    (path / "old").write_text("old")
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "missing", path)
    assert names(path) == ["old"]
    assert names(tmp_path) == ["r.zarr"]


def test_removed_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "inside").write_text("")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    for name in ("folder", "file", "missing"):
        remove(tmp_path / name)
    assert names(tmp_path) == ["kept"]


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "inside").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "kept", target_is_directory=True)
    remove(tmp_path / "link")
    assert names(tmp_path) == ["kept"]
    assert names(tmp_path / "kept") == ["inside"]


@pytest.mark.parametrize(
    ("number", "part"),
    [
        (errno.ENOSPC, "free some space"), (errno.EDQUOT, "free some space"), (errno.EACCES, "you may write to"),
        (errno.EROFS, "you may write to"), (errno.ENAMETOOLONG, "choose another folder or name"),
    ],
)  # fmt: skip
def test_a_failure_is_one_line_that_says_what_to_do(number: int, part: str) -> None:
    with pytest.raises(OutputError, match=part) as error, advice(Path("a.csv")):
        raise OSError(number, os.strerror(number))
    assert str(error.value).startswith(f"a.csv: cannot be written ({os.strerror(number)}); ")
    assert "\n" not in str(error.value)


def test_folder_is_made_once_and_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    assert made_folder(tmp_path / "a" / "b").folder.is_dir()
    assert made_folder(str(tmp_path / "a" / "b")) == Destination(tmp_path / "a" / "b")
    named = Destination(tmp_path / "c", "film")
    assert made_folder(named) is named
    assert os.fspath(named) == str(tmp_path / "c")
    assert named.folder.is_dir()
    assert named / "fractions.csv" == tmp_path / "c" / "film_fractions.csv"
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        made_folder(tmp_path / "file")


def test_bytes_appear_under_their_name_when_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "a.bin"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("bravaismap.files.os.replace", refuse)
    with pytest.raises(OutputError, match="Input/output error; give a folder that can be written to"):
        write_atomically(path, b"three")
    assert path.read_bytes() == b"two"
    assert names(path.parent) == ["a.bin"]


def test_table_comes_back_with_every_character(tmp_path: Path) -> None:
    rows = [["a, b", 'c "d"', "é\nσ"], ["", "1.5", "x"]]
    path = write_table(tmp_path / "t.csv", rows)
    assert b"\r" not in path.read_bytes()
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == rows


def test_figure_is_written_once_for_each_ending(tmp_path: Path) -> None:
    figure = Figure(figsize=(1, 1))
    paths = save_figure(figure, tmp_path / "map_1.5", (".png", ".svg"))
    assert [path.name for path in paths] == ["map_1.5.png", "map_1.5.svg"]  # the point is no ending
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in paths[1].read_bytes()
    assert names(tmp_path) == ["map_1.5.png", "map_1.5.svg"]


@given(st.lists(st.floats(allow_infinity=False, width=64), min_size=1), st.sampled_from(["float64", "float32"]))
def test_numbers_come_back_exactly(values: list[float], dtype: str) -> None:
    with np.errstate(over="ignore"):
        array = np.array(values).astype(dtype)
    written = texts(array)
    back = np.array([float(text) if text else np.nan for text in written]).astype(dtype)
    np.testing.assert_array_equal(back, array)
    assert not any(text.endswith(".0") or text == "nan" for text in written)
