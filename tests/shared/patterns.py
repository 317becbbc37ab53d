"""Patterns whose symmetry is known: atoms drawn one by one in real space on the general positions of a plane group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

#: General positions as the International Tables print them, in the conventional cell.
GENERAL = {
    "p1": "x,y",
    "p2": "x,y; -x,-y",
    "pm": "x,y; -x,y",
    "pg": "x,y; -x,y+1/2",
    "cm": "x,y; -x,y; x+1/2,y+1/2; -x+1/2,y+1/2",
    "p2mm": "x,y; -x,-y; -x,y; x,-y",
    "p2mg": "x,y; -x,-y; -x+1/2,y; x+1/2,-y",
    "p2gg": "x,y; -x,-y; -x+1/2,y+1/2; x+1/2,-y+1/2",
    "c2mm": "x,y; -x,-y; -x,y; x,-y; x+1/2,y+1/2; -x+1/2,-y+1/2; -x+1/2,y+1/2; x+1/2,-y+1/2",
    "p4": "x,y; -x,-y; -y,x; y,-x",
    "p4mm": "x,y; -x,-y; -y,x; y,-x; -x,y; x,-y; y,x; -y,-x",
    "p4gm": "x,y; -x,-y; -y,x; y,-x; -x+1/2,y+1/2; x+1/2,-y+1/2; y+1/2,x+1/2; -y+1/2,-x+1/2",
    "p3": "x,y; -y,x-y; -x+y,-x",
    "p3m1": "x,y; -y,x-y; -x+y,-x; -y,-x; -x+y,y; x,x-y",
    "p31m": "x,y; -y,x-y; -x+y,-x; y,x; x-y,-y; -x,-x+y",
    "p6": "x,y; -y,x-y; -x+y,-x; -x,-y; y,-x+y; x-y,x",
    "p6mm": (
        "x,y; -y,x-y; -x+y,-x; -x,-y; y,-x+y; x-y,x; -y,-x; -x+y,y; x,x-y; y,x; x-y,-y; -x,-x+y"
    ),
}  # fmt: skip
#: Lengths in px and angle in degrees of a conventional cell of each group's class.
SQUARE, HEXAGONAL, RECTANGULAR, OBLIQUE = (
    (22.0, 22.0, 90.0),
    (22.0, 22.0, 120.0),
    (18.0, 26.0, 90.0),
    (17.0, 23.0, 78.0),
)
CELLS = {
    name: OBLIQUE if name in ("p1", "p2") else SQUARE if "4" in name else HEXAGONAL if name[1] in "36" else RECTANGULAR
    for name in GENERAL
}


def positions(name: str, points: Sequence[tuple[float, float]]) -> np.ndarray:
    """Return the places of a conventional cell that a group makes of points, each once."""
    places: list[np.ndarray] = []
    for x, y in points:
        for triplet in GENERAL[name].split(";"):
            parts = triplet.replace("/2", "*0.5").split(",")
            place = np.array([eval(part, {}, {"x": x, "y": y}) for part in parts]) % 1.0
            if not any(np.abs((place - other + 0.5) % 1.0 - 0.5).max() < 1e-6 for other in places):
                places.append(place)
    return np.array(places)


@dataclass(frozen=True)
class Pattern:
    """An image of a crystal: its conventional basis in px, the atoms of the cell, and what was drawn."""

    image: np.ndarray
    basis: np.ndarray
    atoms: np.ndarray

    @property
    def primitive(self) -> np.ndarray:
        """The primitive basis."""
        half = self.atoms + 0.5
        apart = np.abs((half[:, None] - self.atoms + 0.5) % 1.0 - 0.5).max(axis=-1)
        centred = (apart.min(axis=1) < 1e-6).all()
        a, b = self.basis
        return np.array([(a - b) / 2, (a + b) / 2]) if centred else self.basis


def draw(
    name: str,
    points: Sequence[tuple[float, float]] = ((0.13, 0.22), (0.36, 0.07)),
    *,
    heights: Sequence[float] = (1.0, 0.6),
    width: float = 1.8,
    size: int = 128,
    angle: float = 0.4,
    origin: tuple[float, float] = (0.0, 0.0),
    counts: float | None = None,
    noise: float = 0.0,
    strain: np.ndarray | None = None,
    displace: Callable[[np.ndarray], np.ndarray] | None = None,
    present: Callable[[np.ndarray], np.ndarray] | None = None,
    seed: int = 0,
) -> Pattern:
    """Draw a pattern of a plane group, its atoms Gaussians of one width at the images of points."""
    a, b, gamma = CELLS[name]
    turns = angle + np.array([0.0, np.deg2rad(gamma)])
    strain = np.eye(2) if strain is None else strain
    basis = np.stack([-np.sin(turns), np.cos(turns)], axis=-1) * np.array([[a], [b]]) @ strain
    back = np.linalg.inv(strain)  # a distorted scan distorts the atoms as well
    sites = [positions(name, [point]) for point in points]
    y, x = np.mgrid[:size, :size].astype(float)
    image = np.zeros((size, size))
    reach = int(2 * size / min(a, b)) + 3
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2), axis=-1).reshape(-1, 2)
    for places, height in zip(sites, heights, strict=False):
        centers = (places[:, None] + np.asarray(origin) + steps).reshape(-1, 2) @ basis
        centers = centers if displace is None else centers + displace(centers)
        centers = centers if present is None else centers[present(centers)]
        edge = 6 * width
        centers = centers[((centers > -edge) & (centers < size + edge)).all(axis=1)]
        for cy, cx in centers:
            rows = slice(max(int(cy - edge), 0), max(int(cy + edge) + 1, 0))
            columns = slice(max(int(cx - edge), 0), max(int(cx + edge) + 1, 0))
            apart = np.stack([y[rows, columns] - cy, x[rows, columns] - cx], axis=-1) @ back
            image[rows, columns] += height * np.exp(-(apart**2).sum(axis=-1) / (2 * width**2))
    rng = np.random.default_rng(seed)
    if counts is not None:
        image = rng.poisson(counts * (image + 0.05)).astype(float)
    image = image + noise * rng.normal(size=image.shape)
    return Pattern(image, basis, np.concatenate(sites))
