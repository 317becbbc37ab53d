"""Bad input through the real commands: one line that names the file, what was found and what to do; exit code 2."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from instrument_files import dm_bytes

from bravaismap.result.open import open_result
from bravaismap.simulate.windows import simulate
from bravaismap.simulate.writing import write_windows

Run = Callable[..., Any]
FILM = np.random.default_rng(0).poisson(20, (3, 64, 64)).astype(np.uint16)
NAN = FILM.astype(np.float32)
NAN[1, 5, 5:8] = np.nan
NAN[2, 0, 0] = np.inf


def written(path: Path, content: Any) -> Path:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, content, photometric="minisblack")
    else:
        np.save(path, content)
    return path


@pytest.fixture
def both(run: Run, weights: Path, tmp_path: Path) -> Callable[..., None]:
    """Return a function that asserts that `classify` and `map` refuse a source and leave nothing behind."""

    def refused(source: object, *parts: str) -> None:
        before = sorted(tmp_path.rglob("*"))
        run("classify", source, "--model", weights, "--samples", 2, "--csv", tmp_path / "t.csv").refused(*parts)
        output = tmp_path / "out" / "film.zarr"
        run("map", source, "--model", weights, "--window", 32, "--samples", 2, "-o", output).refused(*parts)
        assert sorted(tmp_path.rglob("*")) == before

    return refused


def test_missing_file(both: Callable[..., None], tmp_path: Path) -> None:
    written(tmp_path / "film.npy", FILM)
    both(tmp_path / "flim.npy", "flim.npy", "no such file", "film.npy")
    both(tmp_path / "no" / "film.npy", "film.npy", "no such file", "does not exist")


def test_frame_that_no_window_fits_into_gets_one_advice(run: Run, tmp_path: Path) -> None:
    small = written(tmp_path / "small.npy", FILM[:, :30, :30])
    for window in ([], ["--window", 16], ["--window", 30], ["--window", 32], ["--window", -5]):
        done = run("map", small, *window, "-o", tmp_path / "r.zarr")
        done.refused("small.npy", "30 × 30 px", "smallest window of 32 px does not fit", "a larger image")
    assert not (tmp_path / "r.zarr").exists()


def test_folder_without_images(both: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("notes")
    both(tmp_path / "folder", "folder", "no images", "expected")
    both(tmp_path / "folder" / "*.tif", "*.tif", "no file matches")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("name", ["film.npy", "film.tif"])
def test_truncated_arrays_and_tiffs(both: Callable[..., None], tmp_path: Path, name: str, share: float) -> None:
    content = written(tmp_path / name, FILM).read_bytes()
    path = written(tmp_path / f"cut-{name}", content[: int(share * len(content))])
    both(path, f"cut-{name}")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_dm4(both: Callable[..., None], tmp_path: Path, share: float) -> None:
    path = written(tmp_path / "cut.dm4", dm4(FILM[0])[: int(share * len(dm4(FILM[0])))])
    both(path, "cut.dm4")


def test_the_whole_dm4_is_read(run: Run, weights: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "whole.dm4", dm4(FILM[0]))
    done = run("classify", path, "--model", weights, "--samples", 2)
    assert done.code == 0, done.err


def dm4(image: np.ndarray) -> bytes:
    return dm_bytes(4, [(image, ((1.0, ""), (1.0, "")))], False)


@pytest.mark.parametrize("text", [b"not an image\n", b"", b"II*\x00"])
def test_text_named_tif(both: Callable[..., None], tmp_path: Path, text: bytes) -> None:
    both(written(tmp_path / "notes.tif", text), "notes.tif")


def test_unknown_type_of_file(both: Callable[..., None], tmp_path: Path) -> None:
    both(written(tmp_path / "film.docx", b"x"), "film.docx", ".docx cannot be read", "npy")


@pytest.mark.parametrize(
    ("array", "parts"),
    [
        (np.ones(9), ("1 dimension", "(9,)", "(time, y, x)")),
        (np.ones((2, 3, 4, 20, 20)), ("5 dimensions", "(2, 3, 4, 20, 20)")),
        (np.ones((20, 20), complex), ("complex128", "real numbers")),
        (np.full((20, 20), "a"), ("<U1", "real numbers")),
        (np.zeros((0, 20, 20)), ("empty",)),
    ],
)
def test_arrays_that_are_no_image(
    both: Callable[..., None], tmp_path: Path, array: np.ndarray, parts: tuple[str, ...]
) -> None:
    both(written(tmp_path / "odd.npy", array), "odd.npy", *parts)


@pytest.mark.usefixtures("no_figures")
def test_pixels_that_are_not_finite(run: Run, weights: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "holes.npy", NAN)
    options = ["--model", weights, "--samples", 2, "--nan", "raise"]
    output = tmp_path / "out" / "film.zarr"
    for command in (["classify", path, *options], ["map", path, *options, "--window", 32, "-o", output]):
        done = run(*command)
        done.refused("holes.npy", "4 NaN or infinite pixels in 2 of 3 frames (frame 1, 2)", "--nan fill")
    assert sorted(tmp_path.rglob("*")) == [path]
    options = ["--model", weights, "--samples", 2, "--nan", "fill"]
    assert run("classify", path, *options).code == 0
    done = run("map", path, *options, "--window", 32, "-o", tmp_path / "out" / "film.zarr")
    assert done.code == 0, done.err
    assert np.isfinite(open_result(tmp_path / "out" / "film.zarr")["probability"]).all()


@pytest.mark.usefixtures("no_figures")
def test_constant_frame_is_none_and_said_once(run: Run, weights: Path, tmp_path: Path) -> None:
    film = FILM.copy()
    film[1] = 7
    path = written(tmp_path / "film.npy", film)
    done = run("map", path, "--model", weights, "--samples", 2, "--window", 32, "-o", tmp_path / "out" / "film.zarr")
    assert done.code == 0, done.err
    said = [line for line in done.err.splitlines() if "constant" in line]
    assert len(said) == 1
    assert said[0].startswith("warning: ")
    assert "frame 1" in said[0]
    assert "none" in said[0]
    assert (open_result(tmp_path / "out" / "film.zarr")["label"].values[1] == 5).all()


@pytest.mark.usefixtures("no_figures")
def test_constant_frames_are_said_once(run: Run, weights: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "film.npy", np.stack([FILM[0], 0 * FILM[0], 0 * FILM[0] + 9, FILM[1]]))
    done = run("map", path, "--model", weights, "--samples", 2, "--window", 32, "-o", tmp_path / "out" / "film.zarr")
    assert done.code == 0, done.err
    assert len([line for line in done.err.splitlines() if "constant" in line]) == 1


def test_constant_image_is_none_and_said_once(run: Run, weights: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "flat.npy", np.full((40, 40), 3))
    done = run("classify", path, "--model", weights, "--samples", 2)
    assert done.code == 0, done.err
    assert re.search(r"flat\.npy\W+none\W", done.out)
    assert len([line for line in done.err.splitlines() if "constant" in line]) == 1


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--window", 65], ("film.npy", "65 × 65", "64 × 64", "at most 64")),
        (["--window", 4], ("film.npy", "window of 4 px", "at least 16")),
        (["--window", -5], ("film.npy", "window of -5 px", "at least 16")),
        (["--window", -5, "--model", "default"], ("film.npy", "window of -5 px", "at least 32")),
        (["--window", 31, "--model", "default"], ("film.npy", "window of 31 px", "at least 32")),
        (["--window", 32, "--step", 0], ("film.npy", "step of 0 px", "at least 1")),
        (["--window", 32, "--step", -4], ("film.npy", "step of -4 px", "at least 1")),
        (["--window", 32, "--samples", 1], ("film.npy", "1 samples", "at least 2")),
        (["--window", 32, "--samples", -3], ("film.npy", "-3 samples", "at least 2")),
        (["--window", 32, "--pixel-size", 0], ("pixel size of 0", "positive")),
        (["--window", 32, "--frame-time", "nan"], ("frame time of nan", "positive")),
    ],
)
def test_options_that_cannot_be(
    run: Run, weights: Path, tmp_path: Path, options: list[object], parts: tuple[str, ...]
) -> None:
    path = written(tmp_path / "film.npy", FILM)
    run("map", path, "--model", weights, *options, "-o", tmp_path / "out" / "film.zarr").refused(*parts)
    assert [p.name for p in tmp_path.iterdir()] == ["film.npy"]


@pytest.mark.parametrize("samples", [1, -3])
def test_samples_of_an_image(run: Run, weights: Path, tmp_path: Path, samples: int) -> None:
    path = written(tmp_path / "film.npy", FILM)
    run("classify", path, "--model", weights, "--samples", samples).refused("film.npy", f"{samples} samples")


def test_image_too_small(run: Run, weights: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "small.npy", FILM[0, :12])
    run("classify", path, "--model", weights).refused("small.npy", "12 × 64 px", "at least 16 × 16")


def test_unknown_model(run: Run, tmp_path: Path) -> None:
    path = written(tmp_path / "film.npy", FILM)
    for command in (["classify"], ["map", "--window", 32]):
        run(*command, path, "--model", "dcnn-2019").refused("'dcnn-2019'", "nearest names are dcnn-2018")
    run("evaluate", path, "--model", "defalt").refused("'defalt'", "default")
    run("classify", path, "--model", tmp_path / "no.safetensors").refused("no.json", "model card")
    assert [p.name for p in tmp_path.iterdir()] == ["film.npy"]


def test_weights_that_are_not_those_of_their_card(run: Run, weights: Path, tmp_path: Path) -> None:
    film = written(tmp_path / "film.npy", FILM)
    model = tmp_path / "model.safetensors"
    model.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    model.with_suffix(".json").write_bytes(weights.with_suffix(".json").read_bytes())
    parts = ("model.safetensors", "not those of their card", "train anew")
    run("classify", film, "--model", model).refused(*parts)
    run("map", film, "--model", model, "--window", 32, "-o", tmp_path / "out" / "film.zarr").refused(*parts)
    assert not (tmp_path / "out").exists()


# Output


def test_output_that_is_something_else(run: Run, weights: Path, tmp_path: Path) -> None:
    film = written(tmp_path / "film.npy", FILM)
    folder, file = tmp_path / "folder.zarr", tmp_path / "file.zarr"
    folder.mkdir()
    (folder / "precious.txt").write_text("precious")
    file.write_text("precious")
    for target in (folder, file):
        for options in ([], ["--overwrite"]):
            done = run("map", film, "--model", weights, "--window", 32, "--samples", 2, "-o", target, *options)
            done.refused(target.name, "not a result")
    assert (folder / "precious.txt").read_text() == file.read_text() == "precious"


@pytest.mark.parametrize("name", ["t.xlsx", "t.TIF", "t.json"])
def test_tables_of_other_kinds_are_not_written_as_text(run: Run, weights: Path, tmp_path: Path, name: str) -> None:
    film = written(tmp_path / "film.npy", FILM)
    data = tmp_path / "windows.npz"
    np.savez(data, image=FILM, label=np.zeros(len(FILM), int), classes=np.array(["square", "none"]))
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    (folder / "precious.txt").write_text("precious")
    for command, source in (("classify", film), ("evaluate", data)):
        done = run(command, source, "--model", weights, "--samples", 2, "--csv", tmp_path / name)
        done.refused("--csv", name, "ends in .csv")
        run(command, source, "--model", weights, "--samples", 2, "--csv", folder).refused("--csv", "is a folder")
    assert not (tmp_path / name).exists()
    assert (folder / "precious.txt").read_text() == "precious"


def test_output_that_cannot_be_written(run: Run, weights: Path, tmp_path: Path) -> None:
    film = written(tmp_path / "film.npy", FILM)
    (tmp_path / "file").write_text("")
    inside = tmp_path / "file" / "out"
    done = run("map", film, "--model", weights, "--window", 32, "--samples", 2, "-o", inside / "film.zarr")
    done.refused("film.zarr", "cannot be written")
    run("classify", film, "--model", weights, "--samples", 2, "--csv", inside / "t.csv").refused("file")
    run("simulate", "-o", inside / "w.npz", "-n", 2).refused("w.npz")
    (tmp_path / "own.toml").write_text("[square]\n[none]\n")
    done = run("train", "--recipes", tmp_path / "own.toml", "--images", 100, "--epochs", 1, "-o", inside)
    done.refused("file")
    assert (tmp_path / "file").read_text() == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "film.npy", "own.toml"]


def test_names_of_simulated_files(run: Run, tmp_path: Path) -> None:
    run("simulate", "-o", tmp_path / "w.txt", "-n", 2).refused("w.txt", ".npz")
    run("simulate", "-o", tmp_path / "film.txt", "-n", 2, "--kind", "film", "--size", 32).refused("film.txt", ".tif")
    run("simulate", "-o", tmp_path / "w.npz", "-n", 0).refused("0 windows", "at least 1")
    run("simulate", "-o", tmp_path / "w.npz", "-n", 2, "--size", 8).refused("8 px", "at least 16")
    assert not list(tmp_path.iterdir())


# evaluate and train


def test_labelled_windows_that_are_damaged(run: Run, weights: Path, tmp_path: Path) -> None:
    good = write_windows(simulate(6, seed=1, size=32), tmp_path / "good.npz").read_bytes()
    for name, content in {"cut": good[: len(good) // 2], "text": b"no archive", "empty": b""}.items():
        path = written(tmp_path / f"{name}.npz", content)
        run("evaluate", path, "--model", weights).refused(f"{name}.npz", "not a readable npz")
    run("evaluate", tmp_path / "no.npz", "--model", weights).refused("no.npz", "No such file")
    np.savez(tmp_path / "bare.npz", image=FILM)
    run("evaluate", tmp_path / "bare.npz", "--model", weights).refused("bare.npz", "label, classes")


def test_classes_that_the_model_does_not_have(run: Run, weights: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", image=FILM, label=np.zeros(3, int), classes=["kagome"])
    run("evaluate", tmp_path / "w.npz", "--model", weights).refused("kagome", "it has square")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[square\n", ("not a TOML file",)),
        ("[square]\n", ("at least two",)),
        ("[square]\nlenght = [6, 9]\n[none]\n", ("[square]", "'lenght'", "length")),
        ("[squre]\n[none]\n", ("'squre'", "square")),
    ],
)
def test_recipes_that_cannot_be_read(run: Run, tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    (tmp_path / "own.toml").write_text(text)
    run("train", "--recipes", tmp_path / "own.toml", "-o", tmp_path / "runs").refused("own.toml", *parts)
    run("simulate", "--recipes", tmp_path / "own.toml", "-o", tmp_path / "w.npz").refused("own.toml", *parts)
    assert [p.name for p in tmp_path.iterdir()] == ["own.toml"]


def test_trainings_that_cannot_be(run: Run, tmp_path: Path) -> None:
    run("train", "--preset", "dcn", "-o", tmp_path / "runs").refused("'dcn'", "dcnn-2018")
    run("train", "--recipes", "realstic", "-o", tmp_path / "runs").refused("'realstic'", "realistic")
    run("train", "--recipes", tmp_path / "no.toml", "-o", tmp_path / "runs").refused("no.toml", "No such file")
    for images in (10, 50):  # 50 do not fill the one batch of 64 of the preset
        run("train", "--images", images, "-o", tmp_path / "runs").refused(f"{images} images", "expected at least")
    assert not list(tmp_path.iterdir())


def test_checkpoint_that_is_damaged(run: Run, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"nonsense")
    run("train", "--images", 100, "-o", tmp_path).refused("checkpoint.safetensors", "damaged", "remove it")
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.safetensors"]


# In a process of its own


def test_as_a_user_sees_it(weights: Path, tmp_path: Path) -> None:
    written(tmp_path / "holes.npy", NAN)
    arguments = ["map", "holes.npy", "--window", "32", "--nan", "raise", "--model", str(weights)]
    done = subprocess.run(
        [sys.executable, "-m", "bravaismap.cli", *arguments],
        capture_output=True, text=True, cwd=tmp_path, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    for part in ("holes.npy", "4 NaN or infinite pixels", "--nan fill"):
        assert part in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["holes.npy"]


@pytest.mark.parametrize("name", ["x.npy", "there.zarr"])
def test_result_is_a_folder(run: Run, tmp_path: Path, name: str) -> None:
    film = written(tmp_path / "film.npy", FILM)
    (tmp_path / "there.zarr").write_text("precious")
    for command in (["map", film], ["watch", tmp_path, "--until-idle", 0]):
        run(*command, "-o", tmp_path / name).refused(name, "a result is a folder", ".zarr")
    assert (tmp_path / "there.zarr").read_text() == "precious"
    assert not (tmp_path / "x.npy").exists()


def test_times_of_watch_are_seconds(run: Run, tmp_path: Path) -> None:
    for option in ("--settle", "--patience", "--until-idle"):
        run("watch", tmp_path, option, -1).refused(f"{option} -1", "expected seconds, 0 or more")
    done = run("watch", tmp_path, "--until-idle", 0)
    assert (done.code, done.err) == (0, "")
    assert f"no frame appeared in {tmp_path}, and no result was written" in done.out


def test_evaluate_says_what_no_npz_file_is(run: Run, tmp_path: Path) -> None:
    run("evaluate", written(tmp_path / "film.npy", FILM)).refused("film.npy: no npz file", "`bravaismap simulate")
    run("evaluate", written(tmp_path / "cut.npz", b"PKxx")).refused("cut.npz: not a readable npz file")
