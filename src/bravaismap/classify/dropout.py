"""Monte-Carlo dropout: the answers of a network over thousands of passes with random dropout.

Pass p is one thinned network, drawn from the seed and from p alone, and applied to every window. A window's answer
therefore does not depend on its batch, chunk or frame, and since all windows of a frame pass through the same thinned
networks, the spread of their mean is the uncertainty of the phase fraction of the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from bravaismap.classify.answer import Answer
from bravaismap.classify.network import DropoutNetwork, Ensemble, folded, members_of
from bravaismap.classify.tokens import Tokens
from bravaismap.classify.unexplained import Doubt
from bravaismap.compute.device import PROCESSOR
from bravaismap.conventions import Floats
from bravaismap.errors import InputError

__all__ = ["dropout_scores", "evaluating", "monte_carlo_dropout", "predictive_entropy"]

_PASSES_PER_BLOCK = 100  # one random stream per block of passes, whatever the batch
#: Windows, or passes of one window, computed at once: what fits the cache of a processor, and what fills a GPU.
_SAMPLES_PER_BATCH, _SAMPLES_ON_GPU = 50, 8192


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode without gradients; each module's own mode is restored afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in modes:
            module.training = training


def monte_carlo_dropout(
    network: DropoutNetwork | Ensemble,
    inputs: Tensor | Tokens,
    passes: int,
    seed: int = 0,
    temperature: float = 1.0,
    doubt: Doubt | None = None,
) -> Answer:
    """Return the answer of a network over many passes with dropout; the members of an ensemble take turns.

    The part of the network below its first dropout is computed once; passes and windows are batched together.

    Parameters
    ----------
    network : DropoutNetwork or Ensemble
        Its modes of training or evaluation stay as they are.
    inputs : Tensor, shape (n, 64, 32), or Tokens
        Spectra, or tokens for a network that reads these.
    passes : int
        Number of passes; at least 2.
    seed : int
        The same seed gives the same answer, whatever the batch.
    temperature : float
        Divisor of the scores of each pass; see :mod:`bravaismap.train.calibration`.
    doubt : Doubt, optional
        How far the answers for the windows are to be doubted; see ``bravaismap.classify.unexplained``.

    Returns
    -------
    Answer

    Raises
    ------
    InputError
        For fewer than 2 passes.

    References
    ----------
    Y. Gal and Z. Ghahramani, Proc. ICML 48, 1050 (2016); R. K. Vasudevan et al., npj Comput. Mater. 4, 30 (2018).
    """
    if passes < 2:
        raise InputError(f"{passes} samples were asked for; expected at least 2 (or 0 for none)")
    with torch.inference_mode():
        totals: _Totals | None = None
        for windows, numbers, scores in _passes(network, inputs, passes, seed):
            totals = totals or _Totals(len(inputs), passes, scores)
            probability = (scores / temperature).softmax(dim=-1)
            totals.add(windows, numbers, probability if doubt is None else doubt[windows].flattened(probability))
    if totals is None:
        return _summarise(_Totals(0, passes, torch.empty(0, 0, _classes(network))), passes)
    return _summarise(totals, passes)


def dropout_scores(network: DropoutNetwork | Ensemble, inputs: Tensor | Tokens, passes: int, seed: int = 0) -> Tensor:
    """Return the scores (n, passes, classes) before the softmax, in the passes of :func:`monte_carlo_dropout`."""
    with torch.inference_mode():
        result: Tensor | None = None
        for windows, numbers, scores in _passes(network, inputs, passes, seed):
            if result is None:
                result = scores.new_empty(len(inputs), passes, scores.shape[-1])
            result[windows, numbers] = scores
    return torch.empty(0, passes, _classes(network), dtype=torch.float64) if result is None else result


def predictive_entropy(probability: Floats) -> Floats:
    """Return the entropy of class probabilities (..., classes) in nats: from 0 for certainty to ln(classes)."""
    return np.asarray(torch.special.entr(torch.as_tensor(np.asarray(probability, np.float64))).sum(dim=-1).numpy())


class _Totals:
    """Sums over passes of probabilities, their squares and entropies, by window, and over windows by pass."""

    def __init__(self, windows: int, passes: int, example: Tensor) -> None:
        classes = example.shape[-1]
        self.probability = torch.zeros(windows, classes, dtype=torch.float64, device=example.device)
        self.squares, self.entropy = torch.zeros_like(self.probability), torch.zeros_like(self.probability[:, 0])
        self.passes = torch.zeros(passes, classes, dtype=torch.float64, device=example.device)

    def add(self, windows: slice, numbers: slice, probability: Tensor) -> None:
        """Add the probabilities (windows, passes, classes) of some windows in some passes."""
        self.probability[windows] += probability.sum(dim=1)
        self.squares[windows] += probability.square().sum(dim=1)
        self.entropy[windows] += torch.special.entr(probability).sum(dim=(1, 2))
        self.passes[numbers] += probability.sum(dim=0)


def _classes(network: DropoutNetwork | Ensemble) -> int:
    last = members_of(network)[0].blocks[-1]
    return int(last.out_features) if isinstance(last, nn.Linear) else 0


def _passes(
    network: DropoutNetwork | Ensemble, inputs: Tensor | Tokens, passes: int, seed: int
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield windows, numbers of passes, and the scores (windows, passes, classes) of those windows in those passes.

    Pass p is one of member p modulo the number of members.
    """
    members = members_of(network)
    for number, member in enumerate(members):
        count = len(range(number, passes, len(members)))
        if count == 0 or len(inputs) == 0:
            continue
        fast = folded(member)
        hidden = _channels_last(fast.hidden(inputs))
        for first, masks in _thinned_networks(fast, hidden[:1], count, (seed, number) if number else (seed,)):
            for windows, thinned, scores in _answers(fast, hidden, masks):
                begin, end = first + thinned.start, first + thinned.stop - 1
                numbers = slice(number + begin * len(members), number + end * len(members) + 1, len(members))
                yield windows, numbers, scores


def _answers(network: DropoutNetwork, hidden: Tensor, masks: list[Tensor]) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield windows, passes, and the scores (windows, passes, classes) of those windows in those passes.

    A batch holds many passes of one window, or many windows in one pass, whichever there are more of.
    """
    passes = len(masks[0])
    together = _SAMPLES_PER_BATCH if hidden.device.type == PROCESSOR else _SAMPLES_ON_GPU
    if len(hidden) < passes:
        for window in range(len(hidden)):
            row = slice(window, window + 1)
            for batch in _slices(passes, together):
                yield row, batch, _scores(network, hidden[row], [mask[batch] for mask in masks])[None]
        return
    for number in range(passes):
        single = slice(number, number + 1)
        thinned = [mask[single] for mask in masks]
        for batch in _slices(len(hidden), together):
            yield batch, single, _scores(network, hidden[batch], thinned)[:, None]


def _scores(network: DropoutNetwork, hidden: Tensor, masks: list[Tensor]) -> Tensor:
    """Return the scores (n, classes) of n windows in one pass, or of one window in n passes."""
    for block, mask in zip(network.blocks, masks, strict=True):
        hidden = block(hidden * mask)
    return hidden.to(torch.float64)


def _slices(count: int, together: int) -> Iterator[slice]:
    for start in range(0, count, together):
        yield slice(start, min(start + together, count))


def _thinned_networks(
    network: DropoutNetwork, example: Tensor, passes: int, seed: tuple[int, ...]
) -> Iterator[tuple[int, list[Tensor]]]:
    """Yield the dropout masks of a block of passes, with the number of its first pass."""
    shapes = _shapes(network, example)[:-1]
    for block, first in enumerate(range(0, passes, _PASSES_PER_BLOCK)):
        count = min(_PASSES_PER_BLOCK, passes - first)
        masks = [mask[:count].to(example.device) for mask in _masks(shapes, network.dropout, seed, block)]
        yield first, [_channels_last(mask) for mask in masks]


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _masks(shapes: list[tuple[int, ...]], dropout: float, seed: tuple[int, ...], block: int) -> list[Tensor]:
    """Return the factors of each dropout in one block of passes: 0, or 1 / (1 − dropout)."""
    rng = np.random.Generator(np.random.SFC64([seed[0], block, *seed[1:]]))
    threshold, kept = round(dropout * 65536), np.float32(1 / (1 - dropout))
    masks = []
    for shape in shapes:
        drawn = rng.integers(0, 65536, (_PASSES_PER_BLOCK, *shape), np.uint16)
        masks.append(torch.from_numpy((drawn >= threshold) * kept))
    return masks


def _shapes(network: DropoutNetwork, example: Tensor) -> list[tuple[int, ...]]:
    """Return the shape (without the batch) that enters each block, and last the one that leaves the network."""
    shapes = [tuple(example.shape[1:])]
    for block in network.blocks:
        example = block(example)
        shapes.append(tuple(example.shape[1:]))
    return shapes


def _summarise(totals: _Totals, passes: int) -> Answer:
    total, squares, entropy = totals.probability.cpu(), totals.squares.cpu(), totals.entropy.cpu()
    mean = total / passes
    variance = (squares / passes - mean.square()).clamp_min(0) * (passes / (passes - 1))
    predictive = predictive_entropy(mean.numpy())
    information = np.maximum(predictive - (entropy / passes).numpy(), 0)
    return Answer(mean.numpy(), variance.sqrt().numpy(), predictive, information, totals.passes.cpu().numpy())
