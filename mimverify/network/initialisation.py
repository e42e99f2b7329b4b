"""First-layer starts. Source: theory.md §2 step 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.network.activations import Activation, get_activation
from mimverify.support.arrays import ArrayLike, FloatArray
from mimverify.support.errors import InputError
from mimverify.support.validation import array, integer, number

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass(frozen=True)
class Network:
    """f(x) = Σ_j a_j σ(w_j·x + b_j): `W` of shape `(m, d)`, `a` and `b` of shape `(m,)`."""

    W: FloatArray
    a: FloatArray
    b: FloatArray

    @classmethod
    def check(
        cls, W: ArrayLike, a: ArrayLike, b: ArrayLike, *, dim: int, dtype: str | None = None
    ) -> Network:
        """A network from array-likes. **Raises** `InputError` for wrong shapes or NaN."""
        W = array("W", W, (None, dim), dtype=dtype)
        shape, dtype = (W.shape[0],), W.dtype.name
        return cls(W, array("a", a, shape, dtype=dtype), array("b", b, shape, dtype=dtype))

    def output(
        self, X: Float[FloatArray, "n d"], activation: Activation | str
    ) -> Float[FloatArray, " n"]:
        """f(x_i) `(n,)` for the rows of X `(n, d)`: the forward pass.

        **Raises** `InputError` for an unknown activation, or rows of another dimension.
        """
        sigma = get_activation(activation)
        X = array("X", X, (None, self.W.shape[1]))
        return np.asarray(sigma.value(X @ self.W.T + self.b) @ self.a)


def symmetric_start(
    neurons: int,
    dim: int,
    rng: np.random.Generator,
    *,
    norm: float = 1e-2,
    output_scale: float | None = None,
    dtype: str = "float64",
) -> Network:
    """The symmetric initialisation: a_j = −a_{j+m/2}, w_j = w_{j+m/2}, ‖w_j‖ = norm, b = 0.

    Directions are uniform on the sphere; a_j = ±`output_scale` (1/m by default, theory.md
    N4), so that f ≡ 0 at the start.

    **Raises** `InputError` for an odd number of neurons or a norm that is not positive.
    """
    neurons = integer("neurons", neurons, minimum=2)
    if neurons % 2:
        raise InputError(f"neurons={neurons}: the symmetric start needs an even number")
    norm = number("norm", norm, minimum=0.0, exclusive=True)
    scale = 1.0 / neurons if output_scale is None else output_scale
    scale = number("output_scale", scale, minimum=0.0, exclusive=True)
    half = rng.standard_normal((neurons // 2, dim))
    half *= norm / np.sqrt(np.einsum("jk,jk->j", half, half))[:, None]
    a = np.repeat([scale, -scale], neurons // 2)
    half = half.astype(dtype, copy=False)
    return Network(
        np.concatenate([half, half]),
        a.astype(dtype),
        np.zeros(neurons, dtype=dtype),
    )
