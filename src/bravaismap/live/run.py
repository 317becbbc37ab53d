"""A live run: frames are classified as they appear, from a folder or from a stack that grows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bravaismap.classify.classifier import Classifier
from bravaismap.classify.models import chosen_model
from bravaismap.classify.settings import AUTO, DEFAULTS, LIVE_STEPS_ALONG_WINDOW, PATIENCE, SETTLE, Settings
from bravaismap.compute.parallel import one_ahead
from bravaismap.errors import InputError, OutputError, warn
from bravaismap.live.arrivals import Alarm, Arrivals, Stamp
from bravaismap.live.growing import GrowingStack
from bravaismap.movie import NanPolicy, as_movie
from bravaismap.phases.first_look import settled
from bravaismap.phases.map import map_movie
from bravaismap.read.reading import FORMATS, read
from bravaismap.result.journal import JOURNAL, journal_of
from bravaismap.result.live_store import LiveStore
from bravaismap.result.open import open_result
from bravaismap.result.phase_map import PhaseMap

__all__ = ["FolderSource", "Frame", "StackSource", "watch"]

_POLL = 0.1  # s between two looks
Classify = Callable[[xr.DataArray], PhaseMap]


@dataclass(frozen=True)
class Frame:
    """A frame that has been classified.

    Attributes
    ----------
    line : dict
        ``frame`` (number), ``source`` (where it came from), ``fraction`` (by class).
    seconds : float
        What it took to classify and store it.
    alarms : list of dict
        The alarms that it raised.
    """

    line: dict[str, Any]
    seconds: float
    alarms: list[dict[str, Any]] = field(default_factory=list)


class FolderSource:
    """The images of a folder, in natural order, as they become complete.

    Parameters
    ----------
    folder : Path
    pattern : str
        Which files, for example ``"*.tif"``.
    settle, patience : float
        See :class:`bravaismap.live.arrivals.Arrivals`.
    options
        Those of :func:`bravaismap.read`: ``dataset``, ``channel``, ``crop``, ``bin``, ``pixel_size``.
    """

    def __init__(
        self, folder: Path, pattern: str = "*", settle: float = SETTLE, patience: float = PATIENCE, **options: Any
    ) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; make it first, or give --follow FILE for a stack")
        self.folder, self._pattern, self._options = folder, pattern, options
        self._arrivals = Arrivals(settle, patience)

    def __str__(self) -> str:
        return str(self.folder)

    def ready(self, done: set[str], now: float, classify: Classify) -> Iterator[tuple[str, PhaseMap]]:
        """Classify each new frame and yield its name and map; stop at a file that is not complete yet."""
        for name in self._arrivals.ready(self._listing(), now):
            if name in done:
                self._arrivals.finish(name)
                continue
            try:
                movie = read(self.folder / name, **self._options)
                for i in range(len(movie)):
                    key = name if len(movie) == 1 else f"{name} [{i}]"
                    if key not in done:
                        yield key, classify(movie[i])
            except (InputError, FileNotFoundError) as error:
                if not self._arrivals.fail(name, now):
                    return
                warn(f"left out: {error}")
            else:
                self._arrivals.finish(name)

    def _listing(self) -> dict[str, Stamp]:
        found = {}
        for path in self.folder.iterdir():
            kind = path.suffix[1:].lower()
            if self._arrivals.is_done(path.name):
                continue
            if not path.name.startswith(".") and kind in FORMATS and fnmatch(path.name, self._pattern):
                try:
                    about = path.stat()
                except OSError:  # gone again
                    continue
                if path.is_file():
                    found[path.name] = Stamp(about.st_size, about.st_mtime_ns)
        return found


class StackSource:
    """The frames of one file that grows.

    Parameters
    ----------
    path : Path
    dataset : str, optional
        Which array of the file.
    settle : float
        Seconds for which the file must not have changed before its last frame counts as complete.
    options
        Those of :class:`bravaismap.live.growing.GrowingStack`: ``pixel_size``, ``crop``, ``bin``.
    """

    def __init__(self, path: Path, dataset: str | None = None, settle: float = SETTLE, **options: Any) -> None:
        self.path, self._settle = path, settle
        self._stack = GrowingStack(path, dataset, **options)
        self._seen: tuple[Stamp, float] = (Stamp(0, 0), 0.0)

    def __str__(self) -> str:
        return str(self.path)

    def ready(self, done: set[str], now: float, classify: Classify) -> Iterator[tuple[str, PhaseMap]]:
        """Classify each new frame and yield its name and map; the last one waits until the file rests."""
        if not self.path.exists():
            return
        about = self.path.stat()
        stamp = Stamp(about.st_size, about.st_mtime_ns)
        if stamp != self._seen[0]:
            self._seen = stamp, now
        rests = now - self._seen[1] >= self._settle
        count, index = self._stack.length(), len(done)
        ahead = self._stack.frame(index) if index < count else None
        while ahead is not None:
            following = self._stack.frame(index + 1) if index + 1 < count else None
            written = rests and not _blank(ahead)
            if not written and (following is None or _blank(following)):
                return
            yield f"{self.path.name} [{index}]", classify(ahead)
            index, ahead = index + 1, following


def watch(
    source: FolderSource | StackSource,
    output: Path,
    *,
    alarms: list[Alarm] | None = None,
    until_idle: float | None = None,
    frame_time: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    window: int | str = DEFAULTS.window,
    step: int | None = DEFAULTS.step,
    model: str | Path | Classifier = DEFAULTS.model,
    distortion: float = DEFAULTS.distortion,
    samples: int | None = DEFAULTS.samples,
    seed: int = DEFAULTS.seed,
    nan: NanPolicy = DEFAULTS.nan,
) -> Iterator[Frame]:
    """Classify frames as they appear and append them to a result, which may exist from an earlier run.

    Parameters
    ----------
    source : FolderSource or StackSource
    output : Path
        The ``.zarr`` folder. Alarms are appended to ``alarms.jsonl`` beside it.
    alarms : list of Alarm, optional
    until_idle : float, optional
        Stop after so many seconds without a new frame; never when not given.
    frame_time : float, optional
        Time from one frame to the next in s.
    clock : callable
        Returns the time in s.
    window : int or "auto"
        Side of a window in px; ``"auto"`` takes what suits the first frame, or what the result that is continued has.
    step : int, optional
        Distance between windows in px; a quarter of the window when not given.
    model, distortion, samples, seed, nan
        As for :func:`bravaismap.map_phases`.

    Yields
    ------
    Frame
    """
    settings = Settings(
        window=window, step=step, model=model, distortion=distortion, samples=samples, seed=seed, nan=nan
    )  # fmt: skip
    settings = replace(settings, model=chosen_model(settings))
    store: LiveStore | None = None
    earlier = journal_of(output) if (output / JOURNAL).exists() else []
    settings = _continued(settings, output) if earlier else settings
    alarms, done, latest = alarms or [], {str(line["source"]) for line in earlier}, clock()
    for alarm in alarms:
        for line in earlier:
            alarm.update(line["fraction"].get(alarm.rule.lattice, 0.0))
    size: tuple[int, ...] | None = None

    def classify(pixels: xr.DataArray) -> PhaseMap:
        nonlocal size, settings
        if size is not None and pixels.shape != size:
            found, expected = (f"{height} × {width} px" for height, width in (pixels.shape, size))
            raise InputError(
                f"{pixels.attrs.get('source', source)}: a frame of {found}, but those before have {expected}"
            )
        frame = as_movie(pixels)
        settings = settled(settings, frame, LIVE_STEPS_ALONG_WINDOW)
        phases = map_movie(frame, settings)
        size = pixels.shape  # of the first that can be mapped
        return phases

    try:
        while until_idle is None or clock() - latest < until_idle:
            begin = clock()
            for name, phases in one_ahead(source.ready(done, begin, classify)):
                if store is None:
                    store = LiveStore(output, phases, _card(phases, settings, source, frame_time))
                    if len(store.frames) != len(earlier):
                        raise OutputError(
                            f"{output}: another process has added frames since this one looked; "
                            "the same command goes on after them"
                        )
                line = store.append(phases, name)
                done.add(name)
                latest = clock()
                yield Frame(line, latest - begin, _raise(alarms, line, output.parent / "alarms.jsonl"))
                begin = latest
            time.sleep(_POLL)
    finally:
        if store is not None:
            store.close()


def _continued(settings: Settings, output: Path) -> Settings:
    """Return settings with the window of the result that they continue, where they leave it open."""
    if settings.window != AUTO:
        return settings
    card = open_result(output).attrs
    chosen = {name: card[name] for name in ("window", "step", "window_reason") if name in card}
    return replace(settings, **(chosen if settings.step is None else chosen | {"step": settings.step}))


def _card(phases: xr.Dataset, settings: Settings, source: Any, frame_time: float | None) -> dict[str, Any]:
    """Return the run card of a live run, given the map of its first frame."""
    movie = {name: phases.attrs[name] for name in ("frame_size", "pixel_size_nm")}
    movie = {"input": str(source), **movie, "frame_time_s": frame_time}
    return settings.map_card(chosen_model(settings).record, movie)


def _raise(alarms: list[Alarm], line: dict[str, Any], path: Path) -> list[dict[str, Any]]:
    """Return the alarms that a frame raises, and write them down."""
    raised = []
    for alarm in alarms:
        fraction = line["fraction"].get(alarm.rule.lattice, 0.0)
        slope = alarm.update(fraction)
        if slope is not None:
            about = {"alarm": str(alarm.rule), "frame": line["frame"], "source": line["source"], "fraction": fraction}
            raised.append(about | {"per_frame": round(slope, 6), "unix_time": round(time.time(), 3)})
    if raised:
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in raised)
    return raised


def _blank(frame: xr.DataArray) -> bool:
    """Whether nothing has been written to a frame yet."""
    values = np.asarray(frame)
    return bool(values.max() == values.min())
