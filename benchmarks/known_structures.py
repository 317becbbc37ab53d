"""The plane group and the columns of crystals of known structure, from multislice images, down to few counts.

python benchmarks/known_structures.py [--convolution] [--json FILE]        (needs the extra `physics`)

The stills of benchmarks/physical_crystals.py: HAADF of one cell, tiled in any orientation. The theory of a projection
is the two-dimensional space group of all its atoms, whatever their height, as an image has it that is the mean over the
layers a crystal may begin with. A still that is sampled so that equivalent atoms lie differently on its grid, or is cut
in one layer alone, has less (graphene p3m1, rutile c2mm).

Rutile along c, P4₂/mnm with Ti at 2a (0, 0, 0) and O at 4f (u, u, 0), u = 0.305: without z, Ti is at (0, 0) and (½, ½)
and O at ±(u, u) and (½ ± u, ½ ∓ u). The screw axis 4₂ at (0, ½) becomes a fourfold one, the n glide normal to a becomes
a glide g, and the mirrors normal to [110] stay: p4gm in the whole cell a × a, Ti at 2b and O at 4c (x, x + ½),
x = 0.195. There is no smaller cell, since the O about (½, ½) are those about (0, 0) turned by 90°.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import xarray as xr
from machine import machine, parser, write_figures
from physical_crystals import STILL_ANGLE, Crystal, crystals, orthogonal, still

import bravaismap as bm
from bravaismap.errors import InputError

#: Plane group of the projection, and why.
THEORY = {
    "graphene": "p6mm",  # honeycomb
    "MoS2": "p3m1",  # Mo on one threefold axis, two S above one another on another, the third is empty
    "WS2": "p3m1",
    "SrTiO3 [001]": "p4mm",  # Sr in the corner, Ti and O in the middle, O on the edges
    "rutile [001]": "p4gm",  # P4₂/mnm, see above
    "Si [110]": "c2mm",  # Fd-3m along [110]: dumbbells
    "Au [110]": "c2mm",  # Fm-3m along [110]: a centred rectangle of single columns
}
COUNTS = (1000.0, 100.0, 30.0, 10.0, 3.0, 1.0)  # mean counts in the brightest pixel


@dataclass(frozen=True)
class Row:
    """What is said of a still at a dose."""

    crystal: str
    counts: float
    theory: str
    group: str
    probability: float
    sites: str
    off_pm: float


def said(crystal: Crystal, image: np.ndarray, counts: float, seed: int) -> Row:
    """Return what is said of an image at some counts in its brightest pixel."""
    name = crystal.name
    rng = np.random.default_rng(seed)
    noisy = rng.poisson(counts * image / image.max()).astype(np.float32)
    try:
        motif = bm.motif(noisy, distortion=0.005, systematic=0.02)
    except InputError as error:
        return Row(name, counts, THEORY[name], f"– ({str(error)[:24]}…)", 0.0, "", np.nan)
    sites = []
    for site in np.unique(motif["site"].values):
        column = motif.isel(column=int(np.flatnonzero(motif["site"].values == site)[0]))
        sites.append(f"{column['wyckoff'].item()} ({float(column['x']):.3f}, {float(column['y']):.3f})")
    group = motif.attrs["plane_group"]
    probability = float(motif["probability"].sel(group=group))
    return Row(name, counts, THEORY[name], group, probability, "; ".join(sites), displaced(motif, crystal))


def displaced(motif: xr.Dataset, crystal: Crystal) -> float:
    """Return by how many pm the worst column misses the nearest atom, once the origin is where it suits all best."""
    atoms = orthogonal(crystal)
    lengths = atoms.cell.lengths()[:2]
    angle = np.deg2rad(STILL_ANGLE)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    places = np.stack([motif["x"].values, motif["y"].values], axis=-1) @ motif["basis"].values
    columns = (places[:, ::-1] * crystal.spacing / 12) @ turn.T  # Å, along the axes of the crystal
    if len(columns) == 0:
        return float("nan")

    def misses(shift: np.ndarray) -> np.ndarray:
        apart = columns[:, None] + shift - atoms.positions[:, :2]
        apart -= lengths * np.rint(apart / lengths)
        nearest = np.linalg.norm(apart, axis=-1).argmin(axis=1)
        return np.asarray(apart[np.arange(len(columns)), nearest])

    worst = np.inf
    for atom in atoms.positions[:, :2]:
        shift = atom - columns[0]
        shift = shift - misses(shift).mean(axis=0)
        worst = min(worst, float(np.linalg.norm(misses(shift), axis=1).max()))
    return 100 * worst


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--convolution", action="store_true", help="atoms as Gaussians, without multislice")
    options.add_argument("--seed", type=int, default=0)
    asked = options.parse_args(arguments)
    print(machine())
    multislice = not asked.convolution and find_spec("abtem") is not None
    print("multislice" if multislice else "convolution")
    rows = []
    for crystal in crystals():
        image = still(crystal, multislice)
        for counts in COUNTS:
            row = said(crystal, image, counts, asked.seed)
            rows.append(row)
            right = "right" if row.group == row.theory else "wrong"
            print(
                f"{row.crystal:<14}{counts:>7g} counts  {row.theory:<6}{row.group:<6} {row.probability:.2f} {right:<6}"
                f"{row.off_pm:5.1f} pm  {row.sites}",
                flush=True,
            )
    correct = float(np.mean([row.group == row.theory for row in rows if row.counts >= 10]))
    print(f"right at 10 counts and more: {100 * correct:.0f} %")
    off = {row.crystal: row.off_pm for row in rows if row.counts == 100}
    print("columns off their atoms at 100 counts, pm:", {name: round(value, 1) for name, value in off.items()})
    figures = {"multislice": multislice, "right": correct, "rows": [vars(row) for row in rows]}
    write_figures(asked.json, "known_structures", figures)


if __name__ == "__main__":
    main()
