"""
A superlattice
==============

When every second or third atom is brighter, the crystal's cell is the large one, however weak the difference. When
is the large cell measured, and when the small one?
"""

import numpy as np
from matplotlib.figure import Figure

import bravaismap as bm
from bravaismap.lattice import basis_from_cell
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

SPACING = 9.0
BASIS = basis_from_cell(SPACING, SPACING, np.pi / 3, 0.23)


def superlattice(order, brighter, side=128):
    """Return a window in which every atom at multiples of `order` along both vectors is brighter by a factor."""
    sites = lattice_sites(BASIS, (side, side), np.array([3.0, 4.0]), 30)
    index = np.rint((sites - np.array([3.0, 4.0])) @ np.linalg.inv(BASIS)).astype(int)
    height = np.where((index % order == 0).all(axis=1), 1 + brighter, 1.0)
    counts = 40 * gaussian_atoms(sites, height, np.full(len(sites), 1.7), (side, side)) + 5
    return np.random.default_rng(2).poisson(counts)


orders, factors = (2, 3, 4, 5, 6), (0.05, 0.1, 0.3, 1.0, 3.0)
images = np.stack([superlattice(order, factor) for order in orders for factor in factors])
found = bm.classify(images, samples=0)

# %%
# The length of a that was measured, over the distance between atoms: 1 is the small cell, and the number on the
# left the true one. The superlattice needs enough cells of its own: one of 5 × 5 has fewer than three of them in
# this window, and the small cell is reported even where it is plain to the eye. A larger window sees it where it is
# bright, below at +300 %, and not where it is faint.

ratio = np.sqrt(found["a"].values * found["b"].values).reshape(len(orders), -1) / SPACING
figure = Figure((6, 3.4), layout="constrained")
axes = figure.add_subplot()
axes.imshow(np.abs(ratio - np.array(orders)[:, None]) < 0.1, cmap="cividis", vmin=-0.6, vmax=1.4, aspect="auto")
for row in range(len(orders)):
    for column in range(len(factors)):
        kind = found["lattice"].values[int(found["label"][row * len(factors) + column])]
        axes.text(
            column,
            row,
            f"{ratio[row, column]:.2f}\n{kind}",
            ha="center",
            va="center",
            size=8,
            color="white" if abs(ratio[row, column] - orders[row]) > 0.1 else "black",
        )
axes.set_xticks(range(len(factors)), [f"+{100 * factor:g} %" for factor in factors])
axes.set_yticks(range(len(orders)), [f"{order} × {order}" for order in orders])
axes.set(xlabel="extra brightness of the superlattice's atoms", ylabel="superlattice")

# %%
# The 5 × 5 superlattice at +100 % and +300 % in a window of 256 px, which holds almost six of its cells:

large = np.stack([superlattice(5, factor, side=256) for factor in (1.0, 3.0)])
for factor, length in zip((1.0, 3.0), bm.classify(large, samples=0)["a"].values, strict=True):
    print(f"+{100 * factor:.0f} %: a is {length / SPACING:.2f} distances between atoms")

# %%
# Three of the images: 2 × 2 at +30 %, 4 × 4 at +100 %, 6 × 6 at +300 %.

pictures = Figure((7, 2.4), layout="constrained")
for axes, (order, factor) in zip(pictures.subplots(1, 3), ((2, 0.3), (4, 1.0), (6, 3.0)), strict=True):
    axes.imshow(superlattice(order, factor), cmap="gray")
    axes.axis("off")

# %%
# On real crystals the superlattice often is the brighter one (Si(111) 7×7), and then either may be measured.
# Compare a and b with what you expect: the class of a superlattice can differ from that of the lattice.
