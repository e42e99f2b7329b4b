"""The law of (T, z) reduced to what resolvents depend on: a measure on the axis of T.

Every prediction is built from E[φ(T) z…z] with φ analytic off [min T, max T], such as
1/(w − T). A million nodes then carry no more information than a few hundred: panels that
shrink geometrically towards both ends, with Lagrange weights on Chebyshev points in each,
reproduce all those expectations to rounding (a pole is never nearer to a panel than the
panel is wide; the weights may be negative).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array, NumpyArray
from mimverify.theory.labels.label_law import LabelLaw

if TYPE_CHECKING:
    from jaxtyping import Float64

_POINTS = 18  # Chebyshev points of a panel: (3 + √8)^-18 < 2e-14 with a pole one width away
_LEVELS = 40  # panels shrink towards an end down to 2^-40 of the range


@dataclass(frozen=True)
class LabelMeasure:
    """Nodes on the axis of T.

    - `T`: `(K,)`; `low`, `high`: the ends of the law's support.
    - `features`: `(K, s + 1)`, the mass of φ = (1, z_i z_j for i ≤ j) at each node,
      s = r(r + 1)/2.
    - `products`: `(K, s + 1, s + 1)`, the mass of φ φᵀ, whose first row is `features`; None
      unless fourth moments of z were asked for.
    - `rank`: r.
    """

    T: Float64Array
    features: Float64Array
    products: Float64Array | None
    rank: int
    low: float
    high: float

    @property
    def mass(self) -> Float64[Float64Array, " K"]:
        """`(K,)`."""
        return self.features[:, 0]

    @cached_property
    def second(self) -> Float64[Float64Array, "K r r"]:
        """E[z zᵀ; T] at each node, `(K, r, r)`."""
        return np.asarray(unpack(self.features[:, 1:], self.rank))

    @cached_property
    def squared(self) -> Float64[Float64Array, "K s1"]:
        """T² times `features`, `(K, s + 1)`: what every sum of a resolvent is made of."""
        return np.asarray(self.T[:, None] ** 2 * self.features)

    @cached_property
    def squared_mass(self) -> Float64[Float64Array, " K"]:
        """T² times `mass`, `(K,)`, in one piece."""
        return np.ascontiguousarray(self.squared[:, 0])

    @cached_property
    def first_second(self) -> Float64[Float64Array, "r r"]:
        """E[T zzᵀ], `(r, r)`."""
        return self.weighted_second(1)

    @property
    def gram(self) -> Float64[Float64Array, "K s1 s1"]:
        """`products`. **Raises** `ValueError` where they were not computed."""
        if self.products is None:
            raise ValueError("this measure was made without fourth moments")
        return self.products

    def moment(self, power: int) -> float:
        """E[T^power]."""
        return float(self.T**power @ self.mass)

    def weighted_second(self, power: int) -> Float64[Float64Array, "r r"]:
        """E[T^power z zᵀ], `(r, r)`."""
        return np.asarray(np.tensordot(self.T**power, self.second, axes=1))


@lru_cache(maxsize=16)
def pairs(rank: int) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Row and column of each entry of a packed symmetric r × r matrix."""
    rows, columns = np.triu_indices(rank)
    rows.flags.writeable = columns.flags.writeable = False  # shared by all callers
    return rows, columns


def unpack(packed: NumpyArray, rank: int) -> NumpyArray:
    """Symmetric matrices `(…, r, r)` from their upper triangles `(…, s)`."""
    if rank == 1:
        return np.asarray(packed[..., None])
    i, j = pairs(rank)
    full = np.empty((*packed.shape[:-1], rank, rank), dtype=packed.dtype)
    full[..., i, j] = packed
    full[..., j, i] = packed
    return full


def pack_dual(matrix: NumpyArray) -> NumpyArray:
    """`(…, s)` coefficients c with c · (z_i z_j)_{i ≤ j} = zᵀ A z, of symmetric A `(…, r, r)`."""
    i, j = pairs(matrix.shape[-1])
    return np.asarray(np.where(i == j, 1.0, 2.0) * matrix[..., i, j])


def label_measure(law: LabelLaw, *, fourth_moments: bool = True) -> LabelMeasure:
    """The measure of a law on the axis of its T.

    **Arguments**

    - `fourth_moments`: of z as well, which only fluctuations need: r⁴/8 numbers per node.
    """
    order = law.order
    return sorted_measure(
        law.T[order], law.z.T.take(order, axis=1), law.weights[order], fourth_moments=fourth_moments
    )


def sorted_measure(
    T: Float64Array, z: Float64Array, weights: Float64Array, *, fourth_moments: bool = True
) -> LabelMeasure:
    """`label_measure` of nodes in the order of their T `(q,)`.

    **Arguments**

    - `z`: hidden features as rows, `(r, q)`; `weights`: `(q,)`.
    """
    rank = len(z)
    i, j = pairs(rank)
    count = 1 + len(i)
    features = np.empty((count, len(T)))
    features[0] = 1.0
    for k in range(len(i)):
        np.multiply(z[i[k]], z[j[k]], out=features[1 + k])
    rows, columns = np.triu_indices(count)
    if not fourth_moments:  # the first row alone
        features *= weights

    nodes: list[Float64Array] = []
    masses: list[Float64Array] = []
    for start, stop in _panels(T):
        t, products = T[start:stop], features[:, start:stop]
        if fourth_moments:
            products = products[rows] * products[columns] * weights[start:stop]
        fresh = np.concatenate([[True], t[1:] != t[:-1]])
        if np.count_nonzero(fresh) <= _POINTS:
            nodes.append(t[fresh])
            masses.append(np.add.reduceat(products, np.flatnonzero(fresh), axis=1).T)
        else:
            points = _chebyshev(t[0], t[-1])
            nodes.append(points)
            masses.append(_on_points(t, points, products))
    packed = np.concatenate(masses)
    gram = None
    if fourth_moments:
        gram = np.empty((len(packed), count, count))
        gram[:, rows, columns] = packed
        gram[:, columns, rows] = packed
    return LabelMeasure(
        T=np.concatenate(nodes),
        features=packed[:, :count],
        products=gram,
        rank=rank,
        low=float(T[0]),
        high=float(T[-1]),
    )


def _panels(T: Float64Array) -> list[tuple[int, int]]:
    """Slices of sorted T, one for each panel that is not empty."""
    low, high = T[0], T[-1]
    half = (high - low) / 2
    steps = half * 2.0 ** -np.arange(0, _LEVELS + 1)
    cuts = np.unique(np.concatenate([low + steps, high - steps]))
    # Atoms at the ends (clipped labels) stay apart from labels near them.
    bounds = [0, int(np.searchsorted(T, low, side="right"))]
    bounds += [int(k) for k in np.searchsorted(T, cuts)]
    bounds += [int(np.searchsorted(T, high, side="left")), len(T)]
    edges = np.unique(bounds)
    return [(int(a), int(b)) for a, b in pairwise(edges)]


_ANGLE = (np.arange(_POINTS) + 0.5) * np.pi / _POINTS
_BARYCENTRIC = (-1.0) ** np.arange(_POINTS) * np.sin(_ANGLE)
_ROWS = 4096  # nodes that are taken to the points at a time, while they are in the cache


def _chebyshev(low: float, high: float) -> Float64Array:
    return np.asarray((low + high) / 2 + (high - low) / 2 * np.cos(_ANGLE))


def _on_points(t: Float64Array, points: Float64Array, masses: Float64Array) -> Float64Array:
    """Masses `(f, q)` at t `(q,)` as masses at the points of their panel, `(points, f)`."""
    found = np.zeros((_POINTS, len(masses)))
    for start in range(0, len(t), _ROWS):
        rows = slice(start, start + _ROWS)
        basis, total = _lagrange(t[rows], points)
        # Few masses are divided, rather than many entries of the basis.
        found += ((masses[:, rows] / total) @ basis).T
    return found


def _lagrange(t: Float64Array, points: Float64Array) -> tuple[Float64Array, Float64Array]:
    """The Lagrange basis of Chebyshev points on t, `(len(t), points)`, and what divides its rows,
    `(len(t),)`."""
    difference = t[:, None] - points
    with np.errstate(divide="ignore", invalid="ignore"):
        basis: Float64Array = np.divide(_BARYCENTRIC, difference, out=difference)
        total = basis @ np.ones(_POINTS)
    for node in np.flatnonzero(~np.isfinite(total)):  # on a point, where its polynomial is 1
        basis[node] = t[node] == points
        total[node] = 1.0
    return basis, total
