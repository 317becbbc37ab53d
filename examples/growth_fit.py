"""
Fit growth, and know when not to
================================

The growth curve of Vasudevan et al. (2018), simulated with their numbers: A₀ = 1.85·10⁻⁵, ρ = 0.0417 s⁻¹, C = 0.059, 90
frames in 202.5 s. C comes from the first 100 s.
"""

import numpy as np
import xarray as xr

import bravaismap as bm
from bravaismap.errors import InputError
from bravaismap.kinetics.growth import compare_laws
from bravaismap.show.growth import plot_growth

time = np.arange(90) * 2.25
curve = 1.85e-5 * np.exp(0.0417 * time) + 0.059 + 0.004 * np.random.default_rng(0).standard_normal(90)
fraction = xr.DataArray(curve, {"time": ("time", time, {"units": "s"})}, "time")

growth = bm.fit_growth(fraction, baseline=(0, 100))
print(repr(growth).split("\n\n")[0])
plot_growth(growth)

# %%
# Which law? The difference in AICc from the best, and the weight that each deserves. A law that the curve does not
# determine is not ranked.

laws = compare_laws(fraction, baseline=(0, 100))
for name in laws["law"].values:
    one = laws.sel(law=name)
    print(f"{name:22}{float(one['difference']):8.1f}{float(one['weight']):7.2f}  {one['refused'].values!s:.60}")

# %%
# The first half of the movie has no growth in it yet, and a fit to it is refused:

try:
    bm.fit_growth(fraction.isel(time=slice(0, 45)))
except InputError as error:
    print(error)
