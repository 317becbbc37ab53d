"""
Strain across an interface
==========================

A crystal whose right half is stretched by 2 % along x. The strain of every window against the left edge, with its
error.
"""

import numpy as np

import bravaismap as bm
from bravaismap.lattice import basis_from_cell
from bravaismap.movie import as_movie
from bravaismap.show.cells import plot_strain
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

rng = np.random.default_rng(2)
sites = lattice_sites(basis_from_cell(11.0, 11.0, np.pi / 3, 0.3), (192, 384), rng.random(2), 40)
middle = 192
sites[:, 1] += 0.02 * np.clip(sites[:, 1] - middle, 0, None)  # stretched beyond the middle
image = gaussian_atoms(sites, np.ones(len(sites)), np.full(len(sites), 2.0), (192, 384))
image = rng.poisson(40 * image + 8)

result = bm.map_phases(as_movie(image, pixel_size=0.02), window=64, step=16)
strain = bm.strain_map(result, {"x": slice(0, 2)})

# %%
# Windows that hold both halves lie between the two, and their σ knows of it.

for x in (0.8, 2.5, 3.8, 5.0, 6.5):
    column = strain.isel(time=0).sel(x=x, method="nearest")
    print(f"x = {float(column['x']):.1f} nm: exx {float(column['exx'].mean()):+.2f} %, "
          f"σ of a window {float(column['exx_std'].mean()):.2f} %")  # fmt: skip

plot_strain(strain, 0)
