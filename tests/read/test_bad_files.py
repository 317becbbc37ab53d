"""Bad input: each gives one line that names the file, what was found and what to do."""

from __future__ import annotations

import io
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from movie_checks import folder_of_images, frames, refused
from PIL import Image

from bravaismap.errors import InputError
from bravaismap.read import signal


def test_missing_file_suggests_near_names(tmp_path: Path) -> None:
    np.save(tmp_path / "decomposition.npy", frames())
    refused(tmp_path / "decompositon.npy", "decompositon.npy: no such file", "decomposition.npy")
    refused(tmp_path / "nowhere" / "a.npy", "nowhere does not exist")
    refused(str(tmp_path / "*.dm4"), "*.dm4: no file matches", "decomposition.npy")
    refused([], "empty list")


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    refused(tmp_path, str(tmp_path), "no images in this folder", "dm4")


def test_folder_of_mixed_types(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path / "mixed", frames(dtype="uint8"))
    np.save(folder / "a.npy", frames())
    refused(folder, "several types", "npy, png", "*.npy")


def test_frames_of_differing_size(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path / "run", frames(dtype="uint8"))
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "frame99.png")
    refused(folder, "frame99.png", "9 × 9 px", "frame8.png has 12 × 17 px", "one size")


def test_unknown_type(tmp_path: Path) -> None:
    (tmp_path / "a.docx").write_text("hello")
    refused(tmp_path / "a.docx", ".docx cannot be read", "dm4")
    (tmp_path / "a").write_text("hello")
    refused(tmp_path / "a", "without an extension")


@pytest.mark.parametrize(
    "suffix", ["tif", "npy", "npz", "dm4", "emd", "hspy", "ser", "mrc", "h5", "png", "gwy", "gsf", "sxm"]
)
def test_empty_file(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a.{suffix}").touch()
    refused(tmp_path / f"a.{suffix}", f"a.{suffix}: an empty file (0 bytes)", "copy or save it again")


@pytest.mark.parametrize(
    "suffix",
    ["tif", "npy", "npz", "dm3", "dm4", "emd", "hspy", "ser", "mrc", "h5", "nxs", "nc", "png", "jpg", "bmp", "mp4",
     "avi", "gwy", "gsf", "sxm", "3ds", "Z_mtrx"],
)  # fmt: skip
@pytest.mark.parametrize("content", [b"this is a text file\n" * 200, bytes(range(256)) * 20])
def test_what_is_not_of_its_type(tmp_path: Path, suffix: str, content: bytes, capfd: pytest.CaptureFixture) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(content)
    refused(tmp_path / f"a.{suffix}", f"a.{suffix}")
    assert capfd.readouterr() == ("", "")


def test_text_and_png_renamed_to_tif(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("x,y\n1,2\n")
    refused(tmp_path / "a.tif", "a.tif: expected TIFF, found text", "extension")
    Image.fromarray(frames(1, dtype="uint8")[0]).save(tmp_path / "b.png")
    (tmp_path / "b.png").rename(tmp_path / "b.tif")
    refused(tmp_path / "b.tif", "expected TIFF, found PNG")


@pytest.mark.parametrize("kind", ["npy", "tif", "zlib", "imagej", "h5", "npz", "png"])
@pytest.mark.parametrize("kept", [0.02, 0.3, 0.9])
def test_truncated(tmp_path: Path, kind: str, kept: float, capfd: pytest.CaptureFixture) -> None:
    suffix = {"zlib": "tif", "imagej": "tif"}.get(kind, kind)
    path, stack = tmp_path / f"a.{suffix}", frames(20, 60, 60, dtype="uint8")
    if kind == "npy":
        np.save(path, stack)
    elif kind == "npz":
        np.savez(path, image=stack)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["stack"] = stack
    elif kind == "png":
        Image.fromarray(stack[0]).save(path)
    else:
        tifffile.imwrite(path, stack, **{"zlib": {"compression": "zlib"}, "imagej": {"imagej": True}}.get(kind, {}))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    message = refused(path, f"a.{suffix}")
    assert "truncated" in message
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shape", [(7,), (2, 2, 3, 4, 5), (3, 4, 5, 6)])
def test_wrong_number_of_dimensions(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape))
    refused(tmp_path / "a.npy", "a.npy", f"{len(shape)} dimension", str(shape), "(time, y, x)")


@pytest.mark.parametrize("dtype", ["complex64", "U5", "S3", "datetime64[s]", "i4,f4"])
def test_types_that_are_no_real_numbers(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros((4, 5, 6), dtype))
    refused(tmp_path / "a.npy", "a.npy", "expected real numbers")


def test_pickles_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    refused(tmp_path / "a.npy", "a.npy", "Python objects")
    np.savez(tmp_path / "a.npz", image=np.array([[{}, []]], dtype=object))
    refused(tmp_path / "a.npz", "a.npz")


def test_empty_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((0, 4, 5)))
    refused(tmp_path / "a.npy", "a.npy", "empty array", "(0, 4, 5)")


def test_a_file_that_windows_keeps_from_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A microscope that writes a file may keep it to itself: an `InputError`, after which a live run looks again."""
    path = tmp_path / "a.npy"
    np.save(path, frames())

    def denied(*_: object, **__: object) -> io.BytesIO:
        raise PermissionError(13, "The process cannot access the file")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(InputError, match=r"cannot be read as NPY .*cannot access"), signal.reading(path, "NPY"):
        path.open("rb")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npy"
    np.save(path, frames())

    def denied(*_: object, **__: object) -> io.BytesIO:
        raise PermissionError(13, "Permission denied")

    if os.name == "posix" and os.geteuid() != 0:
        path.chmod(0)
    else:
        monkeypatch.setattr(Path, "open", denied)
    refused(path, "a.npy: no permission to read it", "copy it")


def test_result_is_not_a_movie(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "out.zarr", mode="w").create_array("probability", data=np.zeros((2, 3, 4, 6)))
    refused(tmp_path / "out.zarr", "out.zarr: a result of bravaismap", "open_result")


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["stack"] = frames()
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink("secret.h5", "/stack")
    refused(tmp_path / "a.h5", "no array in it")
    layout = h5py.VirtualLayout((5, 12, 17), "uint16")
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "stack", (5, 12, 17))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_virtual_dataset("stack", layout)
    refused(tmp_path / "b.h5", "another file, which is not followed")
    for suffix, name in (("hspy", "Experiments/film"), ("emd", "data/film")):
        with h5py.File(tmp_path / f"c.{suffix}", "w") as file:
            file[name] = h5py.ExternalLink("secret.h5", "/")
        refused(tmp_path / f"c.{suffix}", f"/{name} lies in another file, which is not followed")
