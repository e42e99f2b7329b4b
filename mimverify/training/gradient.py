"""The hand-derived gradient of the loss in the first layer, one pass over the design.

∂L/∂w_j = (1/n) Σ_i l'(c + θ·x_i + f(x_i), y_i) a_j σ'(w_j·x_i + b_j) x_i. Source:
theory.md §2 (stage 1), §3 (E5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from array_api_compat import array_namespace

from mimverify.designs.base import Design
from mimverify.network.activations import Activation
from mimverify.support.arrays import Array
from mimverify.training.objective import Objective
from mimverify.training.residuals import Residuals
from mimverify.training.symmetry import mirror_sign

if TYPE_CHECKING:
    from jaxtyping import Float


def first_layer_gradient(
    design: Design,
    objective: Objective,
    W: Float[Array, "m d"],
    a: Float[Array, " m"],
    b: Float[Array, " m"],
    activation: Activation,
) -> Float[Array, "m d"]:
    """∇_W L, shape `(m, d)`, without weight decay."""
    sign = mirror_sign(W, a, b, activation)
    if sign is not None:
        half = W.shape[0] // 2
        upper = _gradient(
            design, objective, W[:half], a[:half], b[:half], activation, cancelling=True
        )
        return array_namespace(W).concat([upper, -sign * upper])
    return _gradient(design, objective, W, a, b, activation, cancelling=False)


def _gradient(
    design: Design,
    objective: Objective,
    W: Array,
    a: Array,
    b: Array,
    activation: Activation,
    *,
    cancelling: bool,
) -> Array:
    """The gradient of these neurons; `cancelling`: of pairs whose outputs cancel."""
    V = W
    if objective.linear is not None:  # θ·x is one more projection of the same pass
        V = array_namespace(W).concat([W, objective.linear[None, :]])
    residual = Residuals(objective, a, b, activation, design.backend, cancelling=cancelling)
    # a_j is a factor of the whole sum of neuron j: applied once, not for each row.
    G = design.one_pass(V, residual)
    G *= a[:, None] / design.n_samples
    return G
