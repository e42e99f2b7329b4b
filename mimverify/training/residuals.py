"""What a step makes of a block of rows between its two products. Source: theory.md §3 (E5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mimverify.backends import Backend, PassTerms, WholeBlock
from mimverify.network.activations import Activation
from mimverify.network.native_kinds import activation_kind, loss_kind
from mimverify.support.arrays import Array
from mimverify.support.scratch import Scratch
from mimverify.training.objective import Objective

if TYPE_CHECKING:
    from jaxtyping import Float


class Residuals:
    """(l'(f(x_i), y_i) − offset) σ'(w_j·x_i + b_j) `(k, m)`: a row function for `one_pass`.

    The factor a_j of neuron j is left out. Projections are those on the neurons, and then on θ
    where there is a linear part.

    **Arguments**

    - `a`, `b`: `(m,)`, arrays of the backend.
    - `backend`: may have a way of its own to compute them, or a whole block's sum.
    - `cancelling`: the neurons are one half of pairs whose outputs cancel (theory.md E1).
    """

    def __init__(
        self,
        objective: Objective,
        a: Array,
        b: Array,
        activation: Activation,
        backend: Backend,
        *,
        cancelling: bool,
    ) -> None:
        self._objective, self._activation, self._cancelling = objective, activation, cancelling
        self._a, self._b = a, b
        self._biased = bool((b != 0).any())
        self._scratch = Scratch()
        self._backend = backend
        self._terms = self._as_terms()
        self._compiled = backend.residuals(self._terms)

    def __call__(self, P: Float[Array, "k q"], rows: slice) -> Float[Array, "k m"]:
        if self._compiled is not None:
            return self._compiled(P, rows)
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
        """By the backend, where it has a way of its own."""
        write = self._backend.whole_block(self._terms, V)
        return None if write is None else (len(self._a), write)

    def _as_terms(self) -> PassTerms:
        objective, activation = self._objective, self._activation
        name, loss = activation_kind(activation), loss_kind(objective.loss)
        return PassTerms(
            self._a, self._b, self._biased, activation.value, activation.first,
            objective.loss.derivative, objective.y, objective.constant, objective.offset,
            linear=objective.linear is not None, cancelling=self._cancelling,
            pair=None if activation.fused is None else activation.fused.pair,
            native=None if name is None or loss is None else (name, *loss),
        )  # fmt: skip
