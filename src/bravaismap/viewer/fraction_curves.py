"""Fractions over time at the distortion of the slider, and the growth law fitted to one of them."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import Floats, display_name
from bravaismap.errors import BravaismapError, InputError
from bravaismap.result.shares import MEAN_PROBABILITY, Quantity, shares_dataset
from bravaismap.viewer.distortion_trial import reclassified_frame
from bravaismap.viewer.result_source import Source

__all__ = ["Curves", "Fit", "fit_of", "parse_baseline"]


@dataclass(frozen=True)
class Fit:
    """A growth law fitted to a fraction: its text, its curve (empty where refused), and the fit itself."""

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
        With the shares of :func:`bravaismap.result.shares.class_shares` (time, lattice).
    lattice, law : str
    baseline : str
        ``t0:t1``, or empty.
    """
    from bravaismap.kinetics.dose import fraction_curve
    from bravaismap.kinetics.growth import fit_growth
    from bravaismap.kinetics.laws import printed

    curve = fraction_curve(curves, lattice)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the text says how the intervals were found
            growth = fit_growth(curve.fraction, std=curve.weighing_std, law=law, baseline=parse_baseline(baseline))
    except BravaismapError as error:
        return Fit(f"{display_name(lattice)}: no fit: {error}", *_nothing(), None)
    parts = []
    for name in growth["parameter"].values:
        parameter = growth.sel(parameter=name)
        low, high = (float(v) for v in parameter["interval"].isel(level=0))
        unit = str(parameter["unit"].values)
        parts.append(
            printed(f"{name} = {float(parameter['value']):.3g} ({low:.3g} to {high:.3g})")
            + ("" if unit == "1" else f" {unit}")
        )
    equation = f"{curve.quantity} of {display_name(lattice)} = {printed(growth.attrs['formula'])}: {', '.join(parts)}"
    text = f"{equation}; 68 % intervals, reduced χ² {growth.attrs['reduced_chi_square']:.2f}"
    return Fit(text, growth["time"].values, growth["curve"].values, growth)


class Curves:
    """Fractions over time at a distortion; for another one than that of the result, reclassified in the background.

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
        self._background = ThreadPoolExecutor(2, "bravaismap background")  # what does not wait for the curves
        self._lock = threading.Lock()
        self._round = 0
        self._prepared = False
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
        coords = {"time": time, "lattice": list(self._source.classes)}
        return shares_dataset(self.quantity, fraction, std, coords)

    @property
    def quantity(self) -> Quantity:
        """What the fractions are: reclassified windows have no pixels."""
        return self._source.quantity if self.as_stored else MEAN_PROBABILITY

    def left(self) -> int:
        """Return how many mapped frames have not been reclassified yet."""
        if self.as_stored:
            return 0
        classified = np.isfinite(self._fraction).all(axis=1)
        done = self._source.done
        return int(done.sum() - classified[: len(done)].sum())

    def change(self, distortion: float) -> None:
        """Begin to reclassify every frame."""
        with self._lock:
            self.distortion = distortion
            self._round += 1
            self._fraction, self._std = (np.full_like(self._source.fraction, np.nan) for _ in range(2))
        self.go_on()

    def go_on(self) -> None:
        """Reclassify the frames that have been mapped since."""
        if not self.as_stored:
            self._pool.submit(self._classify, self._round)

    def submit_fit(self, lattice: str, law: str, baseline: str) -> Future[Fit]:
        """Fit in the background."""
        return self._background.submit(fit_of, self.dataset(), lattice, law, baseline)

    def look_ahead(self, index: int) -> None:
        """Read a frame in the background that will be shown next."""
        if index < len(self._source.time):
            self._background.submit(self._source.frame, index)
            self._background.submit(self._source.pixels, index)

    def prepare(self) -> None:
        """Import in the background what the first click needs, once a page is shown: it takes seconds."""
        if not self._prepared:
            self._prepared = True
            self._background.submit(import_module, "bravaismap.viewer.window_inspection")

    def submit_sites(self, frame: xr.Dataset, pixels: NDArray[Any]) -> Future[xr.Dataset]:
        """Find the sites of a frame in the background."""
        return self._background.submit(_sites, frame, pixels)

    def submit_verdict(self, row: xr.Dataset) -> Future[str]:
        """Work out in the background what decides the class of a window: many distortions are tried."""
        return self._background.submit(_verdict, row)

    def close(self) -> None:
        """End what goes on in the background."""
        self._round += 1
        for pool in (self._pool, self._background):
            pool.shutdown(wait=False, cancel_futures=True)

    def _classify(self, number: int) -> None:
        while number == self._round and self.distortion is not None and not self._source.closed:
            fraction, std = self._fraction, self._std
            if len(fraction) != len(self._source.time):
                fraction, std = (np.full(self._source.fraction.shape, np.nan) for _ in range(2))
                self._fraction, self._std = fraction, std
            remaining = np.flatnonzero(self._source.done & ~np.isfinite(fraction).all(axis=1))
            if not remaining.size:
                return
            index = int(next(iter(remaining[remaining >= self.wanted]), remaining[0]))
            frame = self._source.frame(index)
            if frame is None:
                fraction[index] = std[index] = 0.0
                continue
            reclassified = reclassified_frame(frame, self.distortion)
            with self._lock:
                if number != self._round:
                    return
                fraction[index], std[index] = reclassified["fraction"].values[0], reclassified["fraction_std"].values[0]
                self._count += 1


def _verdict(row: xr.Dataset) -> str:
    from bravaismap.phases.verdict import verdict

    return verdict(row)


def _sites(frame: xr.Dataset, pixels: NDArray[Any]) -> xr.Dataset:
    from bravaismap.phases.sites import find_sites

    return find_sites(frame, pixels[None])


def _nothing() -> tuple[Floats, Floats]:
    return np.empty(0), np.empty(0)
