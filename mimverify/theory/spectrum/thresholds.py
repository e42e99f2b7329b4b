"""The sample ratios from which H is informative: spectral, and for gradient descent.

Source: theory.md §5. Both are functions of the law of (z, T) alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Array, Float64Array
from mimverify.theory.labels.label_measure import LabelMeasure, unpack
from mimverify.theory.spectrum.leading import leads
from mimverify.theory.spectrum.resolvent import Resolvent

if TYPE_CHECKING:
    from jaxtyping import Float64

_HIGHEST = 1e6  # times the spectral threshold: beyond it gradient descent's is called infinite
_GRID = 48
_W_GRID = 320
# A threshold is found to this in its logarithm, by cutting an interval into so many.
_CLOSE, _SECTIONS = 1e-12, 8


@dataclass(frozen=True)
class Thresholds:
    """- `spectral`: sample ratios from which 1, 2, … r eigenvalues stand out of the bulk, inf
      where fewer ever do.
    - `descent`: the ratio from which an outlier exceeds *both* edges in modulus, so that power
      iteration finds it; inf where none ever does.
    """

    spectral: Float64Array
    descent: float


def thresholds(measure: LabelMeasure) -> Thresholds:
    """Both thresholds of a bounded T."""
    spectral = spectral_thresholds(measure)
    return Thresholds(spectral, descent_threshold(measure, float(spectral[0])))


def spectral_thresholds(measure: LabelMeasure) -> Float64[Float64Array, " r"]:
    """The smallest α at which 1, 2, … r outliers exist, either side counted, `(r,)`.

    At the edge 1/α = E[ψ²], ψ = T/(w − T), and an outlier along direction k appears where
    the k-th eigenvalue of E[ψ (zzᵀ − I)] equals that; or, at a hard edge, where w reaches the
    end of T's support first and E[ψ²] < 1/α, where it equals 1/α.
    """
    ratios: list[float] = []
    for side in (1, -1):
        ratios += _onsets(measure, side)
    ratios = sorted(ratios)[: measure.rank]
    ratios += [math.inf] * (measure.rank - len(ratios))
    return np.array(ratios)


def _onsets(measure: LabelMeasure, side: int) -> list[float]:
    from scipy.optimize import brentq

    end = max(measure.high, 0.0) if side > 0 else min(measure.low, 0.0)
    span = measure.high - measure.low
    mass, T, eye = measure.mass, measure.T, np.eye(measure.rank)

    def gaps(log_distance: Array) -> tuple[Array, Array]:
        """Eigenvalues of E[ψ (zzᵀ − I)] − E[ψ²], largest first, and E[ψ²] = 1/α."""
        psi = T / (end + side * span * np.exp(log_distance)[..., None] - T)
        inverse = psi**2 @ mass
        sums = psi @ measure.features
        matrix = unpack(sums[..., 1:], measure.rank) - sums[..., :1, None] * eye
        return np.linalg.eigvalsh(matrix)[..., ::-1] - inverse[..., None], inverse

    grid = np.linspace(math.log(1e-9), math.log(1e7), _W_GRID)
    values = gaps(grid)[0]
    found = []
    for k in range(measure.rank):
        # Relative to 1/α, so that rounding far out does not count as a change of sign.
        signs = values[:, k] > 0
        if signs[0]:
            # T's density vanishes at its end, and the bulk has a hard edge there: the outlier
            # appears where the k-th eigenvalue itself reaches 1/α.
            gap, inverse = gaps(grid[0])
            found.append(1 / float(gap[k] + inverse))
            continue
        rises = np.flatnonzero(~signs[:-1] & signs[1:])
        if len(rises) == 0:
            continue
        i = int(rises[0])
        root = brentq(lambda x, k=k: gaps(np.float64(x))[0][k], grid[i], grid[i + 1], xtol=1e-13)
        found.append(1 / float(gaps(np.float64(root))[1]))
    return found


def descent_threshold(
    measure: LabelMeasure, spectral: float | None = None, *, tolerance: float = 1e-9
) -> float:
    """The smallest α from which, and for every larger one, an outlier leads in modulus.

    **Arguments**

    - `spectral`: the spectral threshold, if known; no outlier leads below it.
    - `tolerance`: edges that differ by less, relatively, count as equal. An outlier appears at
      its own edge and leaves it quadratically slowly, so that an asymmetry ε of the quadrature
      would shift the threshold of a symmetric T by √ε.
    """
    start = float(spectral_thresholds(measure)[0]) if spectral is None else spectral
    if not math.isfinite(start):
        return math.inf
    grid = math.log(start) + np.concatenate([[1e-9], np.geomspace(1e-4, math.log(_HIGHEST), _GRID)])
    # From above: only the last ratio at which none leads matters.
    found = leads(measure, np.exp(grid), tolerance)
    if found.all():
        return start
    last = int(np.flatnonzero(~found)[-1])
    if last == len(grid) - 1:
        return math.inf
    low, high = float(grid[last]), float(grid[last + 1])
    while high - low > _CLOSE:
        inside = np.linspace(low, high, _SECTIONS + 1)
        below = np.flatnonzero(~leads(measure, np.exp(inside[1:-1]), tolerance))
        last = int(below[-1]) + 1 if len(below) else 0
        low, high = float(inside[last]), float(inside[last + 1])
    return math.exp((low + high) / 2)


def overlap_curve(
    measure: LabelMeasure, alphas: Float64[Float64Array, " A"], *, leading: bool = True
) -> Float64[Float64Array, " A"]:
    """‖U v̂‖² of the leading outlier at each α, 0 where none leads both edges, `(A,)`.

    **Arguments**

    - `leading`: False counts any outlier, and takes that of the largest overlap: what a spectral
      method knows that looks at both ends of the bulk, where power iteration sees the farther one.
    """
    result = np.zeros(len(alphas))
    for index, alpha in enumerate(alphas):
        resolvent = Resolvent(measure, float(alpha))
        outliers = resolvent.leading[:1] if leading else resolvent.outliers
        result[index] = max((outlier.squared_overlap for outlier in outliers), default=0.0)
    return result
