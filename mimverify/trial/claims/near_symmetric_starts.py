"""Networks that share a part of the symmetric start's structure, but not all that E1 needs.

A trainer may compute one neuron of each pair only, and take f ≡ 0, where the start is symmetric,
b = 0, σ is even and β = 1/η (theory.md §3, E1). One that recognises this by a cheaper test takes
the short cut on some of these networks too. Each function makes `(W, a, b)` from a random network
and from the symmetric start, both of m = 2 h neurons.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from mimverify.support.arrays import FloatArray

__all__ = [
    "Start",
    "first_pairs_alone",
    "halves_interleaved",
    "output_weights_alone",
    "symmetric",
    "unequal_output_weights",
    "weights_alone",
    "with_biases",
    "with_mirrored_biases",
    "with_opposite_biases",
]

#: W `(m, d)`, a and b `(m,)`.
Layers: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]
#: Makes a network of a random one and of the symmetric start.
Start: TypeAlias = Callable[[Layers, Layers], Layers]


def symmetric(random: Layers, start: Layers) -> Layers:
    """The symmetric start itself."""
    return start


def with_biases(random: Layers, start: Layers) -> Layers:
    """W and a of the symmetric start, any b."""
    return start[0], start[1], random[2]


def with_mirrored_biases(random: Layers, start: Layers) -> Layers:
    """W, a and b mirrored: f is zero at the start, and not after a step."""
    half = random[2][: len(random[2]) // 2]
    return start[0], start[1], np.concatenate([half, half])


def with_opposite_biases(random: Layers, start: Layers) -> Layers:
    """W and a mirrored, b antisymmetric, so that its sum is zero."""
    half = random[2][: len(random[2]) // 2]
    return start[0], start[1], np.concatenate([half, -half])


def output_weights_alone(random: Layers, start: Layers) -> Layers:
    """Only a is that of the symmetric start."""
    return random[0], start[1], start[2]


def weights_alone(random: Layers, start: Layers) -> Layers:
    """W is mirrored and Σ a = 0 exactly, but a is not antisymmetric."""
    half = _unequal(start[1])
    return start[0], np.concatenate([half, -np.roll(half, 1)]), start[2]


def unequal_output_weights(random: Layers, start: Layers) -> Layers:
    """Mirrored in full, with |a_j| that differ: E1 holds, if σ is even."""
    half = _unequal(start[1])
    return start[0], np.concatenate([half, -half]), start[2]


def first_pairs_alone(random: Layers, start: Layers) -> Layers:
    """All pairs are mirrored but the last; a is antisymmetric."""
    W = start[0].copy()
    W[-1] = random[0][-1]
    return W, start[1], start[2]


def halves_interleaved(random: Layers, start: Layers) -> Layers:
    """The pairs of the symmetric start side by side: w_{2k} = w_{2k+1}; f is zero at the start."""
    order = np.arange(len(start[1])).reshape(2, -1).T.ravel()
    return start[0][order], start[1][order], start[2][order]


def _unequal(a: FloatArray) -> FloatArray:
    """Output weights `(m/2,)` that differ, near the size of a; sums of them are exact."""
    size = 2.0 ** np.floor(np.log2(np.abs(a[0])))
    return np.asarray(size * (1 + np.arange(len(a) // 2) / 4), dtype=a.dtype)
