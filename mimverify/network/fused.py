"""σ and σ' of a block of preactivations together, in reused memory.

Between its two products a pass of training spends its time here. Each kernel reads the block few
times, allocates no array, and computes common terms of σ and σ' once. It uses functions that NumPy
and Torch share, `out` included.

Values of σ have the absolute accuracy that training needs, a few u max(1, |σ|), as f − y is rounded
to u |y| anyway; σ' keeps its relative accuracy near zero, where stage 1 operates. Source: theory.md
§2, §3 (E5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mimverify.support.arrays import Array

__all__ = ["Fused"]


@dataclass(frozen=True)
class Fused:
    """Kernels for blocks `(k, m)` of any library that writes to arrays in place, and any dtype.

    **Arguments**

    - `first`: called with z; z becomes σ'(z).
    - `both`: called with z, `value` and `spare` of one shape: z becomes σ'(z), `value` σ(z), and
      `spare` anything.
    - `value`: called with z and `value` of one shape: `value` becomes σ(z), and z anything.
    - `pair`: called with z, returns σ(z) and σ'(z) as new arrays, in the array API alone: for
      libraries that compile it; None where `value` and `first` of the activation do as well.
    """

    first: Callable[[Array], None]
    both: Callable[[Array, Array, Array], None]
    value: Callable[[Array, Array], None]
    pair: Callable[[Array], tuple[Array, Array]] | None = None
