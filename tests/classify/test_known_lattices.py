"""Lattices that are given: a window shows the one of most evidence, and noise shows none of them."""

from __future__ import annotations

import numpy as np
import torch
from lattice_images import cell_basis, plane_waves

from bravaismap.classify import posterior_settings
from bravaismap.classify.known_lattices import measure_known
from bravaismap.classify.proposals import same_lattice
from bravaismap.measure import settings

BASIS = cell_basis("hexagonal", 0.3, 0.9)


def test_the_lattice_that_a_window_shows_is_the_one_of_most_evidence() -> None:
    other = cell_basis("square", 0.1)
    images = np.stack([plane_waves(basis, (64, 64), noise=2.0) for basis in (BASIS, other)])
    images = np.concatenate([images, np.random.default_rng(2).normal(size=(20, 64, 64))]).astype(np.float32)
    bases = torch.from_numpy(np.stack([BASIS, other]))
    with torch.inference_mode():
        known = measure_known(torch.from_numpy(images), bases)
    same = same_lattice(known.basis[:2, None], bases[:, None])[:, 0, 0]
    assert bool(same.all())
    even = settings.SETTINGS.odds.even_evidence
    assert float(known.evidence[:2].min()) > even + 10
    assert float(known.evidence[2:].max()) < even
    assert posterior_settings.SETTINGS.known.even_evidence < even
