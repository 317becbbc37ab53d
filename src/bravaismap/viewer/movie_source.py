"""A movie as a source of the viewer: mapped in the background, the frame that is shown first."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.classify.settings import DEFAULTS, Settings
from bravaismap.errors import BravaismapError, InputError
from bravaismap.movie import as_movie, movie_card
from bravaismap.result.phase_map import PhaseMap
from bravaismap.result.schema import DONE
from bravaismap.result.shares import class_shares
from bravaismap.viewer.result_source import HeldResult, Source, StoredResult

__all__ = ["MappedMovie", "open_beside", "open_source"]


class MappedMovie(Source):
    """A movie that is mapped in the background, the frame that is shown first.

    Parameters
    ----------
    movie : array (time, y, x)
    title : str
    settings : Settings
        How it is mapped.
    """

    growing = True

    def __init__(self, movie: Any, title: str = "movie", settings: Settings = DEFAULTS) -> None:
        from bravaismap.classify.models import chosen_model
        from bravaismap.phases.first_look import grid_of, settled
        from bravaismap.phases.map import map_coordinates

        classifier = chosen_model(settings)
        calibrated = as_movie(movie)
        record = classifier.record
        settings = settled(replace(settings, model=classifier), calibrated)
        grid = grid_of(settings, calibrated)
        card = settings.map_card(record, movie_card(calibrated))
        coords = map_coordinates(calibrated, grid, record.classes, settings.pixel_step)
        axes = xr.Dataset(coords=coords, attrs=card)
        super().__init__(axes, calibrated, title)
        self._settings = settings
        self._maps: dict[int, PhaseMap] = {}
        self._failed: set[int] = set()
        self._wanted = 0

    def want(self, index: int) -> None:
        """Set the frame that is shown: it is mapped next, and then those after it."""
        self._wanted = index

    def frame(self, index: int) -> PhaseMap | None:
        """Return the map of a frame."""
        return self._maps.get(index)

    def map_next(self) -> int | None:
        """Map one more frame and return its number; None when none is left."""
        remaining = np.flatnonzero(~self.done)
        remaining = remaining[~np.isin(remaining, list(self._failed))]
        if not remaining.size or self.movie is None:
            return None
        from bravaismap.phases.map import map_movie

        index = int(next(iter(remaining[remaining >= self._wanted]), remaining[0]))
        try:
            mapped = map_movie(self.movie.isel(time=[index]), self._settings)
        except Exception as error:  # the thread goes on with the other frames
            self._failed.add(index)
            fault = "" if isinstance(error, BravaismapError) else f"{type(error).__name__}: "
            self.problem = f"frame {index} cannot be mapped: {fault}{error}"
            self.version += 1
            return index
        self._maps[index] = PhaseMap(mapped.data_vars, coords=mapped.coords, attrs=mapped.attrs | self.card)
        shares = class_shares(mapped)
        self._know(np.array([index]), shares.fraction.values, shares.std.values)
        return index

    def _work(self) -> None:
        while not self._closed.is_set() and self.map_next() is not None:
            pass


def open_source(
    what: Any,
    movie: Any = None,
    dataset: str | None = None,
    *,
    pixel_size: float | None = None,
    frame_time: float | None = None,
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
    pixel_size, frame_time : float, optional
        In nm and s; replace what a movie carries.
    reader : callable, optional
        Reads the movie of a path, in the place of :func:`bravaismap.read`.
    options
        How to map a movie: fields of :class:`bravaismap.classify.settings.Settings`; None for what is not given.

    Raises
    ------
    InputError
        If there is nothing to look at, or what was given does not go together.
    """
    if isinstance(what, xr.Dataset):
        return HeldResult(what, _movie(movie, dataset, reader))
    mapping_options = {name: value for name, value in options.items() if value is not None}
    calibration: dict[str, Any] = {"pixel_size": pixel_size, "frame_time": frame_time}
    if not isinstance(what, str | os.PathLike):
        return MappedMovie(as_movie(what, **calibration), settings=Settings(**mapping_options))
    path = Path(what)
    if (path / DONE).is_dir() or (path.suffix == ".zarr" and not path.exists()):
        calibration_given = [name for name, value in calibration.items() if value is not None]
        superfluous = [f"--{name.replace('_', '-')}" for name in [*mapping_options, *calibration_given]]
        if superfluous:
            raise InputError(f"{', '.join(superfluous)} was given, but {path} is mapped already; these are for a movie")
        return StoredResult(path, _movie(movie, dataset, reader))
    if movie is not None:
        raise InputError(f"--movie {movie} was given, but {path} is not a result; give the result first, or no --movie")
    from bravaismap.read.reading import read

    frames = read(path, dataset=dataset, **calibration) if reader is None else reader(str(path))
    return MappedMovie(frames, path.name, Settings(**mapping_options))


def open_beside(what: Any, first: Source) -> Source:
    """Return the source that is shown beside a first one.

    Parameters
    ----------
    what : Dataset, str or path
        Another result of the same frames.
    first : Source

    Raises
    ------
    InputError
        If its frames are of another size.
    """
    other = open_source(what)
    sizes = [tuple(int(side) for side in source.card["frame_size"]) for source in (first, other)]
    if sizes[0] != sizes[1]:
        (rows, columns), (other_rows, other_columns) = sizes
        raise InputError(
            f"the frames of {other.title} have {other_rows} × {other_columns} px, those of {first.title} "
            f"{rows} × {columns} px; give as --beside (beside=) a result of the same frames"
        )
    return other


def _movie(movie: Any, dataset: str | None, reader: Callable[[str], xr.DataArray] | None) -> xr.DataArray | None:
    if movie is None:
        return None
    if isinstance(movie, str | os.PathLike):
        from bravaismap.read.reading import read

        return read(movie, dataset=dataset) if reader is None else reader(os.fspath(movie))
    return as_movie(movie)
