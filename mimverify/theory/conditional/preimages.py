"""Method of preimages, r = 1 without noise: all z with g(z) = y, weighted by φ(z)/|g'(z)|.

What is averaged over the labels is integrated over z, never over y: at critical points of g
the label has no bounded density. No density is estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array
from mimverify.theory.conditional.moments import ROUNDING, ConditionalMoments, Estimate
from mimverify.theory.conditional.pieces import REACH, SATURATED, Pieces, flat_atoms, probability
from mimverify.theory.labels.tables import nearest, override

#: Widest interval of one rule, and the distance kept from turning points.
_WIDEST = 0.5
_CLEARANCE = 3e-6
_MOST_ROUGH = 2000
#: Power p of the steps 1/k^p towards a limit at infinity: at most 1, and an allowance.
_SLOWEST = 1.25
_LEGENDRE, _LEGENDRE_WEIGHTS = np.polynomial.legendre.leggauss(20)


def by_preimages(link: Link, blur: float = 0.0) -> ConditionalMoments | str:
    """The moments of a link of rank 1, or the reason why this method does not apply.

    `blur` is the absolute rounding of small labels.
    """
    resolved = Pieces.of(link, blur)
    if isinstance(resolved, str):
        return resolved
    even = is_even(link)
    pieces = resolved.merged(SATURATED)
    intervals = _intervals(pieces) if len(pieces.first) else None
    best, change = _averages(pieces, intervals)
    knots = np.empty(0) if intervals is None else _knots(pieces, intervals)
    if blur and intervals is not None:
        # What a wider clearance changes is what rounding does at turning points.
        change += np.abs(_averages(pieces, _intervals(pieces, wider=4.0))[0] - best)
    goes_on, hidden, steps = _beyond_saturation(resolved, pieces, SATURATED, even)
    best = best + goes_on
    labels, _, _, excesses = flat_atoms(pieces)
    if len(labels):
        # Merging ten times more around the atoms shows the effect of saturation within rounding.
        blurred = resolved.merged(10 * SATURATED)
        again = _averages(blurred, _intervals(blurred) if len(blurred.first) else None)[0]
        again = again + _beyond_saturation(resolved, blurred, 10 * SATURATED, even)[0]
        change = change + steps * np.abs(again - best)
    if even:
        best[0] = change[0] = hidden[0] = 0.0
    first, second = best[:, None, None]
    at_atoms = (1 + excesses)[:, None, None]

    def second_moment(y: Float64Array) -> Float64Array:
        y = np.asarray(y, dtype=np.float64)
        if len(knots):
            values, outside = pieces.second_moment(y)
            return override(y, values[:, None, None], outside, labels, at_atoms)
        return np.asarray(at_atoms[nearest(labels, y)[0]])

    return ConditionalMoments(
        Estimate(first, first - change[0], np.empty((0, 1, 1)), ROUNDING, float(hidden[0])),
        Estimate(
            second[..., None, None],
            (second - change[1])[..., None, None],
            np.empty((0, 1, 1, 1, 1)),
            ROUNDING,
            float(hidden[1]),
        ),
        second_moment,
        knots,
        labels,
        "All preimages of each label, integrated over z between critical points by an adaptive "
        "rule; the error is the change of its last refinement and of merging labels within "
        "1e-11 instead of 1e-12 of an atom, with a floor for rounding. Where g saturates and one "
        "branch (or two mirror images) reach the limit, g is taken to go on monotonically; "
        "where more do, the error covers all that their order could add.",
    )


def is_even(link: Link) -> bool:
    """Whether g(z) = g(−z) to the last bit at all test points, so that E[z | y] = 0."""
    from scipy.special import ndtri

    z = np.concatenate([ndtri((np.arange(4096) + 0.5) / 8192), np.linspace(-REACH, -0.01, 1000)])
    return bool((link(z[:, None]) == link(-z[:, None])).all())


# -- saturation --------------------------------------------------------------------------------


def _beyond_saturation(
    resolved: Pieces, merged: Pieces, tolerance: float, even: bool
) -> tuple[Float64Array, Float64Array, float]:
    """What E[E[z|y]²] and E[G(y)²] gain where g is flat by rounding only, and what they may gain.

    Returns both, and the ratio of what all further tenfold steps of merging may change to what
    the last one did.

    A g like tanh reaches its limit in floating point, where its labels no longer differ.
    Beyond that point a single branch determines z, and two mirror images determine |z|, if g
    goes on monotonically. Of several branches the order is lost: anything from no information
    to all of z is possible.
    """
    gain, hidden, steps = np.zeros(2), np.zeros(2), 1.0
    for label, mass, mean, excess in zip(*flat_atoms(merged), strict=True):
        near = np.abs(merged.flat[:, 2] - label) <= merged.margin(label, tolerance)
        plateaus = _joined(merged.flat[near, :2])
        probabilities = probability(*plateaus.T)
        plateaus = plateaus[probabilities > 1e-8]
        powers = np.array([_powers(resolved, label, tolerance, *p) for p in plateaus]).reshape(
            -1, 2
        )
        ends = powers <= _SLOWEST
        # Σ_{k' > k} k'^−p against k^−p, at the e-folds k of the tolerance.
        rest_of_way = -math.log(tolerance) / math.log(10) / (powers[~ends] - 1)
        steps = max(steps, float(np.max(1 + rest_of_way, initial=1.0)))
        if not ends.any():
            continue
        a, b = plateaus.T
        weights = np.exp(-np.square([a, b]) / 2) / math.sqrt(2 * math.pi)
        total = probability(a, b)
        # ∫ z² φ and ∫ (z² − 1)² φ.
        known = np.array(
            [
                np.sum(total + a * weights[0] - b * weights[1]),
                np.sum(2 * total + (a**3 + a) * weights[0] - (b**3 + b) * weights[1]),
            ]
        )
        mirrored = even and np.allclose(plateaus, -plateaus[::-1, ::-1], rtol=0, atol=1e-3)
        single = len(plateaus) == 1 and ends.sum() == 1
        pair = mirrored and len(plateaus) <= 2 and ends.sum() == 2
        rest = known - mass * np.array([mean**2, excess**2])
        if single:
            gain += rest
        elif pair:
            gain[1] += rest[1]
        else:
            hidden += rest
    return gain, hidden, steps


def saturated_labels(
    link: Link, resolved: Pieces, merged: Pieces, tolerance: float = SATURATED
) -> list[tuple[float, int]]:
    """Limits at which a g that goes on monotonically saturates, and by how many branches each.

    One branch that reaches its limit by rounding only, or two mirror images of an even g;
    `merged` has labels within `tolerance` of an atom moved to it.
    """
    even = is_even(link)
    found = []
    for label in map(float, flat_atoms(merged)[0]):
        near = np.abs(merged.flat[:, 2] - label) <= merged.margin(label, tolerance)
        plateaus = _joined(merged.flat[near, :2], gap=1e-2)
        plateaus = plateaus[probability(*plateaus.T) > 1e-8]
        powers = np.array([_powers(resolved, label, tolerance, *p) for p in plateaus])
        ends = int(np.sum(powers <= _SLOWEST))
        mirrored = even and np.allclose(plateaus, -plateaus[::-1, ::-1], rtol=0, atol=1e-3)
        if (len(plateaus) == 1 and ends == 1) or (len(plateaus) == 2 and ends == 2 and mirrored):
            found.append((label, len(plateaus)))
    return found


def _joined(flat: Float64Array, gap: float = 1e-3) -> Float64Array:
    """Intervals `(k, 2)` in order, with those that (almost) touch made one."""
    flat = flat[np.argsort(flat[:, 0])]
    apart = flat[1:, 0] - np.maximum.accumulate(flat[:, 1])[:-1] > gap
    starts = np.flatnonzero(np.concatenate([[True], apart]))
    return np.column_stack([flat[starts, 0], np.maximum.reduceat(flat[:, 1], starts)])


def _powers(pieces: Pieces, label: float, tolerance: float, a: float, b: float) -> list[float]:
    """How fast g approaches the label at both ends of a plateau: p, infinite at a jump or kink.

    Where the distance falls by e^−k on the way, a limit at infinity is approached by steps in z
    whose sum over k diverges (1/k^p, p ≤ 1), and a kink or a zero of any order by steps whose
    sum does not.
    """
    margins = [pieces.margin(label, tolerance * more) for more in (1e5, 1e3, 1e1)]
    reached = []
    for margin in margins:
        _, piece, t = pieces.solve(np.array([label - margin, label + margin]))
        z = pieces.middle[piece] + pieces.half[piece] * t
        reached.append(
            (np.max(z, where=z < a, initial=-REACH), np.min(z, where=z > b, initial=REACH))
        )
    way = np.abs(np.diff(reached, axis=0))  # from far to midway, from midway to near
    folds = -np.log(np.array(margins) / max(abs(label), pieces.scale))
    ratio = (folds[1] + folds[2]) / (folds[0] + folds[1])
    return [
        math.log(max(far / near, 1.0)) / math.log(ratio) if near > 1e-4 else math.inf
        for far, near in way.T
    ]


def _smoothed(s: Float64Array) -> Float64Array:
    """[0, 1] → [0, 1] with derivative 140 s³ (1 − s)³.

    After this substitution, square-root and cube-root cusps at either end of an interval are
    smooth enough for a Gauss rule.
    """
    return np.asarray(s**4 * (35 - 84 * s + 70 * s**2 - 20 * s**3))


_PLACES = _smoothed((1 + _LEGENDRE) / 2)
_PLACE_WEIGHTS = 140 * ((1 - _LEGENDRE**2) / 4) ** 3 * _LEGENDRE_WEIGHTS / 2


@dataclass(frozen=True)
class _Intervals:
    """Intervals [a, b] `(k,)` of z with a clearance at either end.

    Closer to a turning point than about 1e-6 a label differs from the critical value by
    rounding only. What is averaged is smooth there, so it is evaluated at the clearance.
    """

    a: Float64Array
    b: Float64Array
    clear_a: Float64Array
    clear_b: Float64Array

    def points(self, place: Float64Array) -> Float64Array:
        """z `(k, p)` at the given places in [0, 1] of each interval."""
        z = self.a[:, None] + (self.b - self.a)[:, None] * place
        most = (self.b - self.a) / 4
        low, high = np.minimum(self.clear_a, most), np.minimum(self.clear_b, most)
        return np.clip(z, (self.a + low)[:, None], (self.b - high)[:, None])

    def halves(self) -> tuple[_Intervals, _Intervals]:
        """The left halves and the right halves."""
        middle, none = (self.a + self.b) / 2, np.zeros(len(self.a))
        return (
            _Intervals(self.a, middle, self.clear_a, none),
            _Intervals(middle, self.b, none, self.clear_b),
        )

    def where(self, keep: NDArray[np.bool_]) -> _Intervals:
        """Those of which `keep` is True."""
        return _Intervals(self.a[keep], self.b[keep], self.clear_a[keep], self.clear_b[keep])


def _intervals(pieces: Pieces, wider: float = 1.0) -> _Intervals:
    """E[· | g(z)] is smooth between the preimages of critical values: cut z there.

    The clearance is made so much `wider`.
    """
    values = np.unique(pieces.critical[:, 1])
    # A critical value that recurs at the end of a piece is that end, already listed.
    _, piece, t = pieces.solve(values, margin=1e-10 * pieces.scale + 10 * pieces.blur)
    others = np.append(pieces.middle[piece] + pieces.half[piece] * t, 0.0)
    turning = pieces.critical[:, 0]
    found = np.concatenate([turning, others])
    clear_of = wider * _CLEARANCE * math.sqrt(1 + pieces.blur / 1e-14)
    clearance = np.concatenate([np.full(len(turning), clear_of), np.zeros(len(others))])
    order = np.argsort(found, kind="stable")
    found, clearance = found[order], clearance[order]
    # Of points that rounding has split, the one with a clearance stays.
    group = np.concatenate([[0], np.cumsum(np.diff(found) > 1e-12)])
    ends = found[np.searchsorted(group, np.arange(group[-1] + 1))]
    clear = np.zeros(len(ends))
    np.maximum.at(clear, group, clearance)
    cells = [
        np.linspace(a, b, math.ceil((b - a) / _WIDEST), endpoint=False) for a, b in pairwise(ends)
    ]
    grid = np.concatenate([*cells, ends[-1:]])
    around = np.zeros(len(grid))
    around[np.searchsorted(grid, ends)] = clear
    return _Intervals(grid[:-1], grid[1:], around[:-1], around[1:])


def _averages(pieces: Pieces, intervals: _Intervals | None) -> tuple[Float64Array, Float64Array]:
    """E[E[z|y]²] and E[G(y)²], flat pieces included, and the last refinement's change."""
    _, mass, means, excesses = flat_atoms(pieces)
    atomic = np.array([mass @ means**2, mass @ excesses**2])
    if intervals is None:
        return atomic, np.zeros(2)
    continuous, change = _integrate(pieces, intervals)
    return atomic + continuous, change


def _integrate(pieces: Pieces, intervals: _Intervals) -> tuple[Float64Array, Float64Array]:
    """E[E[z|y]²] and E[G(y)²] over the monotone pieces, and what the last bisection changed."""
    whole = _rule(pieces, intervals)
    total, change = np.zeros(2), np.zeros(2)
    remains: list[float] = []
    for _ in range(40):
        left, right = intervals.halves()
        halves = _rule(pieces, left), _rule(pieces, right)
        refined = halves[0] + halves[1]
        difference = np.abs(refined - whole)
        # Bisected below the clearance, an interval would contain rounding noise only.
        narrow = np.maximum(1e-9, 8 * np.maximum(intervals.clear_a, intervals.clear_b))
        unclear = difference.max(axis=1) > max(1e-12, pieces.blur)
        unclear &= difference.sum() > ROUNDING / 10
        # What four bisections do not halve is noise.
        remains.append(float(difference.sum()))
        if len(remains) > 6 and remains[-1] > remains[-5] / 2:
            unclear[:] = False
        rough = unclear & (intervals.b - intervals.a > narrow)
        if np.sum(rough) > _MOST_ROUGH:
            rough[:] = False
        total += refined[~rough].sum(axis=0)
        change += difference[~rough].sum(axis=0)
        if not rough.any():
            break
        left, right = left.where(rough), right.where(rough)
        intervals = _Intervals(
            *(
                np.concatenate([getattr(half, end) for half in (left, right)])
                for end in ("a", "b", "clear_a", "clear_b")
            )
        )
        whole = np.concatenate([half[rough] for half in halves])
    return total, change


def _locate(
    pieces: Pieces, z: Float64Array
) -> tuple[NDArray[np.intp], Float64Array, NDArray[np.bool_]]:
    """Piece and local coordinate of points, and whether they lie on a monotone piece at all."""
    piece = np.clip(np.searchsorted(pieces.left, z, side="right") - 1, 0, None)
    inside = z <= pieces.right[piece]
    return piece, (z - pieces.middle[piece]) / pieces.half[piece], inside


def _rule(pieces: Pieces, intervals: _Intervals) -> Float64Array:
    """∫ φ (E[z|y]², G(y)²) over each interval, `(k, 2)`; flat pieces contribute nothing."""
    width = intervals.b - intervals.a
    z = intervals.points(_PLACES).ravel()
    weight = (width[:, None] * _PLACE_WEIGHTS).ravel() * np.exp(-(z**2) / 2)
    piece, t, inside = _locate(pieces, z)
    result = np.zeros((2, len(z)))
    moments = pieces.moments(z[inside], piece[inside], t[inside])
    result[:, inside] = weight[inside] / math.sqrt(2 * math.pi) * np.square(moments)
    return np.asarray(result.reshape(2, len(width), -1).sum(axis=2).T)


def _knots(pieces: Pieces, intervals: _Intervals) -> Float64Array:
    """Labels of points that are denser towards the ends of every interval."""
    z = intervals.points(_smoothed((np.arange(96) + 0.5) / 96)).ravel()
    piece, t, inside = _locate(pieces, z)
    return np.unique(pieces.at(piece[inside], t[inside])[0])
