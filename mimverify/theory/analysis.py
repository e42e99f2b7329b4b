"""What a loss makes of a link: Λ, v, u, κ and the thresholds of the transform it induces.

Source: theory.md §1, §5, §6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.network.losses import DEFAULT_LOSS, Loss, get_loss
from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import ArrayLike, Float64Array
from mimverify.support.validation import array, number
from mimverify.theory.closed_forms import plateau
from mimverify.theory.conditional.moments import CLEARLY
from mimverify.theory.labels.cache import cached
from mimverify.theory.labels.label_law import LabelLaw, label_law
from mimverify.theory.labels.label_measure import LabelMeasure, label_measure, pairs, unpack
from mimverify.theory.labels.tails import Tail
from mimverify.theory.labels.transforms import LabelTransform
from mimverify.theory.spectrum.thresholds import (
    Thresholds,
    descent_threshold,
    overlap_curve,
    thresholds,
)

if TYPE_CHECKING:
    from jaxtyping import Float64

_MIRRORED = 1e-7  # relative difference of |λ| and |−λ| of a symmetric link


@dataclass(frozen=True)
class FirstMoments:
    """Λ, v and u of a law.

    - `eigenvalues`: λ_k `(r,)`, the largest in modulus first; `directions`: rows, `(r, r)`;
      `eigenvalue_error`: absolute, for any of them.
    - `v`: E T²; `u`: E[T² z_k²] along the directions (the eigenvalues of E[T² zzᵀ] on the
      eigenspace where λ's coincide); `second_error`: absolute, of v and u.
    - `second_order`: λ_max of E[T² zzᵀ], which decides what survives at Λ = 0.
    """

    eigenvalues: Float64Array
    directions: Float64Array
    eigenvalue_error: float
    v: float
    u: Float64Array
    second_error: float
    second_order: float

    @property
    def resolved_ratio(self) -> float:
        """n/d from which on an eigenvalue as small as the error of Λ would stand out."""
        error = CLEARLY * self.eigenvalue_error
        return self.v / error**2 if error > 0 else math.inf

    @property
    def rank(self) -> int:
        """How many eigenvalues of Λ are clearly not zero."""
        return len(self.clear_eigenvalues)

    @property
    def clear_eigenvalues(self) -> Float64[Float64Array, " k"]:
        """The eigenvalues of Λ that are clearly not zero, `(k,)`."""
        return self.eigenvalues[np.abs(self.eigenvalues) > CLEARLY * self.eigenvalue_error]


def first_moments(law: LabelLaw) -> FirstMoments:
    """Λ's eigen-decomposition, v and the u_k."""
    count = len(pairs(law.rank)[0])

    def both(at: LabelLaw) -> Float64Array:
        found = np.empty((2 * count, len(at.T)))
        for k, (i, j) in enumerate(zip(*pairs(law.rank), strict=True)):
            np.multiply(at.z[:, i], at.z[:, j], out=found[k])
        found[:count] *= at.T
        np.multiply(found[:count], at.T, out=found[count:])
        return found.T  # sums along rows are fast

    packed, packed_errors = law.mean(both)
    first, second, first_error, second_error = (
        unpack(entries, law.rank)
        for entries in (
            packed[:count], packed[count:], packed_errors[:count], packed_errors[count:]
        )
    )  # fmt: skip
    v, v_error = law.mean(lambda at: at.T**2)
    # Weyl: eigenvalues move by no more than the spectral norm of the error.
    error = float(np.linalg.norm(first_error))
    eigenvalues, directions, u = _diagonalise(first, second, error)
    return FirstMoments(
        eigenvalues=eigenvalues,
        directions=directions,
        eigenvalue_error=error,
        v=float(v),
        u=u,
        second_error=float(np.linalg.norm(second_error) + v_error),
        second_order=float(np.linalg.eigvalsh(second)[-1]),
    )


@dataclass(frozen=True)
class TransformAnalysis(FirstMoments):
    """One link under one loss, or any transform of the labels: its `FirstMoments`, and

    - `name`: of the loss or transform; `constant`: c, None for a transform.
    - `mean`: E T before centring (0 for a loss whose constant removes it).
    - `third`: E T³.
    - `linear`: E[T z] `(r,)`, with `linear_error`.
    - `tail`: growth of T.
    - `alpha_spectral`: `(r,)` from which ratio 1, 2, … r outliers exist (inf: never, as far
      as the error of Λ can tell), and `alpha_gd`, gradient descent's own; both None with
      `threshold_reason` where T is not bounded; `alpha_spectral_error` `(r,)` and
      `alpha_gd_error`: how far they move under quadrature errors; nan, and None, where a threshold
      is inf. Both are None where there is no coarser quadrature.
    - `rests_on`: what the errors rest on.
    """

    name: str
    constant: float | None
    mean: float
    third: float
    linear: Float64Array
    linear_error: float
    tail: Tail
    alpha_spectral: Float64Array | None
    alpha_spectral_error: Float64Array | None
    alpha_gd: float | None
    alpha_gd_error: float | None
    threshold_reason: str | None
    rests_on: str

    @property
    def kappa(self) -> float:
        """κ = |λ_1/λ_r|; inf where λ_r is zero within its error."""
        if self.rank < len(self.eigenvalues):
            return math.inf
        # Of λ and −λ the positive one is first, whichever rounding made the larger.
        return max(1.0, float(abs(self.eigenvalues[0] / self.eigenvalues[-1])))

    @property
    def kappa_error(self) -> float:
        """Absolute error of κ; nan where κ is infinite."""
        if not math.isfinite(self.kappa):
            return math.nan
        sizes = np.abs(self.eigenvalues[[0, -1]])
        return float(self.kappa * (self.eigenvalue_error / sizes).sum())

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Indices of directions whose λ and u coincide within their errors: any basis of their
        span would do. In the order of `eigenvalues`."""
        found: list[list[int]] = []
        for k in range(len(self.eigenvalues)):
            for group in found:
                first = group[0]
                apart = abs(self.eigenvalues[k] - self.eigenvalues[first])
                if apart <= coincident(self.eigenvalues, self.eigenvalue_error) and (
                    abs(self.u[k] - self.u[first]) <= coincident(self.u, self.second_error)
                ):
                    group.append(k)
                    break
            else:
                found.append([k])
        return tuple(map(tuple, found))

    @property
    def weakest(self) -> float:
        """λ_r²/v: what the number of steps depends on (theory.md §2); 0 if Λ is singular."""
        full = self.rank == len(self.eigenvalues)
        return float(self.eigenvalues[-1] ** 2 / self.v) if full else 0.0

    @property
    def nothing_learned(self) -> bool:
        """N1: Λ = 0 and λ_max(E[T² zzᵀ]) ≤ 2 v, so that nothing is learned for n/d → ∞."""
        return self.rank == 0 and self.second_order <= 2 * self.v + CLEARLY * self.second_error

    @property
    def plateau(self) -> float | None:
        """N1: the overlap that survives at every large α where Λ = 0; None where Λ ≠ 0."""
        return None if self.rank else plateau(self.second_order, self.v)


def analyse_transform(
    link: Link | str,
    loss: Loss | LabelTransform | str = DEFAULT_LOSS,
    *,
    noise: float = 0.0,
    rank: int | None = None,
) -> TransformAnalysis:
    """Analyse a link under a loss or transform; arguments and errors as in `label_law`."""
    link = get_link(link, rank=rank)
    loss = get_loss(loss) if isinstance(loss, str) else loss
    return _analyse(link, loss, number("noise", noise, minimum=0.0))


def transform_overlaps(
    link: Link | str,
    transform: Loss | LabelTransform | str,
    alphas: ArrayLike,
    *,
    noise: float = 0.0,
    rank: int | None = None,
    centred: bool = False,
    leading: bool = False,
) -> Float64[Float64Array, " A"]:
    """‖U v̂‖² of H = (1/n) Σ T(y_i) x_i x_iᵀ at each n/d of `alphas`, `(A,)`, as n → ∞.

    **Arguments**

    - `transform`: T, a `LabelTransform(name, function)` of a bounded function, say.
    - `centred`: whether E T is subtracted first; stage 1 of training does, spectral methods of
      the literature do not.
    - `leading`: as in `overlap_curve`.

    **Raises** `InputError` as `label_law`, or for a ratio that is not positive.
    """
    law = label_law(link, transform, noise=noise, rank=rank, centred=centred)
    measure = label_measure(law, fourth_moments=False)
    return overlap_curve(
        measure, array("alphas", alphas, (None,), dtype="float64"), leading=leading
    )


@cached(maxsize=64)
def _analyse(link: Link, loss: Loss | LabelTransform, noise: float) -> TransformAnalysis:
    law = label_law(link, loss, noise=noise)
    moments = first_moments(law)
    linear, linear_error = law.mean(lambda at: at.T[:, None] * at.z)
    third, third_error = law.mean(lambda at: at.T**3)
    spectral: Float64Array | None = None
    spectral_error: Float64Array | None = None
    descent = descent_error = reason = None
    if law.tail.bounded is True:
        measure = label_measure(law, fourth_moments=False)
        found = thresholds(measure)
        limit = moments.resolved_ratio
        spectral = np.where(found.spectral < limit, found.spectral, math.inf)
        descent = found.descent if found.descent < limit else math.inf
        found = Thresholds(spectral, descent)
        if law.check is not None:
            coarse = thresholds(label_measure(law.check, fourth_moments=False))
            with np.errstate(invalid="ignore"):  # inf − inf
                spectral_error = law.margin * np.abs(coarse.spectral - spectral)
            spectral_error[~np.isfinite(spectral)] = math.nan
            descent_error = _descent_error(measure, found, coarse, float(third_error), law.margin)
    else:
        state = "unbounded" if law.tail.bounded is False else "not known to be bounded"
        reason = (
            f"T is {state} ({law.tail}): large labels make outliers of their own (theory D9), and "
            "the bulk has no edge as d grows"
        )
    return TransformAnalysis(
        **vars(moments),
        name=loss.name,
        constant=law.constant,
        mean=law.removed_mean,
        third=float(third),
        linear=linear,
        linear_error=float(np.linalg.norm(linear_error)),
        tail=law.tail,
        alpha_spectral=spectral,
        alpha_spectral_error=spectral_error,
        alpha_gd=descent,
        alpha_gd_error=descent_error,
        threshold_reason=reason,
        rests_on=law.rests_on,
    )


def coincident(values: Float64Array, error: float) -> float:
    """How far apart values with this error may be and count as equal."""
    return max(CLEARLY * error, 1e-9 * float(np.abs(values).max()))


def _diagonalise(
    first: Float64Array, second: Float64Array, error: float
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """λ's, largest modulus first, their directions as rows, and the u's along them.

    Where λ's coincide within the error any basis of the eigenspace would do: the one that
    diagonalises E[T² zzᵀ] there is what H's outliers follow (theory.md D4).
    """
    values, vectors = np.linalg.eigh(first)
    close = coincident(values, error)
    start = 0
    for stop in range(1, len(values) + 1):
        if stop == len(values) or values[stop] - values[stop - 1] > close:
            block = vectors[:, start:stop]
            vectors[:, start:stop] = block @ np.linalg.eigh(block.T @ second @ block)[1]
            values[start:stop] = values[start:stop].mean()
            start = stop
    order = np.argsort(-np.abs(values), kind="stable")
    # Rounding does not decide between λ and −λ: the positive one is first.
    equal = _MIRRORED * float(np.abs(values).max())
    apart = np.concatenate([[0.0], np.diff(np.abs(values[order])) < -equal])
    order = order[np.lexsort((-values[order], apart.cumsum()))]
    values, vectors = values[order], vectors[:, order]
    # A direction has no sign: let its largest entry be positive.
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))]
    vectors = vectors * np.where(largest < 0, -1.0, 1.0)
    u = np.einsum("ik,ij,jk->k", vectors, second, vectors)
    return values, vectors.T, u


def _descent_error(
    measure: LabelMeasure,
    found: Thresholds,
    coarse: Thresholds,
    third_error: float,
    margin: float,
) -> float | None:
    """How far α_GD moves on the coarser nodes, times the margin, and by an asymmetry of the bulk
    as large as the error of E T³; None where it is infinite."""
    if not math.isfinite(found.descent):
        return None
    asymmetry = 1e-9 + third_error / measure.moment(2) ** 1.5
    loose = descent_threshold(measure, float(found.spectral[0]), tolerance=asymmetry)
    return margin * abs(coarse.descent - found.descent) + abs(loose - found.descent)
