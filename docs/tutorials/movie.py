"""
Map a movie
===========

A film decomposes under the electron beam. Which part of it has which lattice, when, and how fast do the voids grow?
On the command line: ``bravaismap map MOVIE``, ``bravaismap fit RESULT``, ``bravaismap export RESULT --report``.
"""

# %%
# The movie
# ---------
# Your own is ``movie = bm.read("my_movie.dm4")``, calibrated, and lazy if it is large. This one is simulated, so
# that we know its voids.

import bravaismap as bm
from bravaismap.result.phase_map import phase_table

film = bm.simulate_film(16, 256, seed=3)
movie = film["image"]
print(dict(movie.sizes), movie["x"].attrs["units"], movie["time"].attrs["units"])

# %%
# The map
# -------
# A window of 64 px slides in steps of 32 px; how to choose them is :doc:`a page of its own </windows>`. With
# ``output="film.zarr"`` the result would be written frame by frame, and an interrupted run continued by the same line.

result = bm.map_phases(movie, window=64, step=32, samples=20)
print(phase_table(result))

# %%
# The last frame beside its image. Every window has the colour of its most probable class.

from bravaismap.show.maps import plot_fractions, plot_labels, plot_probabilities

plot_labels(result, -1, movie)

# %%
# Colours hide doubt, so look at the probabilities too:

plot_probabilities(result, -1)

# %%
# The fraction of a class is its mean probability over the windows of a frame. The dashed line is the truth of the
# simulation: the map sees the voids late, because a window that is half crystal still shows the lattice.

plot_fractions(result, film["void_fraction"])

# %%
# The cells
# ---------
# Medians over the windows of each class in the last frame. ``a_std`` is the σ of a single window, ``a_scatter`` what
# windows differ by. The truth is a = b = 0.3153 nm, γ = 60°.

from bravaismap.phases.cells import cell_statistics

cells = cell_statistics(result.isel(time=-1)).sel(lattice="hexagonal")
for name in ("a", "b", "gamma"):
    value, std, scatter = (float(cells[name + ending]) for ending in ("", "_std", "_scatter"))
    print(f"{name:6}{value:8.4f} ± {std:.4f} {cells[name].attrs['units']:7} (windows differ by {scatter:.4f})")

# %%
# Strain
# ------
# The same cells against those of a region that you call unstrained, here everything left of 2 nm:

from bravaismap.show.cells import plot_strain

strain = bm.strain_map(result, {"x": slice(0, 2)})
plot_strain(strain, 0)

# %%
# How fast it grows
# -----------------
# The paper's law, A₀ exp(ρt) + C, with intervals by profile likelihood. Where the curve does not determine the law,
# ``fit_growth`` says so instead of giving a number.

none = result["fraction"].sel(lattice="none")
growth = bm.fit_growth(none, std=result["fraction_std"].sel(lattice="none"))
print(repr(growth).split("\n\n")[0])

truth = bm.fit_growth(film["void_fraction"])
print("\nof the true voids:\n" + repr(truth).split("\n\n")[0])

# %%
# The rate of the map is too high, for the reason above: small voids are missing from the early frames. The
# intervals are those of the fit to this curve, and do not know of it. :doc:`Kinetics </kinetics>` says how to
# correct it: by pixel (``bravaismap export RESULT --domains --movie MOVIE``), or with smaller windows.
#
# To put beside a paper
# ---------------------
# ``bravaismap export film.zarr --report`` writes all of this, the run card and how to cite to one HTML page that
# needs no network. From Python:

from bravaismap.export.report import report

page = report(result, movie, times=[-1])
print(f"{len(page) / 1e6:.1f} MB, of which all is in the one file")
