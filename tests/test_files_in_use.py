"""Files that appear whole, also where Windows refuses to touch what another program has open."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bravaismap import files
from bravaismap.errors import OutputError
from bravaismap.files import patiently, put_in_place, remove, replacing, write_atomically


def busy(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    """Return a function that is refused so many times before it is called, as Windows does of a file in use."""
    left = [times]

    def refused(*arguments: Any, **options: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise PermissionError(13, "The process cannot access the file because it is being used by another process")
        return function(*arguments, **options)

    return refused


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the module take this system for Windows, whose files are in use for a moment."""
    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(files, "_PATIENCE", 0.3)
    monkeypatch.setattr(files, "_PAUSE", 0.001)


@pytest.mark.usefixtures("windows")
def test_a_file_in_use_is_replaced_a_moment_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    for module, name in ((os, "replace"), (Path, "replace"), (Path, "unlink")):
        monkeypatch.setattr(module, name, busy(getattr(module, name), 3))
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    with replacing(path) as temporary:
        temporary.write_text("newer")
    assert path.read_text() == "newer"
    remove(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("windows")
def test_a_folder_in_use_steps_aside_a_moment_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    monkeypatch.setattr(Path, "rename", busy(Path.rename, 3))
    put_in_place(tmp_path / "new", tmp_path / "old")
    assert [path.name for path in tmp_path.rglob("*")] == ["old", "new"]


@pytest.mark.usefixtures("windows")
def test_a_file_that_stays_in_use_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    monkeypatch.setattr(os, "replace", busy(os.replace, 10**6))
    monkeypatch.setattr(Path, "replace", busy(Path.replace, 10**6))
    with pytest.raises(OutputError, match=r"a\.csv: .*close the program that has the file open"):
        write_atomically(path, b"new")
    with (
        pytest.raises(OutputError, match=r"a\.csv: .*close the program that has the file open"),
        replacing(path) as new,
    ):
        new.write_text("new")
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["old"]


def test_elsewhere_a_refusal_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WINDOWS", False)
    action = busy(lambda: 1, 1)
    with pytest.raises(PermissionError):
        patiently(action)
    assert patiently(action) == 1
