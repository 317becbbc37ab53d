"""The phase map of a movie, with uncertainty: `map_phases`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.classify.classifier import Classifier
from bravaismap.classify.models import chosen_model
from bravaismap.classify.settings import DEFAULTS, Settings
from bravaismap.compute.parallel import one_ahead, one_behind
from bravaismap.conventions import length_unit
from bravaismap.errors import BravaismapError, InputError
from bravaismap.movie import NanPolicy, as_movie, finite_pixels, movie_card, pixel_size, read_frames
from bravaismap.phases.first_look import grid_of, settled
from bravaismap.phases.frame import FrameMapper, warn_constant, warn_missing
from bravaismap.phases.processes import mapped_in_processes, processes_for
from bravaismap.phases.undoing import warn_undone
from bravaismap.result.open import open_result
from bravaismap.result.phase_map import PhaseMap
from bravaismap.result.schema import Variable, as_variables, map_variables
from bravaismap.result.store import ResultStore
from bravaismap.result.undone import Undone
from bravaismap.windows import WindowGrid

__all__ = ["frame_mapper", "map_coordinates", "map_movie", "map_phases", "pixel_coordinates"]

_CHECKED_TOGETHER = 32  # frames checked for NaN at once
_Frames = Callable[[NDArray[np.intp]], Generator[tuple[int, dict[str, NDArray[Any]]]]]


def map_phases(
    movie: Any,
    *,
    window: int | str = DEFAULTS.window,
    step: int | None = DEFAULTS.step,
    model: str | Path | Classifier = DEFAULTS.model,
    distortion: float | None = None,
    samples: int | None = DEFAULTS.samples,
    seed: int = DEFAULTS.seed,
    pixel_size: float | None = None,
    frame_time: float | None = None,
    nan: NanPolicy = DEFAULTS.nan,
    pixels: bool = DEFAULTS.pixels,
    output: str | Path | None = None,
    overwrite: bool = False,
    scheduler: str | None = None,
    workers: int | Literal["auto"] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> PhaseMap:
    """Return the phase map of a movie: the class and cell of every window, and the phase of every pixel, of each frame.

    Parameters
    ----------
    movie : array, shape (time, y, x) or (y, x)
        As :func:`bravaismap.read` returns it, or any array of real numbers.
    window : int or "auto"
        Side of a window in px. ``"auto"`` takes about ten cells of the lattice that a first look at three frames finds,
        from 32 to 512 px; the run card says what was chosen and why. The paper's is 128.
    step : int, optional
        Distance between windows in px; an eighth of the window when not given. The last window along an axis is
        aligned to the edge, so that every pixel is covered.
    model : str, path or Classifier
        See :func:`bravaismap.load_model`.
    distortion : float, optional
        See :func:`bravaismap.load_model`; a Classifier has its own.
    samples : int, optional
        Number of draws of repeated measurements (60 when not given), or of passes of Monte-Carlo dropout (30, which
        leaves a standard error of σ/5 on each probability); 0 for none, with NaN for every standard deviation.
    seed : int
        Seed of the draws or passes. The same seed gives the same answer, whatever the chunking.
    pixel_size, frame_time : float, optional
        Calibration in nm and s that replaces the one of the movie.
    nan : {"missing", "fill", "raise"}
        NaN and infinite pixels were never measured, are filled from their neighbours, or are an error. What is mostly
        missing is not classified: its label is -1 and its probabilities are NaN.
    pixels : bool
        Whether each pixel is asked, too, which lattice of its frame passes through it. The paper's windows need none of
        it, and a model that measures no cells cannot tell.
    output : path, optional
        A ``.zarr`` folder to write to, frame by frame. If it holds a result of the same run, that run is continued:
        frames that are missing, or were damaged since (which checksums tell), are mapped, and a complete result is
        returned as it is.
    overwrite : bool
        Whether to replace a result that exists at `output`.
    scheduler : str, optional
        Address of a dask scheduler (``tcp://host:8786``), whose workers map the frames. They need this package, but
        neither the movie nor the model: this process reads, sends, and writes.
    workers : int or "auto", optional
        Number of processes of this computer to map in, of one thread each; ``"auto"`` for as many as map the movie
        soonest. When not given, this process maps it. A script needs no ``if __name__ == "__main__":`` for them.
    progress : callable, optional
        Called after each frame with the number of frames done and of frames in all.

    Returns
    -------
    PhaseMap
        ``probability``, ``probability_std`` (time, y, x, lattice); ``entropy``, ``mutual_information`` (nats),
        ``label`` (time, y, x); ``fraction``, ``fraction_std`` (time, lattice), the mean probability of each class over
        the windows of a frame and its standard deviation (see :mod:`bravaismap.phases.fractions`); of a model that
        measures cells also the variables of :func:`bravaismap.result.schema.cell_table`. y and x are window centres.
        With `pixels`, over every s-th pixel ``py``, ``px`` (s is ``pixel_step`` of the run card): ``phase``,
        ``frame_lattice``, ``phase_probability``, ``amplitude``, ``amplitude_std``, ``displacement``, ``exx``, ``eyy``,
        ``exy``, ``rotation``; ``frame_basis``, the lattices of each frame; and ``area_fraction``, ``area_fraction_std``
        (time, lattice), the share of the measured pixels of a frame that each class covers (see
        :func:`~bravaismap.pixel_map`).
        In memory, or lazy from `output`. The attributes are the run card.

    Raises
    ------
    InputError
        If the movie, window or step cannot be used as it is, or a cluster cannot be reached; the message says why.
    ModelError
        If there is no such model.
    OutputError
        If `output` cannot be written, is being written by another process, or holds something else.

    References
    ----------
    R. K. Vasudevan et al., npj Comput. Mater. 4, 30 (2018), doi:10.1038/s41524-018-0086-7, Fig. 6.
    """
    settings = Settings(
        window=window, step=step, model=model, distortion=distortion, samples=samples, seed=seed, nan=nan,
        pixels=pixels,
    )  # fmt: skip
    return map_movie(
        as_movie(movie, pixel_size=pixel_size, frame_time=frame_time), settings, output=output, overwrite=overwrite,
        scheduler=scheduler, workers=workers, progress=progress,
    )  # fmt: skip


def map_movie(
    movie: xr.DataArray,
    settings: Settings,
    *,
    output: str | Path | None = None,
    overwrite: bool = False,
    scheduler: str | None = None,
    workers: int | Literal["auto"] | None = None,
    progress: Callable[[int, int], object] | None = None,
    tell: Callable[[str], object] | None = None,
) -> PhaseMap:
    """Return the phase map of a movie (time, y, x) that carries its calibration; see :func:`map_phases`.

    `tell` is called with one line that says in how many processes the movie is mapped, if not in this one.
    """
    if scheduler is not None and workers is not None:
        raise InputError("expected either the address of a scheduler or a number of workers")
    if workers is not None and workers != "auto" and workers < 1:
        raise InputError(f"{workers} workers were asked for; expected at least 1, or auto")
    settings = settled(replace(settings, model=chosen_model(settings)), movie)
    classifier = chosen_model(settings)
    settings = replace(settings, model=classifier)
    record, nan = classifier.record, settings.nan
    mapper = frame_mapper(movie, settings)
    grid = mapper.grid
    if not hasattr(movie.data, "dask") and nan == "raise":
        for first in range(0, len(movie), _CHECKED_TOGETHER):
            finite_pixels(movie.data[first : first + _CHECKED_TOGETHER], first=first)
    coords = map_coordinates(movie, grid, record.classes, settings.pixel_step)
    card = settings.map_card(record, movie_card(movie))

    variables = map_variables(
        cells=record.measures_cells, pixels=settings.pixel_step is not None, unit=length_unit(mapper.pixel_size)
    )

    def processes_of(frames: int) -> int | None:
        """Return in how many processes so many frames are mapped; None for this one."""
        if workers != "auto":
            return workers if workers is None else min(workers, frames)
        fastest = processes_for(frames, (movie.shape[1], movie.shape[2]), mapper)
        return None if fastest == 1 else fastest

    def frames(numbers: NDArray[np.intp]) -> Generator[tuple[int, dict[str, NDArray[Any]]]]:
        constant: list[int] = []
        missing: dict[int, int] = {}
        undone: dict[int, Undone] = {}
        pixels = read_frames(movie, numbers)
        if scheduler is not None:
            from bravaismap.phases.cluster import mapped_on_cluster

            mapped = mapped_on_cluster(mapper, pixels, scheduler)
        elif (processes := processes_of(len(numbers))) is None:
            mapped = one_ahead(mapper.mapped(pixels))
        else:
            if tell is not None:
                tell(f"{processes} process{'es' * (processes > 1)} of one thread each")
            mapped = mapped_in_processes(mapper, pixels, processes)
        with closing(pixels), closing(mapped):
            for index, frame in mapped:
                if frame.constant:
                    constant.append(index)
                if frame.missing:
                    missing[index] = frame.missing
                if frame.undone.changed:
                    undone[index] = frame.undone
                yield index, frame.variables
        warn_constant(sorted(constant))
        warn_missing(missing, grid.shape[0] * grid.shape[1])
        warn_undone(undone)

    if output is None:
        return _map_in_memory(frames, coords, card, variables, progress)
    return _map_to_store(frames, coords, card, variables, Path(output), overwrite, progress)


def frame_mapper(movie: xr.DataArray, settings: Settings) -> FrameMapper:
    """Return what maps the frames of a movie (time, y, x), with settings whose window and steps are numbers."""
    classifier, size = chosen_model(settings), movie_card(movie)["pixel_size_nm"]
    samples = settings.window_samples(classifier.record)
    return FrameMapper(
        grid_of(settings, movie), classifier, samples, settings.seed, size, settings.nan, settings.pixel_step
    )


def _map_in_memory(
    frames: _Frames,
    coords: Mapping[str, xr.DataArray],
    card: dict[str, Any],
    held: tuple[Variable, ...],
    progress: Callable[[int, int], object] | None,
) -> PhaseMap:
    length = coords["time"].size
    frame_values: dict[int, dict[str, NDArray[Any]]] = {}
    with closing(frames(np.arange(length))) as mapped:
        for index, values in mapped:
            frame_values[index] = values
            if progress is not None:
                progress(len(frame_values), length)
    values = {variable.name: np.stack([frame_values[i][variable.name] for i in range(length)]) for variable in held}
    return PhaseMap(as_variables(held, values), coords=coords, attrs=card)


def _map_to_store(
    frames: _Frames,
    coords: Mapping[str, xr.DataArray],
    card: dict[str, Any],
    held: tuple[Variable, ...],
    output: Path,
    overwrite: bool,
    progress: Callable[[int, int], object] | None,
) -> PhaseMap:
    with ResultStore(output, coords, card, overwrite=overwrite, variables=held) as store:
        done = int(store.done.sum())
        if progress is not None:
            progress(done, len(store.done))
        if store.done.all():
            return open_result(output)
        try:
            mapped = frames(np.flatnonzero(~store.done))
            written = one_behind(lambda frame: store.write_frame(*frame), mapped)
            with closing(mapped), closing(written):
                for count, _ in enumerate(written, start=done + 1):
                    if progress is not None:
                        progress(count, len(store.done))
        except BravaismapError:
            store.discard_if_empty()
            raise
    return open_result(output)


def map_coordinates(
    movie: xr.DataArray, grid: WindowGrid, classes: tuple[str, ...], pixel_step: int | None = None
) -> dict[str, xr.DataArray]:
    """Return the coordinates of the map of a movie: its times, the centres of the windows, the classes, the pixels."""
    size = pixel_size(movie)
    coords = {"time": movie["time"]}
    for dim, centers in zip(("y", "x"), grid.centers, strict=True):
        origin = float(movie[dim][0])
        attributes = {"units": length_unit(size), "long_name": f"{dim} of the window centre"}
        coords[dim] = xr.DataArray(origin + centers * (size or 1.0), dims=dim, attrs=attributes)
    coords["lattice"] = xr.DataArray(list(classes), dims="lattice")
    return coords if pixel_step is None else coords | pixel_coordinates(movie, pixel_step)


def pixel_coordinates(movie: xr.DataArray, step: int) -> dict[str, xr.DataArray]:
    """Return the places of every `step`-th pixel of a movie, ``py`` and ``px``."""
    size = pixel_size(movie)
    coords = {}
    for dim in ("y", "x"):
        places = float(movie[dim][0]) + np.arange(0, movie.sizes[dim], step) * (size or 1.0)
        attributes = {"units": length_unit(size), "long_name": f"{dim} of the pixel"}
        coords[f"p{dim}"] = xr.DataArray(places, dims=f"p{dim}", attrs=attributes)
    return coords
