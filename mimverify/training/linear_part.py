"""Removing the linear part of the labels by regression with the training loss itself.

With σ'(0) ≠ 0 every step adds a multiple of (1/n) Σ T_i x_i to every neuron, which dominates a
small w; after this regression that vector vanishes (theory.md N3). Least squares by
conjugate gradients for the squared loss, iteratively reweighted for the others, in
O(nd) a pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mimverify.designs.base import Design
from mimverify.network.losses import Loss
from mimverify.support.arrays import Array, Float64Array, FloatArray
from mimverify.support.errors import InputError, MimverifyError

if TYPE_CHECKING:
    from jaxtyping import Float, Float64


_MAX_REWEIGHTINGS = 200


def fit_linear_part(
    design: Design, y: Float[FloatArray, " n"], loss: Loss
) -> tuple[float, Float64[Float64Array, " d"]]:
    """The constant c and θ `(d,)` with Σ_i l'(c + θ·x_i, y_i) (1, x_i) = 0.

    **Arguments**

    - `design`: X, of more rows than columns.
    - `y`: labels `(n,)`, NumPy.
    - `loss`: squared, or a Lipschitz loss of the difference with continuous derivative.

    **Raises** `InputError` for n ≤ d + 1 and for l1, whose regression interpolates d
    labels instead of removing the vector; `MimverifyError` without convergence.
    """
    if design.n_samples <= design.dim + 1:
        raise InputError(
            f"removing the linear part needs more samples than inputs: n={design.n_samples}, "
            f"d={design.dim}"
        )
    if not loss.smooth:
        raise InputError(
            f"loss={loss.name!r}: its regression does not remove the linear part; "
            "use a smooth loss such as 'huber'"
        )
    y = np.asarray(y, dtype=np.float64)
    centre = float(y.mean())  # a large mean would cost digits in every pass
    y = y - centre
    regression = _Regression(design)
    solution = np.zeros(design.dim + 1)
    # The rounding error of a vector whose terms have the magnitude of l', and of the labels in
    # the predictions: a few unit roundoffs of the passes' dtype.
    unit = 8 * design.backend.unit_roundoff * np.sqrt(design.dim)
    floor = unit * float(np.sqrt(np.mean(y**2)))
    for reweighting in range(_MAX_REWEIGHTINGS):
        residual = regression.predict(solution) - y if reweighting else -y
        slope = np.asarray(loss.derivative(residual, np.zeros_like(residual)))
        vector = regression.adjoint(slope)
        if np.linalg.norm(vector) <= max(unit, 1e-12) * np.sqrt(np.mean(slope**2)) + floor:
            return centre + float(solution[0]), solution[1:]
        # l'(u)/u, continued by its limit l''(0) ≤ curvature bound at u = 0.
        small = np.abs(residual) < 1e-12
        weights = np.where(small, 1.0, slope / np.where(small, 1.0, residual))
        # Two digits: the weights change by more than that before the next solve. Where they are
        # the same for all rows, as for the squared loss, none is left to a next one.
        accuracy = 1e-2
        if (weights == weights[0]).all():
            accuracy = min(accuracy, max(0.5 * floor / float(np.linalg.norm(vector)), 1e-13))
        # A correction, so that the accuracy is relative to the remainder.
        solution = solution - regression.solve(weights, vector, accuracy)
    raise MimverifyError(
        f"the regression with loss {loss.name!r} did not converge in {_MAX_REWEIGHTINGS} "
        "reweightings; labels with very heavy tails need a larger delta"
    )


class _Regression:
    """Weighted least squares on (1, X), every product a pass over the design."""

    def __init__(self, design: Design) -> None:
        self.design = design

    def predict(self, v: Float64Array) -> Float64Array:
        """v_0 + X v_1.. of shape `(n,)`."""
        directions = self.design.backend.asarray(v[None, 1:])
        projected = self.design.backend.to_numpy(self.design.project(directions))
        return np.asarray(v[0] + projected[:, 0].astype(np.float64))

    def adjoint(self, u: Float64Array) -> Float64Array:
        """(1/n) (Σ u_i, Xᵀ u), shape `(d + 1,)`."""
        backend = self.design.backend
        column = backend.asarray(u[:, None])
        zero = backend.asarray(np.zeros((1, self.design.dim)))
        product = backend.to_numpy(self.design.one_pass(zero, lambda _, rows: column[rows]))
        return np.concatenate([[u.mean()], product[0].astype(np.float64) / len(u)])

    def _normal(self, weights: Float64Array) -> Callable[[Float64Array], Float64Array]:
        backend = self.design.backend
        column = backend.asarray(weights[:, None])
        first = self.adjoint(weights)  # (1/n) Σ weights_i (1, x_i): the intercept's row

        def apply(v: Float64Array) -> Float64Array:
            v = np.asarray(v, dtype=np.float64).ravel()

            def rho(P: Array, rows: slice) -> Array:
                return P * column[rows]

            product = self.design.one_pass(backend.asarray(v[None, 1:]), rho)
            flat = backend.to_numpy(product)[0].astype(np.float64)
            rest = v[0] * first[1:] + flat / self.design.n_samples
            return np.concatenate([[float(first @ v)], rest])

        return apply

    def solve(self, weights: Float64Array, right: Float64Array, accuracy: float) -> Float64Array:
        """v with (1/n) Σ weights_i (1, x_i) (v_0 + v_1..·x_i) ≈ `right`, by conjugate gradients.

        `accuracy`: relative to `right`.
        """
        from scipy.sparse.linalg import LinearOperator, cg

        size = self.design.dim + 1
        operator = LinearOperator((size, size), matvec=self._normal(weights), dtype=np.float64)
        solution, _ = cg(operator, right, rtol=accuracy, maxiter=4 * size)
        return np.asarray(solution)
