"""What a step makes of a block of rows between its two products. Source: theory.md §3 (E5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.designs.block_products import WholeBlock
from mimverify.native import NetworkPass, native_library
from mimverify.network.activations import Activation
from mimverify.network.native_kinds import activation_kind, loss_kind
from mimverify.support.arrays import Array
from mimverify.support.scratch import Scratch
from mimverify.support.validation import DTYPES
from mimverify.training.objective import Objective

if TYPE_CHECKING:
    from jaxtyping import Float


class Residuals:
    """(l'(f(x_i), y_i) − offset) σ'(w_j·x_i + b_j) `(k, m)`: a row function for `one_pass`.

    The factor a_j of neuron j is left out. Projections are those on the neurons, and then on θ
    where there is a linear part.

    **Arguments**

    - `a`, `b`: `(m,)`, arrays of the backend.
    - `cancelling`: the neurons are one half of pairs whose outputs cancel (theory.md E1).
    """

    def __init__(
        self, objective: Objective, a: Array, b: Array, activation: Activation, *, cancelling: bool
    ) -> None:
        self._objective, self._activation, self._cancelling = objective, activation, cancelling
        self._a, self._b = a, b
        self._biased = bool((b != 0).any())
        self._scratch = Scratch()

    def __call__(self, P: Float[Array, "k q"], rows: slice) -> Float[Array, "k m"]:
        objective, neurons = self._objective, len(self._a)
        Z = P[:, :neurons]
        if self._biased:
            Z += self._b
        y = objective.y[rows]
        if self._cancelling:
            self._activation.to_first(Z)
            output = 0 * y + objective.constant
        else:
            value = self._activation.to_both(Z, *self._scratch.like(Z, 2))
            output = value @ self._a + objective.constant
        if objective.linear is not None:
            output = output + P[:, neurons]
        slope = objective.loss.derivative(output, y) - objective.offset
        Z *= slope[:, None]
        return Z

    def whole_block(self, V: Float[Array, "q d"]) -> tuple[int, WholeBlock] | None:
        """By the native library, for NumPy's arrays and activations and losses that it has."""
        objective = self._objective
        activation, loss = activation_kind(self._activation), loss_kind(objective.loss)
        ours = isinstance(V, np.ndarray) and V.size and V.dtype.name in DTYPES
        native = native_library() if ours else None
        if native is None or activation is None or loss is None:
            return None
        name, delta = loss
        network = NetworkPass(
            native, V, self._a, self._b if self._biased else None,
            activation=activation, loss=name, delta=delta, constant=objective.constant,
            offset=objective.offset, cancelling=self._cancelling,
        )  # fmt: skip

        def write(block: Array, rows: slice, out: Array) -> None:
            network(block, objective.y[rows], out)

        return len(self._a), write
