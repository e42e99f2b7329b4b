"""The seam between training and data: a design matrix known only through passes.

A step of gradient descent touches X `(n, d)` only through X Vᵀ and Xᵀ R with R computed
row by row (theory.md E5). Whatever offers that pass can be trained on: a stored array, a
stream of row blocks, a Gaussian matrix that is revealed lazily, shards on many processes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from mimverify.backends import Backend

#: Maps a block of projections `(k, q)` and the block's row range to residuals `(k, p)`.
RowFunction = Callable[[Any, slice], Any]


class Design(ABC):
    """A design matrix X of `n_samples` rows and `dim` columns, behind its passes."""

    n_samples: int
    dim: int
    backend: Backend

    @abstractmethod
    def one_pass(self, V: Any, rho: RowFunction) -> Any:
        """Σ over row blocks of ρ(X_b Vᵀ, rows_b)ᵀ X_b, shape `(p, d)`.

        **Arguments**

        - `V`: directions `(q, d)`, an array of the backend.
        - `rho`: called once per block, in order, with projections `(k, q)` and the block's
          row range; returns residuals `(k, p)`. It may accumulate scalars on the side.
        """

    @abstractmethod
    def project(self, V: Any) -> Any:
        """X Vᵀ, shape `(n, q)`, an array of the backend."""
