"""Fresh inputs projected on a few directions. Source: theory.md §7.

Labels and network depend on a *fresh* Gaussian input through (U x, W x) only: a Gaussian vector in
the span of the rows of U and W. Stage 2 and the test error therefore need no d-dimensional
data: the same model in coordinates of that span has exactly the same law.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.problems.model import MultiIndexModel
from mimverify.support.arrays import ArrayLike, Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import array

if TYPE_CHECKING:
    from jaxtyping import Float64


def reduce_model(
    model: MultiIndexModel, W: ArrayLike
) -> tuple[MultiIndexModel, Float64[Float64Array, "m k"]]:
    """The model and weights in coordinates of their common span.

    **Arguments**

    - `model`: with subspace U `(r, d)`.
    - `W`: the linear functions of an input that are needed, `(m, d)`: the weights of a first
      layer, the coefficients of linear predictors, or both stacked. They were learned from data
      independent of what the reduced model will draw.

    Returns a model of dimension k ≤ min(r + m, d), with the same link, noise and seed, and
    weights `(m, k)`, rows in the same order. The span is factored by QR: with symmetric pairs
    of neurons the covariance of (U x, W x) is singular and has no Cholesky factor.

    **Raises** `InputError` for inputs that are not Gaussian: projections of others have no law
    that a model of fewer dimensions could draw from.
    """
    W = array("W", W, (None, model.dim), dtype="float64")
    if model.rank + W.shape[0] >= model.dim:
        return model, W
    if model.inputs.name != "gaussian":
        raise InputError(
            f"inputs={model.inputs.name!r}: only Gaussian inputs can be reduced to the span of U "
            "and W; draw d-dimensional ones with `sample`"
        )
    stacked = np.vstack([model.subspace, W])
    triangle = np.asarray(
        np.linalg.qr(stacked.T, mode="r")
    ).T  # (r + m, k): rows in orthonormal coordinates
    r = model.rank
    reduced = MultiIndexModel(
        model.link,
        triangle.shape[1],
        subspace=triangle[:r],
        noise=model.noise,
        seed=model.seed,
    )
    return reduced, triangle[r:]
