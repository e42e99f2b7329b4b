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

from mimverify.problems.links import Array, Link
from mimverify.theory.moments import ROUNDING, ConditionalMoments, Estimate
from mimverify.theory.pieces import SATURATED, Pieces, flat_atoms
from mimverify.theory.tables import nearest, override

#: Widest interval of one rule, and the distance kept from turning points.
_WIDEST = 0.5
_CLEARANCE = 3e-6
_MOST_ROUGH = 2000
_LEGENDRE, _LEGENDRE_WEIGHTS = np.polynomial.legendre.leggauss(20)


def by_preimages(link: Link) -> ConditionalMoments | None:
    """The moments of a link of rank 1; None where its values are too rough for this method."""
    pieces = Pieces.of(link, SATURATED)
    # Merging ten times more around the atoms shows what saturation within rounding does.
    blurred = Pieces.of(link, 10 * SATURATED)
    if pieces is None or blurred is None:
        return None
    intervals = _intervals(pieces) if len(pieces.first) else None
    best, change = _averages(pieces, intervals)
    knots = np.empty(0) if intervals is None else _knots(pieces, intervals)
    labels, _, _, excesses = flat_atoms(pieces)
    if len(labels):
        again = _averages(blurred, _intervals(blurred) if len(blurred.first) else None)[0]
        change = change + np.abs(again - best)
    first, second = best[:, None, None]
    at_atoms = (1 + excesses)[:, None, None]

    def second_moment(y: Array) -> Array:
        y = np.asarray(y, dtype=np.float64)
        if len(knots):
            values, outside = pieces.second_moment(y)
            return override(y, values[:, None, None], outside, labels, at_atoms)
        return np.asarray(at_atoms[nearest(labels, y)[0]])

    return ConditionalMoments(
        Estimate(first, first - change[0], np.empty((0, 1, 1)), ROUNDING),
        Estimate(
            second[..., None, None],
            (second - change[1])[..., None, None],
            np.empty((0, 1, 1, 1, 1)),
            ROUNDING,
        ),
        second_moment,
        knots,
        labels,
        "All preimages of each label, integrated over z between critical points by an adaptive "
        "rule; the error is the change of its last refinement and of merging labels within "
        "1e-11 instead of 1e-12 of an atom, with a floor for rounding.",
    )


def _smoothed(s: Array) -> Array:
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

    a: Array
    b: Array
    clear_a: Array
    clear_b: Array

    def points(self, place: Array) -> Array:
        """z `(k, p)` at the given places in [0, 1] of each interval."""
        z = self.a[:, None] + (self.b - self.a)[:, None] * place
        room = (self.b - self.a) / 4
        low, high = np.minimum(self.clear_a, room), np.minimum(self.clear_b, room)
        return np.clip(z, (self.a + low)[:, None], (self.b - high)[:, None])

    def halves(self) -> tuple[_Intervals, _Intervals]:
        """The left halves and the right halves."""
        middle, none = (self.a + self.b) / 2, np.zeros(len(self.a))
        return (
            _Intervals(self.a, middle, self.clear_a, none),
            _Intervals(middle, self.b, none, self.clear_b),
        )

    def where(self, keep: NDArray[np.bool_]) -> _Intervals:
        """Those that `keep` says."""
        return _Intervals(self.a[keep], self.b[keep], self.clear_a[keep], self.clear_b[keep])


def _intervals(pieces: Pieces) -> _Intervals:
    """Between critical points and their fellows E[· | g(z)] is smooth: cut z there."""
    values = np.unique(pieces.critical[:, 1])
    # A critical value met again at the end of a piece is that end, already listed.
    _, piece, t = pieces.solve(values, margin=1e-10 * pieces.scale)
    fellows = np.append(pieces.middle[piece] + pieces.half[piece] * t, 0.0)
    turning = pieces.critical[:, 0]
    found = np.concatenate([turning, fellows])
    clearance = np.concatenate([np.full(len(turning), _CLEARANCE), np.zeros(len(fellows))])
    order = np.argsort(found, kind="stable")
    found, clearance = found[order], clearance[order]
    # Of points that rounding has split, the one with a clearance stays.
    group = np.concatenate([[0], np.cumsum(np.diff(found) > 1e-12)])
    ends = found[np.searchsorted(group, np.arange(group[-1] + 1))]
    clear = np.zeros(len(ends))
    np.maximum.at(clear, group, clearance)
    parts = [
        np.linspace(a, b, math.ceil((b - a) / _WIDEST), endpoint=False) for a, b in pairwise(ends)
    ]
    grid = np.concatenate([*parts, ends[-1:]])
    around = np.zeros(len(grid))
    around[np.searchsorted(grid, ends)] = clear
    return _Intervals(grid[:-1], grid[1:], around[:-1], around[1:])


def _averages(pieces: Pieces, intervals: _Intervals | None) -> tuple[Array, Array]:
    """E[E[z|y]²] and E[G(y)²], flat pieces included, and the last refinement's change."""
    _, mass, means, excesses = flat_atoms(pieces)
    atomic = np.array([mass @ means**2, mass @ excesses**2])
    if intervals is None:
        return atomic, np.zeros(2)
    continuous, change = _integrate(pieces, intervals)
    return atomic + continuous, change


def _integrate(pieces: Pieces, intervals: _Intervals) -> tuple[Array, Array]:
    """E[E[z|y]²] and E[G(y)²] over the monotone pieces, and what the last bisection changed."""
    whole = _rule(pieces, intervals)
    total, change = np.zeros(2), np.zeros(2)
    for _ in range(40):
        left, right = intervals.halves()
        halves = _rule(pieces, left), _rule(pieces, right)
        refined = halves[0] + halves[1]
        difference = np.abs(refined - whole)
        rough = (difference.max(axis=1) > 1e-12) & (intervals.b - intervals.a > 1e-9)
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


def _locate(pieces: Pieces, z: Array) -> tuple[NDArray[np.intp], Array, NDArray[np.bool_]]:
    """Piece and local coordinate of points, and whether they lie on a monotone piece at all."""
    piece = np.clip(np.searchsorted(pieces.left, z, side="right") - 1, 0, None)
    inside = z <= pieces.right[piece]
    return piece, (z - pieces.middle[piece]) / pieces.half[piece], inside


def _rule(pieces: Pieces, intervals: _Intervals) -> Array:
    """∫ φ (E[z|y]², G(y)²) over each interval, `(k, 2)`; flat pieces count nothing."""
    width = intervals.b - intervals.a
    z = intervals.points(_PLACES).ravel()
    weight = (width[:, None] * _PLACE_WEIGHTS).ravel() * np.exp(-(z**2) / 2)
    piece, t, inside = _locate(pieces, z)
    result = np.zeros((2, len(z)))
    moments = pieces.moments(z[inside], piece[inside], t[inside])
    result[:, inside] = weight[inside] / math.sqrt(2 * math.pi) * np.square(moments)
    return np.asarray(result.reshape(2, len(width), -1).sum(axis=2).T)


def _knots(pieces: Pieces, intervals: _Intervals) -> Array:
    """Labels of points that crowd towards the ends of every interval."""
    z = intervals.points(_smoothed((np.arange(96) + 0.5) / 96)).ravel()
    piece, t, inside = _locate(pieces, z)
    return np.unique(pieces.at(piece[inside], t[inside])[0])
