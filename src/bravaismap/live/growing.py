"""One file to which a microscope appends frames: npy, HDF5 (SWMR too), and every other stack that can be read again."""

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
from bravaismap.read.reading import _signals

__all__ = ["GrowingStack"]

_HDF5 = ("h5", "hdf5", "he5", "nxs", "nx")
_TIFF = ("tif", "tiff", "btf")


class GrowingStack:
    """A file whose first axis grows.

    Parameters
    ----------
    path : Path
    dataset : str, optional
        Which array of a file with several.
    pixel_size : float, optional
        In nm, instead of the one in the file.
    """

    def __init__(self, path: Path, dataset: str | None = None, pixel_size: float | None = None) -> None:
        self.path, self._dataset, self._size = path, dataset, pixel_size
        self._kind = path.suffix[1:].lower()

    def length(self) -> int:
        """Return how many whole frames there are; 0 while the file cannot be read."""
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
        except _Wrong:
            raise
        except (OSError, ValueError, KeyError):  # not complete yet
            return 0

    def frame(self, index: int) -> xr.DataArray | None:
        """Return a frame (y, x), or None while it cannot be read."""
        try:
            size = self._size
            if self._kind == "npy":
                shape, dtype, begin = self._header()
                count = int(np.prod(shape[1:]))
                pixels = np.fromfile(self.path, dtype, count, offset=begin + index * count * dtype.itemsize)
                image = pixels.reshape(shape[1:])
            elif self._kind in _HDF5:
                with self._hdf5() as array:
                    image = np.asarray(array[index])
                    size = size or array.attrs.get("pixel_size_nm")
            elif self._kind in _TIFF:
                import tifffile

                with tifffile.TiffFile(self.path, _multifile=False) as tiff:
                    image = np.asarray(tiff.pages[index].asarray())
                size = size or stored.pixel_sides(_signals(self.path)[0])[1]
            else:
                signal = self._signal()
                image = stored.frames(signal, slice(index, index + 1))[0]
                size = size or stored.pixel_sides(signal)[1]
        except _Wrong:
            raise
        except (OSError, ValueError, KeyError, IndexError):
            return None
        return as_movie(image, pixel_size=None if size is None else float(size))[0]

    def _header(self) -> tuple[tuple[int, ...], np.dtype[Any], int]:
        with self.path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            if len(shape) != 3 or fortran:
                raise _Wrong(f"{self.path}: an array of shape {shape}; expected frames (time, y, x) in C order")
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
                raise _Wrong(f"{self.path}: several movies in it ({', '.join(names)}); choose one with --dataset")
            if name is None:
                raise ValueError("no movie yet")
            yield file[name]

    def _signal(self) -> stored.Signal:
        signal = stored.choose(_signals(self.path), self._dataset, self.path)
        if stored.roles(signal)[0] != "time":
            raise ValueError("not a movie yet")
        return signal


class _Wrong(InputError):
    """What waiting does not mend."""
