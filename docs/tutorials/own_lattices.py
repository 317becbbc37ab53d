"""
Train on lattices of your own
=============================

The five Bravais lattices are not always the question. You may want to tell two phases apart that have the same
lattice and differ by what sits in the cell: one atom, or two as in graphene. Then write down what your classes look
like, and train a network on simulated images of them: no labelled data is needed. On the command line::

    bravaismap train --recipes examples/own_classes.toml -o runs
    bravaismap map MOVIE --model runs/own_classes.safetensors
"""

# %%
# What the classes are
# --------------------
# A table per class. What it leaves out comes from the book ``base`` for the lattice named: ``realistic`` has
# counting noise, vacancies, scan distortion, vacuum. Lengths are px, so take them from your images, angles degrees;
# a pair is the range to draw from.

import tempfile
from pathlib import Path

import numpy as np

import bravaismap as bm
from bravaismap.result.phase_map import phase_table
from bravaismap.simulate.books import read_recipes

folder = Path(tempfile.mkdtemp())
toml = """
base = "realistic"

[one_atom]
lattice = "hexagonal"
length = [12, 16]
atoms = [1, 1]

[two_atoms]
lattice = "hexagonal"
length = [12, 16]
atoms = [2, 2]

[none]
"""
(folder / "own_classes.toml").write_text(toml)
book = read_recipes(folder / "own_classes.toml")
for name, recipe in book.items():
    print(f"{name:10}{recipe.lattice:22}{recipe.length} px, dose {recipe.dose}")

# %%
# Look before you train: are these your images? If not, change the table, not the network.

import matplotlib.figure

windows = bm.simulate(6, folder / "own_classes.toml", seed=1)
figure = matplotlib.figure.Figure((7, 2.6), layout="constrained")
for i, axes in enumerate(figure.subplots(1, 6)):
    axes.imshow(windows["image"][i], cmap="gray")
    axes.set_title(windows.attrs["classes"][int(windows["label"][i])], fontsize=9)
    axes.axis("off")

# %%
# Training
# --------
# ``bravaismap train`` takes the paper's plan, 24 000 windows in 30 epochs, unless you say otherwise. Three classes are
# fewer, and a tenth of it, 2400 windows in 12 epochs, takes half a minute:

from dataclasses import replace

from bravaismap.train.training import train, training_plan

plan = replace(training_plan("dcnn-2018"), recipes=str(folder / "own_classes.toml"), images=2400, epochs=12)
card = train(plan, folder, name="own", seed=0)
print(f"validation accuracy {100 * card.accuracy['validation']:.0f} % of {len(book)} classes")

# %%
# What came out is a file of weights and a card that says how it was made. It stands wherever a model's name may:

model = bm.load_model(folder / "own.safetensors")
answer = bm.classify(windows["image"].rename(sample="time"), model=model, samples=50)
print(phase_table(answer))

# %%
# How good it is, on windows that it has not seen: ``bravaismap simulate --recipes examples/own_classes.toml -n 600
# --seed 7 -o test.npz`` and ``bravaismap evaluate test.npz --model runs/own_classes.safetensors`` print accuracy
# with intervals, the confusions and the calibration. The same in Python:

test = bm.simulate(120, folder / "own_classes.toml", seed=7)
found = bm.classify(test["image"].rename(sample="time"), model=model, samples=0)["label"].values
print(f"{100 * np.mean(found == test['label'].values):.0f} % of {len(found)} new windows right")

# %%
# Do you need it?
# ---------------
# If your classes differ by their *cell*, the default model tells them apart without any training, with errors: take
# ``a``, ``b`` and ``gamma`` of its result, as in :doc:`/made/gallery/classes_by_cell`. A network is worth training
# where the cell is the same and the motif or its contrast is not, as here; and even then look at what
# :func:`bravaismap.motif` says of a whole image first: it measures where the atoms sit.
