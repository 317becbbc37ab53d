"""Image or movie in, phases with uncertainty out: `classify` and `map_phases`."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.cells import Table, cell_table, cell_variables
from bravaismap.errors import BravaismapError, InputError
from bravaismap.io.result import MAP_VARIABLES, ResultStore, open_result
from bravaismap.mapping import FrameMapper, predict
from bravaismap.models import Classifier, load_model
from bravaismap.movie import NanPolicy, as_movie, finite_pixels, frame_time, pixel_size, read_frames
from bravaismap.parallel import one_ahead
from bravaismap.phases import PhaseMap, label_of
from bravaismap.spectrum import Preprocessing
from bravaismap.windows import WindowGrid, window_grid

__all__ = ["IMAGE_SAMPLES", "WHOLE_IMAGE_SIDE", "classify", "map_coordinates", "map_phases", "movie_card"]

#: Samples for single images: the paper's number. For movies it depends on the model.
IMAGE_SAMPLES = 5000
#: Images of a larger side (px) are classified by the paper's preprocessing for whole images, if a network does it.
WHOLE_IMAGE_SIDE = 256

_FLAT_MEMORY = 32  # frames checked for NaN at once


def classify(
    images: Any,
    *,
    model: str | Path | Classifier = "default",
    distortion: float = 0.02,
    samples: int | None = None,
    seed: int = 0,
    preprocessing: Preprocessing | Literal["auto"] = "auto",
    nan: NanPolicy = "raise",
) -> PhaseMap:
    """Classify whole images.

    Parameters
    ----------
    images : array, shape (y, x) or (n, y, x)
        At least 32 px a side; measured whole. For a network, one that is not square is cropped to its central square.
    model : str, path or Classifier
        See :func:`bravaismap.load_model`.
    distortion : float
        See :func:`bravaismap.load_model`; a Classifier has its own.
    samples : int, optional
        Draws of what another measurement could have been, or passes of Monte-Carlo dropout: 5000 when not given; 0 for
        none, with NaN for every spread.
    seed : int
        The same seed gives the same answer, whatever the batch.
    preprocessing : {"auto", "window", "paper"}
        How far the spectrum of a network reaches (see :mod:`bravaismap.spectrum`). ``auto`` takes ``window`` for images
        of up to 256 px and the ``paper`` 's central quarter for larger ones.
    nan : {"raise", "fill"}
        What to do with NaN and infinite pixels.

    Returns
    -------
    PhaseMap
        ``probability``, ``probability_std`` (image, lattice); ``entropy``, ``mutual_information`` (nats) and ``label``
        (image); of a model that measures cells also the variables of :func:`bravaismap.cells.cell_table`. The
        attributes are the run card.

    Raises
    ------
    InputError
        For images that cannot be used as they are; the message says why.
    ModelError
        If there is no such model.
    """
    movie = as_movie(images)
    classifier = load_model(model, distortion) if isinstance(model, str | Path) else model
    samples = _checked_samples(IMAGE_SAMPLES if samples is None else samples)
    frames = finite_pixels(np.asarray(movie.data), nan=nan)
    card = _card(classifier, samples, seed)
    chosen: Preprocessing = "window"
    if not classifier.measures_cells:
        frames = _central_square(frames)
        if preprocessing == "auto":
            chosen = "window" if frames.shape[-1] <= WHOLE_IMAGE_SIDE else "paper"
        else:
            chosen = preprocessing
        card |= {"preprocessing": chosen}
    _check_size(frames.shape[1:], movie.shape[1:], classifier)
    _say_constant([i for i, image in enumerate(frames) if image.max() == image.min()], "image")
    sampled = predict(classifier, frames, samples, seed, chosen, whole=True)
    label = label_of(sampled.probability)
    variables: dict[str, Any] = {
        "probability": (("image", "lattice"), sampled.probability),
        "probability_std": (("image", "lattice"), sampled.probability_std),
        "entropy": ("image", sampled.entropy, {"units": "nat"}),
        "mutual_information": ("image", sampled.mutual_information, {"units": "nat"}),
        "label": ("image", label),
    }
    if sampled.cells is not None:
        size = pixel_size(movie)
        values = cell_variables(sampled.cells, label, size)
        table = cell_table(("image",), "nm" if size else "px")
        variables |= {name: (dims, values[name].astype(dtype), what) for name, (dims, dtype, what) in table.items()}
    return PhaseMap(
        variables,
        coords={"image": np.arange(len(frames)), "lattice": list(classifier.classes)},
        attrs=card | {"size": frames.shape[-1] if "preprocessing" in card else list(frames.shape[1:])},
    )


def map_phases(
    movie: Any,
    *,
    window: int = 128,
    step: int = 16,
    model: str | Path | Classifier = "default",
    distortion: float = 0.02,
    samples: int | None = None,
    seed: int = 0,
    pixel_size: float | None = None,
    frame_time: float | None = None,
    nan: NanPolicy = "raise",
    output: str | Path | None = None,
    overwrite: bool = False,
    scheduler: str | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> PhaseMap:
    """Classify every window of every frame.

    Parameters
    ----------
    movie : array, shape (time, y, x) or (y, x)
        As :func:`bravaismap.read` returns it, or any array of real numbers.
    window, step : int
        Side of a window and distance between windows, in px. The last window along an axis is aligned to the edge, so
        that every pixel is covered.
    model : str, path or Classifier
        See :func:`bravaismap.load_model`.
    distortion : float
        See :func:`bravaismap.load_model`; a Classifier has its own.
    samples : int, optional
        Draws of what another measurement could have been (60 when not given), or passes of Monte-Carlo dropout (30,
        which leaves a standard error of σ/5 on each probability); 0 for none, with NaN for every spread.
    seed : int
        The same seed gives the same answer, whatever the chunking.
    pixel_size, frame_time : float, optional
        In nm and s; replace what the movie carries.
    nan : {"raise", "fill"}
        What to do with NaN and infinite pixels.
    output : path, optional
        A ``.zarr`` folder to write to, frame by frame. If it holds an unfinished result of the same run, that run is
        continued; frames that were damaged since are found by their checksums and mapped again.
    overwrite : bool
        Replace a result that exists at `output`.
    scheduler : str, optional
        Address of a dask scheduler (``tcp://host:8786``), whose workers map the frames. They need this package, but
        neither the movie nor the model: this process reads, sends, and writes.
    workers : int, optional
        Map in so many processes of this computer, of one thread each.
    progress : callable, optional
        Called after each frame with the number of frames done and of frames in all.

    Returns
    -------
    PhaseMap
        ``probability``, ``probability_std`` (time, y, x, lattice); ``entropy``, ``mutual_information`` (nats),
        ``label`` (time, y, x); ``fraction``, ``fraction_std`` (time, lattice), the mean probability of each class over
        the windows of a frame and its standard deviation (see :mod:`bravaismap.phases`); of a model that measures cells
        also the variables of :func:`bravaismap.cells.cell_table`. y and x are window centres. In memory, or lazy from
        `output`. The attributes are the run card.

    Raises
    ------
    InputError
        For a movie, window or step that cannot be used as it is, or a cluster that cannot be reached; the message says
        why.
    ModelError
        If there is no such model.
    OutputError
        If `output` cannot be written, is being written by another process, or holds something else.

    References
    ----------
    R. K. Vasudevan et al., npj Comput. Mater. 4, 30 (2018), doi:10.1038/s41524-018-0086-7, Fig. 6.
    """
    calibrated = as_movie(movie, pixel_size=pixel_size, frame_time=frame_time)
    grid = window_grid((calibrated.sizes["y"], calibrated.sizes["x"]), window, step)
    classifier = load_model(model, distortion) if isinstance(model, str | Path) else model
    _check_size((window, window), (window, window), classifier)
    samples = _checked_samples(classifier.movie_samples if samples is None else samples)
    if not hasattr(calibrated.data, "dask") and nan == "raise":
        for first in range(0, len(calibrated), _FLAT_MEMORY):
            finite_pixels(calibrated.data[first : first + _FLAT_MEMORY], first=first)
    coords = map_coordinates(calibrated, grid, classifier.classes)
    card = _card(classifier, samples, seed) | movie_card(calibrated) | {"window": window, "step": step, "nan": nan}

    size = card["pixel_size_nm"]
    variables = dict(MAP_VARIABLES)
    if classifier.measures_cells:
        variables |= cell_table(("time", "y", "x"), "nm" if size else "px")
    mapper = FrameMapper(grid, classifier, samples, seed, size, nan)

    def frames(wanted: NDArray[np.intp]) -> Generator[tuple[int, dict[str, NDArray[Any]]]]:
        constant: list[int] = []
        pixels = read_frames(calibrated, wanted)
        if scheduler is None and workers is None:
            mapped = one_ahead((index, mapper(index, frame)) for index, frame in pixels)
        else:
            from bravaismap.cluster import mapped_on_cluster

            mapped = mapped_on_cluster(mapper, pixels, scheduler=scheduler, workers=workers)
        with closing(pixels), closing(mapped):
            for index, frame in mapped:
                if frame.constant:
                    constant.append(index)
                yield index, frame.variables
        _say_constant(sorted(constant))

    if output is None:
        return _map_in_memory(frames, coords, card, variables, progress)
    return _map_to_store(frames, coords, card, variables, Path(output), overwrite, progress)


_Frames = Callable[[NDArray[np.intp]], Generator[tuple[int, dict[str, NDArray[Any]]]]]


def _map_in_memory(
    frames: _Frames,
    coords: Mapping[str, xr.DataArray],
    card: dict[str, Any],
    table: Table,
    progress: Callable[[int, int], object] | None,
) -> PhaseMap:
    length = coords["time"].size
    found: dict[int, dict[str, NDArray[Any]]] = {}
    with closing(frames(np.arange(length))) as mapped:
        for index, values in mapped:
            found[index] = values
            if progress is not None:
                progress(len(found), length)
    variables = {
        name: (dims, np.stack([found[i][name] for i in range(length)]).astype(dtype, copy=False), attributes)
        for name, (dims, dtype, attributes) in table.items()
    }
    return PhaseMap(variables, coords=coords, attrs=card)


def _map_to_store(
    frames: _Frames,
    coords: Mapping[str, xr.DataArray],
    card: dict[str, Any],
    table: Table,
    output: Path,
    overwrite: bool,
    progress: Callable[[int, int], object] | None,
) -> PhaseMap:
    with ResultStore(output, coords, card, overwrite=overwrite, variables=table) as store:
        if progress is not None:
            progress(int(store.done.sum()), len(store.done))
        try:
            with closing(frames(np.flatnonzero(~store.done))) as mapped:
                for index, values in mapped:
                    store.write_frame(index, values)
                    if progress is not None:
                        progress(int(store.done.sum()), len(store.done))
        except BravaismapError:
            store.discard_if_empty()
            raise
    return open_result(output)


def map_coordinates(movie: xr.DataArray, grid: WindowGrid, classes: tuple[str, ...]) -> dict[str, xr.DataArray]:
    """Return the coordinates of the map of a movie: its times, the centres of the windows, and the classes."""
    size = pixel_size(movie)
    coords = {"time": movie["time"]}
    for dim, centers in zip(("y", "x"), grid.centers, strict=True):
        origin = float(movie[dim][0])
        attributes = {"units": "nm" if size else "px", "long_name": f"{dim} of the window centre"}
        coords[dim] = xr.DataArray(origin + centers * (size or 1.0), dims=dim, attrs=attributes)
    coords["lattice"] = xr.DataArray(list(classes), dims="lattice")
    return coords


def _card(classifier: Classifier, samples: int, seed: int) -> dict[str, Any]:
    if not 0 <= seed < 2**63:
        raise InputError(f"a seed of {seed} was given; expected a whole number from 0 to 2**63 - 1")
    return {
        "version": _package_version(),
        "model": classifier.name,
        "weights_sha256": classifier.weights_sha256,
        "samples": samples,
        "seed": seed,
        **classifier.settings,
    }


def movie_card(movie: xr.DataArray) -> dict[str, Any]:
    """Describe a movie: where it came from, and a hash of its shape and of its first, middle and last frame."""
    digest = hashlib.sha256(repr((movie.shape, str(movie.dtype))).encode())
    for index in sorted({0, len(movie) // 2, len(movie) - 1}):
        digest.update(np.ascontiguousarray(movie.data[index]).tobytes())
    return {
        "input": str(movie.attrs.get("source", movie.name or "array")),
        "input_sha256": digest.hexdigest(),
        "frame_size": [movie.sizes["y"], movie.sizes["x"]],
        "pixel_size_nm": pixel_size(movie),
        "frame_time_s": frame_time(movie),
        **{name: movie.attrs[name] for name in ("drift",) if name in movie.attrs},
    }


def _central_square(frames: NDArray[Any]) -> NDArray[Any]:
    side = min(frames.shape[1:])
    top, left = (frames.shape[1] - side) // 2, (frames.shape[2] - side) // 2
    return frames[:, top : top + side, left : left + side]


def _check_size(size: tuple[int, ...], given: tuple[int, ...], classifier: Classifier) -> None:
    least = classifier.smallest_side
    if min(size) < least:
        raise InputError(
            f"an image of {given[0]} × {given[1]} px was given; the model {classifier.name} needs at least "
            f"{least} × {least}"
        )


def _say_constant(indices: list[int], what: str = "frame") -> None:
    if indices:
        named = ", ".join(map(str, indices[:5])) + (", …" if len(indices) > 5 else "")
        count = f"1 {what} is" if len(indices) == 1 else f"{len(indices)} {what}s are"
        warnings.warn(f"{count} constant ({what} {named}): classified none", stacklevel=4)


def _checked_samples(samples: int) -> int:
    if samples < 0 or samples == 1:
        raise InputError(f"{samples} samples were asked for; expected at least 2, or 0 for none")
    return samples


def _package_version() -> str:
    try:
        return version("bravaismap")
    except PackageNotFoundError:  # running from a source tree that is not installed
        return "unknown"
