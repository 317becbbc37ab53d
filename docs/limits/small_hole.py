"""
A hole smaller than the window
==============================

A window that is partly crystal still shows the lattice. A hole counts as ``none`` only when it fills about two
fifths of the window, so a map misses small holes and sees large ones late.
"""

import numpy as np
from matplotlib.figure import Figure

import bravaismap as bm
from bravaismap.conventions import CLASSES
from bravaismap.lattice import basis_from_cell
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

rng = np.random.default_rng(3)
sites = lattice_sites(basis_from_cell(11.0, 11.0, np.pi / 3, 0.2), (128, 128), rng.random(2), 20)
radii = (0, 20, 35, 45, 50, 60)


def with_hole(radius):
    """Return a window of 128 px whose atoms are missing inside a circle about its centre."""
    left = sites[np.hypot(*(sites - 63.5).T) > radius]
    counts = 40 * gaussian_atoms(left, np.ones(len(left)), np.full(len(left), 2.0), (128, 128)) + 4
    return np.random.default_rng(radius).poisson(counts)


images = np.stack([with_hole(radius) for radius in radii])
found = bm.classify(images, samples=0)
figure = Figure((8, 3.2), layout="constrained")
for i, axes in enumerate(figure.subplots(1, len(radii))):
    share, probability = np.pi * radii[i] ** 2 / 128**2, found["probability"].values[i]
    best = int(probability.argmax())
    axes.imshow(images[i], cmap="gray")
    axes.set_title(f"hole {100 * share:.0f} %\n{CLASSES[best]}\n{probability[best]:.2f}", fontsize=9)
    axes.axis("off")

# %%
# The probability of none against the size of the hole, for windows of 128 px and of 64 px. Smaller windows see smaller
# holes. Near the edge the answer depends on where the few atoms that are left happen to lie, and can jump back:

tried = np.arange(0, 64, 2)
curves = Figure((6, 3), layout="constrained")
axes = curves.add_subplot()
for side, style in ((128, "o-"), (64, "s--")):
    cut = slice(64 - side // 2, 64 + side // 2)
    holes = np.stack([with_hole(int(radius))[cut, cut] for radius in tried])
    none = bm.classify(holes, samples=0)["probability"].values[:, CLASSES.index("none")]
    axes.plot(tried, none, style, ms=3, label=f"window of {side} px")
    half = tried[np.argmax(none > 0.5)]
    print(f"window of {side} px: none first at a radius of {half} px, {half / side:.2f} windows")
axes.set(xlabel="radius of the hole (px)", ylabel="probability of none")
_ = axes.legend(fontsize=8, frameon=False)

# %%
# What to do: choose the window after the smallest hole that matters, correct the areas (``bravaismap export RESULT
# --domains``), or let the pixels decide inside windows called none (with ``--movie``). Measured errors of all four
# are in :doc:`/kinetics`.
