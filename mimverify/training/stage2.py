"""Stage 2: the output weights, a ridge regression on frozen random features.

Source: theory.md §2 step 3. The rows of W are normalised and, with redrawn biases, make
p features φ_k(x) = σ(ŵ_{k mod m}·x + b_k); the output weights minimise

    (1/2n) Σ_i (c + φ(x_i)·a − y_i)² + (ridge/2) ‖a‖²,

c unpenalised, by gradient descent or by its limit in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.designs.base import Design
from mimverify.network.activations import Activation
from mimverify.support.arrays import ArrayLike, Float64Array, FloatArray, NumpyArray
from mimverify.support.errors import DivergenceError, InputError
from mimverify.support.threads import single_threaded_libraries
from mimverify.support.validation import choice, integer, number
from mimverify.training.features import Features, Moments, feature_moments

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Real

READOUTS = ("closed-form", "gradient-descent")

# With a penalty above this multiple of the trace, which bounds the eigenvalues, rounding leaves
# the matrix definite, and Cholesky's method, ten times as fast, is as accurate.
_DEFINITE = math.sqrt(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Readout:
    """A trained second layer over frozen directions.

    **Arguments**

    - `directions`: unit rows `(k, d)`, k ≤ m; `linear` θ `(d,)` or None.
    - `biases`, `weights`: `(p,)`; feature j reads direction j mod k.
    - `constant`: the intercept.
    - `activation`: σ.
    - `iterations`: gradient-descent steps taken, None for the closed form.
    """

    directions: Float64Array
    biases: Float64Array
    weights: Float64Array
    constant: float
    activation: Activation
    linear: Float64Array | None = None
    iterations: int | None = None

    def predict(self, X: Real[NumpyArray, "n d"]) -> Float64[Float64Array, " n"]:
        """Predictions `(n,)` for inputs `(n, d)`."""
        V = self.directions if self.linear is None else np.vstack([self.directions, self.linear])
        directions = V.T.astype(X.dtype)
        return self._predicted(len(X), lambda rows: X[rows] @ directions)

    def predict_projected(self, P: ArrayLike) -> Float64[Float64Array, " n"]:
        """Predictions from projections on the directions (and then θ): `(n, k)` or `(n, k + 1)`."""
        P = np.asarray(P)
        return self._predicted(len(P), lambda rows: P[rows])

    def _predicted(self, n: int, project: Callable[[slice], FloatArray]) -> Float64Array:
        features = Features(self.directions.shape[0], self.biases, self.activation)
        return features.combined(n, project, self.weights) + self.constant


def unit_rows(W: Float[FloatArray, "m d"]) -> Float64[Float64Array, "k d"]:
    """Rows of W `(m, d)` at unit length, `(k, d)`: zero rows are dropped.

    **Raises** `InputError` for W = 0.
    """
    W = np.asarray(W, dtype=np.float64)
    largest = np.abs(W).max(axis=1)
    if not largest.any():
        raise InputError("W is zero: stage 2 has no direction to read")
    W = W[largest > 0] / largest[largest > 0, None]
    return np.asarray(W / np.linalg.norm(W, axis=1, keepdims=True))


def train_readout(
    design: Design,
    y: Float[FloatArray, " n"],
    W: Float[FloatArray, "m d"],
    *,
    activation: Activation,
    neurons: int,
    rng: np.random.Generator,
    ridge: float = 1e-3,
    method: str = "closed-form",
    max_iterations: int = 100_000,
    tolerance: float = 1e-6,
    linear: Float64Array | None = None,
) -> Readout:
    """Fit the output weights on a data set that stage 1 did not use.

    **Arguments**

    - `design`, `y`: stage 2's inputs (through one projection) and labels `(n,)`.
    - `W`: the learned first layer `(m, d)`.
    - `neurons`: p; `rng` draws their biases, N(0, 1) as the projections themselves are.
    - `ridge`: penalty, relative to unit feature variance.
    - `method`: `"closed-form"`, or `"gradient-descent"` until the gradient is
      `tolerance` × its first size or `max_iterations` are done.
    - `linear`: θ, predicted beside the features.

    **Raises** `InputError` for a ridge that is not positive, an unknown method or no neurons.
    """
    neurons = integer("readout_neurons", neurons, minimum=1)
    ridge = number("ridge", ridge, minimum=0.0, exclusive=True)
    method = choice("readout", method, READOUTS)
    directions = unit_rows(W)
    biases = rng.standard_normal(neurons)
    V = directions if linear is None else np.vstack([directions, linear])
    moments = feature_moments(design, y, V, Features(len(directions), biases, activation))
    weights, iterations = output_weights(
        moments, ridge=ridge, method=method, max_iterations=max_iterations, tolerance=tolerance
    )
    constant = moments.intercept - float(moments.mean @ weights)
    return Readout(directions, biases, weights, constant, activation, linear, iterations)


def output_weights(
    moments: Moments,
    *,
    ridge: float = 1e-3,
    method: str = "closed-form",
    max_iterations: int = 100_000,
    tolerance: float = 1e-6,
) -> tuple[Float64[Float64Array, " p"], int | None]:
    """Output weights `(p,)` by the moments of a sample, or of the population, and how many
    iterations they took, None for the closed form. Arguments as for `train_readout`."""
    gram, cross = moments.gram, moments.cross
    # A common scale makes the ridge relative: features of unit mean variance. Its lower bound is
    # the rounding of constant features, which would otherwise be fitted to noise.
    rounding = np.finfo(float).eps * float(np.mean(moments.mean**2))
    scale = max(float(np.trace(gram)) / len(cross), rounding, np.finfo(float).tiny)
    penalty = ridge * scale
    if method == "closed-form":
        with single_threaded_libraries():  # too small for threads
            return _ridge_solution(gram, cross, penalty), None
    return _descend(gram, cross, penalty, max_iterations, tolerance)


def _ridge_solution(gram: Float64Array, cross: Float64Array, penalty: float) -> Float64Array:
    """(gram + penalty)⁻¹ cross for a Gram matrix that rounding may have made indefinite."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

    trace = float(np.trace(gram))
    if trace > 0 and penalty > _DEFINITE * trace:
        with suppress(LinAlgError):  # of features that are rounding errors only
            factor = cho_factor(gram + penalty * np.eye(len(cross)), check_finite=False)
            return np.asarray(cho_solve(factor, cross, check_finite=False))
    values, vectors = eigh(gram)
    return np.asarray(vectors @ ((vectors.T @ cross) / (np.maximum(values, 0.0) + penalty)))


def _descend(
    gram: Float64Array, cross: Float64Array, penalty: float, max_iterations: int, tolerance: float
) -> tuple[Float64Array, int]:
    """Plain gradient descent on the ridge objective, from zero, at the rate 1/L."""
    matrix = gram + penalty * np.eye(len(cross))
    rate = 1.0 / float(np.linalg.norm(matrix, 2))
    weights = np.zeros_like(cross)
    goal = tolerance * float(np.linalg.norm(cross))
    for iteration in range(max_iterations):
        gradient = matrix @ weights - cross
        size = float(np.linalg.norm(gradient))
        if not np.isfinite(size):
            raise DivergenceError(iteration, "the output weights' gradient is not finite")
        if size <= goal:
            return weights, iteration
        weights = weights - rate * gradient
    return weights, max_iterations
