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
from bravaismap.classify.network import DropoutNetwork, folded
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
    network: DropoutNetwork, spectra: Tensor, passes: int, seed: int = 0, temperature: float = 1.0
) -> Answer:
    """Return the answer of a network for spectra, over many passes with dropout.

    The part of the network below its first dropout is computed once; passes and windows are batched together.

    Parameters
    ----------
    network : DropoutNetwork
        Its modes of training or evaluation stay as they are.
    spectra : Tensor, shape (n, 64, 32)
    passes : int
        Number of passes; at least 2.
    seed : int
        The same seed gives the same answer, whatever the batch.
    temperature : float
        Divisor of the scores of each pass; see :mod:`bravaismap.train.calibration`.

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
    fast = folded(network)
    with torch.inference_mode():
        hidden = _channels_last(fast.stem(spectra[:, None]))
        classes = _shapes(fast, hidden[:1])[-1][0]
        total = torch.zeros(len(hidden), classes, dtype=torch.float64, device=hidden.device)
        squares, entropy = torch.zeros_like(total), torch.zeros_like(total[:, 0])
        pass_total = torch.zeros(passes, classes, dtype=torch.float64, device=hidden.device)
        for first, masks in _thinned_networks(fast, hidden[:1], passes, seed):
            for windows, thinned, scores in _answers(fast, hidden, masks):
                probability = (scores / temperature).softmax(dim=-1)
                total[windows] += probability.sum(dim=1)
                squares[windows] += probability.square().sum(dim=1)
                entropy[windows] += torch.special.entr(probability).sum(dim=(1, 2))
                pass_total[first + thinned.start : first + thinned.stop] += probability.sum(dim=0)
    return _summarise(total.cpu(), squares.cpu(), entropy.cpu(), pass_total.cpu(), passes)


def dropout_scores(network: DropoutNetwork, spectra: Tensor, passes: int, seed: int = 0) -> Tensor:
    """Return the scores (n, passes, classes) before the softmax, in the passes of :func:`monte_carlo_dropout`."""
    fast = folded(network)
    with torch.inference_mode():
        hidden = _channels_last(fast.stem(spectra[:, None]))
        classes = _shapes(fast, hidden[:1])[-1][0]
        result = torch.empty(len(hidden), passes, classes, dtype=torch.float64, device=hidden.device)
        for first, masks in _thinned_networks(fast, hidden[:1], passes, seed):
            for windows, thinned, scores in _answers(fast, hidden, masks):
                result[windows, first + thinned.start : first + thinned.stop] = scores
    return result


def predictive_entropy(probability: Floats) -> Floats:
    """Return the entropy of class probabilities (..., classes) in nats: from 0 for certainty to ln(classes)."""
    return np.asarray(torch.special.entr(torch.as_tensor(np.asarray(probability, np.float64))).sum(dim=-1).numpy())


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
    network: DropoutNetwork, example: Tensor, passes: int, seed: int
) -> Iterator[tuple[int, list[Tensor]]]:
    """Yield the dropout masks of a block of passes, with the number of its first pass."""
    shapes = _shapes(network, example)[:-1]
    for block, first in enumerate(range(0, passes, _PASSES_PER_BLOCK)):
        count = min(_PASSES_PER_BLOCK, passes - first)
        masks = [mask[:count].to(example.device) for mask in _masks(shapes, network.dropout, seed, block)]
        yield first, [_channels_last(mask) for mask in masks]


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor


def _masks(shapes: list[tuple[int, ...]], dropout: float, seed: int, block: int) -> list[Tensor]:
    """Return the factors of each dropout in one block of passes: 0, or 1 / (1 − dropout)."""
    rng = np.random.Generator(np.random.SFC64([seed, block]))
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


def _summarise(total: Tensor, squares: Tensor, entropy: Tensor, pass_total: Tensor, passes: int) -> Answer:
    mean = total / passes
    variance = (squares / passes - mean.square()).clamp_min(0) * (passes / (passes - 1))
    predictive = predictive_entropy(mean.numpy())
    information = np.maximum(predictive - (entropy / passes).numpy(), 0)
    return Answer(mean.numpy(), variance.sqrt().numpy(), predictive, information, pass_total.numpy())
