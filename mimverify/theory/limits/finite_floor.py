"""A floor of the squared error that holds at finite d and n.

Source: theory.md §9, B1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import array, number

if TYPE_CHECKING:
    from jaxtyping import Float64

# Slopes of Chernoff's bound that are tried, in units of the mean error: any of them is a bound.
_SLOPES = np.geomspace(0.1, 1e5, 241)


def bayes_floor(
    rows: Float64[Float64Array, "n D"],
    test_rows: Float64[Float64Array, "k D"],
    *,
    noise: float,
    probability: float = 0.1,
) -> float:
    """The floor of the mean squared error over test rows, for *any* predictor.

    Given labels y = A v + σ ε with v ~ N(0, I/D), and whatever else of them is known, the mean of
    (prediction − B v)² over the k test rows falls below the floor with at most this probability,
    for each A and B. No limit is taken: n, D and k are what they are.

    **Arguments**

    - `rows`: A `(n, D)`, what multiplies the unknown in the labels; `test_rows`: B `(k, D)`.
    - `noise`: σ.
    - `probability`: of an error below the floor, between 0 and 1.

    The posterior of v is N(μ, Σ), Σ⁻¹ = D I + AᵀA/σ². By Anderson's inequality ‖B v − anything‖²
    is stochastically larger than ‖B (v − μ)‖², whose lower quantile Chernoff's inequality bounds.

    **Raises** `InputError` for other shapes, noise that is not positive, or a probability that is
    none.
    """
    from scipy.linalg import cho_factor, cho_solve, cholesky, eigvalsh

    rows = array("rows", rows, (None, None), dtype="float64")
    dim = rows.shape[1]
    test_rows = array("test_rows", test_rows, (None, dim), dtype="float64")
    noise = number("noise", noise, minimum=0.0, exclusive=True)
    probability = number("probability", probability, minimum=0.0, exclusive=True)
    if probability >= 1:
        raise InputError(f"probability={probability:g}: expected less than 1")
    precision = dim * np.eye(dim) + rows.T @ rows / noise**2
    covariance = cho_solve(cho_factor(precision), np.eye(dim))
    root = cholesky(test_rows.T @ test_rows / len(test_rows) + 1e-15 * np.eye(dim), lower=True)
    variances = np.maximum(eigvalsh(root.T @ covariance @ root), 0.0)
    return _lower_quantile(variances, probability)


def _lower_quantile(variances: Float64[Float64Array, " D"], probability: float) -> float:
    """A number below which Σ_k v_k χ²_1 lies with at most this probability.

    P(Q ≤ t) ≤ e^{st} E e^{−sQ} = e^{st} Π (1 + 2 s v_k)^{−1/2} for every s > 0.
    """
    slopes = _SLOPES / variances.sum()
    logarithms = -0.5 * np.log1p(2 * slopes[:, None] * variances).sum(axis=1)
    return max(float(((np.log(probability) - logarithms) / slopes).max()), 0.0)
