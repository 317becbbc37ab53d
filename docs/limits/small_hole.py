"""
A hole smaller than the window
==============================

A window that is partly crystal still shows the lattice: its class is ``none`` only when a hole at its middle fills
half of it, or one at its side four fifths. The pixels are asked one by one, and see a hole of a few cells.
"""

import numpy as np
from matplotlib.figure import Figure

import bravaismap as bm
from bravaismap.conventions import CLASSES, COLORS
from bravaismap.lattice import basis_from_cell
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

SIDE, SPACING = 192, 11.0
rng = np.random.default_rng(3)
sites = lattice_sites(basis_from_cell(SPACING, SPACING, np.pi / 3, 0.2), (SIDE, SIDE), rng.random(2), 20)
NONE = CLASSES.index("none")
radii = np.array([0, 8, 12, 18, 26, 36, 48, 60])


def with_hole(radius):
    """Return an image of 192 px whose atoms are missing inside a circle about its centre."""
    left = sites[np.hypot(*(sites - SIDE / 2).T) > radius]
    counts = 40 * gaussian_atoms(left, np.ones(len(left)), np.full(len(left), 2.0), (SIDE, SIDE)) + 4
    return np.random.default_rng(int(radius)).poisson(counts)


images = np.stack([with_hole(radius) for radius in radii])
result = bm.map_phases(images, window=96, step=24, samples=0)
figure = Figure((8, 4.2), layout="constrained")
shown = figure.subplots(2, 4)
for axes, i in zip(shown.T.reshape(4, 2), (0, 2, 4, 6), strict=True):
    axes[0].imshow(images[i], cmap="gray")
    axes[0].set_title(f"hole of radius {radii[i]} px", fontsize=9)
    axes[1].imshow(result["phase"][i] == NONE, cmap="gray_r", vmin=0, vmax=1.6)
    axes[1].set_title(
        f"none {100 * float(result['area_fraction'].sel(lattice='none')[i]):.1f} % of the pixels", fontsize=9
    )
    for one in axes:
        one.set(xticks=[], yticks=[])

# %%
# The share of the image that is none, by its pixels and by the mean probability of its windows of 96 px, against the
# true share: that of the sites whose atom is missing.

inside = ((sites > 0) & (sites < SIDE)).all(axis=1)
true = np.array([np.mean(np.hypot(*(sites[inside] - SIDE / 2).T) <= radius) for radius in radii])
pixels = result["area_fraction"].sel(lattice="none").values
windows = result["fraction"].sel(lattice="none").values
curves = Figure((6, 3), layout="constrained")
axes = curves.add_subplot()
axes.plot(true, true, color="0.7", lw=4, label="true")
axes.plot(true, pixels, "o-", ms=4, color=COLORS["hexagonal"], label="pixels")
axes.plot(true, windows, "s--", ms=4, color=COLORS["none"], label="mean probability of windows of 96 px")
axes.set(xlabel="share of the atoms that are missing", ylabel="share of none")
_ = axes.legend(fontsize=8, frameon=False)
for radius, *shares in zip(radii, true, pixels, windows, strict=True):
    print("radius {:2d} px: {:5.1f} % missing, {:5.1f} % of the pixels, {:5.1f} % by windows".format(
        int(radius), *(100 * share for share in shares)
    ))  # fmt: skip

# %%
# What to do: take the areas, which lead in every table and curve, and look at the figure of the pixels. The mean
# probability over windows is the paper's number. How far areas can be trusted is in :doc:`/areas`.
