"""Checkpoints: what was written is read again, and nothing else is taken for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bravaismap.errors import InputError
from bravaismap.train.checkpoint import read_checkpoint, section, write_checkpoint


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    tensors = {"network.a": torch.rand(3, 4).T, "adam.0.step": torch.tensor(5.0), "network.b": torch.arange(3)}
    write_checkpoint(tmp_path / "run.checkpoint", tensors, {"step": 7, "curve": [0.5]}, "abc")
    again, state = read_checkpoint(tmp_path / "run.checkpoint", "abc")
    assert state["step"] == 7
    assert state["curve"] == [0.5]
    assert set(again) == set(tensors)
    assert all(torch.equal(again[name], value) for name, value in tensors.items())
    assert set(section(again, "network.")) == {"a", "b"}


@pytest.mark.parametrize("damage", [lambda content: content[:40], lambda content: b"", lambda content: b"x" * 100])
def test_damaged(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "run.checkpoint"
    write_checkpoint(path, {"a": torch.rand(3)}, {}, "abc")
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(InputError, match=r"run\.checkpoint: a damaged checkpoint"):
        read_checkpoint(path, "abc")


def test_of_another_training(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "run.checkpoint", {"a": torch.rand(3)}, {}, "abc")
    with pytest.raises(InputError, match="another plan, recipes or seed"):
        read_checkpoint(tmp_path / "run.checkpoint", "abd")
