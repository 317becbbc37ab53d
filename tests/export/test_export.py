"""Exports: complete tables, figures that open, a video that plays, and one line of help when the disk says no."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import bravaismap as bm
from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError, OutputError
from bravaismap.export.figure_files import FigureFiles
from bravaismap.export.figures import export_figures
from bravaismap.export.tables import export_csv
from bravaismap.export.video import export_video
from bravaismap.show.style import style_named


@pytest.fixture
def result() -> xr.Dataset:
    return make_result()


def make_result(names: tuple[str, ...] = CLASSES, *, frames: int = 3, unit: str = "s") -> xr.Dataset:
    rng = np.random.default_rng(1)
    maps, shape = ("time", "y", "x"), (frames, 4, 5)
    probability = rng.dirichlet(np.ones(len(names)), shape).astype(np.float32)
    return xr.Dataset(
        {
            "probability": ((*maps, "lattice"), probability),
            "probability_std": ((*maps, "lattice"), 0.1 * probability),
            "entropy": (maps, rng.random(shape)),
            "mutual_information": (maps, 0.1 * rng.random(shape)),
            "label": (maps, probability.argmax(-1).astype(np.int8)),
            "fraction": (("time", "lattice"), probability.mean((1, 2))),
            "fraction_std": (("time", "lattice"), 0.1 * probability.mean((1, 2))),
        },
        coords={
            "time": ("time", np.arange(frames) * (2.25 if unit == "s" else 1.0), {"units": unit}),
            "y": ("y", np.arange(4) * 0.8 + 1.55, {"units": "nm"}),
            "x": ("x", np.arange(5) * 0.8 + 1.55, {"units": "nm"}),
            "lattice": list(names),
        },
    )


def table(path: Path) -> tuple[list[str], list[list[str]]]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def test_fractions_read_back(tmp_path: Path, result: xr.Dataset) -> None:
    written = export_csv(result, tmp_path / "new" / "folder")
    assert written == [tmp_path / "new" / "folder" / "fractions.csv"]
    header, rows = table(written[0])
    assert header == ["time_s", *(column for name in CLASSES for column in (name, f"{name}_std"))]
    values = np.array(rows, float)
    np.testing.assert_array_equal(values[:, 0], result["time"])
    np.testing.assert_array_equal(values[:, 1::2].astype(np.float32), result["fraction"])
    np.testing.assert_array_equal(values[:, 2::2].astype(result["fraction_std"].dtype), result["fraction_std"])


def test_fractions_unknown_are_empty(tmp_path: Path) -> None:
    result = make_result(("1T", "2H, bent", "none"), unit="frame")
    result["fraction_std"] = result["fraction_std"] * np.nan
    result["fraction"][2] = np.nan
    header, rows = table(export_csv(result.chunk(time=1), tmp_path)[0])
    assert header == ["frame", "1T", "1T_std", "2H, bent", "2H, bent_std", "none", "none_std"]
    assert [row[0] for row in rows] == ["0", "1", "2"]
    assert all(row[2::2] == ["", "", ""] for row in rows)
    assert rows[2][1:] == [""] * 6


def test_windows_table_is_complete(tmp_path: Path, result: xr.Dataset) -> None:
    result["a"] = result["entropy"] + 1
    result["label"][2] = -1
    result["probability"][2] = np.nan
    fractions, windows = export_csv(result.chunk(time=1), tmp_path, windows=True)
    assert (fractions.name, windows.name) == ("fractions.csv", "windows.csv")
    header, rows = table(windows)
    assert len(rows) == 3 * 4 * 5
    assert header[:7] == ["time_s", "y_nm", "x_nm", "label", "entropy", "mutual_information", "a"]
    assert header[7:] == [f"{v}_{name}" for v in ("probability", "probability_std") for name in CLASSES]
    row = dict(zip(header, rows[20 + 2 * 5 + 3], strict=True))
    window = result.isel(time=1, y=2, x=3)
    assert (float(row["time_s"]), float(row["y_nm"]), float(row["x_nm"])) == (2.25, window["y"], window["x"])
    assert row["label"] == CLASSES[int(window["label"])]
    assert np.float32(row["probability_hexagonal"]) == window["probability"].sel(lattice="hexagonal")
    assert float(row["a"]) == window["a"]
    assert rows[-1][3] == rows[-1][7] == ""


def test_figures(tmp_path: Path, result: xr.Dataset) -> None:
    result["label"][2] = -1
    written = export_figures(result, tmp_path, np.random.default_rng(0).random((3, 96, 112)))
    kinds = ["labels", "probability", "uncertainty"]
    expected = {f"{kind}_{i:04d}.png" for kind in kinds for i in (0, 1)} | {"fractions.png"}
    assert {p.name for p in written} == {p.name for p in tmp_path.iterdir()} == expected
    for path in written:
        with Image.open(path) as picture:
            assert picture.info["dpi"] == pytest.approx((150, 150), abs=0.1)
            assert min(picture.size) > 300
            assert np.asarray(picture.convert("L")).std() > 5


def test_figures_of_a_chosen_frame_as_svg(tmp_path: Path, result: xr.Dataset) -> None:
    paths = export_figures(result, tmp_path, times=[-1], files=FigureFiles(endings=(".png", ".svg")))
    assert [path.name for path in paths[::2]] == [
        "labels_0002.png", "probability_0002.png", "uncertainty_0002.png", "fractions.png"
    ]  # fmt: skip
    assert [path.with_suffix(".png") for path in paths[1::2]] == paths[::2]
    assert all("<svg" in path.read_text(encoding="utf-8")[:2000] for path in paths[1::2])


def test_figures_of_a_frame_that_is_not_there(tmp_path: Path, result: xr.Dataset) -> None:
    with pytest.raises(InputError, match="frame 3 was asked for"):
        export_figures(result, tmp_path / "none", times=[3])
    assert not (tmp_path / "none").exists()


def test_figures_before_anything_is_mapped(tmp_path: Path, result: xr.Dataset) -> None:
    blank = result.where(result["time"] < 0)
    blank["label"] = xr.full_like(result["label"], -1)
    assert len(export_figures(blank, tmp_path)) == 4


def test_formats_hold_text_and_the_resolution_that_was_asked_for(tmp_path: Path, result: xr.Dataset) -> None:
    files = FigureFiles(style_named("small"), (".pdf", ".svg", ".png"), 300)
    for path in export_figures(result, tmp_path, times=[0], files=files):
        if path.suffix == ".svg":
            assert ">x (nm)</text>" in path.read_text(encoding="utf-8") or path.stem.startswith("fractions")
        elif path.suffix == ".pdf":
            assert b"/FontFile2" in path.read_bytes()  # letters of a TrueType font, not their outlines
        else:
            with Image.open(path) as image:
                assert image.info["dpi"][0] == pytest.approx(300, abs=1)
                assert image.size[0] < 3.6 * 300
    for wrong in ({"endings": (".gif",)}, {"endings": ()}, {"dpi": 5}):
        with pytest.raises(InputError, match=r"png, pdf, svg|30 to 1200"):
            FigureFiles(**wrong)


def test_one_frame_has_no_curve(tmp_path: Path) -> None:
    names = {path.name for path in export_figures(make_result(frames=1), tmp_path)}
    assert names == {f"{name}_0000.png" for name in ("labels", "probability", "uncertainty")}


def test_video(tmp_path: Path) -> None:
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    result, done = make_result(frames=7).chunk(time=1), []
    images = np.random.default_rng(0).random((7, 96, 112))
    path = tmp_path / "new" / "film.mp4"
    assert export_video(result, path, images, fps=5, progress=done.append) == [path]
    assert done == [1, 2, 3, 4, 5, 6, 7]
    assert [p.name for p in path.parent.iterdir()] == ["film.mp4"]
    reader = ffmpeg.read_frames(str(path))
    about = next(reader)
    frames = [np.frombuffer(raw, np.uint8) for raw in reader]
    assert len(frames) == 7
    assert about["size"] == (1280, 720)
    assert about["fps"] == pytest.approx(5)
    assert (np.abs(frames[0].astype(int) - frames[6]) > 20).mean() > 0.05


def test_video_of_images_that_do_not_belong(tmp_path: Path, result: xr.Dataset) -> None:
    pytest.importorskip("imageio_ffmpeg")
    with pytest.raises(InputError, match="2 images were given for a result of 3 frames"):
        export_video(result, tmp_path / "film.mp4", np.zeros((2, 96, 112)))
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made(tmp_path: Path, result: xr.Dataset) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for call in (
        lambda: export_csv(result, blocked),
        lambda: export_figures(result, blocked / "below"),
        lambda: export_video(result, blocked / "film.mp4"),
    ):
        with pytest.raises(OutputError, match=r"file.*cannot be written.*choose another folder") as error:
            call()
        assert "\n" not in str(error.value)
    assert blocked.read_text() == "in the way"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
def test_folder_without_permission(tmp_path: Path, result: xr.Dataset) -> None:
    tmp_path.chmod(0o500)
    try:
        for call in (export_csv, export_figures):
            with pytest.raises(OutputError, match="choose a folder you may write to"):
                call(result, tmp_path)
        with pytest.raises(OutputError, match=r"film\.mp4"):
            export_video(result, tmp_path / "film.mp4")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("code", "advice"), [(errno.ENOSPC, "free some space"), (errno.EACCES, "close the program that has the file open")]
)
def test_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, result: xr.Dataset, monkeypatch: pytest.MonkeyPatch, code: int, advice: str
) -> None:
    (tmp_path / "fractions.csv").write_text("old")

    def refuse(*_: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match=f"fractions.csv: cannot be written .*; .*{advice}") as error:
        export_csv(result, tmp_path)
    assert "\n" not in str(error.value)
    with pytest.raises(OutputError, match=advice):
        export_figures(result, tmp_path, times=[0])
    assert [path.name for path in tmp_path.iterdir()] == ["fractions.csv"]
    assert (tmp_path / "fractions.csv").read_text() == "old"


def test_pixels_are_drawn_of_a_result_that_holds_them(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:96, :96]
    image = np.cos(2 * np.pi * rows / 9) + np.cos(2 * np.pi * columns / 9)
    mapped = bm.map_phases(image, window=48, step=24, samples=0)
    names = {path.name for path in export_figures(mapped, tmp_path, image[None])}
    assert names >= {"labels_0000.png", "pixels_0000.png"}
    assert (tmp_path / "pixels_0000.png").stat().st_size > 5_000
