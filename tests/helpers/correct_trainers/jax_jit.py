"""JAX as its tutorials write it: `jit` with static activation and loss, `grad`, `lax.scan`.

Every combination of shapes, activation, loss, dtype and number of steps is a program of its own,
compiled at the first call that needs it: the slowest compiling trainer that is still written
with care. `jax_grad` pads instead. Needs jax.
"""

from __future__ import annotations

import math
from functools import partial

import jax
from jax import lax
from jax import numpy as jnp

jax.config.update("jax_enable_x64", True)

ACTIVATIONS = {
    "log-cosh": lambda z: jnp.logaddexp(z, -z) - math.log(2),
    "quadratic": lambda z: jnp.square(z) / 2,
    "pseudo-huber": lambda z: jnp.sqrt(1 + jnp.square(z)) - 1,
    "relu": jax.nn.relu,
    "softplus": jax.nn.softplus,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "tanh": jnp.tanh,
}
LOSSES = {
    "squared": lambda f, y: jnp.square(f - y) / 2,
    "l1": lambda f, y: jnp.abs(f - y),
    "huber": lambda f, y: jnp.where(
        jnp.abs(f - y) <= 1, jnp.square(f - y) / 2, jnp.abs(f - y) - 0.5
    ),
    "pseudo-huber": lambda f, y: jnp.sqrt(1 + jnp.square(f - y)) - 1,
    "log-cosh": lambda f, y: jnp.logaddexp(f - y, y - f) - math.log(2),
}


def risk(W, a, b, X, y, activation, loss):
    return LOSSES[loss](ACTIVATIONS[activation](X @ W.T + b) @ a, y).mean()


def updated(W, a, b, X, y, eta, beta, activation, loss):
    gradient = jax.grad(risk)(W, a, b, X, y, activation, loss)
    return W - (eta * (gradient + beta * W)).astype(W.dtype)


step = jax.jit(updated, static_argnames=("activation", "loss"))


@partial(jax.jit, static_argnames=("steps", "activation", "loss"))
def trajectory(W0, a, b, X, y, eta, beta, steps, activation, loss):
    def body(W, _):
        W = updated(W, a, b, X, y, eta, beta, activation, loss)
        return W, W

    _, weights = lax.scan(body, W0, length=steps)
    return jnp.concatenate([W0[None], weights])


@jax.jit
def centre_and_rate(X, y):
    """The constant that minimises the pseudo-Huber loss, and 1/‖H‖ for the centred labels."""

    def slopes(c):
        return (c - y) / jnp.sqrt(1 + jnp.square(c - y))

    centre = lax.fori_loop(0, 100, lambda _, c: c - slopes(c).mean(), y.mean())
    H = (X.T * slopes(centre)) @ X / len(y)
    return centre, 1 / jnp.abs(jnp.linalg.eigvalsh(H)).max()


@jax.jit
def hidden(W, b, X):
    return ACTIVATIONS["pseudo-huber"](jnp.tile(X @ W.T, 4) + b)


@jax.jit
def ridge(F, y):
    """Means of the features F, mean of y, and the coefficients of a ridge regression."""
    means, constant = F.mean(axis=0), y.mean()
    F = F - means
    gram = F.T @ F / len(y)
    gram += 1e-3 * jnp.trace(gram) / len(gram) * jnp.eye(len(gram), dtype=F.dtype)
    return (
        means,
        constant,
        jax.scipy.linalg.solve(gram, F.T @ (y - constant) / len(y), assume_a="pos"),
    )


class Trainer:
    activations = tuple(ACTIVATIONS)
    losses = tuple(LOSSES)
    dtypes = ("float64", "float32")

    def __init__(self):
        self.random_state = 0

    def step(self, W, a, b, X, y, *, eta, beta, activation, loss):
        return step(W, a, b, X, y, eta, beta, activation, loss)

    def trajectory(self, W0, a, b, X, y, *, steps, eta, beta, activation, loss):
        return trajectory(W0, a, b, X, y, eta, beta, steps, activation, loss)

    def fit(self, X, y):
        start, biases = jax.random.split(jax.random.key(self.random_state))
        n, d = len(y) // 2, X.shape[1]
        centre, rate = centre_and_rate(X[:n], y[:n])
        half = jax.random.normal(start, (32, d), X.dtype) * 0.01 / math.sqrt(d)
        a = jnp.repeat(jnp.array([1, -1], X.dtype), 32) / 64
        eta = 64 * float(rate)
        W = trajectory(
            jnp.concatenate([half, half]), a, jnp.zeros_like(a), X[:n], y[:n] - centre,
            eta, 1 / eta, math.ceil(math.log(d) / math.log(n / d)) + 2,
            "pseudo-huber", "pseudo-huber",
        )[-1]  # fmt: skip
        self.W = W / jnp.linalg.norm(W, axis=1, keepdims=True)
        self.b = jax.random.normal(biases, (256,), X.dtype)
        self.means, self.constant, self.a = ridge(hidden(self.W, self.b, X[n:]), y[n:])

    def predict(self, X):
        return (hidden(self.W, self.b, X) - self.means) @ self.a + self.constant
