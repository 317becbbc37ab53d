"""What is new, what is ready, and when to raise an alarm: the rules of a live run, without files or clocks.

A file is ready when its size and time of change have stayed the same for a while. One that is not ready holds back
those that follow it in natural order, so that frames are classified in order; one that stays unreadable is given up
after a while, and looked at again if it changes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bravaismap.conventions import class_name, display_name
from bravaismap.errors import InputError
from bravaismap.read.reading import natural_key

__all__ = ["Alarm", "Arrivals", "Rule", "Stamp", "parse_rule"]

_LEAST = 3  # frames from which a trend can be told from noise


class Stamp(NamedTuple):
    """What tells that a file has changed: its size in bytes and the time of its last change in ns."""

    size: int
    changed: int


@dataclass
class _Seen:
    stamp: Stamp
    since: float  # when it was first seen like this
    retry: float = 0.0
    given_up: bool = False


class Arrivals:
    """Which files are ready to be read.

    Parameters
    ----------
    settle : float
        Seconds for which a file must not have changed.
    patience : float
        Seconds after its last change from which a file that cannot be used is given up.
    done : collection of str
        Names that need not be looked at.
    """

    def __init__(self, settle: float, patience: float, done: Collection[str] = ()) -> None:
        self.settle, self.patience = settle, patience
        self._done = set(done)
        self._seen: dict[str, _Seen] = {}

    def ready(self, listing: Mapping[str, Stamp], now: float) -> list[str]:
        """Return the names that can be read now, in natural order, given what is there."""
        for name, stamp in listing.items():
            if name not in self._done and (name not in self._seen or self._seen[name].stamp != stamp):
                self._seen[name] = _Seen(stamp, now)
        ready = []
        for name in sorted(listing, key=lambda name: natural_key(Path(name))):
            if name in self._done or self._seen[name].given_up:
                continue
            if now < max(self._seen[name].since + self.settle, self._seen[name].retry):
                break
            ready.append(name)
        return ready

    def is_done(self, name: str) -> bool:
        """Return whether a file need not be looked at again."""
        return name in self._done

    def finish(self, name: str) -> None:
        """Note that a file is done."""
        self._done.add(name)
        self._seen.pop(name, None)

    def fail(self, name: str, now: float) -> bool:
        """Note that a file could not be used; return whether it is given up until it changes."""
        seen = self._seen[name]
        seen.retry = now + self.settle
        seen.given_up = now - seen.since >= self.patience
        return seen.given_up


@dataclass(frozen=True)
class Rule:
    """A class whose fraction is to stay below or above a threshold."""

    lattice: str
    above: bool
    threshold: float

    def __str__(self) -> str:
        beyond = "above" if self.above else "below"
        trend = "growing" if self.above else "falling"
        return f"{display_name(self.lattice)} {beyond} {100 * self.threshold:g} % and {trend}"


def parse_rule(text: str, classes: Iterable[str] | None = None) -> Rule:
    """Return the rule that a text such as ``"none>0.05"`` or ``"hexagonal<80%"`` means.

    Parameters
    ----------
    text : str
    classes : iterable of str, optional
        The classes of the model; those of this package when not given.

    Raises
    ------
    InputError
        If it is no rule.
    """
    parts = re.fullmatch(r"\s*([^<>]+?)\s*([<>])\s*([0-9.]+)\s*(%?)\s*", text)
    try:
        if parts is None:
            raise ValueError
        threshold = float(parts[3]) / (100 if parts[4] else 1)
        if not 0 <= threshold <= 1:
            raise ValueError
    except ValueError:
        raise InputError(
            f"the alarm {text!r} was given; expected a class, > or <, and a fraction, such as none>0.05 or "
            "hexagonal<80%"
        ) from None
    known = list(classes or ())
    return Rule(parts[1] if parts[1] in known else class_name(parts[1]), parts[2] == ">", threshold)


class Alarm:
    """Raised once when a fraction is beyond its threshold in each of the last frames and moves further away.

    "Moves" means that the slope of the straight line through these frames exceeds its standard error. The alarm is set
    again when the fraction has come back.

    Parameters
    ----------
    rule : Rule
    frames : int
        Number of frames looked at, at least 3.
    """

    def __init__(self, rule: Rule, frames: int = 3) -> None:
        if frames < _LEAST:
            raise InputError(f"an alarm over {frames} frames was asked for; a trend needs at least {_LEAST}")
        self.rule = rule
        self._last: deque[float] = deque(maxlen=frames)
        self._raised = False

    def update(self, fraction: float) -> float | None:
        """Take the fraction in one more frame; return its slope per frame if the alarm is raised now, else None."""
        sign = 1 if self.rule.above else -1
        self._last.append(fraction)
        if sign * (fraction - self.rule.threshold) <= 0:
            self._raised = False
        beyond = sign * (np.array(self._last) - self.rule.threshold) > 0
        if self._raised or len(self._last) < (self._last.maxlen or 0) or not beyond.all():
            return None
        slope, error = _trend(np.array(self._last))
        if sign * slope <= error:
            return None
        self._raised = True
        return slope


def _trend(values: np.ndarray) -> tuple[float, float]:
    """Return the slope of a straight line through equally spaced values, and its standard error."""
    place = np.arange(len(values)) - (len(values) - 1) / 2
    spread = float((place**2).sum())
    slope = float((place * values).sum() / spread)
    rest = values - values.mean() - slope * place
    return slope, float(np.sqrt((rest**2).sum() / max(len(values) - 2, 1) / spread))
