"""The pixels of one frame: from its windows and its image to the phase of every pixel, and the areas of the classes.

Nothing but the frame itself is looked at, so that it does not matter which frames were mapped before, by whom, or
whether the run was interrupted. What is known only of the movie, such as which grain of a frame is the one of the frame
before, is left to :mod:`bravaismap.phases.pixels`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from bravaismap.classify.answer import symmetric_matrix
from bravaismap.compute.device import PROCESSOR
from bravaismap.conventions import CLASSES, NONE, UNMAPPED, Floats
from bravaismap.local.area_in_noise import area_in_noise
from bravaismap.local.frame import pixel_phases_of_frames
from bravaismap.local.lattices import FrameLattices, gathered_lattices
from bravaismap.local.pixels import PixelPhases, PixelSettings
from bravaismap.movie import finite_pixels, missing_pixels
from bravaismap.result.schema import MOST_LATTICES, Variable, pixel_variables

__all__ = [
    "POINTS_PER_CELL",
    "AskedFrame",
    "asked_frame",
    "asked_frames",
    "frame_lattices",
    "frame_pixels",
    "hidden_pixels",
    "pixel_step_for",
    "pixels_of_frames",
]

#: Points along the side of a cell, at least: with fewer, a boundary is coarser than it is known.
POINTS_PER_CELL: Final = 4.0
_NONE = CLASSES.index(NONE)
#: Strains in %, rotation in degrees.
_STRAIN_UNITS = {"exx": 100.0, "eyy": 100.0, "exy": 100.0, "rotation": float(np.degrees(1.0))}


def pixel_step_for(cell: float) -> int:
    """Return the distance in px between the points that a map of pixels holds, for a cell of a side in px."""
    return max(1, int(cell / POINTS_PER_CELL))


def frame_pixels(
    frame: NDArray[Any],
    windows: Mapping[str, NDArray[Any]],
    step: int,
    pixel_size: float | None,
    device: str = PROCESSOR,
) -> dict[str, NDArray[Any]]:
    """Return the variables of the pixels of a frame; see :func:`bravaismap.result.schema.pixel_variables`.

    Parameters
    ----------
    frame : array, shape (y, x)
        NaN and infinite pixels were never measured; some pixel was.
    windows : mapping of str to array
        The variables ``basis`` and ``basis_covariance`` (y, x, ...), ``probability`` (y, x, lattice) and ``fraction``
        (lattice) of the frame, as a result holds them.
    step : int
        Distance in px between the points.
    pixel_size : float or None
        In nm, if that is what the lengths of the windows are in.
    device : str
        Where it is computed.
    """
    return pixels_of_frames([frame], [windows], step, pixel_size, device)[0]


def pixels_of_frames(
    frames: Sequence[NDArray[Any]],
    windows: Sequence[Mapping[str, NDArray[Any]]],
    step: int,
    pixel_size: float | None,
    device: str = PROCESSOR,
) -> list[dict[str, NDArray[Any]]]:
    """Return the variables of the pixels of frames, as :func:`frame_pixels` does, asked all at once: for a GPU.

    Parameters
    ----------
    frames, windows : sequences
        As for :func:`frame_pixels`, one of each for every frame.
    step, pixel_size, device
        As there.
    """
    stored = []
    with torch.inference_mode():
        asked = asked_frames(frames, windows, step, pixel_size, device, noise=False)
        for frame, own, answer in zip(frames, windows, asked, strict=True):
            if answer is None:
                known = _without_lattice(missing_pixels(frame), own["fraction"], step)
            else:
                known = _with_lattices(answer.pixels, answer.lattices, step, pixel_size or 1.0)
            stored.append(_stored(known, frame.shape, step, pixel_size))
    return stored


@dataclass(frozen=True)
class AskedFrame:
    """A frame whose pixels were asked to which lattice they belong.

    Attributes
    ----------
    image : tensor, shape (y, x)
        Of mean 0 and standard deviation 1.
    mask : tensor, shape (y, x)
        True for the pixels that were measured.
    lattices : FrameLattices
        As the windows have them.
    pixels : PixelPhases
    """

    image: torch.Tensor
    mask: torch.Tensor
    lattices: FrameLattices
    pixels: PixelPhases


def asked_frame(
    frame: NDArray[Any],
    windows: Mapping[str, NDArray[Any]],
    step: int,
    pixel_size: float | None,
    device: str = PROCESSOR,
) -> AskedFrame | None:
    """Ask the pixels of a frame to which of its lattices they belong; None if no lattice is known.

    The parameters are those of :func:`frame_pixels`.
    """
    return asked_frames([frame], [windows], step, pixel_size, device)[0]


def asked_frames(
    frames: Sequence[NDArray[Any]],
    windows: Sequence[Mapping[str, NDArray[Any]]],
    step: int,
    pixel_size: float | None,
    device: str = PROCESSOR,
    *,
    noise: bool = True,
) -> list[AskedFrame | None]:
    """Ask the pixels of frames, as :func:`asked_frame` does, all at once: for a GPU.

    The parameters are those of :func:`pixels_of_frames`, and `noise` whether that of the answers is asked for, too.
    """
    answers: list[AskedFrame | None] = [None] * len(frames)
    lattices = [frame_lattices(own, pixel_size or 1.0) for own in windows]
    alike: dict[int, list[int]] = {}
    for index, own in enumerate(lattices):
        if len(own.basis):
            side = float(np.sqrt(np.abs(np.linalg.det(own.basis))).min())
            alike.setdefault(_own_step(step, side), []).append(index)
    for own_step, indices in alike.items():
        missing = [missing_pixels(frames[i]) for i in indices]
        images = [_standardised(frames[i], gone).to(device) for i, gone in zip(indices, missing, strict=True)]
        masks = [torch.from_numpy(~gone).to(device) for gone in missing]
        holed = [mask if gone.any() else None for mask, gone in zip(masks, missing, strict=True)]
        bases = [torch.from_numpy(lattices[i].basis).float() for i in indices]
        pixels = pixel_phases_of_frames(images, bases, PixelSettings(step=own_step, noise=noise), holed)
        for index, image, mask, answer in zip(indices, images, masks, pixels, strict=True):
            answers[index] = AskedFrame(image, mask, lattices[index], answer)
    return answers


def hidden_pixels(size: tuple[int, ...], step: int, pixel_size: float | None) -> dict[str, NDArray[Any]]:
    """Return the variables of the pixels of a frame of which nothing was measured: NaN, and −1."""
    return _stored({}, size, step, pixel_size)


def frame_lattices(windows: Mapping[str, NDArray[Any]], length: float) -> FrameLattices:
    """Return the lattices of a frame, those of most windows first, as the stored numbers have them.

    Parameters
    ----------
    windows : mapping of str to array
        As for :func:`frame_pixels`.
    length : float
        Length of a px in the unit of the windows; the lattices are in px.
    """
    basis, triangle, probability = (
        np.asarray(windows[name], np.float32).astype(float) for name in ("basis", "basis_covariance", "probability")
    )
    basis, triangle = basis.reshape(-1, 2, 2) / length, triangle.reshape(-1, triangle.shape[-1]) / length**2
    lattices = gathered_lattices(basis, symmetric_matrix(triangle), probability.reshape(-1, len(CLASSES)))
    kept = slice(0, MOST_LATTICES)
    return replace(
        lattices,
        basis=lattices.basis[kept],
        covariance=lattices.covariance[kept],
        probability=lattices.probability[kept],
        share=lattices.share[kept],
    )


def _own_step(step: int, cell: float) -> int:
    """Return the distance in px of the points that are worked on: a divisor of `step` that suits a cell."""
    return max(divisor for divisor in range(1, step + 1) if step % divisor == 0 and divisor <= pixel_step_for(cell))


def _standardised(frame: NDArray[Any], missing: NDArray[np.bool_]) -> torch.Tensor:
    """Return a frame of mean 0 and standard deviation 1, since single precision holds neither 1e-12 nor 1e6 ± 1."""
    values = finite_pixels(frame[None], nan="missing")[0].astype(np.float64)
    measured = values[~missing]
    return torch.from_numpy((values - measured.mean()) / (measured.std() or 1.0)).float()


def _with_lattices(
    pixels: PixelPhases, lattices: FrameLattices, step: int, length: float
) -> dict[str, NDArray[Any] | float]:
    """Return what is known of each pixel of the grid of a frame with lattices."""
    label = np.append(lattices.label, _NONE)
    area = area_in_noise(pixels, torch.from_numpy(label).to(pixels.probability.device), len(CLASSES))
    every = step // pixels.step

    def coarse(field: torch.Tensor) -> NDArray[Any]:
        """Return a field (lattices, rows, columns, ...) at the points that are kept."""
        return np.asarray(field[:, ::every, ::every].cpu().numpy())

    phase = coarse(pixels.phase[None])[0].astype(np.intp)
    probability = coarse(pixels.probability)
    measured, none = phase >= 0, phase == len(lattices.basis)
    strongest = probability[:-1].argmax(0)

    def of_strongest(field: torch.Tensor) -> NDArray[Any]:
        values = coarse(field)
        if len(values) == 1:
            return np.asarray(values[0])
        return np.asarray(np.take_along_axis(values, _over(strongest, values)[None], 0)[0])

    moved = (measured & ~none & ~of_strongest(pixels.another_motif))[..., None]
    strain = np.where(moved, of_strongest(pixels.strain), np.nan)
    return {
        "phase": np.where(measured, label[phase], UNMAPPED),
        "frame_lattice": np.where(measured & ~none, phase, UNMAPPED),
        "phase_probability": np.where(measured, probability.max(0), np.nan),
        "amplitude": np.where(measured, of_strongest(pixels.amplitude), np.nan),
        "amplitude_std": np.where(measured, of_strongest(pixels.amplitude_std), np.nan),
        "displacement": np.where(moved, of_strongest(pixels.displacement) * length, np.nan),
        **{name: strain[..., i] * unit for i, (name, unit) in enumerate(_STRAIN_UNITS.items())},
        "frame_basis": pixels.basis.cpu().numpy() * length,
        "area_fraction": area.fraction.cpu().numpy(),
        "area_fraction_std": area.fraction_std.cpu().numpy(),
    }


def _over(index: NDArray[np.intp], values: NDArray[Any]) -> NDArray[np.intp]:
    """Return an index (rows, columns) with as many axes behind it as values (lattices, rows, columns, ...) have."""
    return index.reshape(index.shape + (1,) * (values.ndim - 3))


def _without_lattice(missing: NDArray[np.bool_], mean: Floats, step: int) -> dict[str, NDArray[Any] | float]:
    """Return a frame of none alone; what the windows gave to a class is the doubt about it."""
    grid = missing[::step, ::step]
    doubt = np.array(mean, float)
    doubt[_NONE] = 1 - doubt[_NONE]
    return {
        "phase": np.where(grid, UNMAPPED, _NONE),
        "phase_probability": np.where(grid, np.nan, mean[_NONE]),
        "area_fraction": np.eye(len(CLASSES))[_NONE],
        "area_fraction_std": doubt,
    }


def _stored(
    known: Mapping[str, NDArray[Any] | float], size: tuple[int, ...], step: int, pixel_size: float | None
) -> dict[str, NDArray[Any]]:
    """Return all variables of the pixels of a frame as they are stored: rounded, −1 or NaN where nothing is known."""
    sizes = {"py": -(-size[0] // step), "px": -(-size[1] // step), "lattice": len(CLASSES), "number": MOST_LATTICES}
    stored = {}
    for variable in pixel_variables():
        shape = [sizes.get(dim, 2) for dim in variable.dims[1:]]
        values = np.full(shape, variable.missing, variable.dtype)
        if variable.name in known:
            given = np.asarray(known[variable.name])
            values[: len(given)] = _rounded(given, variable, pixel_size)
        stored[variable.name] = values
    return stored


def _rounded(values: NDArray[Any], variable: Variable, pixel_size: float | None) -> NDArray[Any]:
    """Return values rounded to the multiple of a power of two that their variable states."""
    if variable.quantum == 0:
        return values
    quantum = variable.quantum
    if variable.units == "px" and pixel_size is not None:
        quantum = 2.0 ** np.floor(np.log2(quantum * pixel_size))
    return np.asarray(np.rint(values / quantum) * quantum)
