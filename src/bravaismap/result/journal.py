"""The journal of a live result: a JSON line for each frame, written after everything else of that frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bravaismap.result.schema import DONE

__all__ = ["JOURNAL", "journal_line", "journal_of"]

#: The journal within the folder of a result: among the chunks of an array, where no zarr reader looks for others.
JOURNAL = f"{DONE}/frames.jsonl"


def journal_line(frame: dict[str, Any]) -> str:
    """Return the line of a frame."""
    return json.dumps(frame, ensure_ascii=False) + "\n"


def journal_of(path: Path) -> list[dict[str, Any]]:
    """Return the lines of the complete frames of a live result."""
    frames: list[dict[str, Any]] = []
    for text in (path / JOURNAL).read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            line = json.loads(text) if text.endswith("\n") else None
        except ValueError:
            line = None
        if not isinstance(line, dict) or line.get("frame") != len(frames):
            break
        frames.append(line)
    return frames
