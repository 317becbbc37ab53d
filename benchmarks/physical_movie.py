"""Ground truth from scattering physics and not from the renderer of this package: stills of crystals, and a film.

python benchmarks/physical_movie.py stills|film|sites [--frames 90] [--convolution] [--json FILE]   (extra `physics`)

HAADF images at 100 kV by multislice (abTEM) of one cell of each crystal with its atoms at rest, blurred by their
thermal motion and tiled in any orientation; where abTEM is not installed, or with --convolution, atoms are Gaussians of
weight Z^1.7 instead. The film is a monolayer of Mo-doped WS2 whose atoms are lost by a stochastic model: vacancies open
and heal, and the edge of one void is sputtered at a rate per area of its hole: A grows as exp(rho t) on average.
Each kind of atom is imaged alone by multislice and the images are added up, which is what a monolayer does in HAADF;
atoms vibrate, the specimen drifts, counts are Poisson.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from machine import machine, parser, write_figures
from physical_crystals import atom_images, crystals, still
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

import bravaismap as bm
from bravaismap.domains.thresholding import threshold_voids
from bravaismap.errors import InputError
from bravaismap.movie import as_movie

DOSES = (np.inf, 100.0, 10.0, 1.0, 0.3, 0.1, 0.03, 0.01)  # mean counts in the brightest pixel
SMOOTHING = 0.8  # lattice parameters; a dopant is dark too, and is no void
#: Mean counts at a tungsten atom, and windows, of the films.
FILMS: tuple[tuple[float, int | str], ...] = ((30.0, "auto"), (30.0, 128), (3.0, "auto"), (1.0, "auto"))
SITE_COUNTS = (30.0, 3.0, 1.0)
SITE_FRAMES = slice(24, 44)  # of the film: single vacancies, and from frame 32 on the hole
ROSE = 5.0  # standard deviations by which the eye tells an atom from nothing


def counts_for_the_eye(image: np.ndarray) -> float:
    """Return the mean counts in the brightest pixel from which a person sees single atoms.

    Rose's criterion: what the eye gathers of an atom, over the width that suits it best, differs from the gap beside it
    by five standard deviations of the counts.
    """
    needed = []
    for width in np.geomspace(0.5, 8, 25):
        seen = gaussian_filter(image, width, mode="wrap")
        inner = seen[32:-32, 32:-32]
        noise = image.mean() / (4 * np.pi * width**2)
        needed.append(ROSE**2 * noise / np.ptp(inner) ** 2)
    return float(min(needed) * image.max())


def stills(multislice: bool) -> list[dict]:
    """Classify stills at falling dose; print and return the probability of the true class."""
    rows: list[dict] = []
    print("counts in the brightest pixel, and the probability of the true class (* where another is more probable);")
    print("eye: counts from which a person sees single atoms")
    print(f"{'':<14}{'':<22}{'eye':>6}" + "".join(f"{dose:>9g}" for dose in DOSES))
    for crystal in crystals():
        image = still(crystal, multislice)
        image = image / image.max()
        rng = np.random.default_rng(1)
        noisy = [image if np.isinf(dose) else rng.poisson(dose * image) for dose in DOSES]
        eye = counts_for_the_eye(image)
        said = bm.classify(np.stack(noisy), distortion=0.005, samples=0)
        names = [str(name) for name in said["lattice"].values]
        cells = []
        for i in range(len(DOSES)):
            right = names[int(said["label"][i])] == crystal.expected
            probability = float(said["probability"][i].sel(lattice=crystal.expected))
            cells.append(f"{probability:.3f}{'' if right else '*'}")
            counts = None if np.isinf(DOSES[i]) else DOSES[i]
            row = {"crystal": crystal.name, "eye": eye, "counts": counts, "probability": probability, "right": right}
            rows.append(row)
        print(
            f"{crystal.name:<14}{crystal.expected:<22}{eye:>6.2f}" + "".join(f"{cell:>9}" for cell in cells), flush=True
        )
    return rows


@dataclass(frozen=True)
class SputteredFilm:
    """Atoms of a monolayer that are lost one metal site, with its sulphur, at a time."""

    frames: int = 90
    size: int = 512
    pixel: float = 0.287  # Å
    frame_time: float = 2.25  # s
    rho: float = 0.042  # 1/s
    first: int = 3  # sites in the hole when it opens
    opened: float = 70.0  # s
    vacancies: float = 2e-4  # that open per site and s
    healing: float = 0.05  # 1/s
    dopants: float = 0.04
    drift: float = 0.02  # Å/s
    counts: float = 30.0
    seed: int = 0

    def movie(self, kernels: dict[str, np.ndarray]) -> xr.Dataset:
        """Return ``image`` (time, y, x), ``void_fraction`` (time) and ``hole_fraction``, that of the growing hole.

        The sites of the metal, too: ``place`` (y, x) in px before the drift ``shift``, ``dopant`` and ``missing``.
        """
        rng = np.random.default_rng([self.seed, 3])
        a = 3.153 / self.pixel
        vectors = a * np.array([[0.0, 1.0], [np.sqrt(0.75), 0.5]])
        turn = np.deg2rad(11.0)
        vectors = vectors @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        reach = int(2 * self.size / a)
        steps = np.stack(np.meshgrid(*2 * [np.arange(-reach, reach)], indexing="ij"), -1).reshape(-1, 2)
        sites = steps @ vectors + self.size / 2
        near = ((sites > -3 * a) & (sites < self.size + 3 * a)).all(axis=1)
        sites, steps = sites[near], steps[near]
        number = {tuple(step): i for i, step in enumerate(steps.tolist())}
        around = [(0, 1), (1, 0), (1, -1), (0, -1), (-1, 0), (-1, 1)]
        beside = [[number[k] for d in around if (k := (s[0] + d[0], s[1] + d[1])) in number] for s in steps.tolist()]
        inside = ((sites >= 0) & (sites < self.size)).all(axis=1)
        dopant = rng.random(len(sites)) < self.dopants
        hole, vacancy = np.zeros(len(sites), bool), np.zeros(len(sites), bool)
        images, voids, holes, losses, shifts = [], [], [], [], []
        for frame in range(self.frames):
            if frame:
                vacancy &= rng.random(len(sites)) > self.healing * self.frame_time
                vacancy |= rng.random(len(sites)) < self.vacancies * self.frame_time
                self._sputter(hole, beside, frame * self.frame_time, sites, rng)
            gone = hole | (vacancy & ~hole)
            voids.append(gone[inside].mean())
            holes.append(hole[inside].mean())
            shift = self.drift * frame * self.frame_time / self.pixel * np.array([0.6, 0.8])
            losses.append(gone)
            shifts.append(shift)
            noise = np.random.default_rng([self.seed, 4, frame])  # the story is the same at any dose
            images.append(self._image(sites[~gone] + shift, dopant[~gone], vectors, kernels, noise))
        movie = as_movie(np.stack(images), pixel_size=self.pixel / 10, frame_time=self.frame_time)
        truth = {
            "void_fraction": ("time", voids),
            "hole_fraction": ("time", holes),
            "place": (("site", "component"), sites),
            "dopant": ("site", dopant),
            "missing": (("time", "site"), np.array(losses)),
            "shift": (("time", "component"), np.array(shifts)),
        }
        return xr.Dataset({"image": movie, **truth})

    def _sputter(self, hole: Any, beside: list[list[int]], time: float, sites: Any, rng: np.random.Generator) -> None:
        if time < self.opened:
            return
        if not hole.any():
            middle = np.argsort(np.linalg.norm(sites - self.size / 2, axis=1))
            hole[middle[: self.first]] = True
            return
        for _ in range(rng.poisson(np.expm1(self.rho * self.frame_time) * hole.sum())):
            edge = np.array(sorted({n for i in np.flatnonzero(hole) for n in beside[i] if not hole[n]}))
            loose = np.array([sum(hole[n] for n in beside[i]) for i in edge], float) ** 2  # fewer bonds go first
            hole[rng.choice(edge, p=loose / loose.sum())] = True

    def _image(self, metal: Any, dopant: Any, vectors: Any, kernels: dict[str, np.ndarray], rng: Any) -> np.ndarray:
        """Add up the images of the atoms; each vibrates."""
        total = np.zeros(2 * [self.size])
        sulphur = metal + vectors.sum(axis=0) / 3
        for name, where in (("W", metal[~dopant]), ("Mo", metal[dopant]), ("S2", sulphur)):
            moved = where + rng.normal(0, 0.05 / self.pixel, where.shape)
            padded = np.zeros(2 * [self.size])
            base = np.floor(moved).astype(int)
            part = moved - base
            for dy in (0, 1):
                for dx in (0, 1):
                    y, x = base[:, 0] + dy, base[:, 1] + dx
                    kept = (y >= 0) & (y < self.size) & (x >= 0) & (x < self.size)
                    share = np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1])
                    np.add.at(padded, (y[kept], x[kept]), share[kept])
            kernel = np.zeros(2 * [self.size])
            side = len(kernels[name])
            kernel[:side, :side] = kernels[name]
            kernel = np.roll(kernel, (-(side // 2), -(side // 2)), (0, 1))
            total += np.fft.irfft2(np.fft.rfft2(padded) * np.fft.rfft2(kernel), total.shape)
        return np.asarray(rng.poisson(self.counts * np.maximum(total, 0) / kernels["W"].max()), np.uint16)


def film(multislice: bool, frames: int) -> list[dict]:
    """Map the film and set what is found beside the truth."""
    rows: list[dict] = []
    kernels = atom_images(SputteredFilm.pixel, multislice)
    print(
        "peak over that of tungsten:",
        {name: round(float(k.max() / kernels["W"].max()), 3) for name, k in kernels.items()},
    )
    for counts, window in FILMS:
        model = SputteredFilm(counts=counts)
        truth = model.movie(kernels).isel(time=np.linspace(0, model.frames - 1, frames).round().astype(int))
        rows += report(model, truth, bm.map_phases(truth["image"], window=window, samples=0))
    return rows


def curves(model: SputteredFilm, truth: xr.Dataset, result: xr.Dataset) -> dict[str, np.ndarray]:
    """Return the void fraction of every frame, true and by each method."""
    images = truth["image"].values
    return {
        "truth": truth["void_fraction"].values,
        "the hole alone": truth["hole_fraction"].values,
        "area": result["area_fraction"].sel(lattice="none").values,
        "mean probability": result["fraction"].sel(lattice="none").values,
        "intensity alone": threshold_voids(images, 3.153 / model.pixel, smoothing=SMOOTHING)[0].mean((1, 2)),
    }


def report(model: SputteredFilm, truth: xr.Dataset, result: xr.Dataset) -> list[dict]:
    """Print and return how void fractions, their growth and the lattice parameter differ from the truth."""
    rows: list[dict] = []
    movie, true = truth["image"], truth["void_fraction"].values
    methods = curves(model, truth, result)
    hexagonal = result["label"].values == list(result["lattice"].values).index("hexagonal")
    a = float(np.median(result["a"].values[hexagonal])) if hexagonal.any() else np.nan
    print(
        f"\n{model.counts:g} counts at a tungsten atom, windows of {result.attrs['window']} px; void in the end "
        f"{100 * true[-1]:.1f} %; a {a:.5f} nm ({100 * (a / 0.3153 - 1):+.2f} %); hexagonal in the first frame: "
        f"{100 * hexagonal[0].mean():.0f} % of windows"
    )
    std = result["area_fraction_std"].sel(lattice="none").values
    within = [float((np.abs(methods["area"] - true) < times * std)[true > 0].mean()) for times in (1, 2)]
    print(f"  true within σ of the area in {100 * within[0]:.0f} %, 2σ in {100 * within[1]:.0f} % of frames with voids")
    late = (true > 0.02) & (truth["time"].values > model.opened)
    for name, values in methods.items():
        ratio = values[late] / true[late] - 1
        about = {"counts": model.counts, "window": int(result.attrs["window"]), "a_nm": a, "method": name}
        rows.append(about | {"mean": float(ratio.mean()), "std": float(ratio.std()), "end": float(ratio[-1])})
        try:
            curve = xr.DataArray(values, {"time": movie["time"]}, ("time",))
            growth = bm.fit_growth(curve, baseline=(0, model.opened))
            low, high = growth["interval"].sel(parameter="rho").values[1]
            rho = float(growth["value"].sel(parameter="rho"))
            rows[-1] |= {"rho": rho, "rho_95": [float(low), float(high)]}
            rate = f"{rho:.4f} (95 %: {low:.4f} to {high:.4f})"
        except InputError as error:
            rate = str(error).partition(":")[0]
        print(
            f"  {name:<18}{100 * ratio.mean():+6.1f} ± {100 * ratio.std():.1f} %, at the end {100 * ratio[-1]:+6.1f} %"
            f"   rho {rate}",
            flush=True,
        )
    return rows


def sites_of_film(multislice: bool) -> list[dict]:
    """Find the vacancies and the dopants of frames of the film, each frame alone and in time."""
    rows: list[dict] = []
    kernels = atom_images(SputteredFilm.pixel, multislice)
    for counts in SITE_COUNTS:
        truth = SputteredFilm(counts=counts).movie(kernels).isel(time=SITE_FRAMES)
        result = bm.map_phases(truth["image"], samples=0)
        for name, several in (("each frame alone", False), ("in time", True)):
            if several:
                tables = [bm.find_sites(result, truth["image"])]
            else:
                tables = [bm.find_sites(result, truth["image"], frames=[i]) for i in range(truth.sizes["time"])]
            rows.append({"counts": counts, "frames": name, **_site_scores(truth, tables)})
            print(
                ", ".join(
                    f"{key} {value:.4g}" if isinstance(value, float) else f"{value}" for key, value in rows[-1].items()
                ),
                flush=True,
            )
    return rows


def _site_scores(truth: xr.Dataset, tables: list[xr.Dataset]) -> dict[str, float]:
    """Return how many true vacancies are found, and per frame what is wrongly called one, or another atom."""
    pixel = SputteredFilm.pixel / 10
    vacancies = single = found = single_found = false = dopants = dopants_vacant = dopants_found = other = sites = 0
    for table in tables:
        for frame in np.unique(table["frame"].values):
            rows = table.isel(site=(table["frame"] == frame).values)
            position = np.column_stack([rows["y"].values, rows["x"].values]) / pixel
            places = truth["place"].values + truth["shift"].values[frame]
            _, near = cKDTree(places).query(position)
            gone, dopant = truth["missing"].values[frame][near], truth["dopant"].values[near]
            beside = cKDTree(places[truth["missing"].values[frame]]).query_ball_point(
                position, 1.25 * float(table.attrs["spacing"]) / pixel, return_length=True
            )
            alone = gone & (beside == 1)
            state = rows["state"].values
            vacancies += gone.sum()
            found += (gone & (state == "vacant")).sum()
            single += alone.sum()
            single_found += (alone & (state == "vacant")).sum()
            false += (~gone & (state == "vacant")).sum()
            dopants += (dopant & ~gone).sum()
            dopants_vacant += (dopant & ~gone & (state == "vacant")).sum()
            dopants_found += (dopant & ~gone & (state == "substituted")).sum()
            other += (~dopant & ~gone & (state == "substituted")).sum()
            sites += len(state)
    frames = truth.sizes["time"]
    return {
        "vacancies": vacancies / frames,
        "found": found / vacancies,
        "single": single / frames,
        "single_found": single_found / single,
        "false_per_frame": false / frames,
        "dopants": dopants / frames,
        "dopants_called_vacant": dopants_vacant / frames,
        "dopants_found": dopants_found / dopants,
        "tungsten_called_other": other / frames,
        "sites": sites / frames,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("what", choices=("stills", "film", "sites"))
    options.add_argument("--frames", type=int, default=SputteredFilm.frames, help="of those of the film, evenly spread")
    options.add_argument("--convolution", action="store_true", help="Z^1.7 instead of multislice")
    asked = options.parse_args(arguments)
    warnings.simplefilter("ignore")
    multislice = not asked.convolution
    if multislice:
        try:
            import abtem  # noqa: F401
        except ImportError:
            print("abTEM is not installed (extra `physics`): convolution approximation instead")
            multislice = False
    print(machine(), "; multislice" if multislice else "; convolution")
    tasks = {"stills": stills, "film": partial(film, frames=asked.frames), "sites": sites_of_film}
    rows = tasks[asked.what](multislice)
    write_figures(asked.json, f"physical_{asked.what}", {"multislice": multislice, "rows": rows})


if __name__ == "__main__":
    main()
