"""The spectrum of H = (1/n) Σ T_i x_i x_iᵀ for large d and n: edges, outliers, resolvents.

With w = α/g the fixed point of theory.md §4 (D1) becomes explicit, no root-finding:

    ζ(w) = w/α + E T + E[T²/(w − T)],    M(w) = ζ(w) I_r − E[T zzᵀ] − E[T² zzᵀ/(w − T)].

ζ is increasing outside the two points w₋, w₊ around the support of T where ζ' = 0; their
images are the bulk's edges. There M is increasing as well, so outliers are counted by the
signs of M's eigenvalues at w± and found by bracketing. Derivation: docs/theory-engine.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Array, Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import number
from mimverify.theory.labels.label_measure import LabelMeasure, unpack

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Outlier:
    """An eigenvalue of H outside the bulk.

    - `location`: ζ; `w`: its parameter.
    - `overlap`: U v̂ v̂ᵀ Uᵀ `(r, r)` of its eigenvector v̂, of rank one.
    - `direction`: U v̂/‖U v̂‖ `(r,)`.
    """

    location: float
    w: float
    overlap: Float64Array
    direction: Float64Array

    @property
    def squared_overlap(self) -> float:
        """‖U v̂‖²: how much of the eigenvector lies in the hidden subspace."""
        return float(np.trace(self.overlap))


class Resolvent:
    """Deterministic equivalents for one law of (z, T) and one sample ratio α = n/d.

    **Raises** `InputError` for an α that is not positive.
    """

    def __init__(self, measure: LabelMeasure, alpha: float) -> None:
        self.measure = measure
        self.alpha = number("alpha", alpha, minimum=0.0, exclusive=True)
        self.mean = measure.moment(1)
        self.variance = measure.moment(2)
        self._first = measure.first_second
        self._eye = np.eye(measure.rank)

    @property
    def rank(self) -> int:
        """r."""
        return self.measure.rank

    # -- functions of w --------------------------------------------------------------------

    def _sums(self, w: Array, power: int) -> Array:
        """E[T² φ/(w − T)^power] for φ = 1 and z_i z_j: `(…, 1 + s)`."""
        w = np.asarray(w)
        inverse = 1 / (w[..., None] - self.measure.T)
        return (inverse if power == 1 else inverse**power) @ self.measure.squared

    def sums(self, w: Array) -> Array:
        """E[T² φ/(w − T)] for φ = 1 and z_i z_j with i ≤ j, `(…, 1 + s)`."""
        return self._sums(w, 1)

    def zeta(self, w: Array) -> Array:
        """ζ(w), real or complex, any shape."""
        w = np.asarray(w)
        sums = (1 / (w[..., None] - self.measure.T)) @ self.measure.squared_mass
        return w / self.alpha + self.mean + sums

    def slope(self, w: Array) -> Array:
        """ζ'(w), any shape."""
        w = np.asarray(w)
        return (
            1 / self.alpha - (1 / (w[..., None] - self.measure.T)) ** 2 @ self.measure.squared_mass
        )

    def matrix(self, w: Array) -> Array:
        """M(w), `(…, r, r)`."""
        sums = self._sums(w, 1)
        zeta = w / self.alpha + self.mean + sums[..., 0]
        return zeta[..., None, None] * self._eye - self._first - unpack(sums[..., 1:], self.rank)

    def matrix_slope(self, w: Array) -> Array:
        """M'(w), `(…, r, r)`."""
        sums = self._sums(w, 2)
        slope = 1 / self.alpha - sums[..., 0]
        return slope[..., None, None] * self._eye + unpack(sums[..., 1:], self.rank)

    # -- edges -----------------------------------------------------------------------------

    @cached_property
    def _reach(self) -> float:
        """Beyond this distance from T's support ζ' > 0, since E[T²/(w − T)²] ≤ E T²/dist²."""
        return 1.0001 * math.sqrt(self.alpha * self.variance)

    @cached_property
    def w_plus(self) -> float:
        """Where ζ' = 0 to the right of T's support (and of 0)."""
        return self._turning_point(+1)

    @cached_property
    def w_minus(self) -> float:
        """Where ζ' = 0 to the left of T's support (and of 0)."""
        return self._turning_point(-1)

    def _turning_point(self, side: int) -> float:
        from scipy.optimize import brentq

        low, high = min(self.measure.low, 0.0), max(self.measure.high, 0.0)
        end = high if side > 0 else low
        near = end + side * 1e-13 * (high - low)
        far = end + side * self._reach
        if self.slope(np.float64(near)) >= 0:  # T's density vanishes at its end: no soft edge
            return near
        return float(
            brentq(lambda w: self.slope(np.float64(w)), near, far, xtol=1e-300, rtol=1e-14)
        )

    @cached_property
    def edges(self) -> tuple[float, float]:
        """The lower and the upper end of the bulk."""
        return (
            float(self.zeta(np.float64(self.w_minus))),
            float(self.zeta(np.float64(self.w_plus))),
        )

    @property
    def radius(self) -> float:
        """The larger of the bulk's edges in modulus."""
        return max(abs(end) for end in self.edges)

    # -- outliers --------------------------------------------------------------------------

    @cached_property
    def outliers(self) -> tuple[Outlier, ...]:
        """Eigenvalues outside the bulk, the largest in modulus first."""
        found = [*self._outliers(+1), *self._outliers(-1)]
        return tuple(sorted(found, key=lambda outlier: -abs(outlier.location)))

    @cached_property
    def leading(self) -> tuple[Outlier, ...]:
        """The outliers that exceed both edges in modulus: those that power iteration finds."""
        return tuple(o for o in self.outliers if abs(o.location) > self.radius)

    def _outliers(self, side: int) -> list[Outlier]:
        from scipy.optimize import brentq

        start = self.w_plus if side > 0 else self.w_minus
        signs = side * np.linalg.eigvalsh(self.matrix(np.float64(start)))
        found = []
        for index in np.flatnonzero(signs < 0):

            def eigenvalue(w: float, index: int = int(index)) -> float:
                return float(np.linalg.eigvalsh(self.matrix(np.float64(w)))[index])

            distance = self._reach
            while side * eigenvalue(start + side * distance) <= 0:
                distance *= 2
                if not distance < 1e300:
                    raise InputError(f"alpha={self.alpha}: no end of the spectrum was found")
            w = float(brentq(eigenvalue, start, start + side * distance, xtol=1e-300, rtol=1e-14))
            vectors = np.linalg.eigh(self.matrix(np.float64(w)))[1]
            e = vectors[:, index]
            slope = float(self.slope(np.float64(w)))
            overlap = slope / float(e @ self.matrix_slope(np.float64(w)) @ e)
            location = float(self.zeta(np.float64(w)))
            found.append(Outlier(location, w, overlap * np.outer(e, e), e))
        return found

    @cached_property
    def extremes(self) -> tuple[float, float]:
        """The lowest and the highest eigenvalue, outliers included."""
        locations = [*self.edges, *(outlier.location for outlier in self.outliers)]
        return min(locations), max(locations)

    def exceeds(self, radius: float) -> bool:
        """Whether an outlier lies farther out than `radius`, on either side of zero.

        Without the outliers themselves: M increases, so that those beyond a point are counted by
        the signs of M's eigenvalues there.
        """
        for side, edge, start in zip((1, -1), self.edges[::-1], self._starts, strict=True):
            beyond = side * edge >= radius
            w = start if beyond else self.w_at(side * radius)
            if (side * np.linalg.eigvalsh(self.matrix(np.float64(w))) < 0).any():
                return True
        return False

    @property
    def _starts(self) -> tuple[float, float]:
        return self.w_plus, self.w_minus

    # -- contours --------------------------------------------------------------------------

    def w_at(self, zeta: float) -> float:
        """The real w outside [w₋, w₊] with ζ(w) = `zeta`, a value outside the bulk."""
        from scipy.optimize import brentq

        lower, upper = self.edges
        side = 1 if zeta > upper else -1
        if lower <= zeta <= upper:
            raise InputError(f"zeta={zeta}: expected a value outside the bulk {self.edges}")
        start = self.w_plus if side > 0 else self.w_minus
        distance = self._reach
        while side * (self.zeta(np.float64(start + side * distance)) - zeta) < 0:
            distance *= 2
        return float(
            brentq(
                lambda w: self.zeta(np.float64(w)) - zeta,
                start,
                start + side * distance,
                xtol=1e-300,
                rtol=1e-14,
            )
        )

    def contour(self, low: float, high: float, nodes: int) -> Contour:
        """A closed curve in ζ around [low, high], the image of a circle in w.

        `low` and `high` lie outside the bulk on either side; `nodes` counts the upper half,
        the lower being its mirror image.
        """
        left, right = self.w_at(low), self.w_at(high)
        angle = np.pi * (np.arange(nodes) + 0.5) / nodes
        radius = (right - left) / 2
        turn = radius * np.exp(1j * angle)
        return Contour(self, (left + right) / 2 + turn, turn / nodes)


@dataclass(frozen=True)
class Contour:
    """Trapezoidal nodes `w` on the upper half of a circle, with weights for `integrate`."""

    resolvent: Resolvent
    w: Complex
    weight: Complex

    def integrate(self, values: Complex) -> Float64Array:
        """(1/2πi) ∮ F dw of F `(N, …)` with F(w̄) = conj F(w)."""
        return np.real(np.tensordot(self.weight, values, axes=(0, 0)))

    @cached_property
    def _sums(self) -> tuple[Complex, Complex]:
        return self.resolvent._sums(self.w, 1), self.resolvent._sums(self.w, 2)

    @cached_property
    def zeta(self) -> Complex:
        """ζ at the nodes."""
        first, _ = self._sums
        return np.asarray(self.w / self.resolvent.alpha + self.resolvent.mean + first[:, 0])

    @cached_property
    def slope(self) -> Complex:
        """ζ' at the nodes."""
        return np.asarray(1 / self.resolvent.alpha - self._sums[1][:, 0])

    @cached_property
    def inverse(self) -> Complex:
        """M⁻¹, `(N, r, r)`."""
        r = self.resolvent.rank
        first, _ = self._sums
        M = self.zeta[:, None, None] * np.eye(r) - self.resolvent._first - unpack(first[:, 1:], r)
        return np.asarray(np.linalg.inv(M))

    @cached_property
    def matrix_slope(self) -> Complex:
        """M', `(N, r, r)`."""
        r = self.resolvent.rank
        return np.asarray(self.slope[:, None, None] * np.eye(r) + unpack(self._sums[1][:, 1:], r))
