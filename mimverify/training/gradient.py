"""The hand-derived gradient of the loss in the first layer, one pass over the design.

∂L/∂w_j = (1/n) Σ_i l'(c + θ·x_i + f(x_i), y_i) a_j σ'(w_j·x_i + b_j) x_i. Source:
theory.md §2 (stage 1), §3 (E5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from mimverify.designs.base import Design
from mimverify.network.activations import Activation
from mimverify.network.losses import Loss
from mimverify.support.scratch import Scratch
from mimverify.training.symmetry import mirror_sign


@dataclass(frozen=True)
class Objective:
    """What the first layer is trained on, apart from the inputs.

    **Arguments**

    - `loss`: l.
    - `y`: labels `(n,)`, an array of the backend.
    - `constant`, `offset`: c, and the part of l' that c cannot remove (`Centring`).
    - `linear`: θ `(d,)` of a linear part that the network need not learn, or None.
    """

    loss: Loss
    y: Any
    constant: float = 0.0
    offset: float = 0.0
    linear: Any | None = None


def first_layer_gradient(
    design: Design, objective: Objective, W: Any, a: Any, b: Any, activation: Activation
) -> Any:
    """∇_W L, shape `(m, d)`, without weight decay."""
    sign = mirror_sign(W, a, b, activation)
    if sign is not None:
        half = W.shape[0] // 2
        upper = _gradient(design, objective, W[:half], a[:half], b[:half], activation, silent=True)
        return array_namespace(W).concat([upper, -sign * upper])
    return _gradient(design, objective, W, a, b, activation, silent=False)


def _gradient(
    design: Design,
    objective: Objective,
    W: Any,
    a: Any,
    b: Any,
    activation: Activation,
    *,
    silent: bool,
) -> Any:
    """The gradient of these neurons; `silent`: they stand for pairs whose outputs cancel."""
    neurons = W.shape[0]
    scratch = Scratch()
    biased = bool((b != 0).any())
    V = W
    if objective.linear is not None:  # θ·x comes out of the same pass as one more row
        V = array_namespace(W).concat([W, objective.linear[None, :]])

    def residual(P: Any, rows: slice) -> Any:
        Z = P[:, :neurons]
        if biased:
            Z += b
        y = objective.y[rows]
        if silent:
            activation.to_first(Z)
            output = 0 * y + objective.constant
        else:
            value = activation.to_both(Z, *scratch.like(Z, 2))
            output = value @ a + objective.constant
        if objective.linear is not None:
            output = output + P[:, neurons]
        slope = objective.loss.derivative(output, y) - objective.offset
        Z *= slope[:, None]
        return Z

    # a_j is a factor of all that neuron j sums up: once for the sum, not for each row.
    G = design.one_pass(V, residual)
    G *= a[:, None] / design.n_samples
    return G
