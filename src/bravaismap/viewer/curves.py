"""Fractions over time at the distortion that is looked at, and the law of growth fitted to one of them."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bravaismap.conventions import Floats, display_name
from bravaismap.errors import BravaismapError, InputError
from bravaismap.kinetics.growth import fit_growth
from bravaismap.phases.verdict import verdict
from bravaismap.viewer.source import Source
from bravaismap.viewer.state import anew

__all__ = ["Curves", "Fit", "fit_of", "parse_baseline"]


@dataclass(frozen=True)
class Fit:
    """A law fitted to a fraction: what to say of it, its curve (empty where refused), and the fit itself."""

    text: str
    time: Floats
    curve: Floats
    growth: xr.Dataset | None


def parse_baseline(text: str) -> tuple[float, float] | None:
    """Return the interval that ``t0:t1`` means, None for an empty text; `InputError` if it is none."""
    if not text.strip():
        return None
    try:
        first, last = (float(part) for part in text.split(":"))
    except ValueError:
        raise InputError(f"the baseline {text} was given; expected t0:t1, such as 0:100") from None
    return first, last


def fit_of(curves: xr.Dataset, lattice: str, law: str, baseline: str = "") -> Fit:
    """Fit a law to the fraction of a class, or say why it cannot be.

    Parameters
    ----------
    curves : Dataset
        ``fraction`` and ``fraction_std`` (time, lattice).
    lattice, law : str
    baseline : str
        ``t0:t1``, or empty.
    """
    chosen = curves.sel(lattice=lattice)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the text says how the intervals were found
            growth = fit_growth(
                chosen["fraction"], std=chosen["fraction_std"], law=law, baseline=parse_baseline(baseline)
            )
    except BravaismapError as error:
        return Fit(f"{display_name(lattice)}: no fit: {error}", *_nothing(), None)
    parts = []
    for name in growth["parameter"].values:
        one = growth.sel(parameter=name)
        low, high = (float(v) for v in one["interval"].isel(level=0))
        unit = str(one["unit"].values)
        parts.append(f"{name} = {float(one['value']):.3g} ({low:.3g} to {high:.3g}){'' if unit == '1' else ' ' + unit}")
    about = f"{display_name(lattice)} = {growth.attrs['formula']}: {', '.join(parts)}"
    text = f"{about}; 68 % intervals, reduced χ² {growth.attrs['reduced_chi_square']:.2f}"
    return Fit(text, growth["time"].values, growth["curve"].values, growth)


class Curves:
    """The fractions that belong to a distortion, worked out frame by frame in the background where they must be.

    Parameters
    ----------
    source : Source

    Attributes
    ----------
    distortion : float or None
        None for a model whose result does not depend on it.
    version : int
        Grows when the fractions change.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.distortion: float | None = source.card.get("distortion")
        self._own = self.distortion
        self._pool = ThreadPoolExecutor(1, "bravaismap curves")
        self._asides = ThreadPoolExecutor(2, "bravaismap asides")  # what does not wait for the curves
        self._lock = threading.Lock()
        self._round = 0
        self._fraction, self._std = source.fraction, source.fraction_std
        self._count = 0
        self.wanted = 0

    @property
    def version(self) -> tuple[int, int, int]:
        """What changes with the fractions."""
        return self._source.version, self._round, self._count

    @property
    def as_stored(self) -> bool:
        """Whether the distortion is that of the result itself."""
        return self.distortion == self._own

    def values(self) -> tuple[Floats, Floats]:
        """Return fraction and σ (time, lattice), NaN where not known yet."""
        if self.as_stored:
            return self._source.fraction, self._source.fraction_std
        return self._fraction, self._std

    def dataset(self) -> xr.Dataset:
        """Return the fractions with their axes."""
        fraction, std = (values.copy() for values in self.values())
        time = ("time", self._source.time[: len(fraction)], {"units": self._source.time_unit})
        variables = {"fraction": (("time", "lattice"), fraction), "fraction_std": (("time", "lattice"), std)}
        return xr.Dataset(variables, coords={"time": time, "lattice": list(self._source.classes)})

    def left(self) -> int:
        """Return how many mapped frames have not been classified anew yet."""
        if self.as_stored:
            return 0
        known = np.isfinite(self._fraction).all(axis=1)
        done = self._source.done
        return int(done.sum() - known[: len(done)].sum())

    def change(self, distortion: float) -> None:
        """Begin to classify every frame anew."""
        with self._lock:
            self.distortion = distortion
            self._round += 1
            self._fraction, self._std = (np.full_like(self._source.fraction, np.nan) for _ in range(2))
        self.go_on()

    def go_on(self) -> None:
        """Classify frames anew that have been mapped since."""
        if not self.as_stored:
            self._pool.submit(self._classify, self._round)

    def submit_fit(self, lattice: str, law: str, baseline: str) -> Future[Fit]:
        """Fit in the background."""
        return self._asides.submit(fit_of, self.dataset(), lattice, law, baseline)

    def look_ahead(self, index: int) -> None:
        """Have a frame that will be looked at read already."""
        if index < len(self._source.time):
            self._asides.submit(self._source.frame, index)
            self._asides.submit(self._source.pixels, index)

    def submit_verdict(self, row: xr.Dataset) -> Future[str]:
        """Say in the background what decides the class of a window: many distortions are tried."""
        return self._asides.submit(verdict, row)

    def close(self) -> None:
        """End what goes on in the background."""
        self._round += 1
        for pool in (self._pool, self._asides):
            pool.shutdown(wait=False, cancel_futures=True)

    def _classify(self, number: int) -> None:
        while number == self._round and self.distortion is not None and not self._source.closed:
            fraction, std = self._fraction, self._std
            if len(fraction) != len(self._source.time):
                fraction, std = (np.full(self._source.fraction.shape, np.nan) for _ in range(2))
                self._fraction, self._std = fraction, std
            left = np.flatnonzero(self._source.done & ~np.isfinite(fraction).all(axis=1))
            if not left.size:
                return
            index = int(next(iter(left[left >= self.wanted]), left[0]))
            frame = self._source.frame(index)
            if frame is None:
                fraction[index] = std[index] = 0.0
                continue
            again = anew(frame, self.distortion)
            with self._lock:
                if number != self._round:
                    return
                fraction[index], std[index] = again["fraction"].values[0], again["fraction_std"].values[0]
                self._count += 1


def _nothing() -> tuple[Floats, Floats]:
    return np.empty(0), np.empty(0)
