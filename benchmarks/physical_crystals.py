"""HAADF images of crystals from scattering physics, by multislice, or by convolution where abTEM is not installed.

One cell of a crystal with its atoms at rest, blurred by their thermal motion and tiled in any orientation; and the
images of single atoms, which add up in a monolayer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import fourier_shift, gaussian_filter, map_coordinates

VOLTAGE, APERTURE = 100e3, 30.0  # eV, mrad
ANGLES = (70.0, 145.0)  # mrad of the detector
SAMPLING = 0.08  # Å of the potential
SCAN = 0.3  # Å between probes, below which the probe does not resolve
CONVOLUTION_WIDTH = 0.45  # Å, of an atom without multislice
STILL_SIZE, STILL_ANGLE = 256, 17.0


@dataclass(frozen=True)
class Crystal:
    """An orthogonal cell along the beam: its atoms, their thermal motion, and the class of its projection."""

    name: str
    expected: str
    atoms: Any
    spacing: float  # Å, shortest translation of the projection
    thickness: float = 20.0  # Å
    sigma: float = 0.07  # Å rms of the thermal motion along each axis


def crystals() -> list[Crystal]:
    """Return the crystals of the stills."""
    from ase import Atoms
    from ase.build import bulk, graphene, mx2, surface
    from ase.spacegroup import crystal

    a, u = 4.594, 0.305
    rutile = crystal(["Ti", "O"], [(0, 0, 0), (u, u, 0)], spacegroup=136, cellpar=[a, a, 2.959, 90, 90, 90])
    oxide = Atoms(
        "SrTiO3", cell=[3.905] * 3, pbc=True,
        scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
    )  # fmt: skip

    def along_110(element: str, kind: str, length: float) -> Any:
        cell = surface(bulk(element, kind, a=length, cubic=True), (1, 1, 0), 2, periodic=True)
        cell.wrap()
        return cell

    half_silicon, half_gold = (np.hypot(length / 2, length / np.sqrt(8)) for length in (5.431, 4.078))
    return [
        Crystal("graphene", "hexagonal", graphene(a=2.46, vacuum=2.0), 2.46, 0.0),
        Crystal("MoS2", "hexagonal", mx2("MoS2", a=3.16, vacuum=2.0), 3.16, 0.0),
        Crystal("WS2", "hexagonal", mx2("WS2", a=3.153, vacuum=2.0), 3.153, 0.0),
        Crystal("SrTiO3 [001]", "square", oxide, 3.905),
        Crystal("rutile [001]", "square", rutile, a),
        Crystal("Si [110]", "centered_rectangular", along_110("Si", "diamond", 5.431), half_silicon),
        Crystal("Au [110]", "centered_rectangular", along_110("Au", "fcc", 4.078), half_gold),
    ]


def projected(atoms: Any, lengths: np.ndarray, step: float) -> np.ndarray:
    """Return the image of a periodic cell by the convolution approximation."""
    shape = tuple(np.maximum(np.rint(lengths / step), 4).astype(int))
    image = np.zeros(shape)
    for atom, number in zip(atoms.positions, atoms.numbers, strict=True):
        spot = np.zeros(shape)
        spot[0, 0] = float(number) ** 1.7
        shift = atom[:2] / lengths * shape
        image += np.fft.ifft2(fourier_shift(np.fft.fft2(spot), shift)).real
    return np.asarray(gaussian_filter(image, CONVOLUTION_WIDTH / (lengths / shape), mode="wrap"))


def scanned(atoms: Any) -> np.ndarray:
    """Return the image of a periodic cell, (x, y), by multislice; the atoms are at rest.

    A crystal of many layers is imaged from its two uppermost layers on, and the mean is taken, as of a surface with
    steps: a screw axis or a glide along the beam makes columns alike that begin a layer apart, and one surface alone
    would break that symmetry of the projection (by 4 % in rutile of 2 nm).
    """
    height, layers = float(atoms.cell.lengths()[2]), len(np.unique(atoms.positions[:, 2].round(3)))
    if layers <= 3:
        return _scanned_from_above(atoms, max(round(height), 1))
    lower = atoms.copy()
    lower.positions[:, 2] += height / layers
    lower.wrap()
    return np.asarray((_scanned_from_above(atoms, layers) + _scanned_from_above(lower, layers)) / 2)


def _scanned_from_above(atoms: Any, slices: int) -> np.ndarray:
    import abtem

    abtem.config.set({"diagnostics.progress_bar": False, "diagnostics.task_progress": False})
    lengths = atoms.cell.lengths()
    count = np.maximum(np.ceil(14.0 / lengths[:2]), 1).astype(int)
    # Points along a cell in twelves: places that a symmetry makes alike lie at its halves, thirds and quarters, and
    # come out alike only if each is a point of the grid.
    fine, coarse = (12 * np.ceil(lengths[:2] / step / 12).astype(int) for step in (SAMPLING, SCAN))
    repeated = atoms * (int(count[0]), int(count[1]), 1)
    # A slice for every layer of atoms, whose number is given: uneven shares made HAADF of gold four times too bright.
    thickness = (lengths[2] / slices,) * slices
    repeated.positions[:, 2] += thickness[0] / 2
    repeated.wrap()
    potential = abtem.Potential(repeated, gpts=tuple((fine * count).tolist()), slice_thickness=thickness)
    probe = abtem.Probe(energy=VOLTAGE, semiangle_cutoff=APERTURE)
    probe.grid.match(potential)
    scan = abtem.GridScan(start=(0, 0), end=tuple(lengths[:2]), gpts=tuple(coarse.tolist()), endpoint=False)
    detector = abtem.AnnularDetector(inner=ANGLES[0], outer=ANGLES[1])
    return np.asarray(probe.scan(potential, scan=scan, detectors=detector).compute(progress_bar=False).array, float)


def orthogonal(crystal: Crystal) -> Any:
    """Return a rectangular cell that is as thick as is asked for."""
    from ase.build import make_supercell

    atoms = crystal.atoms.copy()
    cell = atoms.cell.array
    if abs(cell[0] @ cell[1]) > 1e-6:  # hexagonal: a and a + 2b, at right angles
        atoms = make_supercell(atoms, [[1, 0, 0], [1, 2, 0], [0, 0, 1]])
        atoms.wrap()
    height = float(atoms.cell.lengths()[2])
    return atoms * (1, 1, max(round(crystal.thickness / height), 1))


def still(crystal: Crystal, multislice: bool) -> np.ndarray:
    """Return a noiseless image of many cells, turned, with 12 px to the shortest translation."""
    atoms = orthogonal(crystal)
    lengths = atoms.cell.lengths()[:2]
    cell = scanned(atoms) if multislice else projected(atoms, lengths, SCAN)
    # Atoms displaced within the tiled cell would be a superlattice; what vibration does on average is to blur.
    cell = gaussian_filter(cell, crystal.sigma / (lengths / cell.shape), mode="wrap")
    pixel = crystal.spacing / 12
    angle = np.deg2rad(STILL_ANGLE)
    y, x = (np.mgrid[:STILL_SIZE, :STILL_SIZE] * pixel).astype(float)
    along = np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y])
    places = along / lengths[:, None, None] * np.array(cell.shape)[:, None, None]
    return np.maximum(map_coordinates(cell, places, order=3, mode="grid-wrap"), 0)


def atom_images(pixel: float, multislice: bool) -> dict[str, np.ndarray]:
    """Return the image of a tungsten atom, a molybdenum atom and a pair of sulphur atoms, at the pixels of the film."""
    from ase import Atoms

    side, cell = 2 * int(4.0 / pixel) + 1, 9.0
    axis = (np.arange(side) - side // 2) * pixel + cell / 2
    kernels = {}
    for name, symbols, heights in (("W", "W", [2.0]), ("Mo", "Mo", [2.0]), ("S2", "S2", [2.0, 5.12])):
        atoms = Atoms(symbols, [(cell / 2, cell / 2, z) for z in heights], cell=[cell, cell, 8.0], pbc=True)
        image = scanned(atoms) if multislice else projected(atoms, np.array([cell, cell]), SCAN)
        places = np.stack(np.meshgrid(axis, axis, indexing="ij")) / cell * len(image)
        kernels[name] = np.maximum(map_coordinates(image, places, order=3, mode="grid-wrap"), 0)
    return kernels
