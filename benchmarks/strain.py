"""Strain at every point beside classical two-beam geometric phase analysis and the Cramér-Rao bound of the kernel.

python benchmarks/strain.py [--counts 20 3] [--seeds 4] [--json FILE]

A hexagonal crystal of 10 px whose columns are Gaussians, displaced by known fields, with Poisson counts: a uniform
strain of 1 %, an edge dislocation, and waves of 3 % of 50 to 200 px. Both methods see the same image in the same
Gaussian, and once in the one that the frame chooses. Errors are those of exx against the true field blurred by the
Gaussian, and against the true field itself, without their means, which belong to the reference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from machine import machine, parser, write_figures
from scipy.ndimage import gaussian_filter, map_coordinates

from bravaismap.lattice.basis import basis_from_cell
from bravaismap.local.deformation import best_kernel, local_deformation
from bravaismap.local.frame import pixel_phases
from bravaismap.local.smoothing import smoothed
from bravaismap.local.strain import strain
from bravaismap.simulate.crystal import gaussian_atoms

SIZE, A, WIDTH, BACKGROUND = 320, 10.0, 1.7, 0.1  # px; the background over the height of a column
BURGERS = A  # px, along x
FIXED = 2.2  # cells, of the Gaussian that is given
EDGE, CORE = 60, 60  # px at the edges, and around the core of the dislocation, that are left out


def displacement(name: str, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far what is seen at a point is displaced, (u_y, u_x) in px."""
    y, x = y - SIZE / 2 + 0.5, x - SIZE / 2 + 0.5
    if name == "uniform 1 %":
        return 0 * y, 0.01 * x
    if name == "dislocation":  # isotropic, Poisson's ratio 0.25, y upwards in its own frame
        up, nu, square = -y, 0.25, x**2 + y**2
        along = np.arctan2(up, x) + x * up / (2 * (1 - nu) * square)
        above = -((1 - 2 * nu) / (4 * (1 - nu)) * np.log(square) + (x**2 - up**2) / (4 * (1 - nu) * square))
        return -BURGERS / (2 * np.pi) * above, BURGERS / (2 * np.pi) * along
    k = 2 * np.pi / float(name.split()[-2])
    return 0 * y, 0.03 / k * np.sin(k * x)


def fields(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the noiseless image, and the true exx at every pixel."""
    basis = basis_from_cell(A, A, np.pi / 3, 0.3)
    steps = np.stack(np.meshgrid(*2 * [np.arange(-80, 80)], indexing="ij"), -1).reshape(-1, 2)
    rest = steps @ basis + SIZE / 2 + [0.3, 0.7]
    rest = rest[((rest > -4 * A) & (rest < SIZE + 4 * A)).all(1)]
    places = rest.copy()
    for _ in range(30):  # r = R + u(r)
        places = rest + np.stack(displacement(name, places[:, 0], places[:, 1]), -1)
    image = gaussian_atoms(places, np.ones(len(places)), np.full(len(places), WIDTH), (SIZE, SIZE))
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    h = 1e-3
    slope = (displacement(name, y, x + h)[1] - displacement(name, y, x - h)[1]) / (2 * h)
    slope = np.where(np.abs(slope) < 1, slope, 0.0)  # where the cut of the dislocation is
    return image.astype(float) + BACKGROUND, slope / (1 - slope)


def bound(basis: np.ndarray, sigma: float, counts: float) -> float:
    """Return the Cramér-Rao bound of exx: the Fisher information of counts for the displacement, in the Gaussian."""
    index = np.stack(np.meshgrid(*2 * [np.arange(-3, 4)], indexing="ij"), -1).reshape(-1, 2)
    grid = np.stack(np.meshgrid(*2 * [np.arange(64) / 64], indexing="ij"), -1) @ basis
    apart = grid[:, :, None] - index @ basis
    column = np.exp(-0.5 * (apart**2).sum(-1) / WIDTH**2)
    mean = counts * (column.sum(-1) + BACKGROUND)
    slope = counts * (column * apart[..., 1]).sum(-1) / WIDTH**2
    return float(1 / np.sqrt((slope**2 / mean).mean() * 8 * np.pi * sigma**4))


def two_beams(flat: np.ndarray, basis: np.ndarray, sigma: float) -> np.ndarray:
    """Return exx at every pixel by classical geometric phase analysis of the two shortest reciprocal vectors."""
    vectors = np.linalg.inv(basis).T
    y, x = np.mgrid[:SIZE, :SIZE]
    slopes = []
    for g in vectors:
        wave = flat * np.exp(-2j * np.pi * (g[0] * y + g[1] * x))
        seen = gaussian_filter(wave.real, sigma, mode="constant") + 1j * gaussian_filter(
            wave.imag, sigma, mode="constant"
        )
        change = [np.angle(np.roll(seen, -1, axis) * np.roll(seen, 1, axis).conj()) / 2 for axis in (0, 1)]
        slopes.append(-np.stack(change) / (2 * np.pi))
    gradient = np.einsum("ik,kjyx->yxij", np.linalg.inv(vectors), np.stack(slopes))
    return strain(torch.from_numpy(gradient.copy()))[..., 0].numpy()


def measured(image: np.ndarray, basis: np.ndarray, kernel: float | None) -> tuple[np.ndarray, np.ndarray, float]:
    """Return exx by all nodes and by two beams, both at every pixel, and the kernel in px."""
    frame = torch.from_numpy((image / image.std()).astype(np.float32))
    pixels = pixel_phases(frame, torch.from_numpy(basis[None].astype(np.float32)))
    locked = pixels.crystals[0].locked
    cell = pixels.cell
    whole = torch.ones_like(frame)
    background = smoothed(frame, cell) / smoothed(whole, cell)
    flat, level = frame - background, float(frame.mean())
    share = pixels.at_every_pixel(pixels.probability[0])
    if kernel is None:
        kernel = best_kernel(flat, share, locked, pixels.noise, level)
    ours = local_deformation(flat, share, locked, pixels.noise, level, kernel * cell)
    y, x = np.mgrid[:SIZE, :SIZE] / ours.step
    exx = map_coordinates(strain(ours.gradient)[..., 0].double().numpy(), [y, x], order=3, mode="nearest")
    return exx, two_beams(flat.double().numpy(), pixels.basis[0].double().numpy(), kernel * cell), kernel * cell


def errors(values: np.ndarray, true: np.ndarray, counted: np.ndarray) -> float:
    difference = (values - true)[counted]
    return float((difference - difference.mean()).std())


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--counts", type=float, nargs="+", default=[20.0, 3.0], help="at the peak of a column")
    options.add_argument("--seeds", type=int, default=4, help="images of each kind")
    asked = options.parse_args(arguments)
    print(machine())
    basis = basis_from_cell(A, A, np.pi / 3, 0.3)
    y, x = np.mgrid[:SIZE, :SIZE]
    rows: list[dict] = []
    print(
        "rms error of exx, %: against the blurred field (all nodes, two beams), over the bound; and against the field"
    )
    for counts in asked.counts:
        for name in ("uniform 1 %", "dislocation", "wave of 200 px", "wave of 100 px", "wave of 50 px"):
            image, true = fields(name)
            inside = (np.minimum(y, x) >= EDGE) & (np.maximum(y, x) < SIZE - EDGE)
            if name == "dislocation":
                inside &= np.hypot(y - SIZE / 2, x - SIZE / 2) > CORE
            for kernel in (FIXED, None):
                found = []
                for seed in range(asked.seeds):
                    noisy = np.random.default_rng(seed).poisson(counts * image).astype(float)
                    ours, two, sigma = measured(noisy, basis, kernel)
                    slope = gaussian_filter(true / (1 + true), sigma)
                    blurred = slope / (1 - slope)
                    found.append(
                        [errors(v, t, inside) for t in (blurred, true) for v in (ours, two)]
                        + [sigma, bound(basis, sigma, counts)]
                    )
                ours, two, ours_true, two_true, sigma, least = np.sqrt((np.array(found) ** 2).mean(0)).tolist()
                row = {
                    "counts": counts, "field": name, "kernel": "given" if kernel else "chosen", "sigma_px": sigma,
                    "bound": least, "error": ours, "two_beams": two, "error_true": ours_true,
                    "two_beams_true": two_true,
                }  # fmt: skip
                rows.append(row)
                numbers = f"{100 * ours:.3f} {100 * two:.3f}  {ours / least:.2f} {two / least:.2f}"
                print(
                    f"{counts:4g} counts  {name:<15} σ {sigma:4.1f} px {row['kernel']:<7} {numbers}   "
                    f"{100 * ours_true:.3f} {100 * two_true:.3f}",
                    flush=True,
                )
    write_figures(asked.json, "strain", {"rows": rows})


if __name__ == "__main__":
    main()
