"""The command view: what it refuses."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_help(run: Callable[..., Any]) -> None:
    done = run("view", "--help")
    assert done.code == 0
    for option in ("--movie", "--port", "--address", "--no-browser", "--window", "--pixel-size"):
        assert option in done.out


def test_command_without_a_result(run: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("panel", reason="the extra `viewer` is not installed")
    run("view", tmp_path / "no.zarr").refused("no.zarr", "no such result")
    run("view", tmp_path / "no.tif").refused("no.tif")


def test_command_without_panel(run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "panel", None)
    run("view", tmp_path / "no.zarr").refused("panel", "pip install 'bravaismap[viewer]'")
