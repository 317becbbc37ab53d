"""Parts: the answer of a network that reads tokens for a large image, pooled from overlapping parts.

A network learned from windows of which some hold a lattice too faint to be seen, and of such a window it gives every
class a little. Other parts of a large image may show more: in the lattices a part counts by the probability that the
network gives to its candidates, in `none` in full. Which of the lattices it is, is pooled by logarithms, as evidence
is: a class that a part rules out is not that of the image, however well it suits the others, as where two domains meet
and show a lattice that neither has.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bravaismap.classify.answer import Answer
from bravaismap.classify.dropout import dropout_scores, evaluating, predictive_entropy
from bravaismap.classify.network import DropoutNetwork, Ensemble, ModelCard, candidate_share
from bravaismap.classify.tokens import Tokens
from bravaismap.classify.unexplained import Doubt
from bravaismap.conventions import NONE, Floats
from bravaismap.measure.parts import part_origins

__all__ = ["answered_from_parts", "pooled"]

#: Side of the parts in px, of which neighbours share half.
_SIDE = 256
#: How many parts of their own what the parts of an image say is worth: they share pixels, the distortion of the scan
#: and its faults. Of the greatest likelihood on broken crystals of 512 px, between 1 and the number of parts.
_WORTH = 1.5
#: Least probability that a lattice is among the candidates: it decides only where no part sees any.
_LEAST_SEEN = 1e-30


def answered_from_parts(
    network: DropoutNetwork | Ensemble,
    card: ModelCard,
    read: Callable[[Tensor], tuple[Tokens, Doubt]],
    images: Floats | Tensor,
    samples: int,
    seed: int,
) -> Answer:
    """Return the answer of a network for large square images.

    Parameters
    ----------
    network : DropoutNetwork or Ensemble
        That reads tokens.
    card : ModelCard
        Of the network.
    read : callable
        Returns the tokens of square windows (n, side, side), and how far answers for them are to be doubted.
    images : array or tensor, shape (n, size, size)
    samples, seed : int
        Passes of Monte-Carlo dropout, or 0 for a single pass without, and their seed.
    """
    empty = torch.tensor([name == NONE for name in card.classes])
    temperature = card.temperature(passes=samples > 0)
    passes = []
    for image in images:
        whole = torch.as_tensor(image)
        corners = part_origins(tuple(whole.shape), _SIDE).tolist()
        tokens, doubt = read(torch.stack([whole[top : top + _SIDE, left : left + _SIDE] for top, left in corners]))
        if samples:
            scores = dropout_scores(network, tokens, samples, seed)
        with evaluating(network):
            seen = candidate_share(network, tokens)
            if not samples:
                scores = network(tokens).double()[:, None]
        probability = doubt.flattened((scores / temperature).softmax(-1))
        passes.append(pooled(probability.log().cpu(), seen.cpu(), empty).numpy())
    every = np.stack(passes)
    mean = every.mean(axis=1)
    predictive = predictive_entropy(mean)
    if not samples:
        nan = np.full_like(mean, np.nan)
        return Answer(mean, nan, predictive, nan[:, 0], every.sum(axis=0))
    information = np.maximum(predictive - predictive_entropy(every).mean(axis=1), 0)
    return Answer(mean, every.std(axis=1, ddof=1), predictive, information, every.sum(axis=0))


def pooled(logarithm: Tensor, seen: Tensor, empty: Tensor) -> Tensor:
    """Return the probabilities (passes, classes) of an image from those of its parts.

    Parameters
    ----------
    logarithm : tensor, shape (parts, passes, classes)
        Logarithms of the probabilities of the parts.
    seen : tensor, shape (parts,)
        Probability that the lattice of each part, if it has one, is among its candidates.
    empty : tensor of bool, shape (classes,)
        Which class stands for no lattice.
    """
    lattices = logarithm.masked_fill(empty, -torch.inf)
    there = lattices.logsumexp(-1, keepdim=True)
    weight = seen[:, None, None].clamp_min(_LEAST_SEEN) * there.exp()
    none = logarithm.exp().masked_fill(~empty, 0.0).sum(0)
    share = weight / weight.sum(0)
    which = (share * (logarithm - there)).sum(0).masked_fill(empty, -torch.inf)
    result: Tensor = none + weight.sum(0) * (_WORTH * which).softmax(-1)
    return result / result.sum(-1, keepdim=True)
