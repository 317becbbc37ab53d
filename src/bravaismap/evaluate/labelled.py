"""Labelled windows and whole images, on which models are scored, from NPZ files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bravaismap.errors import InputError

__all__ = ["Labelled", "read_labelled"]


@dataclass(frozen=True)
class Labelled:
    """Labelled windows, or whole images.

    Attributes
    ----------
    images : array of shape (n, y, x), or sequence of n arrays of shape (y, x)
        The sequence where they differ in shape.
    labels : int array, shape (n,)
        Positions in `classes`.
    classes : tuple of str
    vectors : array, shape (n, 2, 2), optional
        True primitive vectors in px as rows (y, x); NaN or 0 where there is no lattice.
    faults : tuple of str, optional
        Faults of each image: names joined by ``+``, or nothing.
    """

    images: NDArray[np.generic] | Sequence[NDArray[np.generic]]
    labels: NDArray[np.intp]
    classes: tuple[str, ...]
    vectors: NDArray[np.floating] | None = None
    faults: tuple[str, ...] | None = None


def read_labelled(path: str | Path) -> Labelled:
    """Read labelled windows or whole images from an npz file.

    Parameters
    ----------
    path : str or path
        With ``label`` (n,), ``classes``, and either ``image`` (n, size, size) or, for images that differ in shape,
        ``image_0`` to ``image_<n - 1>``, each (y, x). If it has them, also ``primitive_vectors_px`` (n, 2, 2) and
        ``faults`` (n,).

    Raises
    ------
    InputError
        If the file is missing, damaged, or lacks one of them, or they do not fit together.
    """
    path = Path(path)
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as stored:
            _check_keys(path, stored)
            labels, classes = stored["label"], stored["classes"]
            images = stored["image"] if "image" in stored else _images(path, stored, labels)
            vectors = stored["primitive_vectors_px"].astype(float) if "primitive_vectors_px" in stored else None
            faults = stored.get("faults")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; expected an npz file of labelled windows") from error
    except InputError:
        raise
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
        raise InputError(f"{path}: {_what_it_is(path, error)}") from error
    _check_images(path, images, labels)
    _check_labels(path, images[0].dtype, labels, classes)
    if vectors is not None and vectors.shape != (len(images), 2, 2):
        raise InputError(f"{path}: primitive_vectors_px of shape {vectors.shape}; expected ({len(images)}, 2, 2)")
    if faults is not None and (faults.shape != labels.shape or faults.dtype.kind != "U"):
        raise InputError(
            f"{path}: faults of shape {faults.shape} and type {faults.dtype}; expected {len(images)} texts, "
            "names joined by +"
        )
    return Labelled(
        images,
        labels.astype(np.intp),
        tuple(str(name) for name in classes),
        vectors,
        None if faults is None else tuple(str(text) for text in faults),
    )


def _what_it_is(path: Path, error: Exception) -> str:
    """Return what a file that cannot be read as labelled windows is, and what to do."""
    if path.suffix.lower() == ".npz":
        return f"not a readable npz file ({error}); write it again"
    return (
        "no npz file; expected one of labelled windows, as `bravaismap simulate -o windows.npz` writes it (images "
        "without labels: `bravaismap classify`)"
    )


def _check_keys(path: Path, stored: Any) -> None:
    missing = [key for key in ("image", "label", "classes") if key not in stored]
    if "image" in missing and "image_0" in stored:
        missing.remove("image")
    if missing:
        raise InputError(
            f"{path}: no {', '.join(missing)} in it; expected the arrays image (or image_0, image_1, …), label and "
            "classes, as `bravaismap simulate` writes them"
        )


def _images(path: Path, stored: Any, labels: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Return images of different shapes, each of which is stored under a name of its own."""
    names = [f"image_{i}" for i in range(labels.size)]
    missing = [name for name in names if name not in stored]
    count = sum(key.removeprefix("image_").isdecimal() for key in stored if key.startswith("image_"))
    if missing or count != labels.size:
        raise InputError(
            f"{path}: {count} images and {labels.size} labels; expected image_0 to image_{max(labels.size - 1, 0)}"
        )
    return tuple(stored[name] for name in names)


def _check_images(path: Path, images: Any, labels: NDArray[Any]) -> None:
    if isinstance(images, tuple):
        shapes = [image.shape for image in images]
        wrong = next((i for i, shape in enumerate(shapes) if len(shape) != 2 or 0 in shape), None)
        if wrong is not None:
            raise InputError(f"{path}: image_{wrong} has shape {shapes[wrong]}; expected (y, x)")
        types = {image.dtype.kind for image in images}
        if not types <= set("buif"):
            raise InputError(
                f"{path}: images of types {sorted(str(i.dtype) for i in images)[:3]}; expected real numbers"
            )
        if labels.shape != (len(images),):
            raise InputError(f"{path}: labels {labels.shape}; expected ({len(images)},)")
        return
    if images.ndim != 3 or labels.shape != images.shape[:1] or images.shape[1] != images.shape[2] or 0 in images.shape:
        raise InputError(f"{path}: images {images.shape} and labels {labels.shape}; expected (n, size, size) and (n,)")


def _check_labels(path: Path, dtype: np.dtype[Any], labels: NDArray[Any], classes: NDArray[Any]) -> None:
    if dtype.kind not in "buif" or labels.dtype.kind not in "ui" or classes.ndim != 1:
        raise InputError(
            f"{path}: images of type {dtype}, labels of type {labels.dtype}, classes of shape {classes.shape}; "
            "expected real numbers, integers and a list of names"
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise InputError(
            f"{path}: labels from {labels.min()} to {labels.max()} for {len(classes)} classes; "
            f"expected 0 to {len(classes) - 1}"
        )
