"""JAX: `jit` and `grad`, shapes padded so that few programs are compiled. Needs jax.

Rows are padded to a power of two with weight zero, neurons with output weight zero and inputs
with zero columns; activation and loss are chosen inside the compiled program.
"""

from __future__ import annotations

import math

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

jax.config.update("jax_enable_x64", True)

ACTIVATIONS = {
    "log-cosh": lambda z: jnp.logaddexp(z, -z) - math.log(2),
    "quadratic": lambda z: z * z / 2,
    "pseudo-huber": lambda z: jnp.sqrt(1 + z * z) - 1,
    "relu": jax.nn.relu,
    "softplus": jax.nn.softplus,
    "gelu": lambda z: jax.nn.gelu(z, approximate=False),
    "tanh": jnp.tanh,
}
LOSSES = {
    "squared": lambda u: u * u / 2,
    "l1": jnp.abs,
    "huber": lambda u: jnp.where(jnp.abs(u) <= 1, u * u / 2, jnp.abs(u) - 0.5),
    "pseudo-huber": lambda u: jnp.sqrt(1 + u * u) - 1,
    "log-cosh": lambda u: jnp.logaddexp(u, -u) - math.log(2),
}


def objective(W, a, b, X, y, weight, activation, loss):
    output = lax.switch(activation, list(ACTIVATIONS.values()), X @ W.T + b) @ a
    return weight @ lax.switch(loss, list(LOSSES.values()), output - y)


@jax.jit
def updated(W, a, b, X, y, weight, eta, beta, activation, loss):
    gradient = jax.grad(objective)(W, a, b, X, y, weight, activation, loss)
    return W - (eta * (gradient + beta * W)).astype(W.dtype)


#: l' of the loss that `fit` trains on, row by row.
slope = jax.jit(jax.vmap(jax.grad(LOSSES["pseudo-huber"])))


def padded(array, *lengths):
    return np.pad(array, [(0, to - have) for to, have in zip(lengths, array.shape, strict=True)])


def power_of_two(length, least):
    return max(least, 1 << (length - 1).bit_length())


def descend(W, a, b, X, y, *, eta, beta, activation, loss):
    """Yields the weights after 0, 1, 2, … steps, without end."""
    (n, d), m = X.shape, len(a)
    rows, columns, neurons = power_of_two(n, 64), -(-d // 32) * 32, power_of_two(m, 16)
    X, y = padded(X, rows, columns), padded(y, rows)
    weight = padded(np.full(n, 1 / n, X.dtype), rows)
    a, b = padded(a, neurons), padded(b, neurons)
    chosen = list(ACTIVATIONS).index(activation), list(LOSSES).index(loss)
    V = jnp.asarray(padded(W, neurons, columns))
    while True:
        yield np.asarray(V)[:m, :d]
        V = updated(V, a, b, X, y, weight, eta, beta, *chosen)


class Trainer:
    activations = tuple(ACTIVATIONS)
    losses = tuple(LOSSES)
    dtypes = ("float64", "float32")

    def __init__(self):
        self.random_state = 0

    def step(self, W, a, b, X, y, **options):
        weights = descend(W, a, b, X, y, **options)
        next(weights)
        return next(weights)

    def trajectory(self, W0, a, b, X, y, *, steps, **options):
        weights = descend(W0, a, b, X, y, **options)
        return np.stack([next(weights) for _ in range(steps + 1)])

    def fit(self, X, y):
        start, biases = jax.random.split(jax.random.key(self.random_state))
        n = len(y) // 2
        W = self._first_layer(X[:n], y[:n], start)
        self.W = W / np.linalg.norm(W, axis=1, keepdims=True)
        self.b = np.asarray(jax.random.normal(biases, (256,), X.dtype))
        hidden = self._hidden(X[n:])
        self.means, self.constant = hidden.mean(axis=0), y[n:].mean()
        hidden = hidden - self.means
        gram = hidden.T @ hidden / n
        gram += 1e-3 * np.trace(gram) / 256 * np.eye(256)
        self.a = jax.scipy.linalg.solve(
            gram, hidden.T @ (y[n:] - self.constant) / n, assume_a="pos"
        )

    def _first_layer(self, X, y, key):
        n, d = X.shape
        centre = y.mean()
        for _ in range(100):
            centre -= np.asarray(slope(centre - y)).mean()
        y = y - centre
        half = np.asarray(jax.random.normal(key, (32, d), X.dtype))
        W = 0.01 * np.concatenate([half, half]) / math.sqrt(d)
        a = np.repeat(np.array([1, -1], X.dtype), 32) / 64
        H = (X.T * np.asarray(slope(y))) @ X / n
        eta = 64 / float(np.linalg.norm(H, 2))
        weights = descend(
            W, a, np.zeros_like(a), X, y,
            eta=eta, beta=1 / eta, activation="pseudo-huber", loss="pseudo-huber",
        )  # fmt: skip
        for _ in range(math.ceil(math.log(d) / math.log(n / d)) + 3):
            W = next(weights)
        return W

    def _hidden(self, X):
        return np.asarray(ACTIVATIONS["pseudo-huber"](np.tile(X @ self.W.T, 4) + self.b))

    def predict(self, X):
        return (self._hidden(X) - self.means) @ self.a + self.constant
