"""Live runs: frames are classified as they appear, in a folder or in a file that grows, and appended to a result."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
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
from bravaismap.live.alarms import Alarm, RaisedAlarm
from bravaismap.live.arrivals import Arrivals, Stamp
from bravaismap.live.growing import GrowingStack
from bravaismap.movie import NanPolicy, as_movie
from bravaismap.phases.first_look import settled, step_for, window_line
from bravaismap.phases.map import map_movie
from bravaismap.read.description import movie_line
from bravaismap.read.reading import FORMATS, read
from bravaismap.result.journal import JOURNAL, journal_of
from bravaismap.result.live_store import LiveStore, check_continued
from bravaismap.result.open import open_result
from bravaismap.result.phase_map import PhaseMap

__all__ = ["FolderSource", "Frame", "StackSource", "watch"]

_POLL = 0.03  # s between two looks at the source
Classify = Callable[[xr.DataArray], PhaseMap]


@dataclass(frozen=True)
class Frame:
    """A frame that has been classified.

    Attributes
    ----------
    line : dict
        Its line of the journal: ``frame`` (number), ``source`` (where it came from), ``fraction`` (by class, see
        :func:`bravaismap.result.shares.class_shares`).
    seconds : float
        Time that its classification and storage took.
    alarms : tuple of RaisedAlarm
        The alarms that it raised.
    """

    line: dict[str, Any]
    seconds: float
    alarms: tuple[RaisedAlarm, ...] = ()


class FolderSource:
    """A folder whose images are classified in natural order, as they become complete.

    Parameters
    ----------
    folder : Path
    pattern : str
        Pattern of the names of files, for example ``"*.tif"``.
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
        self.pixel_size = _given_size(options)

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

    def waits(self) -> bool:
        """Tell whether a file is there that is neither classified nor left out."""
        return self._arrivals.waits(self._listing())

    def _listing(self) -> dict[str, Stamp]:
        stamps = {}
        with os.scandir(self.folder) as entries:
            new = [entry for entry in entries if not self._arrivals.is_done(entry.name)]
        for entry in new:
            kind = Path(entry.name).suffix[1:].lower()
            if not entry.name.startswith(".") and kind in FORMATS and fnmatch(entry.name, self._pattern):
                try:
                    stamp = _stamp(self.folder / entry.name)
                except OSError:  # gone again
                    continue
                if entry.is_file():
                    stamps[entry.name] = stamp
        return stamps


class StackSource:
    """A file that grows, whose frames are classified as they become complete.

    Parameters
    ----------
    path : Path
    dataset : str, optional
        Name of the array in a file with several.
    settle : float
        Seconds for which the file must not have changed before its last frame counts as complete.
    options
        Those of :class:`bravaismap.live.growing.GrowingStack`: ``pixel_size``, ``crop``, ``bin``.
    """

    def __init__(self, path: Path, dataset: str | None = None, settle: float = SETTLE, **options: Any) -> None:
        self.path, self._settle = path, settle
        self._stack = GrowingStack(path, dataset, **options)
        self.pixel_size = _given_size(options)
        self._stamp, self._since = Stamp(0, 0), 0.0

    def __str__(self) -> str:
        return str(self.path)

    def ready(self, done: set[str], now: float, classify: Classify) -> Iterator[tuple[str, PhaseMap]]:
        """Classify each new frame and yield its name and map; the last one waits until the file has settled."""
        if not self.path.exists():
            return
        stamp = _stamp(self.path)
        if stamp != self._stamp:
            self._stamp, self._since = stamp, now
        settled = now - self._since >= self._settle
        count, index = self._stack.length(), len(done)
        frame = self._stack.frame(index) if index < count else None
        while frame is not None:
            following = self._stack.frame(index + 1) if index + 1 < count else None
            complete = settled and not _is_blank(frame)
            if not complete and (following is None or _is_blank(following)):
                return
            yield f"{self.path.name} [{index}]", classify(frame)
            index, frame = index + 1, following

    def waits(self) -> bool:
        """Tell whether a file is waited for: never, since a stack is one file."""
        return False


def watch(
    source: FolderSource | StackSource,
    output: Path,
    *,
    alarms: list[Alarm] | None = None,
    until_idle: float | None = None,
    frame_time: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    tell: Callable[[str], object] | None = None,
    window: int | str = DEFAULTS.window,
    step: int | None = DEFAULTS.step,
    model: str | Path | Classifier = DEFAULTS.model,
    distortion: float | None = None,
    samples: int | None = DEFAULTS.samples,
    seed: int = DEFAULTS.seed,
    nan: NanPolicy = DEFAULTS.nan,
    pixels: bool = DEFAULTS.pixels,
) -> Iterator[Frame]:
    """Classify frames as they appear and append them to a result, which an earlier run may have begun.

    Parameters
    ----------
    source : FolderSource or StackSource
    output : Path
        The ``.zarr`` folder. Alarms that are raised are appended to ``alarms.jsonl`` beside it.
    alarms : list of Alarm, optional
        Alarms that every frame may raise.
    until_idle : float, optional
        Stop after this many seconds without a new frame, though not while a file of a folder is waited for; never
        when not given.
    frame_time : float, optional
        Time from one frame to the next in s.
    clock : callable
        Returns the time in s, from any origin.
    tell : callable, optional
        Called with what was read first, in one line, and with the window and the reason for it if it was chosen.
    window : int or "auto"
        Side of a window in px; ``"auto"`` takes what suits the first frame, or what the result that is continued has.
    step : int, optional
        Distance between windows in px; a quarter of the window when not given.
    model, distortion, samples, seed, nan, pixels
        As for :func:`bravaismap.map_phases`.

    Yields
    ------
    Frame
    """
    settings = Settings(
        window=window, step=step, model=model, distortion=distortion, samples=samples, seed=seed, nan=nan,
        pixels=pixels,
    )  # fmt: skip
    settings = replace(settings, model=chosen_model(settings))
    store: LiveStore | None = None
    earlier = journal_of(output) if (output / JOURNAL).exists() else []
    settings = _continued(settings, output, frame_time, source.pixel_size) if earlier else settings
    alarms, done, latest = alarms or [], {str(line["source"]) for line in earlier}, clock()
    for alarm in alarms:
        for line in earlier:
            alarm.update(line["fraction"].get(alarm.rule.lattice, 0.0))
    size: tuple[int, ...] | None = None

    def classify(pixels: xr.DataArray) -> PhaseMap:
        nonlocal size, settings
        if size is not None and pixels.shape != size:
            given, expected = (f"{height} × {width} px" for height, width in (pixels.shape, size))
            raise InputError(
                f"{pixels.attrs.get('source', source)}: a frame of {given}, but those before have {expected}"
            )
        frame = as_movie(pixels)
        settings = settled(settings, frame, LIVE_STEPS_ALONG_WINDOW)
        phases = map_movie(frame, settings)
        if size is None and tell is not None:
            tell(movie_line(frame.assign_attrs({"source": str(source)} | pixels.attrs)))
            if settings.window_reason:
                tell(window_line(settings))
        size = pixels.shape  # from the first frame that can be mapped on
        return phases

    try:
        while until_idle is None or clock() - latest < until_idle or source.waits():
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


def _given_size(options: dict[str, Any]) -> float | None:
    """Return the side in nm of the pixels that are classified, if it is given, from the options of a source."""
    size: float | None = options.get("pixel_size")
    return size and size * options.get("bin", 1)


def _continued(settings: Settings, output: Path, frame_time: float | None, pixel_size: float | None) -> Settings:
    """Return settings with the window and the pixels of the result that they continue, where they leave them open.

    Raises `OutputError` if the result was made with others. The first new frame tells what is not known before it: its
    size, and that of a pixel if it is not given.
    """
    card = open_result(output).attrs
    if settings.pixels:
        settings = replace(settings, pixels="pixel_step" in card, pixel_step=card.get("pixel_step"))
    if settings.window == AUTO:
        chosen = {name: card[name] for name in ("window", "step", "window_reason") if name in card}
        settings = replace(settings, **(chosen if settings.step is None else chosen | {"step": settings.step}))
    elif settings.step is None:
        settings = replace(settings, step=step_for(int(settings.window), LIVE_STEPS_ALONG_WINDOW))
    size = card.get("pixel_size_nm") if pixel_size is None else pixel_size
    movie = {"frame_size": card.get("frame_size"), "pixel_size_nm": size, "frame_time_s": frame_time}
    check_continued(output, card, settings.map_card(chosen_model(settings).record, movie))
    return settings


def _card(phases: xr.Dataset, settings: Settings, source: Any, frame_time: float | None) -> dict[str, Any]:
    """Return the run card of a live run from the map of its first frame."""
    movie = {name: phases.attrs[name] for name in ("frame_size", "pixel_size_nm")}
    movie = {"input": str(source), **movie, "frame_time_s": frame_time}
    return settings.map_card(chosen_model(settings).record, movie)


def _raise(alarms: list[Alarm], line: dict[str, Any], path: Path) -> tuple[RaisedAlarm, ...]:
    """Return the alarms that a frame raises, and append them to a file."""
    raised = []
    for alarm in alarms:
        fraction = line["fraction"].get(alarm.rule.lattice, 0.0)
        slope = alarm.update(fraction)
        if slope is not None:
            frame, source, now = line["frame"], line["source"], round(time.time(), 3)
            raised.append(RaisedAlarm(str(alarm.rule), frame, source, fraction, round(slope, 6), now))
    if raised:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(asdict(alarm), ensure_ascii=False) + "\n" for alarm in raised)
    return tuple(raised)


def _stamp(path: Path) -> Stamp:
    """Return the size and the time of the last change of a file; `OSError` if it is not there."""
    state = path.stat()
    return Stamp(state.st_size, state.st_mtime_ns)


def _is_blank(frame: xr.DataArray) -> bool:
    """Tell whether nothing has been written to a frame yet."""
    values = np.asarray(frame)
    return bool(values.max() == values.min())
