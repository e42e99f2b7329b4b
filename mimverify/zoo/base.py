"""The correct trainer from which every mutant derives. Source: theory.md §2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.backends import NumpyBackend
from mimverify.designs import StoredDesign
from mimverify.network import (
    ACTIVATIONS,
    LOSSES,
    Activation,
    Loss,
    get_activation,
    get_loss,
    symmetric_start,
)
from mimverify.support.arrays import Array
from mimverify.training import default_steps, fit_constant, train_readout

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["Correct", "Task"]

_NEURONS, _READOUT_NEURONS = 64, 256


@dataclass(frozen=True)
class Task:
    """What the first layer is trained on.

    **Arguments**

    - `X`, `y`: `(n, d)`, `(n,)`; `a`, `b`: `(m,)`.
    - `eta`, `beta`: η and β.
    - `activation`, `loss`: σ and l.
    """

    X: Array
    y: Array
    a: Array
    b: Array
    eta: float
    beta: float
    activation: Activation
    loss: Loss


class Correct:
    """Nothing wrong: the control.

    Plain full-batch gradient descent in NumPy, in one method for each thing that can be wrong:
    a mutant overrides one of them.
    """

    activations: tuple[str, ...] = tuple(ACTIVATIONS)
    losses: tuple[str, ...] = tuple(LOSSES)
    dtypes: tuple[str, ...] = ("float64", "float32")
    random_state = 0

    # -- the first layer -------------------------------------------------------------------

    def trajectory(
        self,
        W0: Float[Array, "m d"], a: Float[Array, " m"], b: Float[Array, " m"],
        X: Float[Array, "n d"], y: Float[Array, " n"], *,
        steps: int, eta: float, beta: float, activation: str, loss: str,
    ) -> Float[Array, "steps_1 m d"]:  # fmt: skip
        """The weights `(steps + 1, m, d)` of gradient descent from W0."""
        task = Task(X, y, a, b, eta, beta, get_activation(activation), get_loss(loss))
        return self.descend(W0, self.prepare(task), steps)

    def descend(
        self, W: Float[Array, "m d"], task: Task, steps: int
    ) -> Float[Array, "steps_1 m d"]:
        """The weights of all steps from W, `(steps + 1, m, d)`."""
        weights = [W]
        for t in range(steps):
            weights.append(self.advance(t, weights[-1], task))
        return np.array(weights)

    def prepare(self, task: Task) -> Task:
        """Preprocessing before the first step: none here."""
        return task

    def advance(self, t: int, W: Float[Array, "m d"], task: Task) -> Float[Array, "m d"]:
        """The weights after one step, the t-th from 0."""
        return self.update(t, W, self.gradient(W, task), task)

    def gradient(self, W: Float[Array, "m d"], task: Task) -> Float[Array, "m d"]:
        """∇_W L, shape `(m, d)`."""
        P = task.X @ W.T + task.b
        slope = self.slope(self.output(P, task), task)
        R = slope[:, None] * self.first(P, task) * task.a
        return R.T @ task.X / len(task.y)

    def output(self, P: Float[Array, "n m"], task: Task) -> Float[Array, " n"]:
        """f(x_i) `(n,)` from the preactivations `(n, m)`."""
        return task.activation.value(P) @ task.a

    def slope(self, f: Float[Array, " n"], task: Task) -> Float[Array, " n"]:
        """l'(f(x_i), y_i), shape `(n,)`."""
        return task.loss.derivative(f, task.y)

    def first(self, P: Float[Array, "n m"], task: Task) -> Float[Array, "n m"]:
        """σ'(P), shape `(n, m)`."""
        return task.activation.first(P)

    def update(
        self, t: int, W: Float[Array, "m d"], G: Float[Array, "m d"], task: Task
    ) -> Float[Array, "m d"]:
        """W − η (G + β W)."""
        return W - task.eta * (G + task.beta * W)

    # -- both stages -------------------------------------------------------------------------

    def fit(self, X: Float[Array, "n d"], y: Float[Array, " n"]) -> None:
        """Stage 1 on the first half of the rows, stage 2 on the second."""
        half = len(y) // 2
        W = self.first_stage(X[:half], y[:half])
        self.second_stage(X[half:], y[half:], W)

    def first_stage(self, X: Float[Array, "n d"], y: Float[Array, " n"]) -> Float[Array, "m d"]:
        """The first layer `(m, d)`, by `trajectory` at scale-free rates."""
        (n, d), loss = X.shape, get_loss("huber")
        y = y - fit_constant(loss, y).constant
        start = symmetric_start(
            _NEURONS, d, np.random.default_rng([self.random_state, 1]), dtype=X.dtype.name
        )
        H = (X.T * -loss.derivative(0 * y, y)) @ X / n
        eta = float(1 / (np.abs(start.a[0]) * np.linalg.norm(H, 2)))
        return self.trajectory(
            start.W, start.a, start.b, X, y,
            steps=default_steps(n, d), eta=eta, beta=1 / eta, activation="log-cosh", loss="huber",
        )[-1]  # fmt: skip

    def second_stage(
        self,
        X: Float[Array, "n d"],
        y: Float[Array, " n"],
        W: Float[Array, "m d"],
        ridge: float = 1e-3,
    ) -> None:
        """The output weights over frozen directions."""
        self.first_layer_ = W
        self.readout = train_readout(
            StoredDesign(X, NumpyBackend(X.dtype.name)),
            y,
            W,
            activation=get_activation("log-cosh"),
            neurons=_READOUT_NEURONS,
            rng=self.biases(),
            ridge=ridge,
        )

    def biases(self) -> np.random.Generator:
        """What draws the biases of the second stage."""
        return np.random.default_rng([self.random_state, 2])

    def predict(self, X: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Predictions `(n,)`."""
        return self.readout.predict(X)
