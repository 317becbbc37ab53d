"""Live runs: frames are classified as they appear, in a folder or in a file that grows, and appended to a result."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import xarray as xr

from bravaismap.classify.classifier import Classifier
from bravaismap.classify.models import chosen_model
from bravaismap.classify.settings import AUTO, DEFAULTS, LIVE_STEPS_ALONG_WINDOW, Settings
from bravaismap.errors import OutputError
from bravaismap.live.alarms import Alarm, RaisedAlarm
from bravaismap.live.line_up import LineUp
from bravaismap.live.sources import FolderSource, StackSource
from bravaismap.movie import NanPolicy
from bravaismap.phases.first_look import step_for
from bravaismap.result.journal import JOURNAL, journal_of
from bravaismap.result.live_store import LiveStore, check_continued
from bravaismap.result.open import open_result

__all__ = ["FolderSource", "Frame", "StackSource", "watch"]

#: Seconds from one look at the source to the next: at least, as a multiple of what a look takes, which is long where a
#: folder holds many files, and at most.
_POLL, _LOOKS, _LONGEST_POLL = 0.01, 10, 0.1


@dataclass(frozen=True)
class Frame:
    """A frame that has been classified.

    Attributes
    ----------
    line : dict
        Its line of the journal: ``frame`` (number), ``source`` (where it came from), ``fraction`` (by class, see
        :func:`bravaismap.result.shares.class_shares`).
    seconds : float
        Time from its beginning, or from the end of the frame before if that was later, to its end.
    alarms : tuple of RaisedAlarm
        The alarms that it raised.
    """

    line: dict[str, Any]
    seconds: float
    alarms: tuple[RaisedAlarm, ...] = ()


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
    alarms, latest = alarms or [], clock()
    for alarm in alarms:
        for line in earlier:
            alarm.update(line["fraction"].get(alarm.rule.lattice, 0.0))
    frames = LineUp(settings, source, {str(line["source"]) for line in earlier}, clock, tell)
    try:
        while until_idle is None or clock() - latest < until_idle or source.waits() or len(frames):
            looked = clock()
            for frame in frames.finished():
                phases = frame.phases.result()
                if store is None:
                    store = LiveStore(output, phases, _card(phases, frames.settings, source, frame_time))
                    if len(store.frames) != len(earlier):
                        raise OutputError(
                            f"{output}: another process has added frames since this one looked; "
                            "the same command goes on after them"
                        )
                line = store.append(phases, frame.source)
                begun, latest = max(frame.begun, latest), clock()
                yield Frame(line, latest - begun, _raise(alarms, line, output.parent / "alarms.jsonl"))
                looked = clock()
            frames.rest(min(max(_POLL, _LOOKS * (clock() - looked)), _LONGEST_POLL))
    finally:
        frames.end()
        if store is not None:
            store.close()


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


def _card(
    phases: xr.Dataset, settings: Settings, source: FolderSource | StackSource, frame_time: float | None
) -> dict[str, Any]:
    """Return the run card of a live run from the map of its first frame."""
    movie = {name: phases.attrs[name] for name in ("frame_size", "pixel_size_nm")}
    movie = {"input": str(source.place), **movie, "frame_time_s": frame_time}
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
