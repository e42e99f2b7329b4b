"""One step of a trainer: what it was given, what came back, and what a right step gives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mimverify.handles.memory_forms import PLAIN
from mimverify.support.arrays import Float64Array
from mimverify.trial.reference.envelope import step_envelope
from mimverify.trial.reference.oracle import (
    ORACLE_ACTIVATIONS,
    ORACLE_LOSSES,
    Options,
    OracleActivation,
    OracleLoss,
    exact_step,
)

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["Step"]


@dataclass(frozen=True)
class Step:
    """One step of a trainer: what it was given, and what came back.

    **Arguments**

    - `W`, `a`, `b`, `X`, `y`: of `exact_step`, in float64 with the values handed over.
    - `got`: the weights that the trainer returned, `(m, d)`.
    - `eta`, `beta`, `activation`, `loss`: of `exact_step`, in mimverify's spelling.
    - `dtype`: of the arrays handed over.
    - `history`: the weights before, `(t, m, d)`, from the first that the trainer was given.
    - `calls_before`: the last step of each earlier call that is on record, in order.
    - `form`: of `MEMORY_FORMS`, in which the call's arrays lay in memory.
    """

    W: Float64Array
    a: Float64Array
    b: Float64Array
    X: Float64Array
    y: Float64Array
    got: Float64Array
    eta: float
    beta: float
    activation: str
    loss: str
    dtype: str
    history: tuple[Float64Array, ...] = ()
    calls_before: tuple[Step, ...] = ()
    form: str = PLAIN

    @property
    def t(self) -> int:
        """Number of steps before this one."""
        return len(self.history)

    @property
    def previous(self) -> Float64Array | None:
        """The weights one step earlier, where there was one."""
        return self.history[-1] if self.history else None

    @property
    def arguments(self) -> Options:
        """Those of `exact_step`, by name."""
        names = ("W", "a", "b", "X", "y", "eta", "beta", "activation", "loss")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def right(self) -> Float64[Float64Array, "m d"]:
        """The weights `(m, d)` after a correct step."""
        return exact_step(**self.arguments)

    @cached_property
    def envelope(self) -> Float64[Float64Array, "m d"]:
        """The rounding envelope of a correct step, `(m, d)`."""
        return step_envelope(**self.arguments, dtype=self.dtype)

    @cached_property
    def earlier(self) -> tuple[Step, ...]:
        """The steps before, each from the trainer's own weights."""
        weights = (*self.history, self.W)
        return tuple(
            replace(self, W=weights[k], got=weights[k + 1], history=self.history[:k])
            for k in range(self.t)
        )

    # -- the parts of the right step, for rules that change one of them -----------------------

    @property
    def keep(self) -> float:
        """1 − η β: the factor of the weights before the step."""
        return 1 - self.eta * self.beta

    @property
    def sigma(self) -> OracleActivation:
        """The activation that the step was asked for."""
        return ORACLE_ACTIVATIONS[self.activation]

    @property
    def psi(self) -> OracleLoss:
        """The loss that the step was asked for."""
        return ORACLE_LOSSES[self.loss]

    @cached_property
    def preactivations(self) -> Float64[Float64Array, "n m"]:
        """P = X Wᵀ + b."""
        return np.asarray(self.X @ self.W.T + self.b)

    @cached_property
    def output(self) -> Float64[Float64Array, " n"]:
        """f = σ(P) a."""
        return np.asarray(self.sigma.value(self.preactivations) @ self.a)

    @cached_property
    def slope(self) -> Float64[Float64Array, " n"]:
        """ψ(f − y)."""
        return np.asarray(self.psi.derivative(self.output - self.y))

    @cached_property
    def back(self) -> Float64[Float64Array, "n m"]:
        """∂f/∂P = a σ'(P): row i of the gradient's terms is slope_i (back_i ⊗ x_i)."""
        return np.asarray(self.sigma.first(self.preactivations) * self.a)

    @cached_property
    def gradient(self) -> Float64[Float64Array, "m d"]:
        """∇_W L."""
        return np.asarray((self.slope[:, None] * self.back).T @ self.X / len(self.y))

    @cached_property
    def gradient_taken(self) -> Float64[Float64Array, "m d"] | None:
        """The gradient of which the trainer's step would be a right one; None: η is 0."""
        return np.asarray((self.keep * self.W - self.got) / self.eta) if self.eta else None
