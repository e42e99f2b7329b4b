"""Inputs as the theorem has them, of identity covariance, by what X alone says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["Whitened", "whiten"]

# A default never takes more components than this share of the samples: beyond it the whitened
# rows follow the sample covariance's errors.
_MOST_OF_SAMPLES = 0.25


@dataclass(frozen=True)
class Whitened:
    """The leading principal components, each of mean 0 and variance 1.

    **Arguments**

    - `Z`: whitened inputs `(n, k)`, Zᵀ Z = n I.
    - `rank`: components that X has.
    - `variance`: fraction of X's variance in these k.
    - `heaviest`: max ‖z_i‖²/n: the eigenvalue that one row makes alone where |T| = 1.
    - `constant_columns`: of X.
    - `chosen_by`: "the caller", or the rule.
    """

    Z: Float64[Float64Array, "n k"]
    rank: int
    variance: float
    heaviest: float
    constant_columns: int
    chosen_by: str

    @property
    def components(self) -> int:
        """k."""
        return int(self.Z.shape[1])


def whiten(
    X: Float64[Float64Array, "n d"], components: int | None = None, *, standardise: bool = False
) -> Whitened:
    """Whiten X by its own mean and covariance.

    The default k is the largest of which, and of all below which, no single row makes an
    eigenvalue of half the Gaussian bulk's edge 2√(k/n): max ‖z_i‖²/n ≤ √(k/n), and k ≤ n/4. Since
    it depends on X alone, no test of y is any less exact for it.

    **Arguments**

    - `X`: finite.
    - `components`: k; None: by the rule.
    - `standardise`: whether columns are divided by their deviations first, for columns of
      different units. It changes which components lead, and nothing where all are kept.

    **Raises** `InputError` for constant inputs, or more components than X has.
    """
    n = len(X)
    largest = np.abs(X).max(axis=0)
    with np.errstate(under="ignore"):
        scaled = X / np.where(largest > 0, largest, 1.0)  # squares neither overflow nor vanish
        centred = scaled - scaled.mean(axis=0)
        deviation = centred.std(axis=0)
        varies = deviation > 1e-12  # of columns whose largest entry is 1
        if not varies.any():
            raise InputError("X: every column is constant: expected inputs that vary")
        centred, largest = centred[:, varies], largest[varies]
        if standardise:
            centred = centred / deviation[varies]
        else:
            centred = centred * (largest / largest.max())
        U, singular, _ = np.linalg.svd(centred, full_matrices=False)
    rank = int(np.sum(singular > singular[0] * max(X.shape) * 1e-15))
    rank = min(rank, n - 2)  # with n − 1 the rows are a simplex, whatever X is
    U = U[:, :rank] * np.sqrt(n)
    heaviest = np.cumsum(U**2, axis=1).max(axis=0) / n
    by = "the caller"
    if components is None:
        ks = np.arange(1, rank + 1)
        bad = np.flatnonzero((heaviest > np.sqrt(ks / n)) | (ks > max(1, _MOST_OF_SAMPLES * n)))
        components = max(1, int(bad[0]) if len(bad) else rank)
        by = "rule: no row alone makes an eigenvalue of half the bulk's edge; at most n/4"
    elif components > rank:
        raise InputError(
            f"components={components}: X has {rank} (of {X.shape[1]} columns and {n} rows): "
            f"expected at most {rank}"
        )
    squares = singular[:rank] ** 2
    return Whitened(
        np.ascontiguousarray(U[:, :components]),
        rank,
        float(squares[:components].sum() / np.sum(singular**2)),
        float(heaviest[components - 1]),
        int(np.sum(~varies)),
        by,
    )
