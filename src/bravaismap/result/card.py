"""The run card of a store, which says how the result was made, and the difference between two run cards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from bravaismap.conventions import counted
from bravaismap.errors import InputError

__all__ = ["card_difference", "card_of", "set_card"]

#: Attribute of the store that holds the card, as JSON.
_CARD = "run_card"
#: What to call a hash that differs.
_HASHED = {"input_sha256": "the pixels of the movie", "weights_sha256": "the weights of the model"}
#: Names of the settings on the command line, and their units; other entries have the name that they have in the card.
_OPTIONS = {
    "window": ("--window", " px"),
    "step": ("--step", " px"),
    "model": ("--model", ""),
    "samples": ("--samples", ""),
    "seed": ("--seed", ""),
    "distortion": ("--distortion", ""),
    "pixel_size_nm": ("--pixel-size", " nm"),
    "frame_time_s": ("--frame-time", " s"),
    "frames": ("--frames", ""),
    "crop": ("--crop", ""),
    "bin": ("--bin", ""),
}
#: Entries that may differ when a result is continued: the path of the movie, whether NaN pixels are filled, and whether
#: the window was chosen or given.
_MAY_DIFFER = {"input", "nan", "window_reason"}
#: Entries that say which part of a movie was mapped, in which case its pixels differ too.
_PART = {"frames", "crop", "bin", "drift"}


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
    """Return the settings that differ between two run cards, by their names on the command line; empty if none does."""
    differing = [key for key in {*old, *new} - _MAY_DIFFER if old.get(key) != new.get(key)]
    if _PART.intersection(differing):
        differing = [key for key in differing if key not in ("input_sha256", "frame_size")]
    elif "frame_size" in differing:
        differing.remove("input_sha256")
    order = [*_OPTIONS, "drift"]
    differing.sort(key=lambda key: (order.index(key) if key in order else len(order), key))
    return ", ".join(_difference(key, old.get(key), new.get(key)) for key in differing)


def _difference(key: str, there: Any, now: Any) -> str:
    """Return one difference in a few words."""
    if key == "drift":
        return _track_difference(there, now)
    if key in _HASHED:
        return _HASHED[key]
    if key == "pixel_step":
        held = ["--no-pixels" if step is None else f"pixels {step} px apart" for step in (there, now)]
        return f"{held[0]} there, {held[1]} now"
    if key == "frame_size":
        sizes = [" × ".join(map(str, size)) if size else "unknown" for size in (there, now)]
        return f"the size of a frame: {sizes[0]} px there, {sizes[1]} px now"
    name, unit = _OPTIONS.get(key, (f"{key}:", ""))
    values = ["not given" if value is None else f"{value}{unit}" for value in (there, now)]
    return f"{name} {values[0]} there, {values[1]} now"


def _track_difference(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    """Return the difference between two drift tracks in a few words, since they are as long as the movie."""
    if not old or not new:
        return f"drift: {'followed' if old else 'not followed'} there, {'followed' if new else 'not followed'} now"
    old_path, new_path = (np.stack([track["dy_px"], track["dx_px"]], axis=1) for track in (old, new))
    if len(old_path) != len(new_path):
        return f"drift: {counted(len(old_path), 'frame')} there, {len(new_path)} now"
    apart = float(np.hypot(*(old_path - new_path).T).max())
    bounds = [track.get("max_shift_px") for track in (old, new)]
    bound = f", largest shift {bounds[0]} px there, {bounds[1]} px now" if bounds[0] != bounds[1] else ""
    return f"drift: {counted(len(new_path), 'frame')}, up to {apart:.2g} px apart{bound}"
