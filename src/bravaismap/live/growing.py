"""A file to which a microscope appends frames: npy, HDF5 (also SWMR), and any other movie that can be read again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.errors import InputError
from bravaismap.movie import as_movie
from bravaismap.read import signal as stored
from bravaismap.read.excerpt import part_of, square_pixels
from bravaismap.read.reading import signals_of
from bravaismap.read.scale import Scale, scale_of
from bravaismap.read.tifftags import shown_greys

__all__ = ["GrowingStack"]

_HDF5 = ("h5", "hdf5", "he5", "nxs", "nx")
_TIFF = ("tif", "tiff", "btf")


class GrowingStack:
    """A movie in one file, whose first axis grows.

    Parameters
    ----------
    path : Path
    dataset : str, optional
        Name of the array in a file with several.
    pixel_size : float, optional
        Side of a pixel in nm, instead of the one in the file.
    crop, bin
        As :func:`bravaismap.read` takes them.
    """

    def __init__(
        self,
        path: Path,
        dataset: str | None = None,
        pixel_size: float | None = None,
        crop: str | None = None,
        bin: int = 1,
    ) -> None:
        self.path, self._dataset, self._size, self._crop, self._bin = path, dataset, pixel_size, crop, bin
        self._scale: Scale | None = None
        self._kind = path.suffix[1:].lower()

    def length(self) -> int:
        """Return the number of whole frames; 0 while the file cannot be read."""
        try:
            if self._kind == "npy":
                shape, dtype, begin = self._header()
                return max(self.path.stat().st_size - begin, 0) // (int(np.prod(shape[1:])) * dtype.itemsize)
            if self._kind in _HDF5:
                with self._hdf5() as array:
                    return int(array.shape[0])
            if self._kind in _TIFF:
                import tifffile

                with tifffile.TiffFile(self.path, _multifile=False) as file:  # each page: series may hold one each
                    return len(file.pages)
            return self._signal().shape[0]
        except _NoMovie:
            raise
        except (OSError, ValueError, KeyError):  # not complete yet
            return 0

    def frame(self, index: int) -> xr.DataArray | None:
        """Return a frame (y, x), or None while it cannot be read."""
        try:
            if self._kind == "npy":
                shape, dtype, begin = self._header()
                count = int(np.prod(shape[1:]))
                pixels = np.fromfile(self.path, dtype, count, offset=begin + index * count * dtype.itemsize)
                image = pixels.reshape(shape[1:])
            elif self._kind in _HDF5:
                with self._hdf5() as array:
                    image = np.asarray(array[index])
                    size = array.attrs.get("pixel_size_nm")
                self._scale = self._scale or Scale(self._size or (None if size is None else float(size)), None, 1.0, {})
            elif self._kind in _TIFF:
                import tifffile

                with tifffile.TiffFile(self.path, _multifile=False) as tiff:
                    page = tiff.pages[index]
                    greys, image = shown_greys(tiff, page), np.asarray(page.asarray())
                    image = image if greys is None or greys.ndim > 1 else greys[image.astype(np.intp)]
                self._scale = self._scale or scale_of(signals_of(self.path)[0], self.path, self._size, None)
            else:
                signal = self._signal()
                image = stored.frames(signal, slice(index, index + 1))[0]
                self._scale = self._scale or scale_of(signal, self.path, self._size, None)
        except _NoMovie:
            raise
        except (OSError, ValueError, KeyError, IndexError):
            return None
        return self._part(image, self._scale or Scale(self._size, None, 1.0, {}))

    def _part(self, image: np.ndarray, scale: Scale) -> xr.DataArray:
        """Return the part of a frame that is asked for, in square pixels."""
        frames = image[None] if scale.aspect == 1 else square_pixels(image[None], scale.aspect)
        part = part_of(frames, scale.size, None, self._crop, self._bin)
        movie = as_movie(part.data, pixel_size=None if scale.size is None else scale.size * self._bin)
        return movie.assign_attrs(scale.sources | part.attrs)[0]

    def _header(self) -> tuple[tuple[int, ...], np.dtype[Any], int]:
        with self.path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            if len(shape) != 3 or fortran:
                raise _NoMovie(f"{self.path}: an array of shape {shape}; expected frames (time, y, x) in C order")
            return shape, dtype, file.tell()

    @contextmanager
    def _hdf5(self) -> Iterator[Any]:
        import h5py

        try:
            file = h5py.File(self.path, "r", swmr=True, locking=False)
        except (OSError, ValueError):
            file = h5py.File(self.path, "r", locking=False)
        with file:
            names: list[str] = []
            file.visititems(lambda name, item: names.append(name) if getattr(item, "ndim", 0) == 3 else None)
            name = self._dataset.strip("/") if self._dataset else next(iter(names), None)
            if self._dataset is None and len(names) > 1:
                raise _NoMovie(f"{self.path}: several movies in it ({', '.join(names)}); choose one with --dataset")
            if name is None:
                raise ValueError("no movie yet")
            yield file[name]

    def _signal(self) -> stored.Signal:
        signal = stored.choose(signals_of(self.path), self._dataset, self.path)
        if stored.roles(signal)[0] != "time":
            raise ValueError("not a movie yet")
        return signal


class _NoMovie(InputError):
    """A file that will not become a movie however long one waits."""
