"""
A sheared hexagonal lattice
===========================

Is it a hexagonal crystal in a microscope that shears, or another crystal in a straight one? The image cannot tell. The
knob ``distortion`` says what your microscope may do, and decides.
"""

import numpy as np
from matplotlib.figure import Figure

import bravaismap as bm
from bravaismap.conventions import CLASSES, COLORS
from bravaismap.lattice import basis_from_cell
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

shears, distortions = (0.0, 0.01, 0.02, 0.04, 0.06, 0.10), (0.0, 0.003, 0.01, 0.02, 0.05)
images = []
for shear in shears:
    basis = basis_from_cell(12.0, 12.0, np.pi / 3, 0.23) @ np.array([[1.0, shear], [0.0, 1.0]])
    sites = lattice_sites(basis, (128, 128), np.zeros(2), 30)
    counts = 40 * gaussian_atoms(sites, np.ones(len(sites)), np.full(len(sites), 2.2), (128, 128)) + 5
    images.append(np.random.default_rng(5).poisson(counts))
measured = bm.classify(np.stack(images), distortion=0.0)

# %%
# Rows: the shear of the scan. Columns: the distortion the model is told. Colours and numbers: the most probable
# class. On the left the model takes the image at its word; on the right it forgives a shear. Neither is wrong: they
# answer different questions.

short = {"centered_rectangular": "centered r.", "hexagonal": "hexagonal", "oblique": "oblique"}
figure = Figure((7, 3.6), layout="constrained")
axes = figure.add_subplot()
for column, distortion in enumerate(distortions):
    probability = bm.reclassify(measured, distortion=distortion)["probability"].values
    for row, best in enumerate(probability.argmax(axis=1)):
        name = CLASSES[best]
        axes.barh(
            row, 0.96, left=column - 0.48, height=0.92, color=COLORS[name], alpha=0.35 + 0.5 * probability[row, best]
        )
        axes.text(
            column, row, f"{short.get(name, name)}\n{probability[row, best]:.2f}", ha="center", va="center", size=8
        )
axes.set(
    xlabel="distortion (%)", ylabel="shear (%)", xlim=(-0.5, len(distortions) - 0.5), ylim=(len(shears) - 0.5, -0.5)
)
axes.set_xticks(range(len(distortions)), [f"{100 * d:g}" for d in distortions])
axes.set_yticks(range(len(shears)), [f"{100 * s:g}" for s in shears])

# %%
# What is measured does not depend on the knob. It is the number to quote:

for shear, off, sigma in zip(shears, measured["deviation"].values[:, 3], measured["deviation_std"].values, strict=True):
    print(f"shear {100 * shear:4.1f} %: {off:5.2f} ± {sigma:.2f} % from hexagonal")
