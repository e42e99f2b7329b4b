"""Along which directions a function of the inputs varies, known by its values alone.

Of a black box f(x) = h(V x) the gradients lie in the span of V's rows: they say which subspace it
has learned, as the weights of a first layer would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import ArrayLike, Float64Array, FloatArray

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["average_gradients", "directions_along"]

_WIDTH = 0.5  # of the differences to either side: a predictor may be piecewise constant
_BATCH = 4096  # rows predicted at once
_ROUNDING = 2.0**6  # units in the last place that a difference has to exceed


def average_gradients(
    predict: Callable[[FloatArray], ArrayLike],
    dim: int,
    *,
    points: int = 32,
    rng: np.random.Generator,
    dtype: str = "float64",
) -> Float64[Float64Array, "p d"] | None:
    """∇f at random x ~ N(0, I), `(points, d)`, averaged along each coordinate over x_k ± 1/2.

    **Arguments**

    - `predict`: f, from inputs `(n, d)` of `dtype` to values `(n,)`.
    - `points`: random inputs; each takes 2 d values.

    Returns None where f does not vary by more than rounding.
    """
    centres = rng.standard_normal((points, 1, dim))
    shifts = _WIDTH * np.concatenate([np.eye(dim), -np.eye(dim)])
    X = (centres + shifts).reshape(-1, dim).astype(dtype)
    blocks = [np.asarray(predict(X[k : k + _BATCH])) for k in range(0, len(X), _BATCH)]
    values = np.concatenate(blocks).astype(np.float64).reshape(points, 2, dim)
    change = values[:, 0] - values[:, 1]
    least = _ROUNDING * np.finfo(dtype).eps * np.abs(values).max()
    if not np.abs(change).max() > least:
        return None
    return np.asarray(change / (2 * _WIDTH))


def directions_along(
    gradients: Float64[Float64Array, "p d"], count: int, rng: np.random.Generator
) -> Float64[Float64Array, "m d"]:
    """Random directions `(count, d)` with the covariance E[∇f ∇fᵀ] of gradients `(p, d)`."""
    mixture = rng.standard_normal((count, len(gradients)))
    return np.asarray(mixture @ gradients / np.sqrt(len(gradients)))
