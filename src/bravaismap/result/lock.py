"""The lock file beside a result, which admits one writer at a time.

The file names the process that holds the lock, its host, and its start. The lock of a process of this host that no
longer runs is taken over. Whether a process of another host still runs cannot be told, so its lock is respected, with
an error that says what to do.
"""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
import weakref
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from bravaismap.errors import OutputError
from bravaismap.files import patiently

__all__ = ["WriterLock"]

_YOUNG = 10.0  # s, age up to which a lock without an owner may be one that is just being written
_ATTEMPTS = 3


class WriterLock:
    """The right to write to a path, held until `release`, the end of the process, or the end of this object.

    Parameters
    ----------
    target : Path
        Path to be written; the lock is ``.NAME.lock`` in the same folder, which must exist.

    Raises
    ------
    OutputError
        If another writer holds it; the process, its host and the time are named.
    OSError
        If the lock cannot be written.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name}.lock")
        owner = {
            "pid": os.getpid(),
            "host": platform.node(),
            "process_start": process_start(os.getpid()),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
            "token": uuid.uuid4().hex,
        }
        text = json.dumps(owner)
        for _ in range(_ATTEMPTS):
            if _written(self.path, text):
                self._release = weakref.finalize(self, _unlink_own, self.path, text, os.getpid())
                return
            _remove_stale(self.path, target)
        raise OutputError(f"{target}: several processes want to write it at once; run one of them")

    def release(self) -> None:
        """Release the lock; a second call does nothing."""
        self._release()


def process_start(pid: int) -> str | None:
    """Return the start of a process, which tells it from a later one of the same number; None if it does not run."""
    return _start_on_linux(pid) if platform.system() == "Linux" else _start_elsewhere(pid)


def _start_on_linux(pid: int) -> str | None:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if after_name[0] in "ZX" else after_name[19]  # the clock ticks from the start of the system


def _start_elsewhere(pid: int) -> str | None:
    import psutil  # comes with dask.distributed

    try:
        return repr(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return ""


def _written(path: Path, text: str) -> bool:
    """Write a lock unless there is one, and return whether it was written."""
    try:
        file = patiently(lambda: os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    try:
        with os.fdopen(file, "w", encoding="utf-8") as opened:
            opened.write(text)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return True


def _remove_stale(path: Path, target: Path) -> None:
    """Remove the lock of a process that no longer runs, or raise `OutputError`."""
    try:
        text = patiently(lambda: path.read_text(encoding="utf-8"))
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return
    owner = _owner(text)
    if owner is None:
        if age < _YOUNG:
            raise OutputError(f"{target} is being written by another process; wait for it or give another output")
    elif owner["host"] != platform.node():
        raise OutputError(
            f"{target} is being written by process {owner['pid']} on {owner['host']} since {owner['since']}; wait for "
            f"it or give another output, or remove {path} if that process is no more"
        )
    elif process_start(int(owner["pid"])) in ("", owner["process_start"]):
        raise OutputError(
            f"{target} is being written by process {owner['pid']} on this computer since {owner['since']}; wait for it "
            "or give another output"
        )
    _move_away(path, text)


def _move_away(path: Path, stale: str) -> None:
    """Remove a stale lock; a new one that another process has written in the meantime is put back."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        patiently(lambda: os.rename(path, aside))
    except FileNotFoundError:
        return
    if aside.read_text(encoding="utf-8") != stale:
        _put_back(aside, path)
    patiently(lambda: aside.unlink(missing_ok=True))


def _put_back(aside: Path, path: Path) -> None:
    """Give a lock its name again, unless another process has taken the name meanwhile."""
    try:
        os.link(aside, path)
    except FileExistsError:
        return
    except OSError:  # a disk without hard links; on Windows a rename never replaces
        with suppress(OSError):
            if not path.exists():
                os.rename(aside, path)


def _owner(text: str) -> dict[str, Any] | None:
    try:
        owner = json.loads(text)
        return owner if {"pid", "host", "process_start", "since"} <= set(owner) and int(owner["pid"]) > 0 else None
    except (ValueError, TypeError):
        return None


def _unlink_own(path: Path, text: str, pid: int) -> None:
    """Remove a lock of this process: a forked process does not release the lock of its parent."""
    if os.getpid() == pid:
        with suppress(OSError):
            if path.read_text(encoding="utf-8") == text:
                patiently(path.unlink)
