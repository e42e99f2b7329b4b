"""The labels' expansion in Hermite products: all that the population's stage 2 asks of them.

For z ~ N(0, I_r) and orthonormal h_j, g = Σ_α Y_α h_{α₁}(z₁) … h_{α_r}(z_r), and for a row s with
‖s‖ ≤ 1 and a unit Gaussian γ with E[γ z] = s, E[g(z) h_j(γ)] = Σ_{|α| = j} √(j!/α!) s^α Y_α.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array
from mimverify.theory.labels.cache import cached
from mimverify.theory.labels.quadrature import normal_rule

if TYPE_CHECKING:
    from jaxtyping import Float64

#: Degrees up to which a link is expanded, by its rank: some two thousand products at most.
DEGREES = {1: 120, 2: 60, 3: 22, 4: 12, 5: 9, 6: 7, 7: 6, 8: 5}
_DEGREE_OF_MORE = 4
_ROWS = 1 << 15
# Coefficients by Sobol points that are smaller than so many standard errors are none.
_CLEARLY = 3.0


@dataclass(frozen=True)
class LabelExpansion:
    """A link's mean, variance, and coefficients Y_α for 1 ≤ |α| ≤ `degree`.

    - `orders`: α, `(c, r)`; `coefficients`: `(c,)`.
    """

    mean: float
    variance: float
    degree: int
    orders: NDArray[np.int_]
    coefficients: Float64Array

    @cached_property
    def _weights(self) -> Float64Array:
        """√(|α|!/α!) Y_α, `(c,)`."""
        from scipy.special import gammaln

        total = self.orders.sum(axis=1)
        return np.asarray(
            np.exp((gammaln(total + 1) - gammaln(self.orders + 1).sum(axis=1)) / 2)
            * self.coefficients
        )

    @cached_property
    def _by_degree(self) -> NDArray[np.int_]:
        """Where each degree begins among `orders`, and their end."""
        return np.searchsorted(self.orders.sum(axis=1), np.arange(1, self.degree + 2))

    def along(self, rows: Float64[Float64Array, "k r"]) -> Float64[Float64Array, "k degree"]:
        """E[g(z) h_j(γ_i)], j = 1 … `degree`, for unit Gaussians γ_i with E[γ_i z] = `rows[i]`."""
        powers = rows[:, :, None] ** np.arange(self.degree + 1)
        terms = np.broadcast_to(self._weights, (len(rows), len(self._weights))).copy()
        for axis in range(rows.shape[1]):
            terms *= powers[:, axis, self.orders[:, axis]]
        return np.asarray(np.add.reduceat(terms, self._by_degree[:-1], axis=1))


def hermite_values(x: Float64Array, degree: int) -> Float64[Float64Array, "n degree_1"]:
    """Orthonormal h_0 … h_degree at x `(n,)`."""
    values = np.empty((degree + 1, len(x)))
    values[0] = 1.0
    if degree:
        values[1] = x
    for j in range(1, degree):
        values[j + 1] = (x * values[j] - math.sqrt(j) * values[j - 1]) / math.sqrt(j + 1)
    return values.T


@cached(maxsize=32)
def label_expansion(link: Link) -> LabelExpansion:
    """The expansion of a link's noiseless labels, by quadrature."""
    r = link.rank
    degree = DEGREES.get(r, _DEGREE_OF_MORE)

    def labels(z: Float64Array) -> Float64Array:
        return link(z)[:, None]

    rule = normal_rule(labels, r)
    y = link(rule.nodes)
    mean = float(rule.weights @ y)
    weighted = rule.weights * (y - mean)
    kept = rule.weights > 1e-24 * rule.weights.max()  # all of them where there are replicates
    nodes, weighted, centred = rule.nodes[kept], weighted[kept], (y - mean)[kept]
    variance = float(rule.weights[kept] @ centred**2)
    # A product over all axes is one over the first half's times one over the second's.
    half = (r + 1) // 2
    left, right = _orders(half, degree), _orders(r - half, degree)
    blocks = np.zeros((rule.replicates, len(left), len(right)))
    of_each = len(nodes) // rule.replicates
    for k, start in ((k, i) for k in range(len(blocks)) for i in range(0, of_each, _ROWS)):
        rows = slice(k * of_each + start, k * of_each + min(start + _ROWS, of_each))
        values = [hermite_values(nodes[rows, axis], degree) for axis in range(r)]
        first = _products(values[:half], left, len(weighted[rows])) * weighted[rows, None]
        blocks[k] += first.T @ _products(values[half:], right, len(first))
    table = blocks.sum(axis=0)
    if len(blocks) > 1:  # thousands of small errors would add up to a signal that is not there
        error = blocks.std(axis=0, ddof=1) * np.sqrt(len(blocks))
        table[np.abs(table) < _CLEARLY * error] = 0.0
    total = left.sum(axis=1)[:, None] + right.sum(axis=1)
    chosen = np.argwhere((total >= 1) & (total <= degree))
    chosen = chosen[np.argsort(total[tuple(chosen.T)], kind="stable")]
    orders = np.hstack([left[chosen[:, 0]], right[chosen[:, 1]]])
    return LabelExpansion(mean, variance, degree, orders, table[tuple(chosen.T)])


def _orders(axes: int, degree: int) -> NDArray[np.int_]:
    """All α over so many axes with |α| ≤ degree, `(c, axes)`."""
    found = [
        np.bincount(np.array(chosen, dtype=int), minlength=axes + 1)[:axes]
        for chosen in combinations_with_replacement(range(axes + 1), degree)
    ]
    return np.array(found, dtype=int).reshape(len(found), axes)


def _products(values: list[Float64Array], orders: NDArray[np.int_], rows: int) -> Float64Array:
    result = np.ones((rows, len(orders)))
    for axis, of_axis in enumerate(values):
        result *= of_axis[:, orders[:, axis]]
    return result
