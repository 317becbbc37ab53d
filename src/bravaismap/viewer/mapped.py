"""A movie as a source of the viewer: mapped in the background, the frame that is looked at first."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.errors import BravaismapError, InputError
from bravaismap.io.result import DONE
from bravaismap.models import load_model
from bravaismap.movie import as_movie
from bravaismap.phases import PhaseMap
from bravaismap.predict import map_coordinates, map_phases, movie_card
from bravaismap.viewer.source import HeldResult, Source, StoredResult
from bravaismap.windows import window_grid

__all__ = ["MappedMovie", "open_source"]


class MappedMovie(Source):
    """A movie that is mapped in the background, the frame that is looked at first.

    Parameters
    ----------
    movie : array (time, y, x)
    title : str
    window, step, model, distortion, pixel_size, frame_time
        As for :func:`bravaismap.map_phases`.
    """

    growing = True

    def __init__(
        self, movie: Any, title: str = "movie", *, window: int = 128, step: int = 16, model: Any = "default",
        distortion: float = 0.02, nan: str = "raise", pixel_size: float | None = None, frame_time: float | None = None,
    ) -> None:  # fmt: skip
        calibrated = as_movie(movie, pixel_size=pixel_size, frame_time=frame_time)
        classifier = load_model(model, distortion) if isinstance(model, str | Path) else model
        grid = window_grid((calibrated.sizes["y"], calibrated.sizes["x"]), window, step)
        card = {"model": classifier.name, **classifier.settings, "window": window, "step": step}
        card |= {"samples": classifier.movie_samples, "seed": 0} | movie_card(calibrated)
        axes = xr.Dataset(coords=map_coordinates(calibrated, grid, classifier.classes), attrs=card)
        super().__init__(axes, calibrated, title)
        self._options: dict[str, Any] = {"window": window, "step": step, "model": classifier, "nan": nan}
        self._maps: dict[int, PhaseMap] = {}
        self._failed: set[int] = set()
        self._wanted = 0

    def want(self, index: int) -> None:
        """Say which frame is looked at: it is mapped next, and then those after it."""
        self._wanted = index

    def frame(self, index: int) -> PhaseMap | None:
        """Return the map of a frame."""
        return self._maps.get(index)

    def map_next(self) -> int | None:
        """Map one more frame and return its number; None when none is left."""
        left = np.flatnonzero(~self.done)
        left = left[~np.isin(left, list(self._failed))]
        if not left.size or self.movie is None:
            return None
        index = int(next(iter(left[left >= self._wanted]), left[0]))
        try:
            mapped = map_phases(self.movie.isel(time=[index]), **self._options)
        except Exception as error:  # the thread goes on with the other frames
            self._failed.add(index)
            fault = "" if isinstance(error, BravaismapError) else f"{type(error).__name__}: "
            self.problem = f"frame {index} cannot be mapped: {fault}{error}"
            self.version += 1
            return index
        self._maps[index] = PhaseMap(mapped.data_vars, coords=mapped.coords, attrs=mapped.attrs | self.card)
        self._know(np.array([index]), mapped["fraction"].values, mapped["fraction_std"].values)
        return index

    def _work(self) -> None:
        while not self._closed.is_set() and self.map_next() is not None:
            pass


def open_source(
    what: Any,
    movie: Any = None,
    dataset: str | None = None,
    reader: Callable[[str], xr.DataArray] | None = None,
    **options: Any,
) -> Source:
    """Return the source that a result, a path or a movie means.

    Parameters
    ----------
    what : Dataset, array, str or path
        A result (in memory, or the folder that ``map`` or ``watch`` writes), or a movie (an array, or a file that
        :func:`bravaismap.read` reads).
    movie : array, str or path, optional
        The movie that was mapped, for a result.
    dataset : str, optional
        Which array of a movie file that holds several.
    reader : callable, optional
        Reads the movie of a path, in the place of :func:`bravaismap.read`.
    options
        How to map a movie: see :class:`MappedMovie`.

    Raises
    ------
    InputError
        If there is nothing to look at, or what was given does not go together.
    """
    if isinstance(what, xr.Dataset):
        return HeldResult(what, _movie(movie, dataset, reader))
    if not isinstance(what, str | os.PathLike):
        return MappedMovie(what, **options)
    path = Path(what)
    if (path / DONE).is_dir() or (path.suffix == ".zarr" and not path.exists()):
        given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value is not None]
        if given:
            raise InputError(f"{', '.join(given)} was given, but {path} is mapped already; these are for a movie")
        return StoredResult(path, _movie(movie, dataset, reader))
    if movie is not None:
        raise InputError(f"--movie {movie} was given, but {path} is not a result; give the result first, or no --movie")
    chosen = {name: value for name, value in options.items() if value is not None}
    size, step = (chosen.pop(name, None) for name in ("pixel_size", "frame_time"))
    from bravaismap.io.read import read

    frames = reader(str(path)) if reader else read(path, dataset=dataset, pixel_size=size, frame_time=step)
    return MappedMovie(frames, path.name, **chosen)


def _movie(movie: Any, dataset: str | None, reader: Callable[[str], xr.DataArray] | None) -> xr.DataArray | None:
    if movie is None:
        return None
    if isinstance(movie, str | os.PathLike):
        from bravaismap.io.read import read

        return reader(os.fspath(movie)) if reader else read(movie, dataset=dataset)
    return as_movie(movie)
