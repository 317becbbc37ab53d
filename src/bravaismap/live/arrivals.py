"""Files that are ready to be read, as they appear in a folder: the rules, without files or clocks.

A file is ready when its size and time of change have stayed the same for a while, or for a fifth of it if another file
has come after it: whoever writes frames one by one has gone on to the next. One that is not ready holds back
those that follow it in natural order, so that frames are classified in order; one that stays unreadable is given up
after a while, and looked at again if it changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from bravaismap.read.reading import natural_key

__all__ = ["Arrivals", "Stamp"]

#: Share of the time to settle that suffices where another file came after the last change of this one, by judgement.
_SHARE_WITH_NEXT = 0.2


@dataclass(frozen=True)
class Stamp:
    """The state of a file: its size in bytes and the time of its last change in ns."""

    size: int
    changed: int


@dataclass
class _Seen:
    stamp: Stamp
    since: float  # when this state was first seen, in s
    first: float  # when the file was
    retry: float = 0.0
    given_up: bool = False


class Arrivals:
    """The files of a folder that are ready to be read.

    Parameters
    ----------
    settle : float
        Time in s for which a file must not have changed; a fifth of it does where a file has come after it.
    patience : float
        Time in s after its last change at which a file that cannot be used is given up.
    done : collection of str
        Names of files that need not be read.
    """

    def __init__(self, settle: float, patience: float, done: Collection[str] = ()) -> None:
        self.settle, self.patience = settle, patience
        self._done = set(done)
        self._seen: dict[str, _Seen] = {}

    def ready(self, listing: Mapping[str, Stamp], now: float) -> list[str]:
        """Return the names of files that can be read now, in natural order, given the files that exist."""
        for name, stamp in listing.items():
            if name not in self._done and (name not in self._seen or self._seen[name].stamp != stamp):
                first = self._seen[name].first if name in self._seen else now
                self._seen[name] = _Seen(stamp, now, first)
        ready = []
        latest = max((seen.first for seen in self._seen.values()), default=now)
        for name in sorted(listing, key=lambda name: natural_key(Path(name))):
            if name in self._done or self._seen[name].given_up:
                continue
            seen = self._seen[name]
            settle = self.settle * (_SHARE_WITH_NEXT if seen.since < latest else 1)
            if now < max(seen.since + settle, seen.retry):
                break
            ready.append(name)
        return ready

    def following(self, listing: Mapping[str, Stamp]) -> str | None:
        """Return the name of the first file in natural order that is neither done nor given up; None if all are."""
        names = (name for name in listing if name in self._seen and not self._seen[name].given_up)
        return min(names, key=lambda name: natural_key(Path(name)), default=None)

    def waits(self, listing: Mapping[str, Stamp]) -> bool:
        """Tell whether a file that exists may still become a frame: it is neither done nor given up."""
        given_up = {name for name, seen in self._seen.items() if seen.given_up}
        return not listing.keys() <= self._done | given_up

    def is_done(self, name: str) -> bool:
        """Tell whether a file need not be read again."""
        return name in self._done

    def finish(self, name: str) -> None:
        """Record that a file is done."""
        self._done.add(name)
        self._seen.pop(name, None)

    def fail(self, name: str, now: float) -> bool:
        """Record that a file could not be used; return whether it is given up until it changes."""
        seen = self._seen[name]
        seen.retry = now + self.settle
        seen.given_up = now - seen.since >= self.patience
        return seen.given_up
