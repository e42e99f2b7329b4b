"""σ and σ' of a block of preactivations together, in reused memory.

Between its two products a pass of training spends its time here. Each kernel reads the block few
times, allocates no array, and computes common terms of σ and σ' once. It uses functions that NumPy
and Torch share, `out` included.

Values of σ have the absolute accuracy that training needs, a few u max(1, |σ|), as f − y is rounded
to u |y| anyway; σ' keeps its relative accuracy near zero, where stage 1 operates. Source: theory.md
§2, §3 (E5); [derived] cosh z = e^|z|/(1 + tanh |z|), hence log cosh z = |z| − log(1 + |tanh z|),
which neither overflows nor needs a case distinction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mimverify.support.arrays import Array
from mimverify.support.scratch import library

__all__ = ["LOG_COSH", "PSEUDO_HUBER", "QUADRATIC", "Fused"]


@dataclass(frozen=True)
class Fused:
    """Kernels for blocks `(k, m)` of either library and dtype.

    **Arguments**

    - `first`: called with z; z becomes σ'(z).
    - `both`: called with z, `value` and `spare` of one shape: z becomes σ'(z), `value` σ(z), and
      `spare` anything.
    - `value`: called with z and `value` of one shape: `value` becomes σ(z), and z anything.
    """

    first: Callable[[Array], None]
    both: Callable[[Array, Array, Array], None]
    value: Callable[[Array, Array], None]


def _log_cosh_first(z: Array) -> None:
    library(z).tanh(z, out=z)


def _log_cosh(z: Array, value: Array, spare: Array) -> None:
    xp = library(z)
    xp.abs(z, out=value)
    xp.tanh(z, out=z)
    xp.abs(z, out=spare)
    if xp is np:  # NumPy's log has vector instructions, its log1p has none
        spare += 1
        np.log(spare, out=spare)
    else:
        xp.log1p(spare, out=spare)
    value -= spare


def _log_cosh_value(z: Array, value: Array) -> None:
    # |z| + log(1 + e^(−2|z|)) − log 2: without σ', exp is twice as fast as tanh
    xp = library(z)
    xp.abs(z, out=z)
    xp.multiply(z, -2, out=value)
    xp.exp(value, out=value)
    if xp is np:
        value += 1
        np.log(value, out=value)
    else:
        xp.log1p(value, out=value)
    value += z
    value -= math.log(2)


def _quadratic_first(z: Array) -> None:
    pass  # σ'(z) = z


def _quadratic(z: Array, value: Array, spare: Array) -> None:
    _quadratic_value(z, value)


def _quadratic_value(z: Array, value: Array) -> None:
    library(z).multiply(z, z, out=value)
    value *= 0.5


def _pseudo_huber_first(z: Array) -> None:
    xp = library(z)
    root = z * z
    root += 1
    z /= xp.sqrt(root, out=root)


def _pseudo_huber(z: Array, value: Array, spare: Array) -> None:
    xp = library(z)
    xp.multiply(z, z, out=value)
    xp.add(value, 1, out=spare)
    xp.sqrt(spare, out=spare)
    z /= spare
    spare += 1
    value /= spare  # √(1 + z²) − 1 without cancellation


def _pseudo_huber_value(z: Array, value: Array) -> None:
    xp = library(z)
    z *= z
    xp.add(z, 1, out=value)
    xp.sqrt(value, out=value)
    value += 1
    xp.divide(z, value, out=value)


LOG_COSH = Fused(_log_cosh_first, _log_cosh, _log_cosh_value)
QUADRATIC = Fused(_quadratic_first, _quadratic, _quadratic_value)
PSEUDO_HUBER = Fused(_pseudo_huber_first, _pseudo_huber, _pseudo_huber_value)
