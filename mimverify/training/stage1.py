"""Stage 1: full-batch gradient descent on the first layer. Source: theory.md §2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from array_api_compat import array_namespace

from mimverify.designs.base import Design
from mimverify.network.activations import Activation
from mimverify.support.arrays import Array, Float64Array, FloatArray
from mimverify.support.errors import DivergenceError
from mimverify.training.centring import Centring
from mimverify.training.gradient import first_layer_gradient
from mimverify.training.objective import Objective
from mimverify.training.schedules import Schedule

if TYPE_CHECKING:
    from jaxtyping import Float

#: Called after every step with the step's number (0: the start) and the weights.
Observer = Callable[[int, Array], None]


@dataclass(frozen=True)
class FirstLayerState:
    """The state of stage 1: all that the next step depends on.

    **Arguments**

    - `step`: steps taken.
    - `W`: the weights `(m, d)` after them, NumPy.
    - `centring`, `linear_part`: what was fitted before the first step; θ `(d,)` or None.
    """

    step: int
    W: FloatArray
    centring: Centring
    linear_part: Float64Array | None = None


def train_first_layer(
    design: Design,
    objective: Objective,
    W: Float[Array, "m d"],
    a: Float[Array, " m"],
    b: Float[Array, " m"],
    *,
    activation: Activation,
    schedule: Schedule,
    steps: int,
    first_step: int | None = None,
    observe: Observer | None = None,
    zero_allowed: bool = False,
) -> Float[Array, "m d"]:
    """W after `steps` steps of W ← W − η (∇_W L(W) + β W), shape `(m, d)`.

    **Arguments**

    - `design`, `objective`: inputs, and labels with loss, centring and linear part.
    - `W`, `a`, `b`: `(m, d)`, `(m,)`, `(m,)`, arrays of the design's backend.
    - `first_step`: steps that led to W where training goes on from there, 0 possibly; `observe`
      is then called after the later ones only.
    - `observe`: called with the weights at t = 0 … steps; it must not change them.
    - `zero_allowed`: accept weights that are all zero. Plain gradient descent can reach them
      (β = 1/η and no gradient); to a fit they are useless.

    **Raises** `DivergenceError` at the first step whose weights are not finite, or vanish
    where that is not allowed.
    """
    if observe is not None and first_step is None:
        observe(0, W)
    for step in range((first_step or 0) + 1, steps + 1):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            G = first_layer_gradient(design, objective, W, a, b, activation)
            updated = schedule.update(W, G)
        _check(step, W, G, updated, zero_allowed)
        W = updated
        if observe is not None:
            observe(step, W)
    return W


def _check(step: int, W: Array, G: Array, updated: Array, zero_allowed: bool) -> None:
    xp = array_namespace(updated)
    largest = float(xp.max(xp.abs(updated)))
    if np.isfinite(largest) and (largest > 0 or zero_allowed):
        return
    before, gradient = float(xp.max(xp.abs(W))), float(xp.max(xp.abs(G)))
    sizes = f"largest weight before it {before:.3g}, largest gradient entry {gradient:.3g}"
    if largest == 0:
        reason = (
            f"all weights vanished ({sizes}); the labels carry no signal for this loss and "
            "activation, or eta·|a| is too small for the dtype"
        )
    elif not np.isfinite(gradient):
        reason = f"the gradient is not finite ({sizes}); lower eta or the initial norm"
    else:
        reason = f"the weights overflowed ({sizes}); lower eta or beta"
    raise DivergenceError(step, reason)
