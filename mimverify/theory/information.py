"""How hard a link is: the computational threshold α_c, and the label transform that attains it.

With G(y) = E[zzᵀ − I | y], and E[z | y] = 0, the sample ratio below which no known efficient
algorithm finds even a first direction is given by 1/α_c = λ_max(M ↦ E[G M G])
(theory.md §5; Troiani et al. 2024). Where E[z | y] ≠ 0 that formula does not apply.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mimverify.errors import InputError
from mimverify.network.losses import Loss
from mimverify.problems.links import Array, Link
from mimverify.theory.conditional import ConditionalMoments, Tabulated, conditional_moments
from mimverify.validation import number, shortest

#: An estimate counts as non-zero from this many of its estimated errors on.
_CLEARLY = 5.0


@dataclass(frozen=True)
class LabelInformation:
    """What the label says about the hidden features.

    **Arguments**

    - `first_order`: E[E[z|y] E[z|y]ᵀ], `(r, r)`; `first_order_error`: absolute, Frobenius.
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

    first_order: Array
    second_order: Array
    first_order_error: float
    second_order_error: float
    generative_exponent: int | None
    reason: str | None
    alpha_c: float | None
    alpha_c_error: float | None
    alpha_c_reason: str | None
    matrix: Array | None
    directions: Array
    strengths: Array
    rests_on: str


def label_information(link: Link, *, noise: float = 0.0, seed: int = 0) -> LabelInformation:
    """First- and second-order information of y = g(z) + noise·ε about z, and α_c.

    Deterministic for given arguments.

    **Raises** `InputError` for a rank above 12, negative noise, or a link whose values are
    not finite.
    """
    return _information(conditional_moments(link, noise=noise, seed=seed))


def _information(moments: ConditionalMoments) -> LabelInformation:
    first, gram = moments.first_order, moments.gram
    second = _square(gram.best)
    first_error, second_error = first.error(), gram.error(_square)
    first_strength = float(np.linalg.eigvalsh(first.best)[-1])
    strengths, vectors = (part[..., ::-1] for part in np.linalg.eigh(second))
    clear = strengths > _CLEARLY * second_error

    exponent: int | None = None
    reason = why = None
    alpha = alpha_error = matrix = None
    if first_strength > _CLEARLY * first_error:
        exponent = 1
        why = (
            f"E[z | y] is not zero (E|E[z | y]|² = {np.trace(first.best):.3g}): the formula for "
            "the threshold assumes that it is"
        )
    elif clear[0]:
        exponent = 2
        resolved = gram.error() / max(float(np.linalg.norm(gram.best)), 1e-300)
        matrix = _maximiser(gram.best, resolved)

        def inverse(value: Array) -> Array:
            return np.array([1 / _rayleigh(value, _maximiser(value, resolved))])

        alpha = float(inverse(gram.best)[0])
        alpha_error = gram.error(inverse) - gram.floor + gram.floor * alpha**2
    else:
        reason = (
            f">2 or undetermined: first order {first_strength:.2g} ± {first_error:.1g}, second "
            f"order {strengths[0]:.2g} ± {second_error:.1g}, neither clearly above zero"
        )
        why = "no second-order information was found: the exponent is " + reason
    return LabelInformation(
        first.best,
        second,
        first_error,
        second_error,
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


def _square(gram: Array) -> Array:
    """E[G²] from E[G_ab G_cd]."""
    square = np.einsum("abbd->ad", gram)
    return np.asarray((square + square.T) / 2)


def _rayleigh(gram: Array, matrix: Array) -> float:
    """E[tr(M G M G)] / tr(M²)."""
    return float(np.einsum("da,abcd,bc->", matrix, gram, matrix) / np.sum(matrix**2))


def _maximiser(gram: Array, resolved: float) -> Array:
    """Power iteration M ← E[G M G] from the identity, M ⪰ 0 with trace 1.

    The map keeps the cone of positive semidefinite matrices, so its largest eigenvalue is the
    largest in modulus and has an eigenmatrix in the cone. The power is taken by repeated
    squaring, and is no higher than the relative error `resolved` warrants: eigenvalues closer
    than that are not told apart, lest noise choose among equals and bias the maximum; what
    this costs the maximum is less than 0.4 of that error.
    """
    r = gram.shape[0]
    linear = gram.transpose(0, 3, 1, 2).reshape(r * r, r * r)
    for _ in range(max(1, math.ceil(math.log2(0.5 / max(resolved, 1e-12))))):
        linear = linear @ linear
        linear /= np.linalg.norm(linear)
    matrix = (linear @ np.eye(r).ravel()).reshape(r, r)
    # Noise may lead out of the cone by about its own size.
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    values = np.maximum(values * np.sign(values.sum()), 0)
    return np.asarray((vectors * (values / values.sum())) @ vectors.T)


# --- the transform ----------------------------------------------------------------------------


#: E[(e·z)² | y] is taken as zero below this: T then has no bound, and is cut off here.
_VANISHING = 1e-6
_SMALLEST = 1e-12


@dataclass(frozen=True)
class OptimalTransform:
    """T(y) = ψ/(ψ + s) with ψ(y) = E[(e·z)² − 1 | y]; s = 1, or √(α/α_c) at a ratio α.

    Call it with labels (an array or a tensor of any shape) for T(y) in kind.

    **Arguments**

    - `link`, `alpha`: what it was made for; `alpha` None for s = 1.
    - `direction`: e, `(r,)`, a unit vector that maximises E[ψ²].
    - `scalar_alpha`, `scalar_alpha_error`: 1/E[ψ²], the threshold of scalar transforms, and
      its absolute error. At least α_c, and equal to it for r = 1.
    - `psi`: ψ as a table; its values are at least −1.
    - `shift`: s.
    """

    link: Link
    alpha: float | None
    direction: Array
    scalar_alpha: float
    scalar_alpha_error: float
    psi: Tabulated
    shift: float

    @property
    def bounded(self) -> bool:
        """Whether |T|, as tabulated, has a bound: not where ψ reaches −1 and s = 1.

        Tables of the projection method end with the last bin, and so does T: there T is
        bounded even where E[(e·z)² | y] → 0 slowly towards the end of the labels' range.
        """
        lowest = np.min(np.concatenate([self.psi.values, self.psi.atom_values]))
        return bool(lowest + self.shift > _VANISHING)

    def __call__(self, y: Any) -> Any:
        """T(y), in the shape, dtype and library of y (integers become float64)."""
        tensor = hasattr(y, "detach")
        labels = np.asarray(y.detach().cpu().numpy() if tensor else y)
        psi = self.psi(labels.ravel()).reshape(labels.shape)
        result = psi / np.maximum(psi + self.shift, _SMALLEST)
        if tensor:
            import torch  # only for those who pass tensors

            dtype = y.dtype if y.dtype.is_floating_point else torch.float64
            return torch.as_tensor(result, dtype=dtype, device=y.device)
        return result.astype(labels.dtype) if labels.dtype.kind == "f" else result

    def as_loss(self) -> Loss:
        """(f − T(y))²/2 as a loss: its label transform is T itself, up to a constant."""
        return Loss(
            "optimal",
            derivative=lambda f, y: f - self(y),
            value=lambda f, y: (f - self(y)) ** 2 / 2,
            curvature_bound=1.0,
            lipschitz=self.bounded,
        )


def optimal_transform(
    link: Link, *, noise: float = 0.0, alpha: float | None = None, seed: int = 0
) -> OptimalTransform:
    """The label transform whose spectral method works from the lowest sample ratio on.

    With ψ(y) = E[z² − 1 | y], an outlier leaves the bulk at the α with E[ψ²] = E[ψ(z² − 1)]
    = 1/α where ψ = T/(1 − T) (theory.md §5). So T = ψ/(1 + ψ) = 1 − 1/E[z² | y] attains α_c;
    it is also the transform of largest overlap at every α > α_c (Luo, Alghamdi and Lu 2019),
    but has no lower bound where E[z² | y] reaches zero. Given `alpha`, the bounded
    T = ψ/(ψ + √(α/α_c)) of Mondelli and Montanari (2019, their T_δ with δ = α), which tends to
    it for α ↓ α_c; (y − 1)/(y + √(2α) − 1) for y = z².

    For r > 1 one scalar transform serves one direction: e maximises E[(eᵀ G(y) e)²], found by
    ascent from many starts (a local method), and α_c above is `scalar_alpha`. First-order
    information is not used: where E[z | y] ≠ 0, this transform exists and is optimal among
    spectral methods of this kind, yet a linear estimator may do better.

    **Raises** `InputError` where the label has no second-order information, and for `alpha`
    below `scalar_alpha`; otherwise as `conditional_moments` does.
    """
    if alpha is not None:
        alpha = number("alpha", alpha, minimum=0.0, exclusive=True)
    moments = conditional_moments(link, noise=noise, seed=seed)
    gram = moments.gram
    strength, error = float(np.linalg.eigvalsh(_square(gram.best))[-1]), gram.error(_square)
    if strength <= _CLEARLY * error:
        raise InputError(
            f"link {link.name}: E[zzᵀ | y] = I for all that can be told (squared deviation "
            f"{strength:.2g} ± {error:.1g}): expected a link with second-order information"
        )
    e = _best_direction(gram.best)

    def threshold(value: Array) -> Array:
        return np.array([1 / _quartic(value, e)])

    scalar_alpha = float(threshold(gram.best)[0])
    # e was chosen by the same noisy values: the maximum over the sphere of a form with
    # Gaussian coefficients exceeds its typical size by √r.
    scalar_error = math.sqrt(link.rank) * (gram.error(threshold) - gram.floor)
    scalar_error += gram.floor * scalar_alpha**2
    if alpha is not None and alpha < scalar_alpha - scalar_error:
        raise InputError(
            f"alpha={shortest(alpha)}: expected at least {scalar_alpha:.6g}, the threshold of "
            f"scalar transforms for link {link.name}"
        )

    def psi(labels: Array) -> Array:
        return np.asarray(np.einsum("a,kab,b->k", e, moments.second_moment(labels), e) - 1)

    return OptimalTransform(
        link,
        alpha,
        e,
        scalar_alpha,
        scalar_error,
        Tabulated(moments.knots, psi(moments.knots), moments.atoms, psi(moments.atoms)),
        1.0 if alpha is None else math.sqrt(max(alpha / scalar_alpha, 1.0)),
    )


def _quartic(gram: Array, e: Array) -> float:
    """E[(eᵀ G e)²]."""
    return float(np.einsum("abcd,a,b,c,d->", gram, e, e, e, e))


def _best_direction(gram: Array) -> Array:
    """A unit vector e with large E[(eᵀ G e)²]: the best of ascents from many starts.

    E[tr(G M)²] is convex in M, so replacing e by the top eigenvector of E[(eᵀ G e) G], which
    maximises its linearisation at M = e eᵀ, never lowers it.
    """
    r = gram.shape[0]
    starts = np.random.default_rng(0).standard_normal((8 * r, r))
    es = np.concatenate([np.eye(r), np.linalg.eigh(_square(gram))[1].T, starts])
    es /= np.linalg.norm(es, axis=1, keepdims=True)
    for _ in range(60):
        pulled = np.einsum("abcd,nc,nd->nab", gram, es, es)
        es = np.linalg.eigh((pulled + pulled.transpose(0, 2, 1)) / 2)[1][..., -1]
    values = np.einsum("abcd,na,nb,nc,nd->n", gram, es, es, es, es, optimize=True)
    e = es[int(np.argmax(values))]
    # The sign is free: the largest entry positive, so that equal calls give equal answers.
    return np.asarray(e * np.sign(e[np.argmax(np.abs(e))]))
