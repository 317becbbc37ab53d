"""How often the plane group of a random motif is named, how its probability is calibrated, and the limit beside it.

python benchmarks/plane_groups.py [--motifs 20] [--shear 0.03] [--seed 0] [--sizes 512 1024] [--json FILE]

Motifs of 2 to 8 atoms (12 where the group has so many places) are drawn on Wyckoff positions of each of the 17 groups,
laid on a lattice of its class in any orientation, and counted: 30 to 400 cells, 1 to 100 counts to an atom of weight 1,
over a background. The truth is the group of the pattern that was drawn, which few atoms can make higher than the
recipe. Its *breaking* is the smallest misfit, in σ of the structure factors, of any group that holds it, one with a
smaller cell included.

The limit knows the lattice and the place of every pixel in it, and is otherwise the same.

Calibration can be asked for over all images, or over those that the answer leaves in doubt (its probability is below
0.95). It cannot over those whose truth breaks the next higher group by less than 5 σ: by that choice the lower group is
the truth in each of them, whatever the data say, while images of the higher group that look the same are left out. What
an exact posterior has there is printed beside it: a difference y = b + noise of 1, b = 0 in half of the cases and from
a normal distribution of σ 10 in the others.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from machine import machine, parser, write_figures
from scipy.special import expit

import bravaismap as bm
from bravaismap.errors import InputError
from bravaismap.evaluate.reliability import calibrated_error, calibration_error
from bravaismap.lattice import basis_from_cell, reciprocal, reduce_basis
from bravaismap.motif.averaging import fold_pixels
from bravaismap.motif.harmonics import lattice_of_image
from bravaismap.motif.phase import LocalPhase
from bravaismap.motif.plane_groups import PLANE_GROUPS, PlaneGroup, compatible_settings, contains
from bravaismap.motif.structure_factors import StructureFactors, fit_pattern, structure_factors
from bravaismap.motif.symmetry import Symmetry, find_symmetry
from bravaismap.motif.translations import fit_cell

MOST_ATOMS = 8
AREA_PER_ATOM = (45.0, 90.0)  # px²
WIDTH = (1.4, 2.0)  # px, σ of an atom
WEIGHT = (0.4, 1.0)
CELLS, COUNTS = (30, 400), (1.0, 100.0)
BACKGROUND = 0.2  # of the mean counts
STRICT = 0.005  # distortion that is allowed for where there is none
CLEAR = 5.0  # σ of breaking, above which the group can be told
DOUBT = 0.95  # probability of the answer below which it is in doubt


@dataclass(frozen=True)
class Drawn:
    """A motif, and where it was laid: positions in the primitive basis of the group's reference setting."""

    group: PlaneGroup
    basis: np.ndarray
    position: np.ndarray
    weight: np.ndarray
    width: np.ndarray

    def factors(self, orders: np.ndarray, basis: np.ndarray | None = None) -> np.ndarray:
        """Return the exact structure factors of orders (n, 2), atoms being round in the image."""
        k = orders @ reciprocal(self.basis if basis is None else basis)
        fall = np.exp(-2 * np.pi**2 * self.width**2 * (k**2).sum(axis=1)[:, None])
        waves = np.exp(2j * np.pi * orders @ self.position.T)
        return np.asarray((self.weight * fall * waves).sum(axis=1) / abs(np.linalg.det(self.basis)))


def lattice(group: PlaneGroup, area: float, rng: np.random.Generator) -> np.ndarray:
    """Return a primitive basis of the group's class in any orientation."""
    ratio, gamma = rng.uniform(1.15, 1.7), np.radians(rng.uniform(66, 82))
    if group.lattice in ("square", "rectangular"):
        gamma = np.pi / 2
    if group.lattice in ("square", "hexagonal", "centered_rectangular"):
        ratio = 1.0
    if group.lattice == "hexagonal":
        gamma = 2 * np.pi / 3
    a = np.sqrt(area / ratio / np.sin(gamma))
    return basis_from_cell(a, a * ratio, gamma, rng.uniform(0, 2 * np.pi))


def draw(group: PlaneGroup, rng: np.random.Generator) -> Drawn:
    """Draw a motif whose atoms do not overlap and whose cell is primitive."""
    most = max(MOST_ATOMS, len(group.matrices))
    while True:
        rows: list[tuple[np.ndarray, float, float]] = []
        for _ in range(rng.integers(1, 5)):
            place = group.wyckoff[rng.integers(len(group.wyckoff))]
            if rng.random() < 0.5:
                place = group.wyckoff[-1]
            at = np.array(place.fixed) + sum((rng.random() * np.array(d) for d in place.along), np.zeros(2))
            orbit = (group.matrices @ (at @ group.conventional) + group.translations) % 1.0
            weight, width = rng.uniform(*WEIGHT), rng.uniform(*WIDTH)
            for i, x in enumerate(orbit):
                if not (np.abs((orbit[:i] - x + 0.5) % 1.0 - 0.5).max(axis=1, initial=0) < 1e-6).any():
                    rows.append((x, weight, width))
        if not 2 <= len(rows) <= most:
            continue
        basis = lattice(group, len(rows) * rng.uniform(*AREA_PER_ATOM), rng)
        position = np.stack([row[0] for row in rows]) + rng.random(2)
        drawn = Drawn(group, basis, position, *(np.array([row[i] for row in rows]) for i in (1, 2)))
        if apart(drawn) > 2 * WIDTH[1] and primitive(drawn):
            return drawn


def apart(drawn: Drawn) -> float:
    """Return the smallest distance between two atoms in px."""
    steps = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 2), axis=-1).reshape(-1, 2)
    between = drawn.position[:, None, None] - drawn.position[None, :, None] + steps
    distance = np.linalg.norm(between @ drawn.basis, axis=-1)
    itself = np.eye(len(drawn.position), dtype=bool)[..., None] & ~steps.any(axis=-1)
    return float(distance[~itself].min())


def primitive(drawn: Drawn) -> bool:
    """Tell whether no translation by a part of the cell leaves the motif as it is."""
    for shift in drawn.position[1:] - drawn.position[0]:
        gaps = drawn.position[:, None] + shift - drawn.position
        same = np.abs(gaps - np.rint(gaps)).max(axis=-1) < 1e-6
        if same.any(axis=1).all() and np.allclose((same @ drawn.weight), drawn.weight):
            return False
    return True


def counted(drawn: Drawn, cells: float, counts: float, shear: float, rng: np.random.Generator) -> tuple:
    """Return an image of Poisson counts, and the basis that it shows."""
    direction = rng.uniform(0, 2 * np.pi)
    stretch = shear * np.array([[np.cos(direction), np.sin(direction)], [np.sin(direction), -np.cos(direction)]])
    seen = drawn.basis @ (np.eye(2) + stretch / 2)
    area = abs(float(np.linalg.det(drawn.basis)))
    side = max(round(float(np.sqrt(cells * area))), 40)
    y, x = (np.arange(side, dtype=float) for _ in range(2))
    g = reciprocal(seen)
    coordinates = g[:, 0, None, None] * y[:, None] + g[:, 1, None, None] * x
    reach = int(np.ceil(1.2 / WIDTH[0] * np.sqrt((drawn.basis**2).sum(axis=1)).max()))
    h, k = np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij")
    orders = np.stack([h.ravel(), k.ravel()], axis=-1)
    orders = orders[(orders[:, 0] > 0) | ((orders[:, 0] == 0) & (orders[:, 1] > 0))]
    factors = drawn.factors(orders)
    strong = np.abs(factors) > 1e-6 * np.abs(factors).max()
    fold = fold_pixels(coordinates, int(np.abs(orders[strong]).max()))
    mean = float(drawn.weight.sum() / area)
    bright = mean + fold.pattern(orders[strong], factors[strong]).reshape(side, side)
    image = rng.poisson(counts * np.maximum(bright + BACKGROUND * mean, 0)).astype(np.float32)
    return image, seen, coordinates


def truth(
    drawn: Drawn, factors: StructureFactors, change: np.ndarray, counts: float, distortion: float
) -> tuple[int, float]:
    """Return the group of the pattern that was drawn, from 0, and its breaking.

    Parameters
    ----------
    factors : StructureFactors
        Measured in the basis ``change @ drawn.basis``, with their errors.
    distortion : float
        That is allowed for: a lattice within it of a higher class may be taken for that.
    """
    exact = replace(factors, value=counts * drawn.factors(np.rint(factors.order @ np.linalg.inv(change).T).astype(int)))
    settings = compatible_settings(change @ drawn.basis, max(4 * np.sqrt(2) * distortion, 0.01))
    fits = find_symmetry(exact, 0.001, settings=settings).settings
    obeyed = [fit for fit in fits if fit.setting.misfit < 1e-3 and fit.residual < 1e-3 and fit.chi_square < 0.05]
    best = max(obeyed, key=lambda fit: len(fit.setting.matrices))
    above = [fit.chi_square for fit in fits if contains(fit.setting, best.setting) and fit not in obeyed]
    for shift in itertools.chain(
        itertools.product((0, 1 / 2), repeat=2), itertools.product((0, 1 / 3, 2 / 3), repeat=2)
    ):
        turns = exact.order @ np.array(shift)
        extinct = np.abs(turns - np.rint(turns)) > 1e-6  # if this were a translation of the lattice
        if any(shift):
            above.append(float((2 * np.abs(exact.value[extinct]) ** 2 / exact.std[extinct] ** 2).sum()))
    return best.setting.group.number - 1, float(np.sqrt(min(above)))


def answer(image: np.ndarray, seen: np.ndarray, distortion: float) -> tuple[Symmetry | None, float]:
    """Return what is said of an image, None where the lattice is not the one that was drawn, and the CPU time in s."""
    started = time.process_time()
    try:
        basis, _ = lattice_of_image(image, np.ones(image.shape))
        fit = fit_cell(image, basis, np.ones(image.shape))
    except InputError:
        return None, time.process_time() - started
    symmetry = find_symmetry(structure_factors(fit), distortion)
    seconds = time.process_time() - started
    change = fit.basis @ np.linalg.inv(seen)
    same = np.abs(change - np.rint(change)).max() < 0.1 and abs(abs(np.linalg.det(change)) - 1) < 0.05
    return (symmetry if same else None), seconds


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--motifs", type=int, default=20, help="of each group")
    options.add_argument("--shear", type=float, default=0.0, help="largest difference of the principal strains")
    options.add_argument("--cells", type=float, nargs=2, default=CELLS)
    options.add_argument("--counts", type=float, nargs=2, default=COUNTS)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--sizes", type=int, nargs="*", default=(), help="sides of whole images that are timed, in px")
    asked = options.parse_args(arguments)
    print(machine())
    times = {side: seconds_of_image(side, asked.seed) for side in asked.sizes}
    rows = []
    for group in PLANE_GROUPS:
        for i in range(asked.motifs):
            rng = np.random.default_rng([asked.seed, group.number, i])
            drawn = draw(group, rng)
            cells, counts = (np.exp(rng.uniform(*np.log(ends))) for ends in (asked.cells, asked.counts))
            image, seen, coordinates = counted(drawn, cells, counts, rng.uniform(0, asked.shear), rng)
            distortion = max(asked.shear, STRICT)
            reduced = reduce_basis(seen)
            change = np.rint(reduced @ np.linalg.inv(seen))
            place = np.einsum("ij,jyx->iyx", np.linalg.inv(change).T, coordinates)
            known = structure_factors(fit_pattern(image, reduced, np.ones(image.shape), LocalPhase(place, False, 0.0)))
            limit = find_symmetry(known, distortion)
            label, breaking = truth(drawn, known, change, counts, distortion)
            said, seconds = answer(image, seen, distortion)
            probability = np.zeros(17) if said is None else said.probability
            rows.append((group.number - 1, label, breaking, limit.probability, probability, said is not None, seconds))
    figures = summary(rows)
    write_figures(asked.json, "plane_groups", {"shear": asked.shear, "motifs": asked.motifs, "image": times} | figures)


def seconds_of_image(side: int, seed: int) -> float:
    """Print and return the CPU time of :func:`bravaismap.motif` for a whole image of p3m1, the better of two runs."""
    rng = np.random.default_rng(seed)
    drawn = draw(PLANE_GROUPS[13], rng)
    cells = side**2 / abs(float(np.linalg.det(drawn.basis)))
    image = counted(drawn, cells, 20.0, 0.0, rng)[0]
    seconds = []
    for _ in range(2):
        started = time.process_time()
        bm.motif(image)
        seconds.append(time.process_time() - started)
    print(f"an image of {side} × {side} px, {cells:.0f} cells: {min(seconds):.2f} s of CPU")
    return min(seconds)


def summary(rows: list[tuple]) -> dict:
    """Print and return the shares of right answers, and the calibration."""
    if not rows:
        return {}
    label, breaking, found, seconds = (np.array([row[i] for row in rows]) for i in (1, 2, 5, 6))
    figures: dict = {"images": len(rows), "seconds": float(np.median(seconds)), "lattice": float(found.mean())}
    print(f"{len(rows)} images, {np.median(seconds):.2f} s of CPU each; lattice right in {100 * found.mean():.1f} %")
    clear = breaking > CLEAR
    for name, column in (("limit", 3), ("measured", 4)):
        probability = np.stack([row[column] for row in rows])
        right = probability.argmax(axis=1) == label
        if name == "measured":
            right &= found
        sure = probability.max(axis=1)
        told = sure > 0
        each = figures[name] = {
            "right": float(right.mean()), "clear": float(right[clear].mean()), "images_clear": int(clear.sum()),
            "with_lattice": float(right[clear & found].mean()),
        }  # fmt: skip
        print(
            f"{name:<9} right {100 * each['right']:.1f} %; breaking above {CLEAR:g} σ ({clear.sum()} images) "
            f"{100 * each['clear']:.1f} %, with the right lattice {100 * each['with_lattice']:.1f} %"
        )
        for part, chosen in (
            ("all", told), ("in doubt", told & (sure < DOUBT)), ("sure", told & (sure >= DOUBT)),
            (f"chosen by the truth below {CLEAR:g} σ", told & ~clear),
        ):  # fmt: skip
            each[part] = calibration(sure[chosen], right[chosen], part)
        for row, p, ok in zip(rows, probability, right, strict=True):
            if row[2] > CLEAR and not ok:
                names = [f"{PLANE_GROUPS[i].name} {p[i]:.2f}" for i in np.argsort(-p)[:2]]
                lattice_too = "" if name == "limit" or row[5] else ", another lattice"
                print(f"   {PLANE_GROUPS[row[1]].name}, breaking {row[2]:.1f} σ: {', '.join(names)}{lattice_too}")
    figures["exact"] = exact_posterior()
    print(
        "an exact posterior of one difference: calibration error {all:.3f}, chosen by the truth {chosen:.3f}".format(
            **figures["exact"]
        )
    )
    return figures


def calibration(sure: np.ndarray, right: np.ndarray, part: str) -> dict:
    """Print and return how often answers are right beside their mean probability, and the calibration error."""
    if len(sure) == 0:
        return {"images": 0}
    error, (chance, high) = calibration_error(sure, right), calibrated_error(sure)
    print(
        f"   {part}: {len(sure)} images, probability {sure.mean():.3f}, right {right.mean():.3f}; calibration error "
        f"{error:.3f} (a perfect one by chance {chance:.3f}, up to {high:.3f})"
    )
    return {
        "images": len(sure), "probability": float(sure.mean()), "right": float(right.mean()), "error": error,
        "by_chance": chance, "by_chance_95": high,
    }  # fmt: skip


def exact_posterior(cases: int = 100_000, spread: float = 10.0, seed: int = 0) -> dict:
    """Return the calibration error of an exact posterior: of all cases, and of those below `CLEAR` by their truth."""
    rng = np.random.default_rng(seed)
    broken = rng.random(cases) < 0.5
    truth = np.where(broken, spread * rng.normal(size=cases), 0.0)
    seen = truth + rng.normal(size=cases)
    p = expit(seen**2 / 2 * spread**2 / (1 + spread**2) - np.log(1 + spread**2) / 2)
    sure, right = np.maximum(p, 1 - p), (p > 0.5) == broken
    chosen = broken & (np.abs(truth) < CLEAR)
    return {"all": calibration_error(sure, right), "chosen": calibration_error(sure[chosen], right[chosen])}


if __name__ == "__main__":
    main()
