"""NumPy in another memory layout and order: columns first, blocks from the last row to the first.

Weights are kept as `(d, m)` and inputs as `(d, n)`, both in Fortran order, and sums run over the
blocks of rows backwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import erf, expit

BLOCK = 193

Function = Callable[[Any], Any]


def gelu(z):
    return z * (1 + erf(z / np.sqrt(2.0))) / 2


def gelu_slope(z):
    return (1 + erf(z / np.sqrt(2.0))) / 2 + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


def log_cosh(z):
    return np.abs(z) + np.log1p(np.exp(-2 * np.abs(z))) - np.log(2.0)


ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "log-cosh": (log_cosh, np.tanh),
    "quadratic": (lambda z: z * z / 2, lambda z: z),
    "pseudo-huber": (lambda z: np.hypot(1, z) - 1, lambda z: z / np.hypot(1, z)),
    "relu": (lambda z: z * (z > 0), lambda z: np.heaviside(z, 0)),
    "softplus": (lambda z: np.logaddexp(0, z), expit),
    "gelu": (gelu, gelu_slope),
    "tanh": (np.tanh, lambda z: (1 - np.tanh(z)) * (1 + np.tanh(z))),
}
# l' as a function of y − f, with the sign that makes it a direction of descent.
DESCENT: dict[str, Function] = {
    "squared": lambda r: r,
    "l1": np.sign,
    "huber": lambda r: r / np.maximum(1, np.abs(r)),
    "pseudo-huber": lambda r: r / np.hypot(1, r),
    "log-cosh": np.tanh,
}


def blocks_backwards(n):
    for stop in range(n, 0, -BLOCK):
        yield slice(max(0, stop - BLOCK), stop)


def descent(V, a, b, Xt, y, activation, loss):
    """−∇L, shape `(d, m)`, for weights V `(d, m)` and inputs Xt `(d, n)`."""
    value, slope = ACTIVATIONS[activation]
    total = np.zeros_like(V)
    for rows in blocks_backwards(len(y)):
        Z = V.T @ Xt[:, rows] + b[:, None]
        pull = DESCENT[loss](y[rows] - a @ value(Z))
        total += Xt[:, rows] @ (slope(Z) * pull).T
    return total * (a / len(y)).astype(V.dtype)


class Trainer:
    activations = tuple(ACTIVATIONS)
    losses = tuple(DESCENT)
    dtypes = ("float64", "float32")
    random_state = 0

    def step(self, W, a, b, X, y, *, eta, beta, activation, loss):
        Xt, V = np.asfortranarray(X.T), np.asfortranarray(W.T)
        pull = descent(V, a, b, Xt, y, activation, loss)
        return (V - eta * beta * V + eta * pull).T

    def trajectory(self, W0, a, b, X, y, *, steps, eta, beta, activation, loss):
        Xt = np.asfortranarray(X.T)
        weights = np.empty((*W0.T.shape, steps + 1), W0.dtype, order="F")
        weights[..., 0] = W0.T
        for t in range(steps):
            pull = descent(weights[..., t], a, b, Xt, y, activation, loss)
            weights[..., t + 1] = weights[..., t] - eta * beta * weights[..., t] + eta * pull
        return weights.transpose(2, 1, 0)

    def fit(self, X, y):
        rng = np.random.default_rng(self.random_state)
        n = len(y) // 2
        self.V = self._first_layer(np.asfortranarray(X[:n].T, float), y[:n], rng)
        self.b = rng.standard_normal(self.V.shape[1])
        Xt, y = np.asfortranarray(X[n:].T, float), y[n:].astype(float)
        p = len(self.b) + 1
        gram, cross = np.zeros((p, p)), np.zeros(p)
        for rows in blocks_backwards(len(y)):
            F = self._hidden(Xt[:, rows])
            gram += F @ F.T
            cross += F @ y[rows]
        penalty = 1e-3 * len(y) * np.eye(p)
        penalty[-1, -1] = 0  # the constant
        self.c = np.linalg.solve(gram + penalty, cross)

    def _first_layer(self, Xt, y, rng):
        d, n = Xt.shape
        centre = np.median(y).astype(float)
        for _ in range(200):
            centre += DESCENT["huber"](y - centre).mean()
        half = rng.standard_normal((d, 128))
        V = 1e-3 * np.hstack([half, half])
        a = np.repeat([1.0, -1.0], 128)
        for _ in range(int(np.ceil(np.log(d) / np.log(n / d))) + 2):
            V = descent(V, a, np.zeros(256), Xt, y - centre, "quadratic", "huber")
            V *= 1e-3 / np.abs(V).max()
        return np.asfortranarray(V / np.sqrt((V * V).sum(axis=0)))

    def _hidden(self, Xt):
        H = log_cosh(self.V.T @ Xt + self.b[:, None])
        return np.vstack([H, np.ones(Xt.shape[1])])

    def predict(self, X):
        return self.c @ self._hidden(np.asfortranarray(X.T, float))
