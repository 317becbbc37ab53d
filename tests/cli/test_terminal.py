"""What the commands say, where they say it, and what they leave out."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from rich.table import Table

from bravaismap.cli import terminal
from bravaismap.cli.options import fraction_of
from bravaismap.cli.start import app
from bravaismap.simulate.windows import simulate

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


@pytest.fixture
def image(windows: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "image.npy"
    np.save(path, windows[0])
    return path


# --distortion


@pytest.mark.parametrize(
    ("text", "fraction"), [("2%", 0.02), ("2 %", 0.02), ("0.02", 0.02), (" 0.5% ", 0.005), ("0", 0), (0.02, 0.02)]
)
def test_a_distortion_is_a_fraction_or_in_percent(text: str | float, fraction: float) -> None:
    assert fraction_of(text) == pytest.approx(fraction, abs=1e-15)


@pytest.mark.parametrize("text", ["two", "2%x", "%", "", "nan", "inf%"])
def test_what_is_no_distortion_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"expected such as 2% or 0\.02"):
        fraction_of(text)


def test_percent_and_fraction_give_the_same_answer(run: Run, image: Path) -> None:
    answers = [json.loads(run("classify", image, "--distortion", text, "--json").out) for text in ("1%", "0.01")]
    assert answers[0] == answers[1]
    assert answers[0]["distortion"] == 0.01
    run("classify", image, "--distortion", "2").refused("2 (200 %) was given", "write 2% or 0.02")


# Tables


def test_a_table_in_a_file_is_as_wide_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(*(f"column {i}" for i in range(30)))
    table.add_row(*(f"value {i} of a long row" for i in range(30)))
    terminal.print_table(table)
    lines = capsys.readouterr().out.splitlines()
    assert all(f"value {i} of a long row" in lines[3] for i in range(30))
    assert max(map(len, lines)) == len(lines[0]) > 600


@pytest.mark.parametrize("columns", ["20", "80"])
def test_no_table_is_cut_in_a_pipe(columns: str) -> None:
    command = [sys.executable, "-m", "bravaismap", "beam", "--dose", "1e6", "--dose-rate", "1e4"]
    environment = os.environ | {"COLUMNS": columns, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=300)
    assert "…" not in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith("│")]
    assert len(rows) > 8
    assert len({len(row) for row in rows}) == 1


# Quiet, JSON


def test_every_command_that_says_what_it_does_can_be_quiet(commands: dict[str, Any]) -> None:
    without = [name for name, command in commands.items() if not any("--quiet" in p.opts for p in command.params)]
    assert without == ["models"]  # which is nothing but an answer


def test_quiet_leaves_the_answer_alone(run: Run, image: Path, tmp_path: Path) -> None:
    for arguments in (["classify", image], ["motif", image, "-o", tmp_path / "m"], ["beam", "--element", "S"]):
        loud, quiet = run(*arguments), run(*arguments, "-q")
        assert (loud.code, quiet.code, quiet.err) == (0, 0, "")
        assert "wrote" not in quiet.out
        answers = [line for line in loud.out.splitlines() if not line.startswith("wrote")]
        assert [line.rstrip() for line in quiet.out.splitlines()] == [line.rstrip() for line in answers]
    done = run("simulate", "-o", tmp_path / "w.npz", "-n", 2, "--size", 48, "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_motif_as_json(run: Run, image: Path, tmp_path: Path) -> None:
    done = run("motif", image, "--json", "-o", tmp_path / "m")
    assert (done.code, done.err) == (0, "")
    answer = json.loads(done.out)
    assert answer["plane_group"] == max(answer["probability"], key=answer["probability"].get)
    assert sum(answer["probability"].values()) == pytest.approx(1)
    assert answer["cell"]["unit"] == "px"
    assert answer["cell"]["a_std"] > 0
    assert [column["site"] for column in answer["columns"]]
    assert all(-1 <= column["x"] <= 1 for column in answer["columns"])
    assert sorted(answer["files"]) == sorted(str(path) for path in (tmp_path / "m").iterdir())


def test_what_libraries_say_does_not_leak(image: Path) -> None:
    code = """
import logging, sys, warnings
import bravaismap.phases.image as module
from bravaismap.cli import main
classify = module.classify
def noisy(*arguments, **options):
    warnings.warn("leak", UserWarning)
    warnings.warn("leak", DeprecationWarning)
    logging.getLogger("rsciio.tiff").warning("leak")
    return classify(*arguments, **options)
module.classify = noisy
main()
"""
    command = [sys.executable, "-c", code, "classify", str(image), "--samples", "0", "--quiet"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "always"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert "image.npy" in done.stdout


# Many images


def test_progress_counts_all_images_and_many_take_fewer_passes(
    run: Run, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = simulate(25, seed=5, size=32)["image"].values
    np.save(tmp_path / "one.npy", images[0])
    np.save(tmp_path / "many.npy", images[1:])
    steps: list[tuple[str, int, int]] = []

    class Bar:
        def __enter__(self) -> Any:
            return lambda label, done, total: steps.append((label, done, total))

        def __exit__(self, *_: object) -> None:
            return

    monkeypatch.setattr(terminal, "stages", lambda *_: Bar())
    done = run("classify", tmp_path / "one.npy", tmp_path / "many.npy", "--model", weights, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["samples"] == 50_000 // 25
    assert {step[::2] for step in steps} == {("classify", 25)}
    counts = [step[1] for step in steps]
    assert counts[0] == 1
    assert counts[-1] == 25
    assert counts == sorted(counts)
    assert len(counts) > 3


# Help and completion


def test_help_shows_what_it_is_written(run: Run, commands: dict[str, Any]) -> None:
    for name in commands:
        shown = run(name, "--help").out
        emoji = [letter for letter in shown if ord(letter) > 0x1F000]
        assert emoji == [], (name, emoji)  # Rich takes a word between colons for one
    assert "from:to:step" in re.sub(r"\s|│", "", run("map", "--help").out)


def test_shells_complete_commands_and_options() -> None:
    def completed(words: str) -> list[str]:
        environment = os.environ | {
            "_BRAVAISMAP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1),
        }  # fmt: skip
        code = "import sys; sys.argv = ['bravaismap']; from bravaismap.cli import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False, timeout=300
        )
        assert done.stderr == ""
        return done.stdout.split()

    assert completed("bravaismap cl") == ["classify"]
    assert set(completed("bravaismap map --di")) == {"--distortion"}
