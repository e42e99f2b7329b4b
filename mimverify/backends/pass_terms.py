"""What a pass makes of each row of a design, in a form that a backend can compile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mimverify.support.arrays import Array

#: Maps projections `(k, q)` of some rows, and their range, to residuals `(k, m)`.
Residual = Callable[[Array, slice], Array]
#: Writes ρ(X_b Vᵀ, rows_b)ᵀ X_b `(m, d)` of a block `(k, d)` and its range into a contiguous array.
WholeBlock = Callable[[Array, slice, Array], None]


@dataclass(frozen=True)
class PassTerms:
    """(l'(f(x_i), y_i) − offset) σ'(w_j·x_i + b_j), row by row. Source: theory.md §3 (E5).

    f(x) = constant + θ·x + Σ_j a_j σ(w_j·x + b_j), of which `cancelling` leaves out the sum.

    **Arguments**

    - `a`, `b`: `(m,)`, arrays of the backend; `biased`: some b_j is not 0.
    - `value`, `first`: σ and σ', elementwise; `pair`: both at once, if there is a faster way.
    - `slope`: l'(f, y).
    - `y`: the labels of all rows, `(n,)`, an array of the backend.
    - `constant`, `offset`: added to outputs, and subtracted from l'.
    - `linear`: whether projections on θ follow those on the m neurons.
    - `cancelling`: the neurons are one half of pairs whose outputs cancel (theory.md E1).
    - `native`: names of activation and loss, and δ, where σ and l' are the package's own and
      native code has them; else None.
    """

    a: Array
    b: Array
    biased: bool
    value: Callable[[Array], Array]
    first: Callable[[Array], Array]
    slope: Callable[[Array, Array], Array]
    y: Array
    constant: float
    offset: float
    linear: bool
    cancelling: bool
    pair: Callable[[Array], tuple[Array, Array]] | None = None
    native: tuple[str, str, float] | None = None
