"""Checkpoints of a training: tensors, and the rest of its state, in one safetensors file that is written atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from bravaismap.errors import InputError
from bravaismap.files import write_atomically

__all__ = ["read_checkpoint", "section", "write_checkpoint"]


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any], fingerprint: str) -> None:
    """Write a checkpoint: tensors, what else belongs to the state, and the fingerprint of the training."""
    content = save(
        {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()},
        {"run": json.dumps({**state, "fingerprint": fingerprint})},
    )
    write_atomically(path, content)


def read_checkpoint(path: Path, fingerprint: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the state of a checkpoint.

    Raises
    ------
    InputError
        If it is damaged, or belongs to a training of another fingerprint.
    """
    try:
        with safe_open(path, framework="pt") as stored:
            state = json.loads(stored.metadata()["run"])
            # copies: a tensor that lies in the file would keep Windows from replacing it
            tensors = {key: stored.get_tensor(key).clone() for key in stored.keys()}  # noqa: SIM118
        found = state["fingerprint"]
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: a damaged checkpoint ({error}); remove it to start anew") from error
    if found != fingerprint:
        raise InputError(
            f"{path}: the checkpoint of a training with another plan, recipes or seed; "
            "give another folder, or remove it to start anew"
        )
    return tensors, state


def section(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names have a prefix, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
