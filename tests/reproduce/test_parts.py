"""Parts of a run: computed once, and again where they are damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bravaismap.reproduce.parts import Parts


def test_a_damaged_part_is_computed_again(tmp_path: Path) -> None:
    parts = Parts(tmp_path)
    compute = lambda: {"array": np.arange(3), "text": "a", "number": 1.5}  # noqa: E731
    first = parts.get("one", {"n": 1}, compute)
    kept = Parts(tmp_path).get("one", {"n": 1}, lambda: pytest.fail("computed again"))
    assert kept["text"] == first["text"]
    np.testing.assert_array_equal(kept["array"], first["array"])
    (tmp_path / "one.npz").write_bytes(b"PK damaged")
    again = Parts(tmp_path)
    again.get("one", {"n": 1}, compute)
    assert again.computed == ["one"]
