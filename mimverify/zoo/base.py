"""The trainer that every animal of the zoo is, but for one thing. Source: theory.md §2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mimverify.backends import NumpyBackend
from mimverify.designs import StoredDesign
from mimverify.network import Activation, Loss, get_activation, get_loss, symmetric_start
from mimverify.training import default_steps, fit_constant, train_readout

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

    X: Any
    y: Any
    a: Any
    b: Any
    eta: float
    beta: float
    activation: Activation
    loss: Loss


class Correct:
    """Nothing wrong: the control.

    Plain full-batch gradient descent in NumPy, cut into the parts that a mistake can hit:
    a mutant overrides one of them.
    """

    activations: tuple[str, ...] = (
        "log-cosh", "quadratic", "pseudo-huber", "relu", "softplus", "gelu", "tanh",
        "softplus-centred", "gelu-centred", "exp-centred",
    )  # fmt: skip
    losses: tuple[str, ...] = ("squared", "l1", "huber", "pseudo-huber", "log-cosh")
    dtypes: tuple[str, ...] = ("float64", "float32")
    random_state = 0

    # -- the first layer -------------------------------------------------------------------

    def features(
        self, X: Any, y: Any, W0: Any, a: Any, b: Any, *,
        steps: int, eta: float, beta: float, activation: str, loss: str,
    ) -> Any:  # fmt: skip
        """The weights `(steps + 1, m, d)` of gradient descent from W0."""
        task = Task(X, y, a, b, eta, beta, get_activation(activation), get_loss(loss))
        return self.descend(W0, self.prepare(task), steps)

    def descend(self, W: Any, task: Task, steps: int) -> Any:
        """The weights of all steps from W, `(steps + 1, m, d)`."""
        weights = [W]
        for t in range(steps):
            weights.append(self.advance(t, weights[-1], task))
        return np.array(weights)

    def prepare(self, task: Task) -> Task:
        """What is done to the task before the first step: nothing."""
        return task

    def advance(self, t: int, W: Any, task: Task) -> Any:
        """The weights after one step, the t-th from 0."""
        return self.update(t, W, self.gradient(W, task), task)

    def gradient(self, W: Any, task: Task) -> Any:
        """∇_W L, shape `(m, d)`."""
        P = task.X @ W.T + task.b
        slope = self.slope(self.output(P, task), task)
        R = slope[:, None] * self.first(P, task) * task.a
        return R.T @ task.X / len(task.y)

    def output(self, P: Any, task: Task) -> Any:
        """f(x_i) `(n,)` from the preactivations `(n, m)`."""
        return task.activation.value(P) @ task.a

    def slope(self, f: Any, task: Task) -> Any:
        """l'(f(x_i), y_i), shape `(n,)`."""
        return task.loss.derivative(f, task.y)

    def first(self, P: Any, task: Task) -> Any:
        """σ'(P), shape `(n, m)`."""
        return task.activation.first(P)

    def update(self, t: int, W: Any, G: Any, task: Task) -> Any:
        """W − η (G + β W)."""
        return W - task.eta * (G + task.beta * W)

    # -- both stages -------------------------------------------------------------------------

    def fit(self, X: Any, y: Any) -> None:
        """Stage 1 on the first half of the rows, stage 2 on the second."""
        half = len(y) // 2
        W = self.first_stage(X[:half], y[:half])
        self.second_stage(X[half:], y[half:], W)

    def first_stage(self, X: Any, y: Any) -> Any:
        """The first layer `(m, d)`, by `features` at scale-free rates."""
        (n, d), loss = X.shape, get_loss("huber")
        y = y - fit_constant(loss, y).constant
        start = symmetric_start(
            _NEURONS, d, np.random.default_rng([self.random_state, 1]), dtype=X.dtype.name
        )
        H = (X.T * -loss.derivative(0 * y, y)) @ X / n
        eta = float(1 / (np.abs(start.a[0]) * np.linalg.norm(H, 2)))
        options: dict[str, Any] = {"eta": eta, "beta": 1 / eta, "loss": "huber"}
        options |= {"activation": "log-cosh", "steps": default_steps(n, d)}
        return self.features(X, y, start.W, start.a, start.b, **options)[-1]

    def second_stage(self, X: Any, y: Any, W: Any, ridge: float = 1e-3) -> None:
        """The output weights over frozen directions."""
        self.readout = train_readout(
            StoredDesign(X, NumpyBackend(X.dtype.name)),
            y,
            W,
            activation=get_activation("log-cosh"),
            neurons=_READOUT_NEURONS,
            rng=np.random.default_rng([self.random_state, 2]),
            ridge=ridge,
        )

    def predict(self, X: Any) -> Any:
        """Predictions `(n,)`."""
        return self.readout.predict(X)
