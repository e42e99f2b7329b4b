"""Labels of one feature with all their preimages: where the Bayes-optimal channel is evaluated.

An average over labels is taken over z, never over y, since the label has no bounded density at
critical values of g. Nodes crowd towards every point at which the set of preimages changes, so
that layers of any width there are resolved by one rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array
from mimverify.theory.conditional.pieces import SATURATED, Pieces, probability
from mimverify.theory.conditional.preimages import saturated_labels

#: |z| beyond this carries 6e-14 of the mass.
REACH = 7.5
_WIDEST = 0.5
#: Ratio of neighbouring intervals near a cut, and how many of them: down to 1e-4 of a unit.
_FINER = 0.25
_LEVELS = 6
_NARROW = 1e-7
#: Nearer to a turning point, rounding decides which label is which.
_CLEARANCE = 3e-6
_SMALLEST_ATOM = 1e-10
#: Relative distance from a limit at which g still has an accurate inverse.
_SATURATION = 1e-9
#: Flat intervals with a smaller gap are one interval.
_TOUCHING = 1e-9


@dataclass(frozen=True)
class Fibres:
    """Nodes z with all preimages of g(z), and the sets of z that share an atom's label.

    **Arguments**

    - `z`, `weight`: nodes `(N,)` off the flat pieces of g, and φ(z) dz.
    - `preimages`, `log_density`: all b with g(b) = g(z), `(N, K)`, z itself first, and
      −log |g'(b)|; −inf where a node has fewer.
    - `atoms`: for each label of positive probability, the intervals of its set, `(k, 2)`.
    """

    z: Float64Array
    weight: Float64Array
    preimages: Float64Array
    log_density: Float64Array
    atoms: tuple[Float64Array, ...]

    @property
    def uncovered(self) -> float:
        """Probability that belongs to neither: where rounding leaves g neither flat nor not."""
        return abs(1 - self.atomic - float(self.weight.sum()))

    @property
    def atomic(self) -> float:
        """Probability that the label is an atom."""
        return float(sum(probability(*sets.T).sum() for sets in self.atoms))


def resolved_pieces(link: Link, pieces: Pieces, coarser: float = 1.0) -> Pieces:
    """The pieces of a link of rank 1 with saturation undone.

    A g like tanh reaches its limit in floating point only. Where a single branch does, or two
    mirror images, it is continued monotonically from where it is within 1e-9 of the limit,
    relatively, under labels that no other branch has. Of more branches the order is lost: labels
    within 1e-12 are the limit. Both tolerances are made so much `coarser`.
    """
    merged = pieces.merged(coarser * SATURATED)
    tolerance = coarser * _SATURATION
    for label, count in saturated_labels(link, pieces, merged, coarser * SATURATED):
        margin = merged.margin(label, tolerance)
        wider = merged.flattened(label, margin)
        near = np.abs(wider.flat[:, 2] - label) <= margin
        plateaus = _joined(wider.flat[near, :2], gap=1e-2)
        plateaus = plateaus[probability(*plateaus.T) > 1e-8]
        if len(plateaus) == count:  # and no other branch comes so near to the limit
            merged = _continued(wider, plateaus)
    return merged


def _continued(pieces: Pieces, plateaus: Float64Array) -> Pieces:
    """Flat intervals `(1 or 2, 2)` replaced by monotone ones; of two, by mirror images."""
    highest = max(float(np.max(np.abs(pieces.flat[:, 2]), initial=0.0)),
                  float(np.max(np.abs(pieces.critical[:, 1]), initial=0.0)))  # fmt: skip
    bottom = 2 * highest + pieces.scale
    a, b = plateaus.T
    outward = np.where(a >= 0, 1.0, -1.0) if len(plateaus) > 1 else np.ones(1)
    count = len(plateaus)
    degree = pieces.series.shape[0]
    series = np.zeros((degree, count))
    series[0], series[1] = bottom + pieces.scale / 2, outward * pieces.scale / 2
    slopes = np.zeros((degree - 1, count))
    slopes[0] = outward * pieces.scale / 2
    low, high = bottom, bottom + pieces.scale
    first, last = np.where(outward > 0, low, high), np.where(outward > 0, high, low)
    inside = _within(pieces.flat[:, 0], pieces.flat[:, 1], a, b)
    # What rounding left of g between them is no piece.
    rest = ~_within(pieces.left, pieces.right, a, b)
    order = np.argsort(np.append(pieces.left[rest], a), kind="stable")

    def joined(name: str, added: Float64Array) -> Float64Array:
        kept = getattr(pieces, name)[..., rest]
        return np.asarray(np.concatenate([kept, added], axis=-1)[..., order])

    turning = pieces.critical[:, 0]
    outside = ~_within(turning, turning, a + 2 * _TOUCHING, b - 2 * _TOUCHING)
    edges = np.column_stack([np.append(a, b), np.append(first, last)])
    return Pieces(
        joined("middle", (a + b) / 2),
        joined("half", (b - a) / 2),
        joined("start", -np.ones(count)),
        joined("end", np.ones(count)),
        joined("series", series),
        joined("slopes", slopes),
        joined("first", first),
        joined("last", last),
        np.concatenate([pieces.critical[outside], edges]),
        pieces.flat[~inside],
        pieces.scale,
        pieces.blur,
    )


def _within(
    low: Float64Array, high: Float64Array, a: Float64Array, b: Float64Array
) -> NDArray[np.bool_]:
    """Whether each interval [low, high] lies in one of the intervals [a, b]."""
    inside = (low[:, None] >= a - _TOUCHING) & (high[:, None] <= b + _TOUCHING)
    return np.asarray(inside.any(axis=1))


def cut_points(pieces: Pieces) -> tuple[Float64Array, Float64Array]:
    """Where the set of preimages of g(z) changes, `(k,)` ascending, and a clearance for each.

    These are the critical points of g and the other preimages of critical values. 0 and the ends
    of the range are among them.
    """
    values = np.unique(pieces.critical[:, 1])
    _, piece, t = pieces.solve(values, margin=1e-10 * pieces.scale + 10 * pieces.blur)
    turning = pieces.critical[:, 0]
    others = np.append(pieces.middle[piece] + pieces.half[piece] * t, [0.0, -REACH, REACH])
    found = np.concatenate([turning, others])
    clear = np.concatenate([np.full(len(turning), _CLEARANCE), np.zeros(len(others))])
    clear *= math.sqrt(1 + pieces.blur / 1e-14)
    keep = np.abs(found) <= REACH
    found, clear = found[keep], clear[keep]
    order = np.argsort(found, kind="stable")
    found, clear = found[order], clear[order]
    group = np.concatenate([[0], np.cumsum(np.diff(found) > 1e-12)])
    points = found[np.searchsorted(group, np.arange(group[-1] + 1))]
    clearance = np.zeros(len(points))
    np.maximum.at(clearance, group, clear)
    return points, clearance


def breaks(pieces: Pieces) -> Float64Array:
    """Jumps, kinks and other critical points of g, and the ends of its flat pieces, ascending."""
    ends = [pieces.critical[:, 0], *(sets.ravel() for sets in _atoms(pieces))]
    found = np.unique(np.concatenate(ends))
    found = found[np.abs(found) < REACH]
    return np.asarray(found[np.append(True, np.diff(found) > 1e-9)]) if len(found) else found


def fibres(pieces: Pieces, order: int, *, even: bool = False) -> Fibres:
    """Nodes of a rule with `order` nodes on each interval of a grid that is finer at cuts.

    Of an `even` link z < 0 is left out, with twice the weight for z > 0.
    """
    points, clearance = cut_points(pieces)
    grid = np.concatenate([*(_refined(a, b) for a, b in pairwise(points)), points[-1:]])
    around = np.zeros(len(grid))
    around[np.searchsorted(grid, points)] = clearance
    z, weight = _graded(grid, around, order)
    piece = np.clip(np.searchsorted(pieces.left, z, side="right") - 1, 0, None)
    moving = (z <= pieces.right[piece]) & (z >= pieces.left[piece]) if len(pieces.left) else z > z
    if even:
        moving &= z > 0
        weight = 2 * weight
    z, weight, piece = z[moving], weight[moving], piece[moving]
    preimages, log_density = _preimages(pieces, z, piece)
    return Fibres(z, weight, preimages, log_density, _atoms(pieces))


def _refined(a: float, b: float) -> Float64Array:
    """Ends of intervals in [a, b), of width ≤ 1/2, and geometrically finer towards a and b."""
    width = b - a
    near = min(_WIDEST, width / 2) * _FINER ** np.arange(_LEVELS, -1, -1.0)
    near = near[near > _NARROW]
    if not len(near):  # rounding has split one cut
        return np.array([a])
    inner = np.linspace(near[-1], width - near[-1], math.ceil((width - 2 * near[-1]) / _WIDEST) + 1)
    return np.asarray(a + np.unique(np.concatenate([[0.0], near, inner, width - near])))


def _graded(
    grid: Float64Array, clearance: Float64Array, order: int
) -> tuple[Float64Array, Float64Array]:
    """Nodes `(N,)` and φ dz on the intervals of a grid, dense at both ends of each.

    The substitution has derivative 140 s³ (1 − s)³: square-root and cube-root singularities at
    an end become smooth.
    """
    x, w = np.polynomial.legendre.leggauss(order)
    s = (1 + x) / 2
    place = s**4 * (35 - 84 * s + 70 * s**2 - 20 * s**3)
    rate = 140 * (s * (1 - s)) ** 3 * w / 2
    a, b = grid[:-1, None], grid[1:, None]
    most = (b - a) / 4
    low, high = (np.minimum(clearance[side, None], most) for side in (slice(0, -1), slice(1, None)))
    z = np.clip(a + (b - a) * place, a + low, b - high)
    weight = (b - a) * rate * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return z.ravel(), weight.ravel()


def _preimages(
    pieces: Pieces, z: Float64Array, piece: NDArray[np.intp]
) -> tuple[Float64Array, Float64Array]:
    """All preimages of g(z) `(N, K)`, z itself first, and −log |g'| there."""
    t = (z - pieces.middle[piece]) / pieces.half[piece]
    y, slope = pieces.at(piece, t)
    own = -np.log(np.maximum(np.abs(slope / pieces.half[piece]), 1e-150))
    row, other, s = pieces.solve(y)
    where = pieces.middle[other] + pieces.half[other] * s
    keep = (other != piece[row]) & (np.abs(where) <= REACH)
    row, other, s, where = row[keep], other[keep], s[keep], where[keep]
    density = -np.log(np.maximum(np.abs(pieces.at(other, s)[1] / pieces.half[other]), 1e-150))
    # Rows come in order: the place of an entry in its row is its distance from the row's first.
    column = 1 + np.arange(len(row)) - np.searchsorted(row, row)
    width = int(column.max(initial=0)) + 1
    preimages = np.repeat(z[:, None], width, axis=1)
    log_density = np.full((len(z), width), -np.inf)
    log_density[:, 0] = own
    preimages[row, column], log_density[row, column] = where, density
    return preimages, log_density


def _atoms(pieces: Pieces) -> tuple[Float64Array, ...]:
    """The sets of labels of positive probability, as intervals."""
    flat = pieces.flat[np.argsort(pieces.flat[:, 2], kind="stable")]
    label = flat[:, 2]
    close = SATURATED * np.maximum(np.abs(label[1:]), 1e-2 * pieces.scale) + 10 * pieces.blur
    starts = np.flatnonzero(np.diff(label) > close) + 1
    found = []
    for group in np.split(flat[:, :2], starts):
        sets = _joined(group)
        if len(sets) and probability(*sets.T).sum() > max(_SMALLEST_ATOM, 1e2 * pieces.blur):
            found.append(sets[probability(*sets.T) > _SMALLEST_ATOM / 10])
    return tuple(found)


def _joined(intervals: Float64Array, gap: float = _TOUCHING) -> Float64Array:
    """The union of intervals `(k, 2)`, those that touch made one."""
    if not len(intervals):
        return intervals
    ordered = intervals[np.argsort(intervals[:, 0])]
    reached = np.maximum.accumulate(ordered[:, 1])
    starts = np.flatnonzero(np.append(True, ordered[1:, 0] - reached[:-1] > gap))
    return np.column_stack([ordered[starts, 0], np.maximum.reduceat(ordered[:, 1], starts)])
