"""The pieces of a function of one feature on which it is monotone, and so can be inverted.

A link of rank 1 is a black box: only its values are used. It is cut into panels on which
a Chebyshev interpolant agrees with it, and these at their turning points. Pieces on which it
is flat are atoms of the label.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array

#: |z| beyond this carries less than 1e-23 of the mass, and less than 1e-19 of E[z⁴].
REACH = 10.0
_PANELS = 256
_DEGREE = 15
#: Panels this narrow that are still not resolved hold a jump, a kink or a pole: left out.
_SLIVER = 1e-12
_TOLERANCE = 1e-14
_UNDERFLOW = 1e-250
#: g is flat on a panel where it moves by less than this, relatively: by rounding.
_LEVEL = 1e-14
#: Labels this close to an atom, relatively, are the atom: a saturating g like tanh approaches
#: its last value within rounding, and on several branches at different places.
SATURATED = 1e-12
#: Labels rounded to more than this, against their spread, have no accurate inverse.
_MOST_BLUR = 1e-8
#: More critical points than this take too long: all preimages of each are cut points too.
_MOST_CRITICAL = 100
#: More unresolved panels than this on one level: g is rough everywhere, not at points.
_MOST_UNRESOLVED = 3000
_NODES = np.cos((np.arange(_DEGREE + 1) + 0.5) * np.pi / (_DEGREE + 1))
_TO_COEFFICIENTS = np.linalg.inv(chebyshev.chebvander(_NODES, _DEGREE))
#: Between the nodes and next to the ends: a jump there is invisible at the nodes.
_CHECKS = np.array([-1 + 2.0**-30, -0.9976, -0.55, 0.1, 0.73, 0.9976, 1 - 2.0**-30])
_CHECK_VALUES = chebyshev.chebvander(_CHECKS, _DEGREE).T


@dataclass(frozen=True)
class Pieces:
    """Monotone pieces of g on [−10, 10], its flat pieces, and its critical points.

    Piece i is z = middle + half·t, t in [start, end], on which g is the Chebyshev series
    `series[:, i]` in t, with derivative `slopes[:, i]`, running from `first` to `last`. Labels
    are known to their own rounding, and at best to `blur`.
    """

    middle: Float64Array
    half: Float64Array
    start: Float64Array
    end: Float64Array
    series: Float64Array
    slopes: Float64Array
    first: Float64Array
    last: Float64Array
    critical: Float64Array
    flat: Float64Array  # (F, 3): left end, right end, label
    scale: float
    blur: float

    @property
    def left(self) -> Float64Array:
        """Left ends in z."""
        return self.middle + self.half * self.start

    @property
    def right(self) -> Float64Array:
        """Right ends in z."""
        return self.middle + self.half * self.end

    @staticmethod
    def of(link: Link, blur: float = 0.0) -> Pieces | str:
        """The pieces of a link of rank 1, or what keeps g from having (few of) them.

        `blur` is the absolute rounding of the labels at small values.
        """
        if blur > _MOST_BLUR:
            return f"labels are rounded to {blur:.0e} of their spread"
        panels = _resolve(lambda z: link(z[:, None]), blur)
        return panels if isinstance(panels, str) else _cut(*panels, blur)

    def margin(self, label: float, tolerance: float) -> float:
        """The absolute tolerance at a label, for one relative to it or to the spread.

        No less than rounding warrants.
        """
        relative = tolerance * max(abs(label), 1e-2 * self.scale)
        return relative + self.blur * (tolerance / SATURATED) * 30

    def merged(self, tolerance: float) -> Pieces:
        """The same with labels within `tolerance` of an atom, relatively, moved to that atom."""
        pieces = self
        for label in flat_atoms(self)[0]:
            pieces = pieces.flattened(float(label), self.margin(float(label), tolerance))
        return pieces

    def flattened(self, label: float, margin: float) -> Pieces:
        """The same with everything within `margin` of `label` moved to the flat pieces."""
        low, high = label - margin, label + margin
        bottom, top = np.minimum(self.first, self.last), np.maximum(self.first, self.last)
        hit = np.flatnonzero((bottom < high) & (top > low))
        rising = (self.last > self.first)[hit]
        enter, leave = np.where(rising, low, high), np.where(rising, high, low)
        inner_start, inner_end = (
            self._invert(np.clip(y, bottom[hit], top[hit]), hit) for y in (enter, leave)
        )
        z_start, z_end = (self.middle[hit] + self.half[hit] * t for t in (inner_start, inner_end))
        before = (self.first[hit] - enter) * np.where(rising, 1, -1) < 0
        after = (self.last[hit] - leave) * np.where(rising, 1, -1) > 0
        rest = np.setdiff1d(np.arange(len(self.first)), hit)
        source = np.concatenate([rest, hit[before], hit[after]])
        start = np.concatenate([self.start[rest], self.start[hit][before], inner_end[after]])
        end = np.concatenate([self.end[rest], inner_start[before], self.end[hit][after]])
        first = np.concatenate([self.first[rest], self.first[hit][before], leave[after]])
        last = np.concatenate([self.last[rest], enter[before], self.last[hit][after]])
        order = np.argsort(self.middle[source] + self.half[source] * start)
        source = source[order]
        edges = np.concatenate(
            [
                np.column_stack([z_start, enter])[before],
                np.column_stack([z_end, leave])[after],
            ]
        )
        outside = (self.critical[:, 1] < low) | (self.critical[:, 1] > high)
        return Pieces(
            self.middle[source],
            self.half[source],
            start[order],
            end[order],
            self.series[:, source],
            self.slopes[:, source],
            first[order],
            last[order],
            np.concatenate([self.critical[outside], edges]),
            np.concatenate([self.flat, np.column_stack([z_start, z_end, 0 * z_end + label])]),
            self.scale,
            self.blur,
        )

    def at(self, piece: NDArray[np.intp], t: Float64Array) -> tuple[Float64Array, Float64Array]:
        """g and dg/dt at local coordinates t of the given pieces."""
        return _clenshaw(self.series, piece, t), _clenshaw(self.slopes, piece, t)

    def solve(
        self, y: Float64Array, margin: float = 0.0
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], Float64Array]:
        """All solutions of g = y_k: index k, piece and local coordinate t of each.

        A piece includes its lower end and excludes its upper end, so that neighbours do not
        overlap; `margin` leaves out solutions that close to an end's label.
        """
        low, high = np.minimum(self.first, self.last), np.maximum(self.first, self.last)
        row, piece = np.nonzero(
            (low + margin <= y[:, None]) & (y[:, None] < high - margin),
        )
        return row, piece, self._invert(y[row], piece)

    def _invert(self, y: Float64Array, piece: NDArray[np.intp]) -> Float64Array:
        """Newton's method kept inside a bracket that shrinks, all pairs at once."""
        low, high = self.start[piece].copy(), self.end[piece].copy()
        rising = self.last[piece] > self.first[piece]
        fraction = (y - self.first[piece]) / (self.last[piece] - self.first[piece])
        t = low + fraction * (high - low)
        active = np.arange(len(t))
        for _ in range(80):
            here, which = t[active], piece[active]
            value, slope = self.at(which, here)
            miss = value - y[active]
            below = (miss < 0) == rising[active]
            low[active] = np.where(below, here, low[active])
            high[active] = np.where(below, high[active], here)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                newton = here - miss / slope
            inside = (newton > low[active]) & (newton < high[active])
            step = np.where(inside, newton, (low[active] + high[active]) / 2)
            step = np.where(miss == 0, here, step)
            t[active] = step
            active = active[np.abs(step - here) > 4e-16]
            if not len(active):
                break
        return t

    def moments(
        self, z: Float64Array, piece: NDArray[np.intp], t: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        """E[z | g(z)] and E[z² − 1 | g(z)] at points of which piece and t are known."""
        y, slope = self.at(piece, t)
        # The point itself is a preimage even where rounding at a turning point hides it.
        sums = _weights(z, slope / self.half[piece])
        for chunk in _chunks(len(z), len(self.first)):
            row, other, s = self.solve(y[chunk])
            row, other, s = (a[other != piece[chunk][row]] for a in (row, other, s))
            where = self.middle[other] + self.half[other] * s
            terms = _weights(where, self.at(other, s)[1] / self.half[other])
            for total, term in zip(sums, terms, strict=True):
                total[chunk] += np.bincount(row, term, minlength=chunk.stop - chunk.start)
        return sums[1] / sums[0], sums[2] / sums[0]

    def second_moment(self, y: Float64Array) -> tuple[Float64Array, Float64Array]:
        """E[z² | y] `(k,)`, and how far y is from the labels that the pieces cover.

        Where that is not zero, E[z² | y] is the nearest piece's end's.
        """
        result, outside = np.empty(len(y)), np.zeros(len(y))
        low, high = np.minimum(self.first, self.last), np.maximum(self.first, self.last)
        by_low, by_high = np.argsort(low), np.argsort(high)
        for chunk in _chunks(len(y), len(self.first)):
            labels = y[chunk].copy()
            # Reached by no piece: as many have ended at or below y as have begun there.
            begun = np.searchsorted(low[by_low], labels, side="right")
            ended = np.searchsorted(high[by_high], labels, side="right")
            missed = np.flatnonzero(begun == ended)
            above = low[by_low[np.minimum(begun[missed], len(low) - 1)]]
            below = by_high[np.maximum(ended[missed] - 1, 0)]
            up = np.abs(above - labels[missed]) < np.abs(labels[missed] - high[below])
            # Upper ends belong to no piece: a little below them.
            inside = np.maximum(high[below] - 1e-12 * self.scale - 10 * self.blur, low[below])
            known = np.where(up, above, inside)
            outside[chunk.start + missed] = np.abs(known - labels[missed])
            labels[missed] = known
            row, piece, t = self.solve(labels)
            z = self.middle[piece] + self.half[piece] * t
            weight, _, excess = _weights(z, self.at(piece, t)[1] / self.half[piece])
            total = np.bincount(row, weight, minlength=len(labels))
            with np.errstate(invalid="ignore", divide="ignore"):
                result[chunk] = 1 + np.bincount(row, excess, minlength=len(labels)) / total
        return result, outside


def _chunks(count: int, pieces: int) -> list[slice]:
    """Slices of `range(count)` that keep a table of labels × pieces at some ten megabytes."""
    size = max(1, 8_000_000 // max(pieces, 1))
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def _weights(
    z: Float64Array, slope: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """φ(z)/|g'(z)| times 1, z and z² − 1."""
    weight = np.exp(-(z**2) / 2) / np.maximum(np.abs(slope), 1e-150)
    return weight, weight * z, weight * (z**2 - 1)


def _clenshaw(series: Float64Array, column: NDArray[np.intp], t: Float64Array) -> Float64Array:
    """Σ_k series[k, column] T_k(t), elementwise."""
    after, now = np.zeros_like(t), np.zeros_like(t)
    twice = 2 * t
    for coefficients in series[:0:-1]:
        after, now = now, coefficients[column] + twice * now - after
    return np.asarray(series[0][column] + t * now - after)


def _resolve(
    g: Callable[[Float64Array], Float64Array], blur: float
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array] | str:
    """Panels on which a Chebyshev interpolant agrees with g, by bisection.

    Returns ends a, b `(P,)`, series `(P, degree + 1)` and the size of g `(P,)`, sorted; or the
    reason, where bisection does not end (then g is not piecewise smooth to working precision)
    or there are too many panels to work with.
    """
    edges = np.linspace(-REACH, REACH, _PANELS + 1)
    a, b = edges[:-1], edges[1:]
    typical: Float64Array | None = None
    least = blur + _UNDERFLOW
    done: list[tuple[Float64Array, Float64Array, Float64Array, Float64Array]] = []
    while len(a):
        if len(a) > _MOST_UNRESOLVED:
            return "g is too rough, or turns too often"
        middle, half = (a + b) / 2, (b - a) / 2
        points = middle[:, None] + half[:, None] * np.concatenate([_NODES, _CHECKS])
        values = g(points.ravel()).reshape(points.shape)
        nodes, checks = values[:, : _DEGREE + 1], values[:, _DEGREE + 1 :]
        size = np.abs(values).max(axis=1)
        if typical is None:
            typical = np.median(np.abs(values), axis=1)
        series = nodes @ _TO_COEFFICIENTS.T
        # A value is known up to its own rounding and to that of its argument.
        slope = np.ptp(values, axis=1) / half
        tolerance = _TOLERANCE * (size + typical) + 1e-15 * np.abs(middle) * slope + least
        miss = np.abs(series @ _CHECK_VALUES - checks).max(axis=1)
        tail = np.abs(series[:, -2:]).max(axis=1)
        good = (miss <= 10 * tolerance) & (tail <= 3 * tolerance)
        done.append((a[good], b[good], series[good], size[good]))
        bad = ~good & (half > max(_SLIVER, blur))
        a, b, middle, typical = a[bad], b[bad], middle[bad], typical[bad]
        a, b = np.concatenate([a, middle]), np.concatenate([middle, b])
        typical = np.concatenate([typical, typical])
    ends_a, ends_b, all_series, sizes = (
        np.concatenate(column) for column in zip(*done, strict=True)
    )
    order = np.argsort(ends_a)
    if np.sum(ends_b - ends_a) < 2 * REACH - max(1e-8, 1e4 * blur):
        return "g is too rough"
    return ends_a[order], ends_b[order], all_series[order], sizes[order]


def _cut(
    a: Float64Array, b: Float64Array, series: Float64Array, size: Float64Array, blur: float
) -> Pieces | str:
    """Cut the panels at turning points, separate flat from monotone, and find critical points.

    Returns the reason where there are too many.
    """
    grid = np.linspace(-1, 1, 33)
    values = series @ chebyshev.chebvander(grid, _DEGREE).T
    level = np.ptp(values, axis=1) <= _LEVEL * size + 2 * blur + 10 * _UNDERFLOW
    flat = np.column_stack([a, b, values.mean(axis=1)])[level]
    a, b, series = a[~level], b[~level], series[~level]
    # Labels come with a spread of about 1, wherever the panels accumulate.
    scale = max(float(np.median(np.abs(values))), 1.0)
    slopes = np.asarray(chebyshev.chebder(series, axis=1), dtype=np.float64)
    panel, start, end = _monotone(slopes, slopes @ chebyshev.chebvander(grid, _DEGREE - 1).T)
    middle, half = ((a + b) / 2)[panel], ((b - a) / 2)[panel]
    columns = np.ascontiguousarray(series.T[:, panel])
    rates = np.ascontiguousarray(slopes.T[:, panel])
    every = np.arange(len(panel))
    first, last = _clenshaw(columns, every, start), _clenshaw(columns, every, end)

    # Neighbours share a label where g is continuous: what one excludes, the other includes.
    size = np.maximum(np.abs(columns).sum(axis=0), scale)
    same_panel = panel[1:] == panel[:-1]
    touch = same_panel | (b[panel[:-1]] == a[panel[1:]])
    gap = np.abs(last[:-1] - first[1:])
    continuous = touch & (gap <= 1e-11 * np.maximum(size[:-1], size[1:]) + 10 * blur)
    shared = (last[:-1] + first[1:]) / 2
    last[:-1] = np.where(continuous, shared, last[:-1])
    first[1:] = np.where(continuous, shared, first[1:])
    # Nothing is critical where g also keeps its slope, up to the slopes' rounding.
    rate_before = _clenshaw(rates, every, end)[:-1] / half[:-1]
    rate_after = _clenshaw(rates, every, start)[1:] / half[1:]
    unsure = (1e-10 * size[:-1] + 1e3 * blur) / np.minimum(half[:-1], half[1:])
    same = np.abs(rate_after - rate_before) <= 1e-6 * np.abs(rate_before) + unsure
    onward = np.sign(last - first)[:-1] == np.sign(last - first)[1:]
    joined = continuous & ~same_panel & same & onward
    open_end = np.append(~joined, True)[: len(panel)]
    open_start = np.append(True, ~joined)[: len(panel)]
    critical_z = np.append((middle + half * end)[open_end], (middle + half * start)[open_start])
    critical_y = np.append(last[open_end], first[open_start])
    if np.sum(open_end) > _MOST_CRITICAL:
        return f"g has more than {_MOST_CRITICAL} monotone pieces"
    keep = first != last  # a piece on which g moves by rounding only has no inverse
    lost = np.column_stack([middle + half * start, middle + half * end, first])[~keep]
    return Pieces(
        middle[keep],
        half[keep],
        start[keep],
        end[keep],
        columns[:, keep],
        rates[:, keep],
        first[keep],
        last[keep],
        np.column_stack([critical_z, critical_y]),
        np.concatenate([flat, lost]),
        scale,
        blur,
    )


def _monotone(
    slopes: Float64Array, speed: Float64Array
) -> tuple[NDArray[np.intp], Float64Array, Float64Array]:
    """Panel, start and end (in −1 … 1) of the pieces that the roots of g' cut panels into.

    `slopes` `(P, degree)` are the Chebyshev series of g', and `speed` its values on a grid.
    """
    # Where g' changes sign it has a root; where it nearly vanishes it may touch zero, which
    # is critical too: at other preimages of an inflection's value there is a cube root.
    turning = (speed.min(axis=1) < 0) & (speed.max(axis=1) > 0)
    touching = np.abs(speed).min(axis=1) < 1e-2 * np.abs(speed).max(axis=1)
    panel, start, end = [], [], []
    for i in range(len(slopes)):
        cuts = [-1.0]
        if turning[i] or touching[i]:
            roots = chebyshev.chebroots(slopes[i])
            for root in np.sort(roots[np.abs(roots.imag) < 1e-4].real):
                if cuts[-1] + 1e-6 < root < 1 - 1e-9:
                    cuts.append(float(root))
        panel += [i] * len(cuts)
        start += cuts
        end += [*cuts[1:], 1.0]
    return np.array(panel, dtype=np.intp), np.array(start), np.array(end)


def probability(a: Float64Array, b: Float64Array) -> Float64Array:
    """P(a < z < b), from the side where it does not cancel."""
    from scipy.special import ndtr

    return np.asarray(np.where(a > 0, ndtr(-a) - ndtr(-b), ndtr(b) - ndtr(a)))


def flat_atoms(pieces: Pieces) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """Labels, masses, E[z | y] and E[z² − 1 | y] of the flat pieces, equal labels together."""
    a, b, label = pieces.flat[np.argsort(pieces.flat[:, 2])].T
    close = SATURATED * np.maximum(np.abs(label[1:]), 1e-2 * pieces.scale) + 10 * pieces.blur
    fresh = np.diff(label) > close
    group = np.concatenate([np.zeros(min(len(label), 1)), np.cumsum(fresh)]).astype(np.intp)
    mass = probability(a, b)
    density = np.exp(-np.square([a, b]) / 2) / math.sqrt(2 * math.pi)
    total, first, excess, weighted = (
        np.bincount(group, values).astype(np.float64)
        for values in (
            mass,
            density[0] - density[1],
            a * density[0] - b * density[1],
            label * mass,
        )
    )
    keep = total > max(1e-10, 1e2 * pieces.blur)  # what bisection leaves of a kink is no atom
    total = total[keep]
    return weighted[keep] / total, total, first[keep] / total, excess[keep] / total
