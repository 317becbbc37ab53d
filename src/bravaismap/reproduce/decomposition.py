"""Fig. 6: a film that decomposes under the beam: mapped, thresholded, unmixed, its growth fitted, beside the truth."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bravaismap.conventions import CLASSES, NONE
from bravaismap.domains.thresholding import relative_difference, threshold_voids
from bravaismap.errors import InputError
from bravaismap.kinetics.growth import fit_growth
from bravaismap.movie import as_movie
from bravaismap.phases.map import map_phases
from bravaismap.phases.sites import count_sites, find_sites
from bravaismap.reproduce.parts import Numbers, fingerprint
from bravaismap.reproduce.plan import Advance, Contestant, Plan
from bravaismap.result.open import open_result
from bravaismap.result.phase_map import PhaseMap, mapped_frames
from bravaismap.simulate.film import Film
from bravaismap.simulate.voids import PAPER_KINETICS
from bravaismap.unmixing import unmix
from bravaismap.windows import cut_windows, window_grid

__all__ = [
    "PAPER_GROWTH",
    "Decomposition",
    "film_sites",
    "film_truth",
    "growth",
    "map_film",
    "paper_law",
    "summarise_decomposition",
    "summarise_unmixed",
    "unmixed_film",
    "void_area",
]

#: What the paper measured: A₀, ρ in 1/s, C; the time in s before which C is measured.
PAPER_GROWTH: Final = {"A0": 1.85e-5, "rho": 0.042, "C": 0.059}
_BASELINE: Final = (0.0, 100.0)
_FRAME_TIME: Final = 2.25
_SHOWN: Final = 4  # frames in the figure
_WINDOW: Final = 128
_SMALL: Final = 48  # px: a window of four cells
_ENDMEMBERS: Final = 3
_SCATTER: Final = 0.004  # of a fraction from frame to frame, about that of the paper's curve


@dataclass
class Decomposition:
    """The simulated film, made when it is first needed."""

    plan: Plan
    advance: Advance

    @cached_property
    def film(self) -> Film:
        """The film of :func:`bravaismap.simulate.film.paper_film`, at the paper's geometry."""
        return Film(self.plan.frames, self.plan.size, kinetics=PAPER_KINETICS)

    @cached_property
    def frames(self) -> xr.Dataset:
        """``image`` and ``void`` (time, y, x) of the frames that are computed."""
        chosen = range(0, self.plan.frames, self.plan.every)
        images, voids = [], []
        for done, index in enumerate(chosen, 1):
            voids.append(self.film.void(index)[0])
            images.append(self.film.image(index, voids[-1]))
            self.advance("simulate the film", done, len(chosen))
        frame_time = _FRAME_TIME * self.plan.every
        movie = as_movie(np.stack(images), pixel_size=self.film.pixel_size, frame_time=frame_time)
        return xr.Dataset({"image": movie, "void": (movie.dims, np.stack(voids))})

    @property
    def settings(self) -> dict[str, Any]:
        """What the film depends on."""
        return self.plan.settings("frames", "every", "size", "step") | {"film": self.film.seed}


def film_truth(film: Decomposition) -> Numbers:
    """Return the true void fraction, that by thresholding, and the frames of the figure with their voids."""
    frames = film.frames
    images = frames["image"].values
    dark, threshold = threshold_voids(images, film.film.spacing)
    shown = np.unique(np.linspace(0, len(images) - 1, _SHOWN).round().astype(int))
    low, high = np.percentile(images[shown], (0.5, 99.5))
    stretched = np.clip((images[shown] - low) / max(high - low, 1e-9), 0, 1)
    return {
        "time": frames["time"].values.astype(float),
        "void": frames["void"].values.mean(axis=(1, 2)),
        "threshold": dark.mean(axis=(1, 2)),
        "half_void": _half_void(frames["void"].values, film.plan.step),
        "level": threshold,
        "shown": shown,
        "image": np.rint(255 * stretched).astype(np.uint8),
        "outline": frames["void"].values[shown],
        "area_nm2": float((film.plan.size * film.film.pixel_size) ** 2),
        "pixel_size_nm": float(film.film.pixel_size),
    }


def _half_void(voids: NDArray[np.bool_], step: int) -> NDArray[np.float64]:
    """Return, for each frame, the share of windows that lie in voids by half or more."""
    grid = window_grid((voids.shape[1], voids.shape[2]), _WINDOW, step)
    return np.array([(cut_windows(void, grid).mean(axis=(1, 2)) >= 0.5).mean() for void in voids])


def map_film(model: Contestant, film: Decomposition, folder: Path, *, small: bool = False) -> PhaseMap:
    """Map the film, or go on where a map in `folder` was interrupted; pixel by pixel too, where cells are measured.

    Parameters
    ----------
    model : Contestant
    film : Decomposition
    folder : Path
    small : bool
        Map it by windows of 48 px, instead of the paper's 128, for their fractions alone.
    """
    pixels = model.instrument.record.measures_cells and not small
    plan = film.plan
    window, step, samples = (_SMALL, plan.small_step, 0) if small else (_WINDOW, plan.step, plan.film_passes)
    settings = (
        film.settings | model.fingerprint | {"window": window, "step": step, "samples": samples, "pixels": pixels}
    )
    store = folder / f"film-{model.name}-{fingerprint(settings)}.zarr"
    label = f"map the film by {model.name}{f', {window} px' if small else ''}"
    if store.exists():
        kept = open_result(store)
        if mapped_frames(kept).all():
            film.advance(label, kept.sizes["time"], kept.sizes["time"])
            return kept
    return map_phases(
        film.frames["image"], window=window, step=step, model=model.instrument, samples=samples,
        seed=plan.seed, pixels=pixels, output=store, progress=lambda done, total: film.advance(label, done, total),
    )  # fmt: skip


def void_area(result: xr.Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of the frame that is none by pixels, and its σ, (time,) each."""
    area, std = (result[name].sel(lattice=NONE).values.astype(float) for name in ("area_fraction", "area_fraction_std"))
    return area, std


def film_sites(film: Decomposition, result: xr.Dataset) -> Numbers:
    """Return the share of the sites that is vacant in each frame after 100 s, by a model that measures cells.

    Parameters
    ----------
    film : Decomposition
    result : Dataset
        The film as :func:`map_film` mapped it.
    """
    late = np.flatnonzero(film.frames["time"].values >= _BASELINE[1])
    if not late.size:
        return {"void": np.empty(0)}
    sites = find_sites(
        result, film.frames["image"], frames=[int(frame) for frame in late],
        progress=lambda done: film.advance("sites of the film", done, len(late)),
    )  # fmt: skip
    return {"void": count_sites(sites)["void_fraction"].values}


def unmixed_film(film: Decomposition) -> Numbers:
    """Return the film unmixed by the method that came before the network."""
    label = "unmix the film"
    movie = film.frames["image"]
    unmixed = unmix(
        movie, _ENDMEMBERS, window=_WINDOW, step=film.plan.step, seed=film.plan.seed,
        progress=lambda done, total: film.advance(label, done, total),
    )  # fmt: skip
    return {name: unmixed[name].values for name in ("abundance", "fraction", "spectrum", "y", "x", "time", "ky", "kx")}


def paper_law(time: NDArray[np.floating], seed: int) -> NDArray[np.float64]:
    """Return the curve that the paper measured, with scatter from frame to frame."""
    a0, rho, c = (PAPER_GROWTH[name] for name in ("A0", "rho", "C"))
    return np.asarray(a0 * np.exp(rho * time) + c + np.random.default_rng([seed, 7]).normal(0, _SCATTER, len(time)))


def growth(curves: dict[str, tuple[NDArray[np.floating], NDArray[np.floating] | None]], time: Any) -> Numbers:
    """Fit the paper's law to each curve: parameters with 68 % and 95 % intervals, or the reason why it has none.

    Parameters
    ----------
    curves : dict of str to (array, array or None)
        Fractions over time by the name of their source, and their σ if it is known.
    time : array
        In s.
    """
    fits: dict[str, Any] = {}
    for name, (values, sigma) in curves.items():
        fraction = xr.DataArray(values, {"time": ("time", time, {"units": "s"})}, ("time",))
        std = None if sigma is None else fraction.copy(data=sigma)
        try:
            with warnings.catch_warnings():  # how the intervals were found is kept below
                warnings.simplefilter("ignore", UserWarning)
                fit = fit_growth(fraction, baseline=_BASELINE, std=std)
        except InputError as error:
            fits[name] = {"refused": str(error)}
            continue
        fits[name] = {str(p): _estimate(fit.sel(parameter=p)) for p in fit["parameter"].values}
        fits[name] |= {key: fit.attrs[key] for key in ("reduced_chi_square", "interval_method")}
    return fits


def summarise_unmixed(numbers: Numbers, void: NDArray[np.floating]) -> dict[str, Any]:
    """Return how the mean abundance of each endmember goes with the true void fraction over time."""
    fraction = numbers["fraction"]
    follows = [float(np.corrcoef(share, void)[0, 1]) if share.std() and void.std() else 0.0 for share in fraction.T]
    return {"correlation_with_voids": follows, "void_endmember": int(np.argmax(follows))}


def summarise_decomposition(
    truth: Numbers,
    maps: dict[str, xr.Dataset],
    fits: Numbers,
    small: dict[str, NDArray[np.floating]],
    sites: dict[str, NDArray[np.floating]],
) -> dict[str, Any]:
    """Return the fractions of all classes, how they agree with thresholding and with the truth, and the fits.

    `small` holds the fraction of none by windows of 48 px, of some models, and `sites` the share of vacant sites in the
    frames after 100 s.
    """
    late = truth["time"] >= _BASELINE[1]
    by_model = {}
    for name, result in maps.items():
        fraction = result["fraction"].values
        none = fraction[:, CLASSES.index(NONE)]
        by_model[name] = {
            "fraction": {str(c): fraction[:, i].round(5).tolist() for i, c in enumerate(result["lattice"].values)},
            "relative_to_threshold": relative_difference(none[late], truth["threshold"][late]),
            "relative_to_truth": relative_difference(none[late], truth["void"][late]),
            "none_at_the_end": float(none[-1]),
            "crystal_before": float(fraction[~late, CLASSES.index("hexagonal")].mean()) if (~late).any() else None,
            "none_before": float(none[~late].mean()) if (~late).any() else None,
        }
        if "area_fraction" in result:
            area, std = void_area(result)
            by_model[name]["area"] = {
                "none": area.round(5).tolist(),
                "none_std": std.round(5).tolist(),
                "relative_to_threshold": relative_difference(area[late], truth["threshold"][late]),
                "relative_to_truth": relative_difference(area[late], truth["void"][late]),
            }
    for name, vacant in sites.items():
        by_model[name]["sites"] = {
            "vacant": vacant.round(5).tolist(),
            "relative_to_threshold": relative_difference(vacant, truth["threshold"][late]),
            "relative_to_truth": relative_difference(vacant, truth["void"][late]),
        }
    return {
        "time_s": truth["time"].tolist(),
        "true_void": truth["void"].round(5).tolist(),
        "half_void_windows": truth["half_void"].round(5).tolist(),
        "threshold": truth["threshold"].round(5).tolist(),
        "threshold_relative_to_truth": relative_difference(truth["threshold"][late], truth["void"][late]),
        "area_nm2": float(truth["area_nm2"]),
        "models": by_model,
        "small_windows_px": _SMALL,
        "small_windows": {
            name: {
                "none": none.round(5).tolist(),
                "relative_to_threshold": relative_difference(none[late], truth["threshold"][late]),
            }
            for name, none in small.items()
        },
        "fits": fits,
    }


def _estimate(parameter: xr.Dataset) -> dict[str, float | None]:
    """Return a parameter with the ends of its 68 % and 95 % intervals."""
    ends = [_known(end) for end in parameter["interval"].values.ravel()]
    return {"value": float(parameter["value"]), **dict(zip(("low", "high", "low_95", "high_95"), ends, strict=True))}


def _known(value: float) -> float | None:
    """Return the end of an interval, None where it has none."""
    return float(value) if np.isfinite(value) else None
