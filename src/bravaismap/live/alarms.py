"""Alarms of a live run: rules such as ``none>0.05``, and when a frame raises one."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from bravaismap.conventions import class_name, display_name
from bravaismap.errors import InputError

__all__ = ["Alarm", "RaisedAlarm", "Rule", "parse_rule"]

_FEWEST_FRAMES = 3  # from which a trend can be told from noise


@dataclass(frozen=True)
class Rule:
    """A rule that the fraction of a class is to stay below a threshold, or above it."""

    lattice: str
    above: bool
    threshold: float

    def __str__(self) -> str:
        beyond = "above" if self.above else "below"
        trend = "growing" if self.above else "falling"
        return f"{display_name(self.lattice)} {beyond} {100 * self.threshold:g} % and {trend}"


def parse_rule(text: str, classes: Collection[str] | None = None) -> Rule:
    """Return the rule of a text such as ``"none>0.05"`` or ``"hexagonal<80%"``.

    Parameters
    ----------
    text : str
        A class, ``>`` or ``<``, and a fraction.
    classes : collection of str, optional
        The classes of the model; those of this package when not given.

    Raises
    ------
    InputError
        If the text is not a rule.
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
            f"the alarm {text!r} was given; expected a class, > or <, and a share of the frame, from 0 to 1 or "
            "in percent, such as none>0.05 or none>5%, which are the same"
        ) from None
    lattice = parts[1] if parts[1] in (classes or ()) else class_name(parts[1])
    return Rule(lattice, parts[2] == ">", threshold)


@dataclass(frozen=True)
class RaisedAlarm:
    """An alarm that a frame raised.

    Attributes
    ----------
    alarm : str
        The rule, in words.
    frame : int
        Number of the frame.
    source : str
        Where the frame came from.
    fraction : float
        Of the class that the rule is about, in this frame.
    per_frame : float
        Slope of the fraction over the last frames.
    unix_time : float
        When the alarm was raised, in s.
    """

    alarm: str
    frame: int
    source: str
    fraction: float
    per_frame: float
    unix_time: float


class Alarm:
    """An alarm, raised once when a fraction is beyond its threshold in each of the last frames and moves further away.

    It moves where the slope of the straight line through these frames exceeds its standard error. The alarm is set
    again when the fraction has come back.

    Parameters
    ----------
    rule : Rule
    frames : int
        Number of frames over which the trend is taken, at least 3.
    """

    def __init__(self, rule: Rule, frames: int = 3) -> None:
        if frames < _FEWEST_FRAMES:
            raise InputError(f"an alarm over {frames} frames was asked for; a trend needs at least {_FEWEST_FRAMES}")
        self.rule = rule
        self._last: deque[float] = deque(maxlen=frames)
        self._raised = False

    def update(self, fraction: float) -> float | None:
        """Take the fraction of the next frame; return its slope per frame if the alarm is raised now, else None."""
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
    time = np.arange(len(values)) - (len(values) - 1) / 2
    spread = float((time**2).sum())
    slope = float((time * values).sum() / spread)
    residual = values - values.mean() - slope * time
    return slope, float(np.sqrt((residual**2).sum() / max(len(values) - 2, 1) / spread))
