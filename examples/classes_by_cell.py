"""
Classes of your own from the measured cells
===========================================

Two phases with the same Bravais lattice and different cells: MoS₂-like (0.316 nm) and MoTe₂-like (0.352 nm), side
by side. No network has to be trained: the default model measures the cell of every window with its error, and the
difference of the two cells in units of that error is the class.
"""

import numpy as np
from matplotlib.figure import Figure

import bravaismap as bm
from bravaismap.lattice import basis_from_cell
from bravaismap.movie import as_movie
from bravaismap.simulate.crystal import gaussian_atoms, lattice_sites

rng, pixel = np.random.default_rng(5), 0.03
halves = [
    lattice_sites(basis_from_cell(a / pixel, a / pixel, np.pi / 3, turn), (224, 320), rng.random(2), 30)
    for a, turn in ((0.316, 0.2), (0.352, 0.35))
]
sites = np.concatenate([halves[0][halves[0][:, 1] < 160], halves[1][halves[1][:, 1] >= 163]])
image = gaussian_atoms(sites, np.ones(len(sites)), np.full(len(sites), 2.0), (224, 320))
result = bm.map_phases(as_movie(rng.poisson(30 * image + 6), pixel_size=pixel), window=64, step=16, samples=0)

frame = result.isel(time=0)
size = np.sqrt(frame["a"] * frame["b"])
std = np.hypot(frame["a_std"], frame["b_std"]) / 2
nearer = abs(size - 0.352) < abs(size - 0.316)
far = np.minimum(abs(size - 0.352), abs(size - 0.316)) > np.maximum(5 * std, 0.006)

# %%
# Left, the length of the cell; right, the class: 0.316 nm, 0.352 nm, or neither (white), which is where a window holds
# both.

figure = Figure((7, 2.8), layout="constrained")
left, right = figure.subplots(1, 2)
extent = [float(frame["x"][0]), float(frame["x"][-1]), float(frame["y"][-1]), float(frame["y"][0])]
shown = left.imshow(size, cmap="cividis", vmin=0.31, vmax=0.36, extent=extent)
figure.colorbar(shown, ax=left, label="√(ab) (nm)", shrink=0.8)
right.imshow(np.where(far, np.nan, nearer), cmap="cividis", vmin=0, vmax=1, extent=extent)
for axes, title in ((left, "measured cell"), (right, "class")):
    axes.set(title=title, xlabel="x (nm)", ylabel="y (nm)")

small, large = int((~nearer & ~far).sum()), int((nearer & ~far).sum())
print(f"0.316 nm: {small} windows, 0.352 nm: {large}, neither: {int(far.sum())}")
