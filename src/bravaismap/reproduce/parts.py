"""Parts: numbers that are computed once and kept, so that an interrupted run continues.

A part is a file ``NAME.npz`` that appears under its name only when it is complete. It says which settings it was
computed with; with other settings it is computed again.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bravaismap.files import write_atomically

__all__ = ["Numbers", "Parts", "fingerprint"]

#: Arrays, and whatever JSON can say.
Numbers = dict[str, Any]

_JSON = "__json__"
_FORMAT = 1


@dataclass
class Parts:
    """The parts in a folder.

    Attributes
    ----------
    folder : Path
    computed : list of str
        Names of the parts that were computed, and not read.
    """

    folder: Path
    computed: list[str]

    def __init__(self, folder: Path) -> None:
        self.folder, self.computed = folder, []

    def get(self, name: str, settings: Mapping[str, Any], compute: Callable[[], Numbers]) -> Numbers:
        """Return the numbers of a part: those kept from an earlier run with the same settings, or computed now."""
        path, wanted = self.folder / f"{name}.npz", fingerprint(settings)
        kept = _read(path)
        if kept is not None and kept.pop("fingerprint", None) == wanted:
            return kept
        numbers = compute()
        write_atomically(path, _bytes({**numbers, "fingerprint": wanted}))
        self.computed.append(name)
        return numbers


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return a hash of settings and of the version of this package."""
    text = json.dumps([_FORMAT, version("bravaismap"), dict(settings)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _bytes(numbers: Numbers) -> bytes:
    arrays = {key: value for key, value in numbers.items() if isinstance(value, np.ndarray)}
    rest = {key: value for key, value in numbers.items() if key not in arrays}
    file = io.BytesIO()
    everything: dict[str, Any] = {_JSON: np.array(json.dumps(rest)), **arrays}
    np.savez_compressed(file, **everything)
    return file.getvalue()


def _read(path: Path) -> Numbers | None:
    """Return what a file holds, or None where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            numbers: Numbers = json.loads(str(stored[_JSON]))
            return numbers | {key: stored[key] for key in stored.files if key != _JSON}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return None
