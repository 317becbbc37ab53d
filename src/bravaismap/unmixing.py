"""Unmixing without training: sliding FFT, endmembers by N-FINDR, abundances that are positive and sum to one.

This is the unsupervised method that preceded the network. The FFT amplitude of each window is taken as a mixture of a
few pure spectra, the *endmembers*, each of which some window shows by itself. All windows then lie in a simplex whose
corners are the endmembers; N-FINDR finds the windows that span the largest simplex, and the *abundances* of a window
are its coordinates in it. Whether an endmember is a phase, an orientation or the noise is left to interpretation.

The windows are first projected on the directions in which they differ most (PCA), one fewer than there are endmembers.
The endmembers lie in that plane, so the abundances found in it are those of the whole spectra.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import nnls

from bravaismap.classify.settings import DEFAULTS, PAPER_STEP, PAPER_WINDOW
from bravaismap.conventions import Floats, length_unit
from bravaismap.errors import InputError
from bravaismap.movie import NanPolicy, as_movie, finite_pixels, pixel_size, read_frames
from bravaismap.spectrum import REACH, taper
from bravaismap.windows import WindowGrid, cut_windows, window_grid

__all__ = ["Simplex", "abundances", "n_findr", "pure_spectra", "unmix", "window_amplitudes"]


_STARTS = 10  # random simplices that N-FINDR starts from; the largest one found is kept
_SAMPLE_WINDOWS = 4000  # largest number of windows, and of frames, from which the principal axes are computed
_SAMPLE_FRAMES = 24
_SUM_WEIGHT = 1e3  # of the equation that the abundances sum to one, over the size of the simplex
_SMALLEST_VOLUME = 1e-6  # of a simplex of distinct endmembers, in units of the spread of the windows


@dataclass(frozen=True)
class Simplex:
    """The plane that the spectra are projected on, and the endmembers in it.

    Attributes
    ----------
    mean : array, shape (bands,)
    axes : array, shape (components − 1, bands)
        Orthonormal rows.
    corners : array, shape (components, components − 1)
        The endmembers.
    explained : float
        Share of the variance of the spectra that lies in the plane.
    """

    mean: Floats
    axes: Floats
    corners: Floats
    explained: float

    @property
    def endmembers(self) -> Floats:
        """Spectra of the endmembers, shape (components, bands)."""
        return np.asarray(self.mean + self.corners @ self.axes)

    def project(self, spectra: Floats) -> Floats:
        """Return the coordinates (n, components − 1) of spectra (n, bands) in the plane."""
        return np.asarray((spectra - self.mean) @ self.axes.T)


def unmix(
    movie: Any,
    components: int,
    *,
    window: int = PAPER_WINDOW,
    step: int = PAPER_STEP,
    seed: int = DEFAULTS.seed,
    nan: NanPolicy = DEFAULTS.nan,
    progress: Callable[[int, int], object] | None = None,
) -> xr.Dataset:
    """Return the windows of a movie unmixed into a few pure spectra, without training.

    Parameters
    ----------
    movie : array, shape (time, y, x) or (y, x)
        As :func:`bravaismap.read` returns it, or any array of real numbers. A lazy one is read twice, block by block.
    components : int
        Number of endmembers, at least 2.
    window, step : int
        Side of a window and distance between windows, in px.
    seed : int
        Seed of the windows that the principal axes are computed from and of the simplices that N-FINDR starts with.
    nan : {"raise", "fill"}
        What to do with NaN and infinite pixels.
    progress : callable, optional
        Called after each frame with the number of frames done and of frames in all.

    Returns
    -------
    Dataset
        ``abundance`` (time, y, x, endmember), positive with a sum of 1; ``fraction`` (time, endmember), its mean over
        the windows; ``residual`` (time, y, x), the norm of the part of a spectrum that the endmembers do not explain
        over the norm of the spectrum; ``spectrum`` (endmember, ky, kx), FFT amplitudes in units of the movie's mean.
        The endmembers are sorted by their mean abundance, the largest first. y and x are window centres.

    Raises
    ------
    InputError
        If there are fewer independent windows than components, or the movie or window cannot be used.

    References
    ----------
    R. K. Vasudevan et al., Appl. Phys. Lett. 106, 091601 (2015) (sliding FFT); M. E. Winter, Proc. SPIE 3753, 266, 1999
    (N-FINDR); D. C. Heinz and C.-I. Chang, IEEE Trans. Geosci. Remote Sens. 39, 529 (2001) (abundances).
    """
    calibrated = as_movie(movie)
    grid = window_grid((calibrated.sizes["y"], calibrated.sizes["x"]), window, step)
    length, count = len(calibrated), grid.shape[0] * grid.shape[1]
    if components < 2 or components > length * count:
        raise InputError(
            f"{components} components were asked for; expected at least 2 and at most the {length * count} windows"
        )
    rng = np.random.default_rng([seed, 0])
    mean, axes, explained = _principal_axes(_sample_spectra(calibrated, grid, nan, rng), components - 1)
    scores, beyond, total = [], [], []
    for index, spectra in _frame_spectra(calibrated, grid, np.arange(length), nan):
        centred = spectra - mean
        scores.append(centred @ axes.T)
        beyond.append(np.maximum((centred**2).sum(axis=1) - (scores[-1] ** 2).sum(axis=1), 0))
        total.append((spectra**2).sum(axis=1))
        if progress is not None:
            progress(index + 1, length)
    points = np.concatenate(scores)
    corners = points[n_findr(points, components, seed=seed)]
    share = abundances(points, corners)
    order = np.argsort(-share.mean(axis=0), kind="stable")
    share, corners = share[:, order], corners[order]
    misfit = ((points - share @ corners) ** 2).sum(axis=1) + np.concatenate(beyond)
    residual = np.sqrt(misfit / np.maximum(np.concatenate(total), 1e-30))
    simplex = Simplex(mean, axes, corners, explained)
    return _dataset(calibrated, grid, simplex, share, residual, seed)


def window_amplitudes(windows: NDArray[Any]) -> Floats:
    """Return the FFT amplitude of windows up to half the Nyquist frequency, in units that all windows share.

    Unlike the spectra of a network it is not normalised window by window, so that the spectrum of a window that two
    phases share is the sum of theirs.

    Parameters
    ----------
    windows : array, shape (n, size, size)

    Returns
    -------
    float32 array, shape (n, rows, columns)
        The half plane ``k_x ≥ 0`` with ``k = 0`` at row ``rows // 2``, column 0.
    """
    images = torch.from_numpy(np.ascontiguousarray(windows, np.float32))
    size = images.shape[-1]
    weight = taper(size)[:, None] * taper(size)
    mean = (images * weight).sum(dim=(-2, -1), keepdim=True) / weight.sum()
    transformed = torch.fft.fftshift(torch.fft.rfft2((images - mean) * weight).abs(), dim=-2)
    reach = int(size * REACH["window"])
    middle = size // 2
    return np.asarray(transformed[:, middle - reach : middle + reach, :reach].numpy())


def pure_spectra(spectra: Floats, components: int, *, seed: int = 0) -> Simplex:
    """Return the endmembers of spectra (n, bands).

    Raises
    ------
    InputError
        If the spectra span less than `components` endmembers would.
    """
    mean, axes, explained = _principal_axes(spectra, components - 1)
    points = (spectra - mean) @ axes.T
    return Simplex(mean, axes, points[n_findr(points, components, seed=seed)], explained)


def n_findr(points: Floats, components: int, *, seed: int = 0) -> NDArray[np.intp]:
    """Return the points that span the largest simplex.

    Beginning with random corners, each corner in turn moves to the point that makes the volume largest, until no move
    enlarges it. With the other corners fixed, the volume is linear in the coordinates of a corner, so that all points
    are compared at once.

    Parameters
    ----------
    points : array, shape (n, components − 1)
    components : int
    seed : int

    Returns
    -------
    int array, shape (components,)

    Raises
    ------
    InputError
        If all points lie in a plane of fewer dimensions.
    """
    spread = np.maximum(points.std(axis=0), 1e-300)
    lifted = np.column_stack([np.ones(len(points)), (points - points.mean(axis=0)) / spread])
    rng = np.random.default_rng([seed, 1])
    grown = [_grown(lifted, rng.choice(len(points), components, replace=False)) for _ in range(_STARTS)]
    largest, best = max(grown, key=lambda simplex: simplex[0])
    if largest <= _SMALLEST_VOLUME:
        raise InputError(f"the windows do not differ in {components - 1} ways; ask for fewer components")
    return best


def abundances(points: Floats, corners: Floats) -> Floats:
    """Return the coordinates of points in a simplex: positive, with a sum of 1, nearest in least squares.

    Parameters
    ----------
    points : array, shape (n, components − 1)
    corners : array, shape (components, components − 1)

    Returns
    -------
    array, shape (n, components)
    """
    size = float(np.ptp(corners, axis=0).max()) or 1.0
    system = np.vstack([corners.T / size, np.ones(len(corners))])
    targets = np.column_stack([points / size, np.ones(len(points))])
    share = np.linalg.solve(system, targets.T).T
    weighted = system.copy()
    weighted[-1] *= _SUM_WEIGHT
    for i in np.flatnonzero((share < 0).any(axis=1)):  # outside of the simplex: its nearest point
        positive, _ = nnls(weighted, np.append(targets[i, :-1], _SUM_WEIGHT))
        share[i] = positive / positive.sum()
    return np.asarray(share)


def _grown(lifted: Floats, chosen: NDArray[np.intp]) -> tuple[float, NDArray[np.intp]]:
    """Return volume and corners of the simplex of the chosen points, grown until no single corner enlarges it."""
    volume, growing = abs(float(np.linalg.det(lifted[chosen]))), True
    while growing:
        growing = False
        for corner in range(len(chosen)):
            volumes = np.abs(lifted @ _cofactors(lifted[chosen], corner))
            candidate = int(volumes.argmax())
            if volumes[candidate] > volume * (1 + 1e-9):
                chosen[corner], volume, growing = candidate, float(volumes[candidate]), True
    return volume, chosen


def _cofactors(corners: Floats, row: int) -> Floats:
    """Return c with det(corners with `row` replaced by p) = p · c."""
    others = np.delete(corners, row, axis=0)
    columns = range(corners.shape[1])
    return np.array([(-1) ** (row + j) * np.linalg.det(np.delete(others, j, axis=1)) for j in columns])


def _principal_axes(spectra: Floats, count: int) -> tuple[Floats, Floats, float]:
    """Return the mean of spectra, the orthonormal directions of largest variance, and the share that they explain."""
    mean = spectra.mean(axis=0)
    centred = (spectra - mean).astype(np.float64)
    by_window = len(centred) <= centred.shape[1]
    gram = centred @ centred.T if by_window else centred.T @ centred
    values, vectors = np.linalg.eigh(gram)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    if len(values) < count or values[count - 1] <= 1e-12 * max(float(values[0]), 1e-300):
        raise InputError(f"the windows do not differ in {count} ways; ask for fewer components")
    axes = vectors[:, :count].T
    if by_window:
        axes = (axes @ centred) / np.sqrt(values[:count, None])
    axes = axes * np.sign(axes[np.arange(count), np.abs(axes).argmax(axis=1)])[:, None]
    return mean, axes, float(values[:count].sum() / values.sum())


def _frame_spectra(
    movie: xr.DataArray, grid: WindowGrid, numbers: NDArray[np.intp], nan: NanPolicy
) -> Iterator[tuple[int, Floats]]:
    """Yield the number of a frame and the flattened amplitudes of its windows."""
    for index, pixels in read_frames(movie, numbers):
        frame = finite_pixels(pixels[None], nan=nan, first=index)[0]
        amplitudes = window_amplitudes(cut_windows(frame, grid))
        yield index, amplitudes.reshape(len(amplitudes), -1)


def _sample_spectra(movie: xr.DataArray, grid: WindowGrid, nan: NanPolicy, rng: np.random.Generator) -> Floats:
    """Return spectra of windows drawn from frames that are spread over the movie."""
    frames = np.unique(np.linspace(0, len(movie) - 1, min(len(movie), _SAMPLE_FRAMES)).round().astype(int))
    count = grid.shape[0] * grid.shape[1]
    each = min(count, max(1, _SAMPLE_WINDOWS // len(frames)))
    return np.concatenate(
        [spectra[rng.choice(count, each, replace=False)] for _, spectra in _frame_spectra(movie, grid, frames, nan)]
    )


def _dataset(
    movie: xr.DataArray, grid: WindowGrid, simplex: Simplex, share: Floats, residual: Floats, seed: int
) -> xr.Dataset:
    size, (ny, nx) = pixel_size(movie), grid.shape
    components, length = len(simplex.corners), len(movie)
    reach = int(grid.window * REACH["window"])
    scale = float(simplex.mean.mean()) or 1.0
    maps = share.reshape(length, ny, nx, components)
    step = 1 / (grid.window * (size or 1.0))
    per = f"1/{length_unit(size)}"
    coords: dict[str, Any] = {"time": movie["time"], "endmember": np.arange(components)}
    for dim, centers in zip(("y", "x"), grid.centers, strict=True):
        attributes = {"units": length_unit(size), "long_name": f"{dim} of the window centre"}
        coords[dim] = (dim, float(movie[dim][0]) + centers * (size or 1.0), attributes)
    for dim, k in (("ky", np.arange(-reach, reach)), ("kx", np.arange(reach))):
        coords[dim] = (dim, k * step, {"units": per, "long_name": f"spatial frequency along {dim[-1]}"})
    spectra = (simplex.endmembers / scale).reshape(components, 2 * reach, reach)
    return xr.Dataset(
        {
            "abundance": (("time", "y", "x", "endmember"), maps.astype(np.float32), {"units": "1"}),
            "fraction": (("time", "endmember"), maps.mean(axis=(1, 2)), {"units": "1", "long_name": "mean abundance"}),
            "residual": (("time", "y", "x"), residual.reshape(length, ny, nx).astype(np.float32), {"units": "1"}),
            "spectrum": (("endmember", "ky", "kx"), spectra.astype(np.float32), {"long_name": "FFT amplitude"}),
        },
        coords=coords,
        attrs={
            "method": "sliding FFT, N-FINDR, abundances with positivity and sum to one",
            "components": components, "window": grid.window, "step": grid.step, "seed": seed,
            "explained_variance": round(simplex.explained, 6),
        },
    )  # fmt: skip
