"""Videos in: what was written comes back, frame by frame."""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from bravaismap.errors import InputError, OutputError
from bravaismap.export.video import write_video
from bravaismap.movie import frame_time, pixel_size
from bravaismap.read import signal
from bravaismap.read.reading import read

pytest.importorskip("imageio_ffmpeg")
LEVELS = np.linspace(20, 230, 30).astype(np.uint8)


def grey_frames(height: int = 48, width: int = 64) -> Iterator[np.ndarray]:
    """Yield frames of one grey level each, rising, with a darker left half."""
    for level in LEVELS:
        frame = np.full((height, width, 3), level, np.uint8)
        frame[:, : width // 2] //= 2
        yield frame


def check_levels(movie: Any, first: int = 0) -> None:
    """Assert that every frame is where it belongs: a step from one to the next is 7 levels."""
    right = np.asarray(movie[:, 10:-10, -20:-4]).mean(axis=(1, 2))
    np.testing.assert_allclose(right, LEVELS[first : first + len(right)], atol=3)


@pytest.mark.parametrize("suffix", ["mp4", "avi", "mov", "mkv"])
def test_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    path = tmp_path / f"film.{suffix}"
    write_video(path, grey_frames(), 12.5)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        movie = read(path)
    assert movie.shape == (30, 48, 64)
    assert movie.dtype == np.uint8
    assert frame_time(movie) == pytest.approx(0.08)
    assert pixel_size(movie) is None
    check_levels(movie)
    monkeypatch.setattr(signal, "LAZY_BYTES", 10)
    monkeypatch.setattr(signal, "CHUNK_BYTES", 7 * 48 * 64)
    movie = read(path)
    assert isinstance(movie.data, da.Array)
    assert movie.data.chunks[0] == (7, 7, 7, 7, 2)
    check_levels(movie)
    check_levels(movie[19:23], 19)


@pytest.mark.parametrize("fps", [30000 / 1001, 24000 / 1001, 12.5333])
def test_rates_that_are_no_whole_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fps: float) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, (np.full((16, 16, 3), 40 + 150 * (i % 2), np.uint8) for i in range(700)), fps)
    monkeypatch.setattr(signal, "LAZY_BYTES", 10)
    monkeypatch.setattr(signal, "CHUNK_BYTES", 150 * 16 * 16)
    movie = read(path)
    assert len(movie) == 700
    assert frame_time(movie) == pytest.approx(1 / fps, rel=1e-3)
    np.testing.assert_array_equal(movie.mean(["y", "x"]).values > 100, np.arange(700) % 2 == 1)


def test_variable_frame_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import imageio_ffmpeg

    path = tmp_path / "a.mkv"
    vary = ["-vf", "setpts=N*N/(10*TB)", "-fps_mode", "passthrough"]
    writer = imageio_ffmpeg.write_frames(str(path), (64, 48), fps=10, macro_block_size=1, output_params=vary)
    writer.send(None)
    for frame in grey_frames():
        writer.send(frame)
    writer.close()
    monkeypatch.setattr(signal, "LAZY_BYTES", 10)
    monkeypatch.setattr(signal, "CHUNK_BYTES", 8 * 48 * 64)
    movie = read(path)
    assert len(movie) == 30
    check_levels(movie)


def test_colour_is_reported(tmp_path: Path) -> None:
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[..., 0] = 200
    write_video(tmp_path / "a.mp4", [frame] * 3, 10)
    with pytest.warns(UserWarning, match=r"a\.mp4: colour was turned into luminance"):
        assert len(read(tmp_path / "a.mp4")) == 3


def test_truncated_video(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    write_video(tmp_path / "a.mp4", grey_frames(), 10)
    content = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"a\.mp4: .*save") as error:
        read(tmp_path / "a.mp4")
    assert "\n" not in str(error.value)
    assert capfd.readouterr().out == ""


def test_playlist_is_not_followed(tmp_path: Path) -> None:
    write_video(tmp_path / "secret.mp4", grey_frames(), 10)
    (tmp_path / "a.mp4").write_text("ffconcat version 1.0\nfile secret.mp4\n")
    with pytest.raises(InputError, match=r"a\.mp4: expected a video \(mp4\), found text"):
        read(tmp_path / "a.mp4")


def test_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "imageio_ffmpeg":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    (tmp_path / "a.mp4").write_bytes(b"x")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r'a\.mp4.*pip install "bravaismap\[video\]"'):
        read(tmp_path / "a.mp4")
    with pytest.raises(OutputError, match=r'pip install "bravaismap\[video\]"'):
        write_video(tmp_path / "b.mp4", grey_frames(), 10)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    import subprocess

    import imageio_ffmpeg

    write_video(tmp_path / "a.mp4", grey_frames(), 12.5)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(tmp_path / "a.mp4"), "-vf", "setsar=2/1"]
    subprocess.run([*command, str(tmp_path / "b.mp4")], check=True)
    with pytest.warns(UserWarning, match=r"b\.mp4: pixels of a height of 0\.5 times their width, resampled"):
        movie = read(tmp_path / "b.mp4")
    assert movie.shape == (30, 48, 128)
    check_levels(movie)


def test_the_time_of_a_frame_is_said_to_be_that_of_playback(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", grey_frames(), 12.5)
    assert read(tmp_path / "a.mp4").attrs["frame_time_from"] == "playback rate"
    assert read(tmp_path / "a.mp4", frame_time=2.0).attrs["frame_time_from"] == "given"
