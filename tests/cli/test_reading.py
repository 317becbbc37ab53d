"""How the commands read: one line that says what, parts of it, names of results, and answers for programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from bravaismap.cli.reading import Reading, default_output
from bravaismap.cli.terminal import print_json, show_warning
from bravaismap.errors import BravaismapWarning, InputError
from bravaismap.phases.map import map_phases
from bravaismap.read.description import movie_line
from bravaismap.result.open import open_result

Run = Callable[..., Any]
FILM = np.random.default_rng(0).random((5, 64, 70)).astype(np.float32)
WINDOW = ("--window", 32, "--step", 16, "--samples", 2)


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a movie with its calibration, in the working folder."""
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "film.npz", image=FILM, pixel_size_nm=0.02, frame_time_s=2.0)
    return tmp_path / "film.npz"


@pytest.mark.usefixtures("no_figures")
def test_a_command_begins_with_what_was_read(run: Run, film: Path, weights: Path) -> None:
    said = "film.npz: 5 frames of 64 × 70 px, 0.02 nm/px, 2 s a frame (from the file)"
    done = run("map", film, "--model", weights, *WINDOW)
    assert done.code == 0, done.err
    assert done.err.splitlines()[0] == said
    done = run("classify", film, "--model", weights, "--samples", 2, "--frames", "1", "--pixel-size", 0.03)
    assert done.err.splitlines()[0] == "film.npz: 64 × 70 px, frames 1:2, 0.03 nm/px (as given)"
    for quiet in ("--quiet", "-q"):
        done = run("classify", film, "--model", weights, "--samples", 2, "--frames", "1", quiet)
        assert done.err == ""
        assert "film.npz" in done.out


def test_what_is_odd_is_said_after_the_line(run: Run, film: Path, weights: Path) -> None:
    np.savez("wide.npz", image=FILM, pixel_size_nm=20.0)
    lines = run("classify", "wide.npz", "--model", weights, "--samples", 2).err.splitlines()
    assert lines[0].startswith("wide.npz: 5 frames")
    assert lines[1].startswith("warning: wide.npz: a pixel size of 20 nm (in the file) is above 1 nm")
    assert len(lines) == 2


@pytest.mark.usefixtures("no_figures")
def test_a_part_is_mapped(run: Run, film: Path, weights: Path, tmp_path: Path) -> None:
    part = ("--frames", "1:4:2", "--crop", "0:1.28,0.04:1.4nm", "--bin", 2)
    done = run("map", film, "--model", weights, "--window", 32, "--step", 8, "--samples", 2, *part, "-o", "out/a.zarr")
    assert done.code == 0, done.err
    result = open_result(tmp_path / "out" / "a.zarr")
    np.testing.assert_allclose(result["time"], [2.0, 6.0])
    assert result.attrs["frame_size"] == [32, 34]
    assert result.attrs["pixel_size_nm"] == pytest.approx(0.04)
    assert (result.attrs["frames"], result.attrs["crop"], result.attrs["bin"]) == ("1:4:2", "0:64,2:70", 2)
    means = FILM[1:4:2, :, 2:].reshape(2, 32, 2, 34, 2).mean((2, 4))
    expected = map_phases(means, model=weights, window=32, step=8, samples=2)
    np.testing.assert_allclose(result["probability"], expected["probability"], atol=1e-5)


def test_a_part_that_is_not_there_is_one_line(run: Run, film: Path, weights: Path) -> None:
    for option, value, said in (
        ("--frames", "7:", "a movie of 5 frames, 0 to 4"),
        ("--crop", "70:,:", "holds no pixel"),
        ("--crop", "x", "expected y0:y1,x0:x1"),
        ("--bin", "0", "a bin of 0 px"),
        ("--channel", "BF", "no channel 'BF'"),
    ):
        for command in (("map", *WINDOW), ("classify", "--samples", 2)):
            run(command[0], film, "--model", weights, *command[1:], option, value).refused("film.npz", said)
    assert [path.name for path in film.parent.iterdir()] == ["film.npz"]


@pytest.mark.usefixtures("no_figures")
def test_inputs_of_one_name_have_results_of_their_own(run: Run, film: Path, weights: Path) -> None:
    np.save(film.with_suffix(".npy"), FILM[:2])
    (film.parent / "other").mkdir()
    np.save(film.parent / "other" / "film.npy", FILM[2:3])
    targets = {"film.npz": "film", "film.npy": "film_npy", "other/film.npy": "film-2"}
    for again in ((), ("--overwrite",)):
        for source, name in targets.items():
            done = run("map", source, "--model", weights, *WINDOW, *again)
            assert done.code == 0, done.err
            assert f"wrote {Path(f'{name}-phases') / f'{name}.zarr'}" in done.out
    assert open_result("film_npy-phases/film_npy.zarr").sizes["time"] == 2
    assert open_result("film-2-phases/film-2.zarr").sizes["time"] == 1


def test_names_of_results(film: Path) -> None:
    for name in ("HAADF [3].npy", "run [1]/a.npy", "run.2/a.npy", "a.zarr/zarr.json"):
        path = film.parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    for source, name in (
        ("HAADF [3].npy", "HAADF [3]"),
        ("run [1]", "run [1]"),
        ("run [1]/*.npy", "run [1]"),
        ("run.2", "run.2"),
        ("a.zarr", "a"),
        ("b.zarr.zip", "b"),
        ("film.npz", "film"),
    ):
        assert default_output(source) == Path(f"{name}-phases") / f"{name}.zarr"


@pytest.mark.usefixtures("no_figures")
def test_answers_as_json(run: Run, film: Path, weights: Path) -> None:
    done = run("classify", film, "--model", weights, "--samples", 2, "--json", "--csv", "t.csv")
    answer = json.loads(done.out)
    assert done.err == ""
    assert [image["image"] for image in answer["images"]] == [f"film.npz [{i}]" for i in range(5)]
    assert sum(answer["images"][0]["probability"].values()) == pytest.approx(1, abs=1e-3)
    assert answer["model"] == weights.stem
    done = run("map", film, "--model", weights, *WINDOW, "--json")
    answer = json.loads(done.out)
    result = open_result("film-phases/film.zarr")
    assert Path(answer["result"]) == Path("film-phases/film.zarr")
    assert answer["time"] == [0, 2, 4, 6, 8]
    np.testing.assert_allclose(answer["fraction"]["none"], result["fraction"].sel(lattice="none"), atol=1e-6)
    done = run("beam", "--element", "W", "--energy", 100, "--dose", 1000, "--json")
    case = json.loads(done.out)["cases"][0]
    assert case["element"] == "W"
    assert case["energy_transfer_eV"] == pytest.approx(1.31, abs=0.01)
    assert case["displacements_per_atom"] == 0


def test_cells_and_images_without_a_class_as_json(run: Run, film: Path) -> None:
    y, x = np.mgrid[:64, :64]
    images = np.stack([np.cos(x / 1.5) + np.cos(y / 1.5), np.where(y < 5, 1.0, np.nan)])
    np.save(film.parent / "a.npy", images)
    answer = json.loads(run("classify", "a.npy", "--samples", 0, "--json").out)["images"]
    assert answer[0]["label"] == "square"
    assert answer[0]["cell"]["a"] == pytest.approx(3 * np.pi, rel=1e-2)
    assert answer[0]["probability_std"]["square"] is None
    assert answer[1]["label"] is None
    assert answer[1]["probability"]["square"] is None
    table = run("classify", "a.npy", "--samples", 0)
    assert "not measured" in table.out
    assert "nan" not in table.out


def test_what_there_is_besides_is_said_in_each_form(run: Run, tmp_path: Path) -> None:
    y, x = np.mgrid[:96, :96]
    noise = np.random.default_rng(1).standard_normal((2, 96, 96))
    few = np.cos(2 * np.pi * x / 30) + np.cos(2 * np.pi * y / 30) + 0.1 * noise[0]
    fringes = np.cos(2 * np.pi * (0.8 * x + 0.6 * y) / 6.3) + noise[1]
    np.save(tmp_path / "few.npy", few)
    np.save(tmp_path / "fringes.npy", fringes)
    files = tmp_path / "few.npy", tmp_path / "fringes.npy"
    lattice, wave = json.loads(run("classify", *files, "--samples", 0, "--json").out)["images"]
    assert lattice["share"] == 1
    assert lattice["other_lattices"] == lattice["seen"] == []
    assert lattice["superlattice"] is None
    assert lattice["doubt"][0].startswith("the image holds 3.2 cells along its shorter side")
    assert wave["label"] == "none"
    assert wave["share"] is None
    assert wave["seen"] == ["one set of fringes of 6.3 px"]
    done = run("classify", *files, "--samples", 0, "--csv", tmp_path / "table.csv")
    assert "doubt      the image holds 3.2 cells" in done.out
    assert "seen       one set of fringes of 6.3 px" in done.out
    header, _, line = (tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()
    assert header.endswith("share,besides")
    assert line.endswith(",,one set of fringes of 6.3 px")


def test_numbers_that_are_none_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": np.array([1.0, np.nan, np.inf]), 1: Path("b"), "c": {"d": np.int64(3), "e": True, "f": None}})
    assert json.loads(capsys.readouterr().out) == {
        "a": [1.0, None, None],
        "1": "b",
        "c": {"d": 3, "e": True, "f": None},
    }


def test_warnings_of_others_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for category in (UserWarning, DeprecationWarning, RuntimeWarning, BravaismapWarning):
        show_warning("one\nline", category, "file.py", 1)
    assert capsys.readouterr().err == "warning: one line\n"


def test_a_playback_rate_is_warned_of(tmp_path: Path) -> None:
    pytest.importorskip("imageio_ffmpeg")
    from bravaismap.export.video import write_video

    write_video(tmp_path / "a.mp4", np.zeros((5, 32, 32, 3), np.uint8), 25.0)
    with pytest.warns(BravaismapWarning, match=r"a\.mp4: 0\.04 s a frame is the rate at which the video plays"):
        Reading()(str(tmp_path / "a.mp4"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Reading()(str(tmp_path / "a.mp4"), timed=False)
        Reading(frame_time=2.0)(str(tmp_path / "a.mp4"))


def test_the_package_runs_as_a_module() -> None:
    paths = os.pathsep.join([str(Path(__file__).parents[2] / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "bravaismap", "--version"],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    assert done.stdout.startswith("bravaismap ")


def test_the_movie_of_a_result_has_its_scale(film: Path) -> None:
    """A result of the first frames alone, as that of a run that goes on, is shown and not exported."""
    movie = film.parent / "bare.npy"
    np.save(movie, FILM)
    card = {"pixel_size_nm": 0.05, "frame_time_s": 2.0, "frame_size": [64, 70]}
    result = xr.Dataset(coords={"time": np.arange(3) * 2.0}, attrs=card)
    line = movie_line(Reading()(str(movie), timed=False, result=result, growing=True))
    assert line.endswith("0.05 nm/px, 2 s a frame (from the result)")
    with pytest.raises(InputError, match="expected 3 frames"):
        Reading()(str(movie), timed=False, result=result)
