"""
Map a movie in six lines
========================

Simulate a film that decomposes, map its phases without choosing anything, and print the phase table.
"""

import bravaismap as bm

film = bm.simulate_film(6, 256, seed=1)
result = bm.map_phases(film["image"])
print(result)
none = result["area_fraction"].sel(lattice="none")
print("share of voids, found:", none.values.round(3), " true:", film["void_fraction"].values.round(3))

# %%
# The areas of all frames, and the mean probabilities over windows as thin lines:

from bravaismap.show.maps import plot_fractions

plot_fractions(result, film["void_fraction"])
