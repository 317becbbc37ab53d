"""Simulated films that decompose under the electron beam, with the truth that a measurement should find.

The film is a hexagonal crystal like Mo-doped WS₂ seen along its normal: bright metal atoms, some replaced by a lighter
dopant, and fainter chalcogen pairs. Voids nucleate in it, heal or run away, as :mod:`bravaismap.simulate.voids` says;
the movie is that of R. K. Vasudevan et al., npj Comput. Mater. 4, 30 (2018), doi:10.1038/s41524-018-0086-7.

The specimen moves as one rigid piece. Its atoms and voids come from streams of random numbers of their own, and the
noise of frame i from one that depends on the seed and on i alone: a frame is the same whichever others are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bravaismap.conventions import Floats
from bravaismap.errors import InputError
from bravaismap.lattice.basis import basis_from_cell, cell_from_basis
from bravaismap.movie import as_movie
from bravaismap.simulate.counts import poisson_counts
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites
from bravaismap.simulate.voids import PAPER_KINETICS, VoidHistory, VoidKinetics, check_number

__all__ = ["PIXEL_SIZE", "Film", "Specimen", "paper_film", "simulate_film"]


#: Default side of a pixel in nm: 512 px span 14.7 nm, the frame of about 216 nm² of the paper.
PIXEL_SIZE: Final = 0.3153 / 11

_REACH: Final = 4.0  # widths of an atom beyond the frame, from which on it is not drawn
_RIM: Final = 0.10  # displacement of the atoms at the edge of a void, over the lattice parameter
_FILM_HAZE, _VACUUM_HAZE = 0.22, 0.04  # diffuse intensity, over the peak of a metal atom
_SHADING: Final = 0.08  # height of the slow variation of that intensity


@dataclass(frozen=True)
class Specimen:
    """The crystal of a film, its drift and its brightness.

    Attributes
    ----------
    a : float
        Lattice parameter in nm.
    orientation : float, optional
        Angle of a above the x axis in degrees, counter-clockwise as seen; random when not given.
    dopants : float
        Share of the metal sites that hold the lighter dopant.
    dopant_height, chalcogen_height : float
        Peak intensity of a dopant atom and of a chalcogen pair, over that of a metal atom.
    atom_width : float
        Standard deviation of an atom's Gaussian profile, over `a`.
    disorder : float
        Standard deviation of each coordinate of an atom about its site, over `a`.
    drift : float
        Speed at which the specimen drifts, in nm/s.
    dose : float
        Mean counts at the peak of a metal atom.
    """

    a: float = 0.3153
    orientation: float | None = None
    dopants: float = 0.04
    dopant_height: float = 0.45
    chalcogen_height: float = 0.24
    atom_width: float = 0.17
    disorder: float = 0.015
    drift: float = 0.002
    dose: float = 30.0

    def __post_init__(self) -> None:
        check_number(self, "a", 1e-3, 1e3)
        check_number(self, "orientation", -360.0, 360.0)
        for name in ("dopants", "dopant_height", "chalcogen_height", "disorder"):
            check_number(self, name, 0.0, 1.0)
        check_number(self, "atom_width", 0.01, 0.5)
        check_number(self, "drift", 0.0, 1e3)
        check_number(self, "dose", 1e-3, 1e4)


def simulate_film(
    frames: int = 30,
    size: int = 512,
    *,
    seed: int = 0,
    pixel_size: float = PIXEL_SIZE,
    frame_time: float = 2.25,
    kinetics: VoidKinetics | None = None,
    specimen: Specimen | None = None,
    progress: Callable[[int], object] | None = None,
) -> xr.Dataset:
    """Simulate the movie of a film that decomposes under the beam.

    Parameters
    ----------
    frames : int
        Number of frames.
    size : int
        Side of a frame in px.
    seed : int
        The same seed gives the same movie.
    pixel_size : float
        Side of a pixel in nm.
    frame_time : float
        Time from one frame to the next in s.
    kinetics : VoidKinetics, optional
        Kinetics of the voids; by default about 35 % of the frame is lost in the end.
    specimen : Specimen, optional
        The crystal and its imaging.
    progress : callable, optional
        Called with the number of frames done so far.

    Returns
    -------
    xarray.Dataset
        ``image`` uint16 counts and ``void`` bool, true inside a void, (time, y, x), calibrated in s and nm;
        ``void_fraction`` (time), the mean of ``void``, and ``runaway_fraction`` (time), that of the runaway voids
        alone; ``drift_px`` (time, component), the displacement of the specimen since the first frame, and
        ``primitive_vectors_px`` (vector, component), rows = vectors, components (y, x). The attributes hold the reduced
        cell (``a_nm``, ``b_nm``, ``gamma_deg``, ``orientation_deg``) and the rates.

    Raises
    ------
    InputError
        If a parameter is out of range.

    References
    ----------
    R. K. Vasudevan et al., npj Comput. Mater. 4, 30 (2018), doi:10.1038/s41524-018-0086-7.

    Examples
    --------
    >>> film = simulate_film(frames=2, size=64)
    >>> film.image.shape, film.void_fraction.shape
    ((2, 64, 64), (2,))
    """
    film = Film(frames, size, seed, pixel_size, frame_time, kinetics or VoidKinetics(), specimen or Specimen())
    images = np.empty((frames, size, size), np.uint16)
    voids = np.empty((frames, size, size), bool)
    runaway = np.empty(frames)
    for i in range(frames):
        voids[i], runaway[i] = film.void(i)
        images[i] = film.image(i, voids[i])
        if progress is not None:
            progress(i + 1)
    return film.dataset(images, voids, runaway)


def paper_film(size: int = 512, *, seed: int = 0, progress: Callable[[int], object] | None = None) -> xr.Dataset:
    """Simulate a movie like that of the paper: 90 frames of 2.25 s, with the kinetics measured there.

    Returns
    -------
    xarray.Dataset
        As :func:`simulate_film` gives it.
    """
    return simulate_film(90, size, seed=seed, kinetics=PAPER_KINETICS, progress=progress)


@dataclass(frozen=True)
class _FilmAtoms:
    site: Floats  # (n, 2) as (y, x) px, before the drift
    displacement: Floats  # (n, 2) of the atom from its site
    height: Floats


@dataclass(frozen=True)
class Film:
    """A decomposing film, simulated frame by frame, for movies larger than memory. See :func:`simulate_film`."""

    frames: int = 30
    size: int = 512
    seed: int = 0
    pixel_size: float = PIXEL_SIZE
    frame_time: float = 2.25
    kinetics: VoidKinetics = field(default_factory=VoidKinetics)
    specimen: Specimen = field(default_factory=Specimen)

    def __post_init__(self) -> None:
        check_number(self, "frames", 1, 10**6)
        check_number(self, "size", 16, 10**5)
        check_number(self, "seed", 0, 2**63)
        check_number(self, "pixel_size", 1e-6, 1e3)
        check_number(self, "frame_time", 1e-9, 1e6)
        if self.spacing < 2:
            raise InputError(
                f"pixels of {self.pixel_size:g} nm were given for a lattice parameter of {self.specimen.a:g} nm; "
                f"expected a pixel size of at most {self.specimen.a / 2:g} nm"
            )

    @property
    def spacing(self) -> float:
        """Lattice parameter in px."""
        return self.specimen.a / self.pixel_size

    @property
    def duration(self) -> float:
        """Duration of the movie in s."""
        return self.frames * self.frame_time

    @cached_property
    def basis(self) -> NDArray[np.float64]:
        """Primitive vectors in px, rows (y, x)."""
        given = self.specimen.orientation
        angle = np.random.default_rng([self.seed, 0, 1]).uniform(0, 180) if given is None else given
        return np.asarray(basis_from_cell(self.spacing, self.spacing, np.pi / 3, np.deg2rad(angle)), float)

    @cached_property
    def drift(self) -> NDArray[np.float64]:
        """Displacement of the specimen since the first frame, (time, 2) as (y, x) in px: drift and random walk."""
        rng = np.random.default_rng([self.seed, 0, 2])
        step = self.specimen.drift * self.frame_time / self.pixel_size
        angle = rng.uniform(0, 2 * np.pi)
        steps = step * (np.array([np.sin(angle), np.cos(angle)]) + 0.5 * rng.standard_normal((self.frames, 2)))
        steps[0] = 0
        return np.asarray(steps.cumsum(axis=0))

    @cached_property
    def _atoms(self) -> _FilmAtoms:
        rng = np.random.default_rng([self.seed, 0, 3])
        margin = float(np.abs(self.drift).max()) + self._reach
        metal = lattice_sites(self.basis, (self.size, self.size), rng.random(2) @ self.basis, margin + self.spacing)
        site = np.concatenate([metal, metal + self.basis.sum(axis=0) / 3])
        height = np.repeat([1.0, self.specimen.chalcogen_height], len(metal))
        height[: len(metal)][rng.random(len(metal)) < self.specimen.dopants] = self.specimen.dopant_height
        displacement = rng.normal(0, self.specimen.disorder * self.spacing, site.shape)
        return _FilmAtoms(site, displacement, height)

    @property
    def _reach(self) -> float:
        return (_REACH * self.specimen.atom_width + 4 * self.specimen.disorder) * self.spacing

    @cached_property
    def _shading(self) -> NDArray[np.float32]:
        """Slow variation of the intensity over the frame, about 0."""
        rng = np.random.default_rng([self.seed, 0, 4])
        axis = np.linspace(-1, 1, self.size)
        slope = rng.uniform(-0.5, 0.5, 2)
        centre, width = rng.uniform(0, self.size, (2, 2)), rng.uniform(0.2, 0.4, 2) * self.size
        patches = gaussian_atoms(centre, rng.uniform(0.5, 1.0, 2), width, (self.size, self.size))
        return np.asarray(_SHADING * (slope[0] * axis[:, None] + slope[1] * axis + patches), np.float32)

    @cached_property
    def voids(self) -> VoidHistory:
        """History of all voids of the movie."""
        cell = abs(float(np.linalg.det(self.basis)))
        return VoidHistory(self.kinetics, self.seed, self.size, self.pixel_size, self.duration, cell, self.drift)

    def void(self, i: int) -> tuple[NDArray[np.bool_], float]:
        """Return the pixels of frame i that lie in a void, and the share of those in runaway voids."""
        self._check_frame(i)
        outlines = self.voids.outlines(i)
        runaway = outlines.mask(self.size, range(outlines.runaway))
        healing = outlines.mask(self.size, range(outlines.runaway, len(outlines.radius)))
        return runaway | healing, float(runaway.mean())

    def image(self, i: int, void: NDArray[np.bool_] | None = None) -> NDArray[np.uint16]:
        """Return the counts in frame i; `void`, the pixels in voids, is computed when not given."""
        void = self.void(i)[0] if void is None else void
        rng = np.random.default_rng([self.seed, i])
        atoms, outlines = self._atoms, self.voids.outlines(i)
        site = atoms.site + self.drift[i]
        inside = ((site > -self._reach) & (site < self.size + self._reach)).all(axis=1)
        clearance = np.full(len(site), np.inf)
        for n in range(len(outlines.radius)):
            np.minimum(clearance, outlines.clearance(n, site[:, 0], site[:, 1]), out=clearance)
        rim = _RIM * self.spacing * np.exp(-np.maximum(clearance, 0) / self.spacing)
        position = site + atoms.displacement + rim[:, None] * rng.standard_normal(site.shape)
        keep = inside & (clearance >= 0)
        width = np.full(int(keep.sum()), self.specimen.atom_width * self.spacing)
        image = gaussian_atoms(position[keep], atoms.height[keep], width, (self.size, self.size))
        film = 1 - gaussian_filter(void.astype(np.float32), 0.2 * self.spacing)
        image += film * (_FILM_HAZE - _VACUUM_HAZE + self._shading) + _VACUUM_HAZE
        counts = poisson_counts(np.maximum(image, 0) * np.float32(self.specimen.dose), rng)
        return np.minimum(counts, 65535).astype(np.uint16)

    def dataset(self, images: NDArray[np.uint16], voids: NDArray[np.bool_], runaway: Floats) -> xr.Dataset:
        """Return the movie as a dataset, with its truth and calibration."""
        movie = as_movie(images, pixel_size=self.pixel_size, frame_time=self.frame_time, attrs={"units": "counts"})
        dimensionless = {"units": "1"}
        return xr.Dataset(
            {
                "image": movie,
                "void": (movie.dims, voids, {"long_name": "true void"}),
                "void_fraction": ("time", voids.mean(axis=(1, 2)), dimensionless),
                "runaway_fraction": ("time", runaway, dimensionless),
                "drift_px": (("time", "component"), self.drift, {"units": "px", "long_name": "drift (y, x)"}),
                "primitive_vectors_px": (("vector", "component"), self.basis, {"units": "px"}),
            },
            attrs=self._attributes(),
        )

    def _attributes(self) -> dict[str, float | int]:
        a, b, gamma, orientation = (float(v) for v in cell_from_basis(self.basis))
        return {
            "a_nm": a * self.pixel_size,
            "b_nm": b * self.pixel_size,
            "gamma_deg": float(np.rad2deg(gamma)),
            "orientation_deg": float(np.rad2deg(orientation)),
            "pixel_size_nm": self.pixel_size,
            "frame_time_s": self.frame_time,
            "growth_rate_per_s": self.voids.growth_rate,
            "baseline_fraction": self.kinetics.baseline,
            "runaway_voids": self.kinetics.runaway,
            "critical_radius_nm": self.kinetics.critical_radius,
            "nucleation_rate_per_nm2_s": self.voids.nucleation_rate,
            "void_lifetime_s": self.voids.lifetime,
            "dose_counts": self.specimen.dose,
            "seed": self.seed,
        }

    def _check_frame(self, i: int) -> None:
        if not 0 <= i < self.frames:
            raise InputError(f"frame {i} was asked for; expected one of 0 to {self.frames - 1}")
