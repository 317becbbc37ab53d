"""
Amorphous matter
================

Amorphous carbon has a preferred distance between atoms: a ring in the spectrum, made of random speckle. In hundreds of
speckles there are always some that fit a lattice. How often is that taken for one?
"""

import numpy as np
from matplotlib.figure import Figure

import bravaismap as bm
from bravaismap.conventions import CLASSES
from bravaismap.simulate.instrument import speckle

NONE = CLASSES.index("none")
count = 60
amorphous = {
    "ring at 12 px": np.stack([speckle(128, 1.0, (1 / 12, 1 / 12), np.random.default_rng(i)) for i in range(count)]),
    "ring at 8 px": np.stack([speckle(128, 1.0, (1 / 8, 1 / 8), np.random.default_rng(i)) for i in range(count)]),
    "blurred noise": np.stack([speckle(128, 1.0, (0.0, 0.0), np.random.default_rng(i)) for i in range(count)]),
    "white noise": np.random.default_rng(0).standard_normal((count, 128, 128)),
}
answers = {name: bm.classify(images, samples=0)["probability"].values for name, images in amorphous.items()}
for name, probability in answers.items():
    wrong = np.flatnonzero(probability.argmax(axis=1) != NONE)
    kinds = ", ".join(CLASSES[i] for i in probability[wrong].argmax(axis=1))
    print(f"{name:14}{len(wrong):3} of {count} taken for a lattice {kinds and '(' + kinds + ')':22}"
          f"least probability of none {probability[:, NONE].min():.2f}")  # fmt: skip

# %%
# Of each kind the window that looks most like a lattice to the model, and its spectrum:

import torch

from bravaismap.measure.spots import standardize, whitened_power
from bravaismap.show.axes import whole_plane

figure = Figure((8, 4.4), layout="constrained")
axes = figure.subplots(2, len(amorphous))
for column, (name, images) in enumerate(amorphous.items()):
    worst = int(answers[name][:, NONE].argmin())
    best = answers[name][worst].argmax()
    power = whitened_power(standardize(torch.from_numpy(images[worst : worst + 1]))).power[0, :, 1:].numpy()
    axes[0, column].imshow(images[worst], cmap="gray")
    axes[0, column].set_title(f"{name}\n{CLASSES[best].replace('_', ' ')} {answers[name][worst, best]:.2f}", fontsize=9)
    axes[1, column].imshow(np.sqrt(whole_plane(power)), cmap="gray")
for one in axes.flat:
    one.axis("off")

# %%
# The networks on the same windows:

for model in ("dcnn", "dcnn-2018"):
    for name, images in amorphous.items():
        label = bm.classify(images, model=model, samples=0)["label"].values
        print(f"{model:10}{name:14}{int((label != NONE).sum()):3} of {count} taken for a lattice")
