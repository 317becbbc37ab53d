"""Labelled windows and images in npz files: what is written is read, and what is none is told in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bravaismap.conventions import CLASSES
from bravaismap.errors import InputError
from bravaismap.evaluate.labelled import read_labelled
from bravaismap.simulate.windows import simulate
from bravaismap.simulate.writing import write_windows


def test_windows_written_by_simulate_are_read(tmp_path: Path) -> None:
    data = simulate(7, seed=1, size=32)
    labelled = read_labelled(write_windows(data, tmp_path / "w.npz"))
    np.testing.assert_array_equal(labelled.images, data["image"].values)
    np.testing.assert_array_equal(labelled.labels, data["label"].values)
    assert labelled.classes == CLASSES


def test_images_stored_one_by_one_are_read(tmp_path: Path) -> None:
    images = {f"image_{i}": np.full((20 + i, 30), i, np.uint8) for i in range(12)}
    faults = ["rows+dirt", "", *["holes"] * 10]
    vectors = np.full((12, 2, 2), np.nan)
    np.savez(
        tmp_path / "w.npz", **images, label=np.arange(12) % 6, classes=CLASSES, faults=faults,
        primitive_vectors_px=vectors,
    )  # fmt: skip
    labelled = read_labelled(tmp_path / "w.npz")
    assert [image.shape for image in labelled.images] == [(20 + i, 30) for i in range(12)]
    assert [int(image[0, 0]) for image in labelled.images] == list(range(12))  # image_10 is after image_9
    assert labelled.faults == tuple(faults)
    assert labelled.vectors is not None
    assert np.isnan(labelled.vectors).all()


def test_faults_written_by_simulate_are_read(tmp_path: Path) -> None:
    data = simulate(7, "broken", seed=1, size=48)
    labelled = read_labelled(write_windows(data, tmp_path / "w.npz"))
    assert labelled.faults == tuple(data["faults"].values.tolist())
    np.testing.assert_array_equal(labelled.images, data["image"].values)
    plain = read_labelled(write_windows(simulate(2, size=32), tmp_path / "plain.npz"))
    assert plain.faults is None


IMAGES = np.zeros((4, 20, 20), np.uint8)
ONE, TWO = {"image_0": IMAGES[0], "classes": ["a"]}, {"image_0": IMAGES[0], "image_1": IMAGES[1], "classes": ["a"]}


@pytest.mark.parametrize(
    ("arrays", "parts"),
    [
        ({"image": IMAGES}, ("no label, classes in it", "bravaismap simulate")),
        ({"image": IMAGES[0], "label": np.zeros(4, int), "classes": ["a"]}, ("(20, 20)", "(n, size, size)")),
        ({"image": IMAGES, "label": np.zeros(3, int), "classes": ["a"]}, ("(4, 20, 20)", "(3,)")),
        ({"image": IMAGES[:, :9], "label": np.zeros(4, int), "classes": ["a"]}, ("(4, 9, 20)",)),
        ({"image": IMAGES[:0], "label": np.zeros(0, int), "classes": ["a"]}, ("(0, 20, 20)",)),
        ({"image": IMAGES, "label": np.arange(4), "classes": ["a", "b"]}, ("0 to 3", "2 classes")),
        ({"image": IMAGES, "label": np.arange(4) - 1, "classes": list("abcd")}, ("-1 to 2", "4 classes")),
        ({"image": IMAGES, "label": np.array(list("abcd")), "classes": list("abcd")}, ("<U1", "integers")),
        ({"image": IMAGES * 1j, "label": np.zeros(4, int), "classes": ["a"]}, ("complex128", "real numbers")),
        ({"image": IMAGES, "label": np.array([None] * 4), "classes": ["a"]}, ("not a readable npz",)),
        ({**ONE, "label": np.zeros(2, int)}, ("1 images and 2 labels", "image_0 to image_1")),
        ({**TWO, "label": np.zeros(1, int)}, ("2 images and 1 labels",)),
        ({**TWO, "label": np.zeros((2, 1), int)}, ("labels (2, 1)",)),
        ({**TWO, "image_1": IMAGES, "label": np.zeros(2, int)}, ("image_1 has shape (4, 20, 20)", "(y, x)")),
        ({**TWO, "image_1": IMAGES[0] * 1j, "label": np.zeros(2, int)}, ("complex128", "real numbers")),
        ({**TWO, "label": np.arange(2)}, ("0 to 1", "1 classes")),
        ({**TWO, "label": np.zeros(2, int), "faults": ["rows"]}, ("faults of shape (1,)", "2 texts")),
        ({**TWO, "label": np.zeros(2, int), "faults": np.zeros(2)}, ("float64", "joined by +")),
    ],
)
def test_arrays_that_are_no_labelled_windows(tmp_path: Path, arrays: dict[str, object], parts: tuple[str, ...]) -> None:
    np.savez(tmp_path / "w.npz", **arrays)
    refused(tmp_path / "w.npz", *parts)


def test_files_that_are_no_labelled_windows(tmp_path: Path) -> None:
    good = write_windows(simulate(6, seed=1, size=64), tmp_path / "good.npz").read_bytes()
    refused(tmp_path / "no.npz", "No such file", "npz")
    (tmp_path / "folder.npz").mkdir()
    refused(tmp_path / "folder.npz", "directory")
    np.save(tmp_path / "plain.npy", IMAGES)
    refused(tmp_path / "plain.npy", "no npz file", "bravaismap simulate")
    contents = {
        "empty": b"",
        "text": b"not an archive",
        "cut": good[: len(good) // 2],
        "flipped": good[:400] + bytes(255 - b for b in good[400:900]) + good[900:],
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
        refused(tmp_path / f"{name}.npz", "not a readable npz")


def refused(path: Path, *parts: str) -> None:
    with pytest.raises(InputError) as error:
        read_labelled(path)
    assert "\n" not in str(error.value)
    for part in (path.name, *parts):
        assert part in str(error.value), error.value
