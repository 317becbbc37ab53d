"""
One map, several microscopes
============================

A hexagonal film that the scan shears by 3 %. How it is classified depends on how straight the microscope is taken
to be, and :func:`bravaismap.reclassify` answers for any distortion without another look at the movie.
"""

import numpy as np
from matplotlib.figure import Figure

import bravaismap as bm
from bravaismap.conventions import CLASSES, COLORS, display_name
from bravaismap.lattice import basis_from_cell
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

rng = np.random.default_rng(4)
basis = basis_from_cell(11.0, 11.0, np.pi / 3, 0.4) @ np.array([[1.0, 0.03], [0.0, 1.0]])
sites = lattice_sites(basis, (256, 256), rng.random(2), 30)
image = gaussian_atoms(sites, np.ones(len(sites)), np.full(len(sites), 2.0), (256, 256))
result = bm.map_phases(rng.poisson(30 * image + 6), window=96, step=32)

# %%
# The measured deviation from hexagonal is the same each time; what changes is what it means.

off = result["deviation"].sel(lattice="hexagonal").isel(time=0)
print(f"deviation from hexagonal {float(off.median()):.2f} ± {float(result['deviation_std'].median()):.2f} %\n")
tried = (0.0, 0.005, 0.01, 0.02, 0.05)
fractions = [bm.reclassify(result, distortion=distortion)["fraction"].isel(time=0).values for distortion in tried]
for distortion, fraction in zip(tried, fractions, strict=True):
    shares = [f"{display_name(name)} {100 * share:.0f} %" for name, share in zip(CLASSES, fraction, strict=True)]
    print(f"distortion {100 * distortion:3.1f} %: {', '.join(shares[2:5])}")

figure = Figure((6, 2.8), layout="constrained")
axes = figure.add_subplot()
bottom = np.zeros(len(tried))
for name, share in zip(CLASSES, np.transpose(fractions), strict=True):
    axes.bar([f"{100 * distortion:g} %" for distortion in tried], share, bottom=bottom, color=COLORS[name], label=name)
    bottom += share
axes.set(xlabel="distortion", ylabel="fraction", xlim=(-0.6, 7))
_ = axes.legend(fontsize=8, frameon=False)
