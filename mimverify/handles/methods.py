"""A trainer's methods and how they are called.

A trainer is an interface, not a class to inherit. Whatever methods an object has decide
what can be checked:

- `fit(X, y)` and `predict(X) -> (n,)`;
- `features(X, y, W0, a, b, *, steps, eta, beta, activation, loss) -> (steps + 1, m, d)`;
- `step(W, a, b, X, y, *, eta, beta, activation, loss) -> (m, d)`;
- `operation_counts() -> {"multiply_adds": int, "design_passes": int}`, of the last call of
  `features` or `step`.

with `X: (n, d)`, `y: (n,)`, `W` and `W0: (m, d)`, `a` and `b: (m,)`. NumPy arrays go in;
whatever `np.asarray` takes comes out.

Operations are counted where seconds would not be honest. `multiply_adds` are those of the
textbook products with X, n m d for X Wᵀ and as many for RᵀX, however they are carried out; what
costs n m or m d, a lower order, may be added or left out. `design_passes` says how often the
rows were gone through from first to last: once for each of the two products, or once for both
where each block of rows serves both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["OPERATION_COUNTS", "SIGNATURES", "Signature"]


@dataclass(frozen=True)
class Signature:
    """How one method of a trainer is called.

    **Arguments**

    - `arrays`: the arrays, handed over by position in this order.
    - `options`: the options, handed over by keyword.
    - `axes`: what one index along each axis of the result counts, for messages.
    """

    arrays: tuple[str, ...]
    options: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()


#: What `operation_counts` returns, in the order in which `call` does.
OPERATION_COUNTS = ("multiply_adds", "design_passes")

_PHYSICS = ("eta", "beta", "activation", "loss")

SIGNATURES: Mapping[str, Signature] = {
    "fit": Signature(("X", "y")),
    "predict": Signature(("X",), (), ("sample",)),
    "features": Signature(
        ("X", "y", "W0", "a", "b"), ("steps", *_PHYSICS), ("step", "neuron", "coordinate")
    ),
    "step": Signature(("W", "a", "b", "X", "y"), _PHYSICS, ("neuron", "coordinate")),
    "operation_counts": Signature(()),
}
