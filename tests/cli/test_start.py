"""How the commands start: help, version, and errors of the user and of ours as one line."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from bravaismap import cli

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "TERM": "dumb"}
Run = Callable[..., Any]


def test_help_is_instant() -> None:
    code = (
        "import sys; sys.argv = ['bravaismap', '--help']\n"
        "from bravaismap.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code in (0, None), end.code\n"
        "heavy = {'torch', 'numpy', 'xarray', 'zarr', 'dask', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr
    for command in (
        "demo",
        "classify",
        "map",
        "export",
        "simulate",
        "train",
        "evaluate",
        "models",
        "reproduce",
        "watch",
    ):
        assert re.search(rf"\b{command}\b", done.stdout), command


@pytest.mark.parametrize(
    "command", ["classify", "map", "export", "simulate", "train", "evaluate", "models", "demo", "reproduce", "watch"]
)
def test_every_command_has_help(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert done.code == 0
    assert f"bravaismap {command}" in done.out


def test_unicode_into_a_pipe_of_windows() -> None:
    environment = ENVIRONMENT | {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "bravaismap.cli", "beam", "--element", "S"]
    done = subprocess.run(command, capture_output=True, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "σ (barn)" in done.stdout.decode("utf-8")


def test_version(run: Run) -> None:
    done = run("--version")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"bravaismap \d+\.\d+\.\d+\S*\n", done.out)


@pytest.mark.parametrize("arguments", [["classify"], ["map"], ["mapp", "x"], ["map", "x", "--step", "big"]])
def test_usage_errors_are_one_line(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    done.refused("--help` shows what it takes")
    assert done.out == ""


def test_usage_error_names_the_command_and_what_is_wrong(run: Run) -> None:
    run("map", "x", "--distortion", "much").refused("'--distortion'", "'much'", "such as 2%", "`bravaismap map --help`")
    run("mapp", "x").refused("no such command 'mapp'", "Did you mean 'map'", "`bravaismap --help`")


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bravaismap", "--debug", "classify", "no.tif"])
    with pytest.raises(ValueError, match=r"no\.tif"):
        cli.main()
    monkeypatch.setattr("bravaismap.cli.start._debug", False)


def test_fault_of_ours_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("bravaismap.classify.models"), "load_model", lambda *_: 1 / 0)
    done = run("models")
    assert done.code == 1
    assert done.err.startswith("error: unexpected ZeroDivisionError: division by zero; run `bravaismap --debug")
    assert len(done.err.strip().splitlines()) == 1
