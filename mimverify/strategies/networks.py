"""Random two-layer networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from mimverify.network import Network, symmetric_start
from mimverify.strategies.choices import choices
from mimverify.support.validation import choice, dtype_name, integer

__all__ = ["networks"]

_KINDS = ("any", "symmetric", "general")


def networks(
    dim: int,
    *,
    neurons: Sequence[int] = (4, 2, 6, 10, 32),
    norms: Sequence[float] = (0.1, 0.01, 1.0),
    kind: str = "any",
    dtype: str = "float64",
) -> st.SearchStrategy[Network]:
    """Networks with W `(m, d)`, a and b `(m,)`.

    **Arguments**

    - `dim`: d.
    - `neurons`, `norms`: values of m and of ‖w_j‖ (its typical size, for general ones),
      simplest first.
    - `kind`: `"symmetric"`: the start of theory.md §2, m even; `"general"`: Gaussian W, a of
      size 1/m, b of size 1/2; `"any"` of the two.

    **Raises** `InputError` for an unknown kind, or an odd m among `neurons` of a symmetric start.
    """
    dim = integer("dim", dim, minimum=1)
    kind, dtype = choice("kind", kind, _KINDS), dtype_name("dtype", dtype)
    kinds = ("symmetric", "general") if kind == "any" else (kind,)
    if "symmetric" in kinds:
        for m in neurons:  # at once, not at some draw
            symmetric_start(m, 1, np.random.default_rng(0))

    def build(which: str, m: int, norm: float, seed: int) -> Network:
        rng = np.random.default_rng([seed, dim, m])
        if which == "symmetric":
            return symmetric_start(m, dim, rng, norm=norm, dtype=dtype)
        W = rng.standard_normal((m, dim)) * norm / np.sqrt(dim)
        a, b = rng.standard_normal(m) / m, rng.standard_normal(m) / 2
        return Network(W.astype(dtype), a.astype(dtype), b.astype(dtype))

    return st.builds(build, choices(kinds), choices(neurons), choices(norms), choices(range(256)))
