"""
Fewer than three cells across the window
========================================

A lattice can be measured if it repeats. Below about three cells in a window the answer is wrong more often than it
says.
"""

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

import bravaismap as bm
from bravaismap.simulate.books import recipe_book

# %%
# Realistic windows of 128 px (several atoms in a cell, vacancies, counting noise), of lattices whose shorter vector
# is given; 60 of the five lattices for each length. The line is how often the most probable class is right, the
# dashed one how sure the model is of it, on average.

lengths = (7, 10, 14, 20, 28, 36, 44, 52)
right, sure, called_none = [], [], []
for length in lengths:
    book = {name: replace(recipe, length=(length, length), vacuum=(0.0, 0.0))
            for name, recipe in recipe_book("realistic").items() if name != "none"}  # fmt: skip
    windows = bm.simulate(60, book, seed=length)
    found = bm.classify(windows["image"].rename(sample="time"), distortion=0.003, samples=0)
    best = found["probability"].values.max(axis=1)
    right.append(np.mean(found["label"].values == windows["label"].values))
    sure.append(best.mean())
    called_none.append(np.mean(found["label"].values == 5))

cells = 128 / np.array(lengths)
figure = Figure((6, 3.4), layout="constrained")
axes = figure.add_subplot()
axes.semilogx(cells, right, "o-", color="#0072B2", label="right")
axes.semilogx(cells, sure, "s--", color="#D55E00", label="mean probability of the class given")
axes.semilogx(cells, called_none, "^:", color="#404040", label="called none")
axes.set(xlabel="cells across the window", ylabel="share", ylim=(0, 1.02))
axes.set_xticks([3, 5, 10, 18], ["3", "5", "10", "18"])
axes.minorticks_off()
_ = axes.legend(fontsize=8, frameon=False)
for count, share, mean in zip(cells, right, sure, strict=True):
    print(f"{count:4.1f} cells: {100 * share:3.0f} % right, {100 * mean:3.0f} % sure")

# %%
# Two of the windows, with 2.5 cells across and with 9. What to do: take a larger window, or look at fewer, larger
# ones with ``bravaismap classify``.

examples = Figure((5, 2.6), layout="constrained")
for axes, length in zip(examples.subplots(1, 2), (52, 14), strict=True):
    recipe = replace(recipe_book("realistic")["hexagonal"], length=(length, length), vacuum=(0.0, 0.0))
    axes.imshow(bm.simulate(4, {"hexagonal": recipe}, seed=length)["image"][1], cmap="gray")
    axes.set_title(f"{128 / length:.1f} cells", fontsize=9)
    axes.axis("off")
