"""
Classify an image
=================

Which lattice does this image show, how sure is that, what is the cell, and would a slightly distorted microscope change
the answer? On the command line all of it is one line, ``bravaismap classify my_image.dm4``.
"""

# %%
# The image
# ---------
# Your own is ``image = bm.read("my_image.dm4")[0]``: :doc:`all formats </formats>` give an array ``(time, y, x)``
# with the calibration of the file. Here we simulate one whose cell we know: 12.0 by 12.4 px at 61.5°, 0.02 nm to a
# pixel, seen with 60 counts per atom.

import matplotlib.figure
import numpy as np

import bravaismap as bm
from bravaismap.lattice import basis_from_cell
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

rng = np.random.default_rng(1)
basis = basis_from_cell(12.0, 12.4, np.radians(61.5), np.radians(20))
sites = lattice_sites(basis, (256, 256), rng.random(2) * 12, 20)
atoms = gaussian_atoms(sites, np.ones(len(sites)), np.full(len(sites), 2.2), (256, 256))
image = rng.poisson(60 * atoms + 10)

figure = matplotlib.figure.Figure((4, 4))
figure.add_subplot().imshow(image, cmap="gray")

# %%
# The answer
# ----------
# Each class with its probability ± σ, the most probable one first:

from bravaismap.cli.terminal import print_classification
from bravaismap.movie import as_movie
from bravaismap.result.phase_map import phase_table

movie = as_movie(image, pixel_size=0.02)
one = bm.classify(movie)
print(phase_table(one))

# %%
# The cell, how far it is from every more symmetric lattice, and what decides:

print_classification([("image", one, 0)])

# %%
# Read it like this. The cell is *measured*: a, b and γ carry the standard uncertainty of this image alone. The
# deviations say what strain would make the lattice square, rectangular and so on. The probabilities ask whether the
# small deviation is the crystal or the microscope: the default takes a scan that is 2 % off in each component of
# its linear map, so a lattice 5 % from hexagonal may well be hexagonal.
#
# Another microscope
# ------------------
# If a calibration standard tells that yours is straight to 0.3 %, say so. The image is not looked at again:

sharp = bm.reclassify(one, distortion=0.003)
print(phase_table(sharp))

# %%
# The answer as a function of the distortion shows where it tips. The measurement stays the same throughout:

from bravaismap.show.axes import class_colors

tried = np.geomspace(0.001, 0.1, 25)
probability = np.stack([bm.reclassify(one, distortion=float(d))["probability"].values[0] for d in tried])
tipping = matplotlib.figure.Figure((6, 3.2), layout="constrained")
axes = tipping.add_subplot()
for name, color, curve in zip(
    one["lattice"].values, class_colors(one["lattice"].values).values(), probability.T, strict=True
):
    axes.semilogx(100 * tried, curve, color=color, label=name.replace("_", " "))
axes.set(xlabel="distortion (%)", ylabel="probability")
_ = axes.legend(fontsize=8, frameon=False)

# %%
# In a program
# ------------
# ``one`` is an ``xarray.Dataset``: every number has a name, and units where it needs them.

from bravaismap.phases.verdict import with_error

for name in ("a", "b", "gamma", "orientation"):
    print(f"{name:12}{with_error(float(one[name][0]), float(one[name + '_std'][0]))} {one[name].attrs['units']}")

# %%
# The network of the paper
# ------------------------
# ``dcnn-2018`` sees only the diffraction pattern and is asked many times with a random fifth of it switched off.
# Its probability is the mean over the passes, its σ their spread. It has not learned how far microscopes distort,
# and does not know the cell.

print(phase_table(bm.classify(movie, model="dcnn-2018", samples=500)))
