"""The label transform whose spectral method works from the lowest sample ratio on.

Sources: theory.md §5; Luo, Alghamdi and Lu 2019; Mondelli and Montanari 2019.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.network.losses import Loss
from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import Array, Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import number, shortest
from mimverify.theory.conditional.conditional import conditional_moments
from mimverify.theory.conditional.moments import CLEARLY, second_order
from mimverify.theory.labels.tables import Tabulated
from mimverify.theory.labels.transforms import LabelTransform

if TYPE_CHECKING:
    from jaxtyping import Float64

#: E[(e·z)² | y] is taken as zero below this: T then has no bound, and is cut off here.
_VANISHING = 1e-6
_SMALLEST = 1e-12


@dataclass(frozen=True, eq=False)  # tables do not compare; laws are cached by transform
class OptimalTransform:
    """T(y) = ψ/(ψ + s) with ψ(y) = E[(e·z)² − 1 | y]; s = 1, or √(α/α_c) at a ratio α.

    Call it with labels (an array or a tensor of any shape) for T(y) of the same type.

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
    direction: Float64Array
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

    def __call__(self, y: Array) -> Array:
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

    def label_transform(self) -> LabelTransform:
        """T for `label_law`, `analyse_transform` and `predict_trajectory`.

        Those subtract E T, and with it the optimum (see `optimal_transform`): only
        `label_law(…, centred=False)` keeps it. Equal for one and the same `OptimalTransform`.
        """
        return LabelTransform("optimal", self, bounded=self.bounded)

    def as_loss(self) -> Loss:
        """(f − T(y))²/2 as a loss: its label transform is T − c, which stage 1 centres.

        Centred, it is no longer optimal (see `optimal_transform`).
        """
        return Loss(
            "optimal",
            derivative=lambda f, y: f - self(y),
            value=lambda f, y: (f - self(y)) ** 2 / 2,
            curvature_bound=1.0,
            lipschitz=self.bounded,
        )


def optimal_transform(
    link: Link | str,
    *,
    noise: float = 0.0,
    alpha: float | None = None,
    seed: int = 0,
    rank: int | None = None,
) -> OptimalTransform:
    """The label transform whose spectral method works from the lowest sample ratio on.

    With ψ(y) = E[z² − 1 | y], an outlier leaves the bulk at the α with E[ψ²] = E[ψ(z² − 1)]
    = 1/α where ψ = T/(1 − T) (theory.md §5). So T = ψ/(1 + ψ) = 1 − 1/E[z² | y] attains α_c;
    it is also the transform of largest overlap at every α > α_c (Luo, Alghamdi and Lu 2019),
    but has no lower bound where E[z² | y] reaches zero. Given `alpha`, the bounded
    T = ψ/(ψ + √(α/α_c)) of Mondelli and Montanari (2019, their T_δ with δ = α), which tends to
    it for α ↓ α_c; (y − 1)/(y + √(2α) − 1) for y = z².

    T has a mean, E T = 1 − E[1/(1 + ψ)] < 0, and the optimum rests on it: centring adds
    −E T·(1/n) Σ x xᵀ to H, which is far from a multiple of I at n ~ d, and moves the threshold
    up (cos 2z: α_c = 1.617, centred 2.32). Without centring the outlier leads the bulk's right
    edge but not the left one in modulus: power iteration finds it with a shift only, that is
    with η1 β1 ≠ 1.

    For r > 1 a scalar transform is optimal for one direction: e maximises E[(eᵀ G(y) e)²],
    found by ascent from many starts (a local method), and α_c above is `scalar_alpha`.
    First-order information is not used: where E[z | y] ≠ 0, this transform exists and is
    optimal among spectral methods of this kind, yet a linear estimator may do better.

    `rank` is r, for an imported function without one.

    **Raises** `InputError` where the label has no second-order information, and for `alpha`
    below `scalar_alpha`; otherwise as `conditional_moments` does.
    """
    link = get_link(link, rank=rank)
    if alpha is not None:
        alpha = number("alpha", alpha, minimum=0.0, exclusive=True)
    moments = conditional_moments(link, noise=noise, seed=seed)
    gram = moments.gram
    strength, error = (
        float(np.linalg.eigvalsh(second_order(gram.best))[-1]),
        gram.error(second_order),
    )
    if strength <= CLEARLY * error:
        raise InputError(
            f"link {link.name}: E[zzᵀ | y] = I within the error (squared deviation "
            f"{strength:.2g} ± {error:.1g}): expected a link with second-order information"
        )
    e = _best_direction(gram.best)

    def threshold(value: Float64Array) -> Float64Array:
        return np.array([1 / _quartic(value, e)])

    scalar_alpha = float(threshold(gram.best)[0])
    # e was chosen by the same noisy values: the maximum over the sphere of a form with
    # Gaussian coefficients exceeds its typical size by √r.
    scalar_error = math.sqrt(link.rank) * (gram.error(threshold) - gram.floor)
    scalar_error += (gram.floor + gram.hidden) * scalar_alpha**2
    if alpha is not None and alpha < scalar_alpha - scalar_error:
        raise InputError(
            f"alpha={shortest(alpha)}: expected at least {scalar_alpha:.6g}, the threshold of "
            f"scalar transforms for link {link.name}"
        )

    def psi(labels: Float64Array) -> Float64Array:
        return np.asarray(np.einsum("a,kab,b->k", e, moments.second_moment(labels), e) - 1)

    return OptimalTransform(
        link,
        alpha,
        e,
        scalar_alpha,
        scalar_error,
        Tabulated(
            moments.knots, psi(moments.knots), moments.atoms, psi(moments.atoms), moments.units
        ),
        1.0 if alpha is None else math.sqrt(max(alpha / scalar_alpha, 1.0)),
    )


def _quartic(gram: Float64[Float64Array, "r r r r"], e: Float64[Float64Array, " r"]) -> float:
    """E[(eᵀ G e)²]."""
    return float(np.einsum("abcd,a,b,c,d->", gram, e, e, e, e))


def _best_direction(gram: Float64[Float64Array, "r r r r"]) -> Float64[Float64Array, " r"]:
    """A unit vector e with large E[(eᵀ G e)²]: the best of ascents from many starts.

    E[tr(G M)²] is convex in M, so replacing e by the top eigenvector of E[(eᵀ G e) G], which
    maximises its linearisation at M = e eᵀ, never lowers it.
    """
    r = gram.shape[0]
    starts = np.random.default_rng(0).standard_normal((8 * r, r))
    es = np.concatenate([np.eye(r), np.linalg.eigh(second_order(gram))[1].T, starts])
    es /= np.linalg.norm(es, axis=1, keepdims=True)
    for _ in range(60):
        pulled = np.einsum("abcd,nc,nd->nab", gram, es, es)
        es = np.linalg.eigh((pulled + pulled.transpose(0, 2, 1)) / 2)[1][..., -1]
    values = np.einsum("abcd,na,nb,nc,nd->n", gram, es, es, es, es, optimize=True)
    e = es[int(np.argmax(values))]
    # The sign is free: the largest entry positive, so that equal calls give equal results.
    return np.asarray(e * np.sign(e[np.argmax(np.abs(e))]))
