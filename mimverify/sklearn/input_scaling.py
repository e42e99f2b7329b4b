"""Inputs of other distributions, brought nearer to N(0, I) by an affine map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Float64Array, FloatArray
from mimverify.support.validation import choice

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

__all__ = ["PREPROCESSING", "InputScaling", "fit_input_scaling"]

PREPROCESSING = ("none", "standardise", "whiten")

# Relative to the largest standard deviation: directions that vary less are rounding of a
# dependence between columns, which whitening would blow up to the size of the others.
_RANK_TOLERANCE = 1e-6


@dataclass(frozen=True)
class InputScaling:
    """The map x ↦ A (x − mean), fitted on training rows.

    **Arguments**

    - `mean`: `(d,)`, in the units of the inputs.
    - `matrix`: A `(q, d)`, per unit of the inputs; q < d where whitening met fewer directions.
    """

    mean: Float64Array
    matrix: Float64Array

    def of(self, X: Float[FloatArray, "n d"]) -> Float[FloatArray, "n q"]:
        """A (x − mean) for each row, `(n, q)`, in the dtype of X."""
        centred = X - self.mean.astype(X.dtype)
        return np.asarray(centred @ self.matrix.T.astype(X.dtype))

    def in_inputs(self, V: Float[FloatArray, "k q"]) -> Float64[Float64Array, "k d"]:
        """Rows that read the scaled inputs, as rows `(k, d)` that read the inputs themselves."""
        return np.asarray(V.astype(np.float64) @ self.matrix)


def fit_input_scaling(kind: str, X: Float[FloatArray, "n d"]) -> InputScaling:
    """The map of one of `PREPROCESSING`, from the moments of X `(n, d)` in float64.

    `"standardise"` divides by standard deviations; constant columns stay as they are, at zero.
    `"whiten"` maps to the principal axes at unit variance, those alone that vary.

    **Raises** `InputError` for another name.
    """
    kind = choice("preprocess", kind, PREPROCESSING)
    dim = X.shape[1]
    if kind == "none":
        return InputScaling(np.zeros(dim), np.eye(dim))
    exact = X.astype(np.float64)
    mean = exact.mean(axis=0)
    spread = exact.std(axis=0)
    # A column whose spread is rounding of its mean is constant.
    unit = np.finfo(X.dtype).eps
    varies = spread > 8 * unit * np.abs(mean)
    scale = np.where(varies, 1 / np.where(varies, spread, 1.0), 0.0)
    if kind == "standardise":
        return InputScaling(mean, np.diag(scale))
    # Of standardised columns, so that their units do not decide which directions vary.
    _, deviations, axes = np.linalg.svd((exact - mean) * scale, full_matrices=False)
    deviations /= np.sqrt(len(exact))
    kept = deviations > _RANK_TOLERANCE * max(deviations[0], np.finfo(float).tiny)
    if not kept.any():
        return InputScaling(mean, np.diag(scale))
    return InputScaling(mean, axes[kept] / deviations[kept, None] * scale)
