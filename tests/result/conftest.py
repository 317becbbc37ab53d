"""A store to which frames are written one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from stored_frames import COORDS, VARIABLES

from bravaismap.result import zarr_store
from bravaismap.result.blocks import FrameBlocks
from bravaismap.result.zarr_store import create_store, open_group


@pytest.fixture(params=[True, False], ids=["chunks of frames", "frames within chunks"])
def blocks(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FrameBlocks:
    """Make an empty store of blocks of three frames."""
    monkeypatch.setattr(zarr_store, "_MOST_TOGETHER", 3)
    if request.param:
        monkeypatch.setattr(zarr_store, "_SMALL_FRAME", 0)
    create_store(tmp_path / "r.zarr", COORDS, {"model": "m"}, VARIABLES)
    return FrameBlocks(tmp_path / "r.zarr", open_group(tmp_path / "r.zarr", "r+"), VARIABLES)
