"""Quadrature against the standard normal law for integrands with kinks and jumps.

Gauss–Hermite rules converge only for smooth integrands; |z|, ReLU, clipped or signed labels
are not. Here space is cut into boxes with a Gauss–Legendre rule in each, and the boxes that
do not yet resolve the integrand are halved across the axis along which it is roughest. Kinks
and jumps along coordinate planes, the usual ones, are then resolved exactly; curved ones
with a known remainder. Above `MAX_BOX_DIMENSIONS` boxes are too many, and scrambled Sobol points
take their place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import integer
from mimverify.theory.labels.sobol import sobol_points

if TYPE_CHECKING:
    from jaxtyping import Float64

#: z `(q, D)` ↦ values `(q, F)` that the rule has to resolve.
Monitor = Callable[[Float64Array], Float64Array]

MAX_BOX_DIMENSIONS = 3
MAX_DIMENSIONS = 12

# Beyond 12 standard deviations the weight of the normal law is below 4e-33: even z^16 adds
# less than 1e-15 there.
_REACH = 12.0
_ORDER = {1: 16, 2: 9, 3: 7}
# Of the sum of all boxes' roughness, which is what interpolation leaves open: the integral of a
# smooth function is far more exact (measured in two dimensions: 1e-12 where 1e-8 is asked for).
_TOLERANCE = {1: 1e-12, 2: 1e-8, 3: 1e-8}
_MOST_NODES = {1: 40_000, 2: 500_000, 3: 600_000}
_EQUAL = 1e-6  # relative difference of roughnesses that is rounding
_REPLICATES = 8
_ROWS = 8192  # nodes that are evaluated together
_MOST_SOBOL_POWER, _LEAST_SOBOL_POWER = 16, 13  # of 4 dimensions, and of 10 and more
# Another partition for the check: other boundaries, except those through the origin, where
# links have their kinks. Above the level of rounding also a coarser one: of equally fine ones, a
# smooth integrand has errors so alike that their difference says too little.
_STRETCH = 1.0618
_COARSER = {1: 1.0, 2: 10.0, 3: 10.0}  # times the tolerance
_CUTS = (-_REACH, -6.0, -3.0, -1.5, 0.0, 1.5, 3.0, 6.0, _REACH)


@dataclass(frozen=True)
class NormalRule:
    """Nodes and weights for E φ(z), z ~ N(0, I_D).

    - `nodes`: `(q, D)`; `weights`: `(q,)`, positive, with sum 1.
    - `check`: another, coarser rule (nodes, weights) for the same integrands; what changes
      under it estimates the error.
    - `replicates`: the number of independent, equally long blocks of the nodes; 1 if there
      are none.
    - `rests_on`: what an error estimate rests on.
    """

    nodes: Float64Array
    weights: Float64Array
    check: tuple[Float64Array, Float64Array]
    replicates: int
    rests_on: str


def normal_rule(
    monitor: Monitor,
    dimensions: int,
    *,
    share: float = 1.0,
    found: tuple[Float64Array, Float64Array] | None = None,
) -> NormalRule:
    """A rule that resolves everything that `monitor` returns, and φ(z) times it.

    Deterministic.

    **Arguments**

    - `share`: of the most nodes that are used.
    - `found`: nodes and weights that `normal_nodes` gave, to be taken as they are: only what
      checks them is computed then.

    **Raises** `InputError` for more than `MAX_DIMENSIONS` dimensions.
    """
    dimensions = _checked(dimensions)
    if dimensions > MAX_BOX_DIMENSIONS:
        return _sobol_rule(dimensions)
    nodes = found or normal_nodes(monitor, dimensions, share=share)
    return _box_rule(monitor, dimensions, nodes, _most_nodes(dimensions, share / 2))


def normal_nodes(
    monitor: Monitor, dimensions: int, *, share: float = 1.0
) -> tuple[Float64Array, Float64Array]:
    """Nodes and weights of `normal_rule`, for those who need no estimate of the error: a third of
    the work less. Raises as `normal_rule`."""
    dimensions = _checked(dimensions)
    if dimensions > MAX_BOX_DIMENSIONS:
        rule = _sobol_rule(dimensions)
        return rule.nodes, rule.weights
    most = _most_nodes(dimensions, share)
    return _refined(monitor, dimensions, np.array(_CUTS), most, _TOLERANCE[dimensions])


def _most_nodes(dimensions: int, share: float) -> int:
    return round(share * _MOST_NODES[dimensions])


def _checked(dimensions: int) -> int:
    dimensions = integer("dimensions", dimensions, minimum=1)
    if dimensions > MAX_DIMENSIONS:
        raise InputError(
            f"dimensions={dimensions}: expected at most {MAX_DIMENSIONS} hidden features (label "
            "noise counts as one)"
        )
    return dimensions


# -- boxes -------------------------------------------------------------------------------------


def _density(z: Float64[Float64Array, "q D"]) -> Float64[Float64Array, " q"]:
    # A sum along an axis so short takes far longer.
    squares = z[:, 0] ** 2
    for axis in range(1, z.shape[1]):
        squares += z[:, axis] ** 2
    squares *= -0.5
    return np.asarray(np.exp(squares, out=squares) / (2 * np.pi) ** (z.shape[1] / 2))


class _Boxes:
    """A partition of [−reach, reach]^D, with nodes, values and roughness of each box."""

    def __init__(self, monitor: Monitor, dimensions: int, cuts: Float64Array) -> None:
        from scipy.special import roots_legendre

        self.monitor, self.dimensions = monitor, dimensions
        self.order = _ORDER[dimensions]
        x, w = roots_legendre(self.order)
        self.reference, self.reference_weights = _tensor_rule(self.order, dimensions)
        # Rows that map values on the nodes of one axis to their last two Legendre coefficients.
        degrees = np.arange(self.order)
        analysis = (legvander(x, self.order - 1) * w[:, None]).T * (degrees[:, None] + 0.5)
        self.tail = analysis[-2:]
        cells = len(cuts) - 1
        index = np.stack(
            [g.ravel() for g in np.meshgrid(*[np.arange(cells)] * dimensions, indexing="ij")],
            axis=1,
        )
        self.low, self.high = cuts[index], cuts[index + 1]
        self.values, self.roughness = self._evaluate(self.low, self.high)

    @property
    def size(self) -> int:
        return len(self.low) * len(self.reference_weights)

    def nodes(self, low: Float64Array, high: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Nodes `(B q, D)` and Lebesgue weights `(B q,)`."""
        half, middle = (high - low) / 2, (low + high) / 2
        # One axis after the other in memory: whatever is computed of them runs along one.
        z = np.empty((self.dimensions, len(low), len(self.reference)))
        for axis in range(self.dimensions):
            np.multiply(half[:, axis, None], self.reference[:, axis], out=z[axis])
            z[axis] += middle[:, axis, None]
        w = np.prod(half, axis=1)[:, None] * self.reference_weights
        return z.reshape(self.dimensions, -1).T, w.ravel()

    def rule(self) -> tuple[Float64Array, Float64Array]:
        """Nodes, and weights with respect to the normal law."""
        z, w = self.nodes(self.low, self.high)
        w = w * _density(z)
        kept = w > 0
        if not kept.all():
            z, w = z.T[:, kept].T, w[kept]
        return z, w / w.sum()

    def _evaluate(self, low: Float64Array, high: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Integrals `(B, F)` of φ times the monitored values, and roughness `(B, D, F)`."""
        # So many boxes at once that what is computed of them stays in the cache.
        step = max(1, _ROWS // len(self.reference_weights))
        parts = [
            self._evaluate_few(low[k : k + step], high[k : k + step])
            for k in range(0, len(low), step)
        ]
        values, roughness = zip(*parts, strict=True)
        return np.concatenate(values), np.concatenate(roughness)

    def _evaluate_few(
        self, low: Float64Array, high: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        z, w = self.nodes(low, high)
        monitored = self.monitor(z).T
        f = np.empty((1 + len(monitored), len(z)))
        f[0] = _density(z)
        np.multiply(monitored, f[0], out=f[1:])
        boxes, functions = len(low), len(f)
        integrals = np.einsum("fbq,bq->bf", f.reshape(functions, boxes, -1), w.reshape(boxes, -1))
        volume = np.prod(high - low, axis=1)
        roughness = np.empty((boxes, self.dimensions, functions))
        for axis in range(self.dimensions):
            after = self.order ** (self.dimensions - 1 - axis)
            along = f.reshape(-1, self.order, after)
            if after > 1:
                tails = np.abs(self.tail @ along)
                largest = np.maximum(tails[:, 0], tails[:, 1])
            else:  # the other way round: products by rows
                tails = np.abs(self.tail @ along[:, :, 0].T)
                largest = np.maximum(tails[0], tails[1])
            means = largest.reshape(functions, boxes, -1).mean(axis=2)
            roughness[:, axis] = volume[:, None] * means.T
        return integrals, roughness

    def split(self, chosen: NDArray[np.bool_], scale: Float64Array) -> None:
        """Halve the chosen boxes, each across the axis along which it is roughest."""
        low, high = self.low[chosen], self.high[chosen]
        roughest = (self.roughness[chosen] / scale).max(axis=2)
        # The first of equals, in mirror images as well.
        axis = (roughest >= (1 - _EQUAL) * roughest.max(axis=1)[:, None]).argmax(axis=1)
        rows = np.arange(len(low))
        middle = (low[rows, axis] + high[rows, axis]) / 2
        left_high, right_low = high.copy(), low.copy()
        left_high[rows, axis] = right_low[rows, axis] = middle
        new_low, new_high = np.concatenate([low, right_low]), np.concatenate([left_high, high])
        values, roughness = self._evaluate(new_low, new_high)
        self.low = np.concatenate([self.low[~chosen], new_low])
        self.high = np.concatenate([self.high[~chosen], new_high])
        self.values = np.concatenate([self.values[~chosen], values])
        self.roughness = np.concatenate([self.roughness[~chosen], roughness])


def _box_rule(
    monitor: Monitor, dimensions: int, found: tuple[Float64Array, Float64Array], most: int
) -> NormalRule:
    return NormalRule(
        *found,
        _refined(
            monitor,
            dimensions,
            _STRETCH * np.array(_CUTS),
            most,
            _COARSER[dimensions] * _TOLERANCE[dimensions],
        ),
        1,
        "adaptive Gauss–Legendre boxes; the change of the result on another partition with half "
        "as many nodes or less",
    )


def _refined(
    monitor: Monitor, dimensions: int, cuts: Float64Array, most: int, tolerance: float
) -> tuple[Float64Array, Float64Array]:
    """Nodes and weights after refining where the integrand is rough."""
    boxes = _Boxes(monitor, dimensions, cuts)
    while True:
        scale = np.maximum(np.abs(boxes.values).sum(axis=0), np.finfo(float).tiny)
        error = (boxes.roughness / scale).max(axis=(1, 2))
        if error.sum() < tolerance or boxes.size >= most:
            break
        # Narrower than a few thousand roundings, a box cannot be distinguished from a jump.
        narrow = (boxes.high - boxes.low).max(axis=1) < 1e-11
        chosen = (error > max(tolerance / len(error), 0.02 * error.max())) & ~narrow
        if not chosen.any():
            break
        affordable = (most - boxes.size) // len(boxes.reference_weights) + 1
        if chosen.sum() > affordable:
            # And those as rough as the last of them: the mirror images of a symmetric link's boxes
            # are split together, or E[T z] would not vanish.
            last = np.sort(error[chosen])[-affordable]
            chosen &= error >= (1 - _EQUAL) * last
        boxes.split(chosen, scale)
    return boxes.rule()


def _tensor_rule(order: int, dimensions: int) -> tuple[Float64Array, Float64Array]:
    """Gauss–Legendre nodes `(q, D)` on [−1, 1]^D and weights `(q,)`."""
    from scipy.special import roots_legendre

    x, w = roots_legendre(order)
    grid = np.meshgrid(*[x] * dimensions, indexing="ij")
    weights = np.meshgrid(*[w] * dimensions, indexing="ij")
    nodes = np.stack([g.ravel() for g in grid], axis=1)
    return nodes, np.prod([g.ravel() for g in weights], axis=0)


# -- Sobol -------------------------------------------------------------------------------------


@lru_cache(maxsize=1)  # drawing them takes longer than most of what is asked of them
def _sobol_rule(dimensions: int) -> NormalRule:
    from scipy.special import ndtri

    # r⁴/8 products are taken at every node: fewer nodes where r is large.
    power = max(_LEAST_SOBOL_POWER, _MOST_SOBOL_POWER - max(0, dimensions - 4) // 2)
    rng = np.random.default_rng([dimensions, 0x71756164])
    uniform = np.concatenate([sobol_points(dimensions, power, rng) for _ in range(_REPLICATES)])
    z = ndtri(np.clip(uniform, 1e-16, 1 - 1e-16))
    half = len(z) // 2
    weights, half_weights = np.full(len(z), 1 / len(z)), np.full(half, 1 / half)
    for shared in (z, weights, half_weights):
        shared.flags.writeable = False
    return NormalRule(
        z,
        weights,
        (z[:half], half_weights),
        _REPLICATES,
        f"{_REPLICATES} independently scrambled Sobol sets of 2^{power} points; twice "
        "the standard error of their mean",
    )
