"""How hard a link is: information in its label, and the computational threshold α_c.

With G(y) = E[zzᵀ − I | y], and E[z | y] = 0, the sample ratio below which no known efficient
algorithm finds even a first direction is given by 1/α_c = λ_max(M ↦ E[G M G])
(theory.md §5; Troiani et al. 2024). Where E[z | y] ≠ 0 that formula does not apply.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array
from mimverify.theory.conditional.conditional import conditional_moments
from mimverify.theory.conditional.moments import CLEARLY, ConditionalMoments, second_order

if TYPE_CHECKING:
    from jaxtyping import Float64


@dataclass(frozen=True)
class LabelInformation:
    """Information of the label about the hidden features.

    **Arguments**

    - `first_order`: E[E[z|y] E[z|y]ᵀ], `(r, r)`; `first_order_error`: absolute, Frobenius.
      Errors include information that rounding may hide where labels coincide (a link that
      saturates).
    - `second_order`: E[G(y)²], `(r, r)`; `second_order_error`: likewise.
    - `generative_exponent`: 1 where the first order is clearly non-zero; 2 where it is zero
      within its error and the second order is clearly non-zero; else None, with `reason`.
    - `alpha_c`, `alpha_c_error`: the threshold n/d, and its absolute error; None where the
      formula does not apply, with `alpha_c_reason`.
    - `matrix`: a maximiser M* of E[tr(M G M G)]/tr(M²), positive semidefinite with trace 1,
      `(r, r)`; where several share the maximum within the error, a mixture. None without α_c.
    - `directions`, `strengths`: orthonormal rows `(k, r)` in which second-order information
      clearly exists, and the eigenvalues `(k,)` of `second_order` there, largest first.
    - `rests_on`: the method, and what the errors rest on.
    """

    first_order: Float64Array
    second_order: Float64Array
    first_order_error: float
    second_order_error: float
    generative_exponent: int | None
    reason: str | None
    alpha_c: float | None
    alpha_c_error: float | None
    alpha_c_reason: str | None
    matrix: Float64Array | None
    directions: Float64Array
    strengths: Float64Array
    rests_on: str


def label_information(
    link: Link | str, *, noise: float = 0.0, seed: int = 0, rank: int | None = None
) -> LabelInformation:
    """First- and second-order information of y = g(z) + noise·ε about z, and α_c.

    Deterministic for given arguments; `rank` is r, for an imported function without one.

    **Raises** `InputError` for a rank above 12, negative noise, or a link whose values are
    not finite.
    """
    return _information(conditional_moments(link, noise=noise, seed=seed, rank=rank))


def _information(moments: ConditionalMoments) -> LabelInformation:
    first, gram = moments.first_order, moments.gram
    second = second_order(gram.best)
    first_error, second_error = first.error(), gram.error(second_order)
    first_strength = float(np.linalg.eigvalsh(first.best)[-1])
    strengths, vectors = (values[..., ::-1] for values in np.linalg.eigh(second))
    clear = strengths > CLEARLY * second_error

    exponent: int | None = None
    reason = why = None
    alpha = alpha_error = matrix = None
    if first_strength > CLEARLY * first_error:
        exponent = 1
        why = (
            f"E[z | y] is not zero (E|E[z | y]|² = {np.trace(first.best):.3g}): the formula for "
            "the threshold assumes that it is"
        )
    elif clear[0]:
        exponent = 2
        resolved = gram.error() / max(float(np.linalg.norm(gram.best)), 1e-300)
        matrix = _maximiser(gram.best, resolved)

        def inverse(value: Float64Array) -> Float64Array:
            return np.array([1 / _rayleigh(value, _maximiser(value, resolved))])

        alpha = float(inverse(gram.best)[0])
        alpha_error = gram.error(inverse) - gram.floor
        alpha_error += (gram.floor + gram.hidden) * alpha**2
    else:
        reason = (
            f">2 or undetermined: first order {first_strength:.2g} ± {first_error:.1g}, second "
            f"order {strengths[0]:.2g} ± {second_error:.1g}, neither clearly above zero"
        )
        why = "no second-order information was found: the exponent is " + reason
    return LabelInformation(
        first.best,
        second,
        first_error + first.hidden,
        second_error + gram.hidden,
        exponent,
        reason,
        alpha,
        alpha_error,
        why,
        matrix,
        vectors.T[clear],
        strengths[clear],
        moments.rests_on,
    )


def _rayleigh(
    gram: Float64[Float64Array, "r r r r"], matrix: Float64[Float64Array, "r r"]
) -> float:
    """E[tr(M G M G)] / tr(M²)."""
    return float(np.einsum("da,abcd,bc->", matrix, gram, matrix) / np.sum(matrix**2))


def _maximiser(
    gram: Float64[Float64Array, "r r r r"], resolved: float
) -> Float64[Float64Array, "r r"]:
    """Power iteration M ← E[G M G] from the identity, M ⪰ 0 with trace 1.

    The map keeps the cone of positive semidefinite matrices, so its largest eigenvalue is the
    largest in modulus and has an eigenmatrix in the cone. The power is taken by repeated
    squaring, and is no higher than the relative error `resolved` warrants: eigenvalues closer
    than that are not distinguished, lest noise choose among equals and bias the maximum, which
    falls by less than 0.4 of that error.
    """
    r = gram.shape[0]
    linear = gram.transpose(0, 3, 1, 2).reshape(r * r, r * r)
    for _ in range(max(1, math.ceil(math.log2(0.5 / max(resolved, 1e-12))))):
        linear = linear @ linear
        linear /= np.linalg.norm(linear)
    matrix = (linear @ np.eye(r).ravel()).reshape(r, r)
    # Noise may leave the cone by about its own size.
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    values = np.maximum(values * np.sign(values.sum()), 0)
    return np.asarray((vectors * (values / values.sum())) @ vectors.T)
