"""One writer at a time: a lock is refused while its holder lives, and taken over when it does not."""

from __future__ import annotations

import gc
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bravaismap import files
from bravaismap.errors import OutputError
from bravaismap.result import lock
from bravaismap.result.lock import WriterLock, process_start


def lock_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def owner(**changes: object) -> str:
    me = {"pid": os.getpid(), "host": platform.node(), "process_start": process_start(os.getpid()), "since": "noon"}
    return json.dumps(me | changes)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_second_writer_is_refused_until_the_first_has_finished(tmp_path: Path) -> None:
    first = WriterLock(tmp_path / "r.zarr")
    with pytest.raises(OutputError, match=rf"r\.zarr is being written by process {os.getpid()} on this computer since"):
        WriterLock(tmp_path / "r.zarr")
    WriterLock(tmp_path / "other.zarr").release()
    first.release()
    first.release()
    assert list(tmp_path.iterdir()) == []
    second = WriterLock(tmp_path / "r.zarr")
    first.release()  # lets go of nothing that is not its own
    assert lock_of(tmp_path / "r.zarr").exists()
    second.release()


def test_released_with_the_object_and_with_the_process(tmp_path: Path) -> None:
    WriterLock(tmp_path / "r.zarr")
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    for end in ("", "raise KeyboardInterrupt", "import sys; sys.exit(3)"):
        code = (
            "from pathlib import Path; from bravaismap.result.lock import WriterLock\n"
            f"lock = WriterLock(Path({str(tmp_path / 'r.zarr')!r})); print(lock.path.exists()); {end}"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "True", done.stderr
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("changes", [{"process_start": "another"}, {"pid": "dead"}])
def test_lock_of_a_dead_process_is_taken_over(tmp_path: Path, changes: dict[str, object]) -> None:
    if changes.get("pid") == "dead":
        changes = {"pid": dead_process()}
    lock_of(tmp_path / "r.zarr").write_text(owner(**changes))
    WriterLock(tmp_path / "r.zarr").release()
    assert list(tmp_path.iterdir()) == []


def test_lock_of_another_host_is_not_judged(tmp_path: Path) -> None:
    lock_of(tmp_path / "r.zarr").write_text(owner(host="node7", pid=12))
    with pytest.raises(OutputError, match=r"process 12 on node7 since noon.*remove .*\.r\.zarr\.lock") as error:
        WriterLock(tmp_path / "r.zarr")
    assert "\n" not in str(error.value)
    assert lock_of(tmp_path / "r.zarr").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 0, "host": "", "process_start": "", "since": ""}'])
def test_lock_that_names_nobody_is_respected_while_it_is_young(tmp_path: Path, text: str) -> None:
    path = lock_of(tmp_path / "r.zarr")
    path.write_text(text)
    with pytest.raises(OutputError, match="being written by another process"):
        WriterLock(tmp_path / "r.zarr")
    os.utime(path, (time.time() - 60, time.time() - 60))
    WriterLock(tmp_path / "r.zarr").release()


def test_lock_that_changed_hands_meanwhile_is_put_back(tmp_path: Path) -> None:
    path = lock_of(tmp_path / "r.zarr")
    path.write_text("the new one")
    lock._move_away(path, "the stale one")
    assert path.read_text() == "the new one"
    assert list(tmp_path.iterdir()) == [path]
    lock._move_away(path, "the new one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_does_not_let_go_of_its_parents_lock(tmp_path: Path) -> None:
    held = WriterLock(tmp_path / "r.zarr")
    child = os.fork()
    if child == 0:
        held.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert held.path.exists()
    held.release()


def test_a_process_is_told_from_a_later_one_of_its_number() -> None:
    for start in (process_start, lock._start_elsewhere):
        assert start(os.getpid()) == start(os.getpid()) not in (None, "")
        assert start(dead_process()) is None


def test_lock_is_put_back_on_a_disk_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(1, "hard links are not supported")

    monkeypatch.setattr(os, "link", refused)
    path = lock_of(tmp_path / "r.zarr")
    path.write_text("the new one")
    lock._move_away(path, "the stale one")
    assert path.read_text() == "the new one"
    assert list(tmp_path.iterdir()) == [path]


def test_lock_that_windows_is_about_to_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to open a file that is removed once its last reader has closed it."""
    monkeypatch.setattr(files, "WINDOWS", True)
    opened, refusals = os.open, iter([True, True])

    def pending(path: Path, *options: int) -> int:
        if str(path).endswith(".lock") and next(refusals, False):
            raise PermissionError(13, "Access is denied")
        return opened(path, *options)

    monkeypatch.setattr(os, "open", pending)
    WriterLock(tmp_path / "r.zarr").release()
    assert list(tmp_path.iterdir()) == []


def test_lock_that_another_reads_is_let_go_of_a_moment_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WINDOWS", True)
    held = WriterLock(tmp_path / "r.zarr")
    unlink, refusals = Path.unlink, iter([True, True])

    def busy(path: Path, missing_ok: bool = False) -> None:
        if next(refusals, False):
            raise PermissionError(13, "The process cannot access the file")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", busy)
    held.release()
    assert list(tmp_path.iterdir()) == []
