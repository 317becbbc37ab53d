"""The run card of a store, which says how the result was made, and the difference between two run cards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from bravaismap.errors import InputError

__all__ = ["card_difference", "card_of", "set_card"]

#: Attribute of the store that holds the card, as JSON.
_CARD = "run_card"
#: What to call a hash that differs.
_HASHED = {"input_sha256": "the pixels of the movie", "weights_sha256": "the weights of the model"}
#: Entries that may differ when a result is continued: the path of the movie, and whether NaN pixels are filled.
_MAY_DIFFER = {"input", "nan"}


def set_card(group: zarr.Group, card: Mapping[str, Any]) -> None:
    """Write the run card of a store."""
    group.attrs[_CARD] = json.dumps(dict(card), ensure_ascii=False)


def card_of(group: zarr.Group, path: Path) -> dict[str, Any]:
    """Return the run card of a store, or raise `InputError` if it has none."""
    try:
        card = json.loads(str(group.attrs[_CARD]))
        if not isinstance(card, dict):
            raise ValueError(f"expected a table, not {card!r}")
    except (KeyError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: the run card is missing or damaged; map the movie again with --overwrite") from error
    return card


def card_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Return the entries that differ between two run cards, in words; empty if none does."""
    differing = [key for key in sorted({*old, *new} - _MAY_DIFFER) if old.get(key) != new.get(key)]
    return ", ".join(
        _track_difference(old.get(key), new.get(key))
        if key == "drift"
        else _HASHED.get(key, f"{key}: {old.get(key)!r} there, {new.get(key)!r} now")
        for key in differing
    )


def _track_difference(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    """Return the difference between two drift tracks in a few words, since they are as long as the movie."""
    if not old or not new:
        return f"drift: {'followed' if old else 'not followed'} there, {'followed' if new else 'not followed'} now"
    old_path, new_path = (np.stack([track["dy_px"], track["dx_px"]], axis=1) for track in (old, new))
    if len(old_path) != len(new_path):
        return f"drift: {len(old_path)} frames there, {len(new_path)} now"
    apart = float(np.hypot(*(old_path - new_path).T).max())
    bounds = [track.get("max_shift_px") for track in (old, new)]
    bound = f", largest shift {bounds[0]} px there, {bounds[1]} px now" if bounds[0] != bounds[1] else ""
    return f"drift: {len(new_path)} frames, up to {apart:.2g} px apart{bound}"
