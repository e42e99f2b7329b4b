"""A trainer's methods and how they are called.

A trainer is an interface, not a class to inherit. Whatever methods an object has decide
what can be checked:

- `fit(X, y)` and `predict(X) -> (n,)`;
- `trajectory(W0, a, b, X, y, *, steps, eta, beta, activation, loss) -> (steps + 1, m, d)`;
- `step(W, a, b, X, y, *, eta, beta, activation, loss) -> (m, d)`;
- `operation_counts() -> {"multiply_adds": int, "design_passes": int}`, of the last call of
  `trajectory` or `step`.

with `X: (n, d)`, `y: (n,)`, `W` and `W0: (m, d)`, `a` and `b: (m,)`. NumPy arrays go in;
whatever `np.asarray` takes comes out.

Arrays are float32 or float64 in the machine's byte order, and lie in memory in any form of
`mimverify.handles.memory_forms`; negative strides and misaligned addresses may be refused with an
exception, the others may not. Arguments stay as they are, bit by bit, and so does what was returned
before. A result is no view of an argument. What `fit` is given may be kept, not changed.

`fit` gets the rows of both stages, half each: the first half of them trains the first layer, the
second half the output weights. It begins anew at every call. Of a trainer with `random_state`, an
attribute or a parameter that is set to an integer, every fit draws the same numbers from it, as
scikit-learn's estimators do; one without it may draw others at each fit. A fitted trainer may show
what it has trained as the attribute `first_layer_: (m, d)`, which opens claims on it: W as
predictions use it, of any length of rows, and a linear part that predictions add, if there is one,
as a further row. It may be a property; before `fit` it need not exist.

What `fit` chooses itself (loss, T1, m, the number of readout neurons, ridge) is its own. One claim,
`predicted-test-error`, names a choice than which it must be no poorer.

Operations are counted because seconds depend on the machine. `multiply_adds` are those of the
textbook products with X, n m d for X Wᵀ and as many for RᵀX, however they are computed; terms of
lower order, n m or m d, may be included or not. `design_passes` says how often all rows were read:
once for each of the two products, or once for both where each block of rows is used for both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from mimverify.support.arrays import NumpyArray

__all__ = ["OPERATION_COUNTS", "SIGNATURES", "Arrays", "Options", "Signature"]

#: The arrays of a call, and its options: numbers and names, handed through to the trainer.
Arrays: TypeAlias = Mapping[str, NumpyArray]
Options: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Signature:
    """How one method of a trainer is called.

    **Arguments**

    - `arrays`: the arrays, passed by position in this order.
    - `options`: the options, passed by keyword.
    - `axes`: what the indices of the result count, axis by axis; for messages.
    """

    arrays: tuple[str, ...]
    options: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()


#: What `operation_counts` returns, in the order in which `call` does.
OPERATION_COUNTS = ("multiply_adds", "design_passes")

_HYPERPARAMETERS = ("eta", "beta", "activation", "loss")

SIGNATURES: Mapping[str, Signature] = {
    "fit": Signature(("X", "y")),
    "predict": Signature(("X",), (), ("sample",)),
    "trajectory": Signature(
        ("W0", "a", "b", "X", "y"), ("steps", *_HYPERPARAMETERS), ("step", "neuron", "coordinate")
    ),
    "step": Signature(("W", "a", "b", "X", "y"), _HYPERPARAMETERS, ("neuron", "coordinate")),
    "operation_counts": Signature(()),
}
