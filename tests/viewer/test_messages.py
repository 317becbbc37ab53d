"""What is said where there is no map yet."""

from __future__ import annotations

import pytest

from bravaismap.viewer.messages import empty_message


@pytest.mark.parametrize(
    ("state_of", "said"),
    [
        ({"done": 0, "growing": True}, "No frame is mapped yet. This page follows"),
        ({"done": 0, "growing": True, "mapping": True}, "being mapped"),
        ({"done": 0}, "map the movie"),
        ({"done": 3, "growing": True}, "not mapped yet (3 of 5 are)"),
        ({"done": 5, "frame_done": True}, ""),
        ({"done": 5, "frame_done": True, "problem": "no disk"}, "no disk"),
    ],
)
def test_messages(state_of: dict[str, object], said: str) -> None:
    usual = {"total": 5, "growing": False, "mapping": False, "problem": "", "frame_done": False}
    text = empty_message(**(usual | state_of))
    assert said in text
    assert bool(text) == bool(said)
