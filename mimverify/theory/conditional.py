"""What a label says about the hidden features: E[z | y] and E[zzᵀ − I | y] as functions of y.

With z ~ N(0, I_r) and y = g(z) + noise·ε, the law of z given y decides how hard learning is
(theory.md §5). A link is a black box here: only its values are asked for. Two methods:

- *Preimages* (r = 1, no noise): g is cut into pieces on which a Chebyshev interpolant agrees
  with it; all z_j with g(z_j) = y are found and weighted by φ(z_j)/|g'(z_j)|; what is averaged
  over the labels is integrated over z, never over y. No density is estimated.
- *Projection* (otherwise): E[G ⊗ G] = Σ_k C_k ⊗ C_k with C_k = E[e_k(y) (zzᵀ − I)] over an
  orthonormal basis e_k of functions of the label's rank. A finite basis gives a lower bound
  (data processing). Products of *different* scrambled Sobol replicates only are used: the
  square of one noisy C_k would be biased upwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from mimverify.errors import InputError
from mimverify.problems.links import Array, Link
from mimverify.validation import integer, number

MAXIMUM_RANK = 12
#: Absolute error that rounding may leave in an expectation unseen (observed: below 1e-11).
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Estimate:
    """An expectation, with the recomputations that its error is estimated from.

    **Arguments**

    - `best`: the value.
    - `coarser`: the same, shape of `best`, at the resolution before.
    - `left_out`: `(R, *best.shape)`, recomputed without one of R replicates each; R = 0 where
      nothing is random.
    - `floor`: absolute error that these do not show.
    """

    best: Array
    coarser: Array
    left_out: Array
    floor: float = 0.0

    def error(self, functional: Callable[[Array], Array] | None = None) -> float:
        """Jackknife deviation over the replicates plus the change of the last refinement.

        Of the estimate itself in Frobenius norm, or of a smooth `functional` of it.
        """
        apply = functional or (lambda value: value)
        change = float(np.linalg.norm(np.ravel(apply(self.best) - apply(self.coarser))))
        scatter = 0.0
        if len(self.left_out):
            values = np.array([np.ravel(apply(value)) for value in self.left_out])
            replicates = len(values)
            spread = float(np.sum((values - values.mean(axis=0)) ** 2))
            scatter = math.sqrt((replicates - 1) / replicates * spread)
        return scatter + change + self.floor


@dataclass(frozen=True)
class ConditionalMoments:
    """The first two moments of z given y, as functions of y and averaged over it.

    **Arguments**

    - `first_order`: E[E[z|y] E[z|y]ᵀ], `(r, r)`.
    - `gram`: E[G(y)_ab G(y)_cd], `(r, r, r, r)`, with G(y) = E[zzᵀ − I | y].
    - `second_moment`: labels `(k,)` → E[zzᵀ | y] `(k, r, r)`; the nearest known label's where
      y is not in the range of g.
    - `knots`: sorted labels between which E[zzᵀ | y] may be interpolated linearly.
    - `atoms`: labels of positive probability, to be looked up exactly.
    - `rests_on`: method, and what the errors rest on, in one sentence.
    """

    first_order: Estimate
    gram: Estimate
    second_moment: Callable[[Array], Array]
    knots: Array
    atoms: Array
    rests_on: str


def conditional_moments(link: Link, *, noise: float = 0.0, seed: int = 0) -> ConditionalMoments:
    """E[z | y] and E[zzᵀ − I | y] for y = g(z) + noise·ε, with ε ~ N(0, 1).

    Deterministic for given arguments; `seed` scrambles the point sets of the projection and
    does nothing to the method of preimages.

    **Raises** `InputError` for a rank above 12, negative noise, or a link whose values are
    not finite.
    """
    noise = number("noise", noise, minimum=0.0)
    seed = integer("seed", seed, minimum=0)
    if link.rank > MAXIMUM_RANK:
        raise InputError(f"rank={link.rank}: expected at most {MAXIMUM_RANK} (link {link.name})")
    if link.rank == 1 and noise == 0:
        pieces = [_Pieces.of(link, merged) for merged in (_SATURATED, 10 * _SATURATED)]
        if pieces[0] is not None and pieces[1] is not None:
            return _by_preimages(pieces[0], pieces[1])
    return _by_projection(link, noise, seed)


def conditional_second_moment(
    link: Link, *, noise: float = 0.0, seed: int = 0
) -> Callable[[Array], Array]:
    """The function y `(k,)` → E[zzᵀ | y] `(k, r, r)`, for y = g(z) + noise·ε.

    Exact to about 1e-8 for r = 1 without noise, except within rounding of a critical value of
    g; labels within 1e-12 of an atom count as that atom. Otherwise averages of
    zzᵀ over some thousand labels around a knot, linearly interpolated between knots: positive
    semidefinite everywhere, a few per cent of statistical error, and jumps are smeared over
    one knot distance. Outside the range of g the nearest known label's value is returned.

    **Raises** `InputError` as `conditional_moments` does.
    """
    return conditional_moments(link, noise=noise, seed=seed).second_moment


# --- atoms: labels of positive probability ----------------------------------------------------


def _nearest(labels: Array, y: Array) -> tuple[NDArray[np.intp], Array]:
    """Index of, and distance to, the member of sorted `labels` nearest to each y."""
    right = np.clip(np.searchsorted(labels, y), 0, len(labels) - 1)
    left = np.maximum(right - 1, 0)
    index = np.where(np.abs(y - labels[left]) <= np.abs(labels[right] - y), left, right)
    return index, np.abs(y - labels[index])


@dataclass(frozen=True)
class Tabulated:
    """A function of the label: linear between knots, looked up at atoms.

    **Arguments**

    - `knots`: labels `(k,)`, ascending, and `values` `(k, …)` there; the outermost values hold
      beyond the outermost knots.
    - `atoms`: labels of positive probability `(A,)`, ascending, and `atom_values` `(A, …)`.
      They hold up to float32 rounding of the label, and beyond the knots where an atom is
      nearer than a knot.
    """

    knots: Array
    values: Array
    atoms: Array
    atom_values: Array

    def __call__(self, y: Array) -> Array:
        """Values `(n, …)` at labels `(n,)`."""
        y = np.asarray(y, dtype=np.float64)
        if not len(self.knots):
            return np.asarray(self.atom_values[_nearest(self.atoms, y)[0]])
        last = len(self.knots) - 1
        right = np.minimum(np.clip(np.searchsorted(self.knots, y), 1, None), last)
        left = np.maximum(right - 1, 0)
        width = np.where(right > left, self.knots[right] - self.knots[left], 1.0)
        share = np.clip((y - self.knots[left]) / width, 0, 1)
        share = share.reshape(-1, *(1,) * (self.values.ndim - 1))
        result = (1 - share) * self.values[left] + share * self.values[right]
        outside = np.maximum(np.maximum(self.knots[0] - y, y - self.knots[last]), 0)
        return _override(y, result, outside, self.atoms, self.atom_values)


def _override(y: Array, result: Array, outside: Array, atoms: Array, values: Array) -> Array:
    """`result` with the atoms' values where y is one, or misses the rest by more.

    `outside` is the distance from y to the labels that `result` knows, zero within.
    """
    if len(atoms):
        index, distance = _nearest(atoms, y)
        hit = distance <= 2e-7 * np.abs(atoms[index])
        hit |= (outside > 0) & (distance <= outside * (1 + 1e-9))
        result[hit] = values[index[hit]]
    return result


# --- preimages: r = 1 without noise -----------------------------------------------------------

#: |z| beyond this carries less than 1e-23 of the mass, and less than 1e-19 of E[z⁴].
_REACH = 10.0
_PANELS = 256
_DEGREE = 15
#: Panels this narrow that are still not resolved hold a jump, a kink or a pole: left out.
_SLIVER = 1e-12
_TOLERANCE = 1e-14
#: g is flat on a panel where it moves by less than this, relatively: by rounding.
_LEVEL = 1e-14
#: Labels this close to an atom, relatively, are the atom: a saturating g like tanh approaches
#: its last value within rounding, and on several branches at different places.
_SATURATED = 1e-12
#: More unresolved panels than this on one level: g is rough everywhere, not at points.
_MOST_UNRESOLVED = 3000
_NODES = np.cos((np.arange(_DEGREE + 1) + 0.5) * np.pi / (_DEGREE + 1))
_TO_COEFFICIENTS = np.linalg.inv(chebyshev.chebvander(_NODES, _DEGREE))
#: Between the nodes and next to the ends: a jump there is invisible at the nodes.
_CHECKS = np.array([-1 + 2.0**-30, -0.9976, -0.55, 0.1, 0.73, 0.9976, 1 - 2.0**-30])
_CHECK_VALUES = chebyshev.chebvander(_CHECKS, _DEGREE).T


@dataclass(frozen=True)
class _Pieces:
    """Monotone pieces of g on [−10, 10], its flat pieces, and its critical points.

    Piece i is z = middle + half·t, t in [start, end], on which g is the Chebyshev series
    `series[:, i]` in t, with derivative `slopes[:, i]`, running from `first` to `last`.
    """

    middle: Array
    half: Array
    start: Array
    end: Array
    series: Array
    slopes: Array
    first: Array
    last: Array
    critical: Array
    flat: Array  # (F, 3): left end, right end, label
    scale: float

    @property
    def left(self) -> Array:
        """Left ends in z."""
        return self.middle + self.half * self.start

    @property
    def right(self) -> Array:
        """Right ends in z."""
        return self.middle + self.half * self.end

    @staticmethod
    def of(link: Link, merged: float) -> _Pieces | None:
        """The pieces of a link of rank 1; None where the values of g are too rough for it.

        Labels within `merged` of an atom, relatively, become that atom.
        """
        panels = _resolve(lambda z: link(z[:, None]))
        if panels is None:
            return None
        pieces = _cut(*panels)
        for label in _flat_atoms(pieces)[0]:
            margin = merged * max(abs(label), 1e-2 * pieces.scale)
            pieces = pieces.flattened(float(label), float(margin))
        return pieces

    def flattened(self, label: float, margin: float) -> _Pieces:
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
        return _Pieces(
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
        )

    def at(self, piece: NDArray[np.intp], t: Array) -> tuple[Array, Array]:
        """g and dg/dt at local coordinates t of the given pieces."""
        return _clenshaw(self.series, piece, t), _clenshaw(self.slopes, piece, t)

    def solve(
        self, y: Array, margin: float = 0.0
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
        """All solutions of g = y_k: index k, piece and local coordinate t of each.

        A piece counts its lower end in and its upper end out, so that neighbours share
        nothing; `margin` leaves out solutions that close to an end's label.
        """
        low, high = np.minimum(self.first, self.last), np.maximum(self.first, self.last)
        row, piece = np.nonzero(
            (low + margin <= y[:, None]) & (y[:, None] < high - margin),
        )
        return row, piece, self._invert(y[row], piece)

    def _invert(self, y: Array, piece: NDArray[np.intp]) -> Array:
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

    def moments(self, z: Array, piece: NDArray[np.intp], t: Array) -> tuple[Array, Array]:
        """E[z | g(z)] and E[z² − 1 | g(z)] at points of which piece and t are known."""
        y, slope = self.at(piece, t)
        # The point itself is a preimage even where rounding at a turning point says it is not.
        sums = _weights(z, slope / self.half[piece])
        for chunk in _chunks(len(z), len(self.first)):
            row, other, s = self.solve(y[chunk])
            row, other, s = (a[other != piece[chunk][row]] for a in (row, other, s))
            where = self.middle[other] + self.half[other] * s
            terms = _weights(where, self.at(other, s)[1] / self.half[other])
            for total, term in zip(sums, terms, strict=True):
                total[chunk] += np.bincount(row, term, minlength=chunk.stop - chunk.start)
        return sums[1] / sums[0], sums[2] / sums[0]

    def second_moment(self, y: Array) -> tuple[Array, Array]:
        """E[z² | y] `(k,)`, and how far y is from the labels that the pieces reach.

        Where that is not zero, E[z² | y] is the nearest piece's end's.
        """
        result, outside = np.empty(len(y)), np.zeros(len(y))
        low, high = np.minimum(self.first, self.last), np.maximum(self.first, self.last)
        by_low, by_high = np.argsort(low), np.argsort(high)
        for chunk in _chunks(len(y), len(self.first)):
            part = y[chunk].copy()
            # Reached by no piece: as many have ended at or below y as have begun there.
            begun = np.searchsorted(low[by_low], part, side="right")
            ended = np.searchsorted(high[by_high], part, side="right")
            missed = np.flatnonzero(begun == ended)
            above = low[by_low[np.minimum(begun[missed], len(low) - 1)]]
            below = by_high[np.maximum(ended[missed] - 1, 0)]
            up = np.abs(above - part[missed]) < np.abs(part[missed] - high[below])
            # Upper ends belong to no piece: a little below them.
            inside = np.maximum(high[below] - 1e-12 * self.scale, low[below])
            known = np.where(up, above, inside)
            outside[chunk.start + missed] = np.abs(known - part[missed])
            part[missed] = known
            row, piece, t = self.solve(part)
            z = self.middle[piece] + self.half[piece] * t
            weight, _, excess = _weights(z, self.at(piece, t)[1] / self.half[piece])
            total = np.bincount(row, weight, minlength=len(part))
            with np.errstate(invalid="ignore", divide="ignore"):
                result[chunk] = 1 + np.bincount(row, excess, minlength=len(part)) / total
        return result, outside


def _chunks(count: int, pieces: int) -> list[slice]:
    """Slices of `range(count)` that keep a table of labels × pieces at some ten megabytes."""
    size = max(1, 8_000_000 // max(pieces, 1))
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def _weights(z: Array, slope: Array) -> tuple[Array, Array, Array]:
    """φ(z)/|g'(z)| times 1, z and z² − 1."""
    weight = np.exp(-(z**2) / 2) / np.maximum(np.abs(slope), 1e-150)
    return weight, weight * z, weight * (z**2 - 1)


def _clenshaw(series: Array, column: NDArray[np.intp], t: Array) -> Array:
    """Σ_k series[k, column] T_k(t), elementwise."""
    after, now = np.zeros_like(t), np.zeros_like(t)
    twice = 2 * t
    for coefficients in series[:0:-1]:
        after, now = now, coefficients[column] + twice * now - after
    return np.asarray(series[0][column] + t * now - after)


def _resolve(g: Callable[[Array], Array]) -> tuple[Array, Array, Array, Array] | None:
    """Panels on which a Chebyshev interpolant agrees with g, by bisection.

    Returns ends a, b `(P,)`, series `(P, degree + 1)` and the size of g `(P,)`, sorted; None
    where bisection does not end: then g is not piecewise smooth to working precision.
    """
    edges = np.linspace(-_REACH, _REACH, _PANELS + 1)
    a, b = edges[:-1], edges[1:]
    typical: Array | None = None
    done: list[tuple[Array, Array, Array, Array]] = []
    while len(a):
        if len(a) > _MOST_UNRESOLVED:
            return None
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
        tolerance = _TOLERANCE * (size + typical) + 1e-15 * np.abs(middle) * slope
        miss = np.abs(series @ _CHECK_VALUES - checks).max(axis=1)
        tail = np.abs(series[:, -2:]).max(axis=1)
        good = (miss <= 10 * tolerance) & (tail <= 3 * tolerance)
        done.append((a[good], b[good], series[good], size[good]))
        bad = ~good & (half > _SLIVER)
        a, b, middle, typical = a[bad], b[bad], middle[bad], typical[bad]
        a, b = np.concatenate([a, middle]), np.concatenate([middle, b])
        typical = np.concatenate([typical, typical])
    ends_a, ends_b, all_series, sizes = (np.concatenate(part) for part in zip(*done, strict=True))
    order = np.argsort(ends_a)
    if np.sum(ends_b - ends_a) < 2 * _REACH - 1e-8:
        return None
    return ends_a[order], ends_b[order], all_series[order], sizes[order]


def _cut(a: Array, b: Array, series: Array, size: Array) -> _Pieces:
    """Cut the panels at turning points, tell flat from monotone, and find what is critical."""
    grid = np.linspace(-1, 1, 33)
    values = series @ chebyshev.chebvander(grid, _DEGREE).T
    level = np.ptp(values, axis=1) <= _LEVEL * size
    flat = np.column_stack([a, b, values.mean(axis=1)])[level]
    a, b, series = a[~level], b[~level], series[~level]
    scale = float(np.median(np.abs(values)))
    slopes = np.asarray(chebyshev.chebder(series, axis=1), dtype=np.float64)
    panel, start, end = _monotone(slopes, slopes @ chebyshev.chebvander(grid, _DEGREE - 1).T)
    middle, half = ((a + b) / 2)[panel], ((b - a) / 2)[panel]
    columns = np.ascontiguousarray(series.T[:, panel])
    rates = np.ascontiguousarray(slopes.T[:, panel])
    every = np.arange(len(panel))
    first, last = _clenshaw(columns, every, start), _clenshaw(columns, every, end)

    # Neighbours share a label where g is continuous: what one counts out, the other counts in.
    size = np.maximum(np.abs(columns).sum(axis=0), scale)
    same_panel = panel[1:] == panel[:-1]
    touch = same_panel | (b[panel[:-1]] == a[panel[1:]])
    gap = np.abs(last[:-1] - first[1:])
    continuous = touch & (gap <= 1e-11 * np.maximum(size[:-1], size[1:]))
    shared = (last[:-1] + first[1:]) / 2
    last[:-1] = np.where(continuous, shared, last[:-1])
    first[1:] = np.where(continuous, shared, first[1:])
    # Nothing is critical where g also keeps its slope, up to the slopes' rounding.
    rate_before = _clenshaw(rates, every, end)[:-1] / half[:-1]
    rate_after = _clenshaw(rates, every, start)[1:] / half[1:]
    blur = 1e-10 * size[:-1] / np.minimum(half[:-1], half[1:])
    same = np.abs(rate_after - rate_before) <= 1e-6 * np.abs(rate_before) + blur
    onward = np.sign(last - first)[:-1] == np.sign(last - first)[1:]
    joined = continuous & ~same_panel & same & onward
    open_end = np.append(~joined, True)[: len(panel)]
    open_start = np.append(True, ~joined)[: len(panel)]
    critical_z = np.append((middle + half * end)[open_end], (middle + half * start)[open_start])
    critical_y = np.append(last[open_end], first[open_start])
    keep = first != last  # a piece narrower than rounding has no inverse
    return _Pieces(
        middle[keep],
        half[keep],
        start[keep],
        end[keep],
        columns[:, keep],
        rates[:, keep],
        first[keep],
        last[keep],
        np.column_stack([critical_z, critical_y]),
        flat,
        scale,
    )


def _monotone(slopes: Array, speed: Array) -> tuple[NDArray[np.intp], Array, Array]:
    """Panel, start and end (in −1 … 1) of the pieces that the roots of g' cut panels into.

    `slopes` `(P, degree)` are the Chebyshev series of g', and `speed` its values on a grid.
    """
    # Where g' changes sign it has a root; where it nearly vanishes it may touch zero, which
    # is critical too: fellows of an inflection see a cube root.
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


def _flat_atoms(pieces: _Pieces) -> tuple[Array, Array, Array, Array]:
    """Labels, masses, E[z | y] and E[z² − 1 | y] of the flat pieces, equal labels together."""
    flat = pieces.flat[np.argsort(pieces.flat[:, 2])]
    a, b, label = flat.T
    fresh = np.diff(label) > _SATURATED * np.maximum(np.abs(label[1:]), 1e-2 * pieces.scale)
    group = np.concatenate([np.zeros(min(len(label), 1)), np.cumsum(fresh)]).astype(np.intp)
    # Φ(b) − Φ(a) from the side where it does not cancel.
    mass = np.where(a > 0, ndtr(-a) - ndtr(-b), ndtr(b) - ndtr(a))
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
    keep = total > 1e-10  # what bisection leaves of a kink is no atom
    total = total[keep]
    return weighted[keep] / total, total, first[keep] / total, excess[keep] / total


#: Widest interval of one rule, and the distance kept from turning points.
_WIDEST = 0.5
_CLEARANCE = 3e-6
_MOST_ROUGH = 2000
_LEGENDRE, _LEGENDRE_WEIGHTS = np.polynomial.legendre.leggauss(20)


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


def _intervals(pieces: _Pieces) -> _Intervals:
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


def _by_preimages(pieces: _Pieces, blurred: _Pieces) -> ConditionalMoments:
    intervals = _intervals(pieces) if len(pieces.first) else None
    best, change = _averages(pieces, intervals)
    knots = np.empty(0) if intervals is None else _knots(pieces, intervals)
    labels, _, _, excesses = _flat_atoms(pieces)
    if len(labels):
        # Merging ten times more around the atoms shows what saturation within rounding does.
        again = _averages(blurred, _intervals(blurred) if len(blurred.first) else None)[0]
        change = change + np.abs(again - best)
    first, second = best[:, None, None]
    at_atoms = (1 + excesses)[:, None, None]

    def second_moment(y: Array) -> Array:
        y = np.asarray(y, dtype=np.float64)
        if len(knots):
            values, outside = pieces.second_moment(y)
            return _override(y, values[:, None, None], outside, labels, at_atoms)
        return np.asarray(at_atoms[_nearest(labels, y)[0]])

    return ConditionalMoments(
        Estimate(first, first - change[0], np.empty((0, 1, 1)), _ROUNDING),
        Estimate(
            second[..., None, None],
            (second - change[1])[..., None, None],
            np.empty((0, 1, 1, 1, 1)),
            _ROUNDING,
        ),
        second_moment,
        knots,
        labels,
        "All preimages of each label, integrated over z between critical points by an adaptive "
        "rule; the error is the change of its last refinement and of merging labels within "
        "1e-11 instead of 1e-12 of an atom, with a floor for rounding.",
    )


def _averages(pieces: _Pieces, intervals: _Intervals | None) -> tuple[Array, Array]:
    """E[E[z|y]²] and E[G(y)²], flat pieces included, and the last refinement's change."""
    _, mass, means, excesses = _flat_atoms(pieces)
    atomic = np.array([mass @ means**2, mass @ excesses**2])
    if intervals is None:
        return atomic, np.zeros(2)
    continuous, change = _integrate(pieces, intervals)
    return atomic + continuous, change


def _integrate(pieces: _Pieces, intervals: _Intervals) -> tuple[Array, Array]:
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


def _locate(pieces: _Pieces, z: Array) -> tuple[NDArray[np.intp], Array, NDArray[np.bool_]]:
    """Piece and local coordinate of points, and whether they lie on a monotone piece at all."""
    piece = np.clip(np.searchsorted(pieces.left, z, side="right") - 1, 0, None)
    inside = z <= pieces.right[piece]
    return piece, (z - pieces.middle[piece]) / pieces.half[piece], inside


def _rule(pieces: _Pieces, intervals: _Intervals) -> Array:
    """∫ φ (E[z|y]², G(y)²) over each interval, `(k, 2)`; flat pieces count nothing."""
    width = intervals.b - intervals.a
    z = intervals.points(_PLACES).ravel()
    weight = (width[:, None] * _PLACE_WEIGHTS).ravel() * np.exp(-(z**2) / 2)
    piece, t, inside = _locate(pieces, z)
    result = np.zeros((2, len(z)))
    moments = pieces.moments(z[inside], piece[inside], t[inside])
    result[:, inside] = weight[inside] / math.sqrt(2 * math.pi) * np.square(moments)
    return np.asarray(result.reshape(2, len(width), -1).sum(axis=2).T)


def _knots(pieces: _Pieces, intervals: _Intervals) -> Array:
    """Labels of points that crowd towards the ends of every interval."""
    z = intervals.points(_smoothed((np.arange(96) + 0.5) / 96)).ravel()
    piece, t, inside = _locate(pieces, z)
    return np.unique(pieces.at(piece[inside], t[inside])[0])


# --- projection: several features, or noise ---------------------------------------------------

_REPLICATES = 16
#: Points per replicate (powers of two, as Sobol points want) up to a rank.
_POINTS = {3: 2**17, 5: 2**16, MAXIMUM_RANK: 2**15}
#: Numbers of equal-mass bins, coarse to fine; the end bins are halved on towards the tails.
_BINS = (16, 64, 256, 1024)
#: Fewest points of one replicate in an equal-mass bin, and in a bin of the tails.
_FULL_BIN = 64
_TAIL_BIN = 4
#: Fewest labels, all replicates together, of which a mean is worth keeping.
_KNOWN = 16
#: Equal labels in one replicate that make an atom.
_SMALLEST_ATOM = 8
_NO_ATOM = -1


def _by_projection(link: Link, noise: float, seed: int) -> ConditionalMoments:
    points = next(n for rank, n in _POINTS.items() if link.rank <= rank)
    rows, columns = np.triu_indices(link.rank)
    coefficients: list[list[Array]] = []  # replicate × resolution
    ladder: list[Array] = []
    for replicate in range(_REPLICATES):
        z, y = _draw(link, noise, seed, replicate, points)
        if replicate == 0:
            labels = _common_labels(y)
            ladder = _ladder(int(np.sum(_membership(y, labels) == _NO_ATOM)))
            # A step below the finest: there a bin's mean is known to a few per cent.
            table_edges = ladder[max(len(ladder) - 2, 0)]
            table = _Table(len(labels), len(table_edges) - 1, link.rank)
        atom = _membership(y, labels)
        order = np.argsort(y, kind="stable")
        order = order[atom[order] == _NO_ATOM]
        z_z = z[:, rows] * z[:, columns]
        table.add(y, z_z, atom, order, table_edges)
        features = np.concatenate([z, z_z - (rows == columns)], axis=1)
        atomic = _on_atoms(features, atom, len(labels))
        ordered = features[order]
        coefficients.append(
            [np.concatenate([atomic, _on_bins(ordered, edges, points)]) for edges in ladder]
        )
    moments = [_cross_products([c[k] for c in coefficients]) for k in range(len(ladder))]
    chosen = 0
    while chosen + 1 < len(moments):
        # Finer while the step before still changed more than the replicates scatter.
        chosen += 1
        best, left_out = moments[chosen]
        change = np.linalg.norm(best - moments[chosen - 1][0])
        if change <= Estimate(best, best, left_out).error():
            break
    best, left_out = moments[chosen]
    coarser = moments[max(chosen - 1, 0)][0]
    r = link.rank
    pair = np.empty((r, r), dtype=np.intp)
    pair[rows, columns] = pair[columns, rows] = r + np.arange(len(rows))
    full = np.ix_(pair.ravel(), pair.ravel())

    def gram(value: Array) -> Array:
        return value[full].reshape(r, r, r, r)

    # Ranks differ between replicates: the edges of a tail bin of n points scatter by 1/√n of
    # its width, which mixes its labels with its neighbours' and costs about 1/n of what a bin
    # of mass n/N tells. Replicates agree in this, so that their scatter does not show it.
    smear = np.sum(np.diff(ladder[chosen]) < 0.9 * np.diff(ladder[chosen]).max()) / points
    floors = [_ROUNDING + float(smear * np.abs(m).max()) for m in (best[:r, :r], best[r:, r:])]

    return ConditionalMoments(
        Estimate(best[:r, :r], coarser[:r, :r], left_out[:, :r, :r], floors[0]),
        Estimate(
            gram(best), gram(coarser), np.array([gram(value) for value in left_out]), floors[1]
        ),
        *table.finish(labels),
        f"Projection on {len(coefficients[0][chosen])} functions of the label's rank (a lower "
        f"bound), from products of different ones of {_REPLICATES} scrambled Sobol sets of "
        f"{points} points; the error is the sets' scatter (jackknife) plus the change of the "
        "last refinement and an allowance for the scatter of ranks in the tails.",
    )


def _draw(link: Link, noise: float, seed: int, replicate: int, points: int) -> tuple[Array, Array]:
    """z `(points, r)` and y `(points,)` of one independently scrambled Sobol set."""
    rng = np.random.default_rng([seed, replicate, 0x636F6E64])
    dimension = link.rank + (noise > 0)
    uniform = qmc.Sobol(dimension, scramble=True, seed=rng).random(points)
    # The coordinates are multiples of 2⁻³⁰, zero among them: half a step off stays inside.
    normal = ndtri(uniform + 2.0**-31)
    y = link(normal[:, : link.rank])
    if noise > 0:
        y = y + noise * normal[:, -1]
    return normal[:, : link.rank], y


def _common_labels(y: Array) -> Array:
    """Labels that occur again and again, sorted; rounding may have split equal ones."""
    ordered = np.sort(y)
    spread = float(np.median(np.abs(ordered))) or 1.0
    fresh = np.diff(ordered) > 1e-12 * np.maximum(np.abs(ordered[1:]), 1e-2 * spread)
    starts = np.flatnonzero(np.concatenate([[True], fresh]))
    counts = np.diff(np.append(starts, len(ordered)))
    often = counts >= _SMALLEST_ATOM
    return np.asarray(ordered[(starts + counts // 2)[often]])


def _membership(y: Array, labels: Array) -> NDArray[np.intp]:
    """Index of the atom that each label is, or `_NO_ATOM`."""
    if not len(labels):
        return np.full(len(y), _NO_ATOM)
    index, distance = _nearest(labels, y)
    spread = float(np.median(np.abs(y))) or 1.0
    equal = distance <= 1e-11 * np.maximum(np.abs(labels[index]), 1e-2 * spread)
    return np.where(equal, index, _NO_ATOM)


def _ladder(count: int) -> list[Array]:
    """Edges of the bins as fractions of the mass outside the atoms, coarse to fine.

    The end bins are halved on towards 0 and 1, once more at every step up: labels of unbounded
    links carry much of their information in their tails, and what the next halving would add
    is about what the last one did.
    """
    counts = [bins for bins in _BINS if _FULL_BIN * bins <= count]
    ladder = []
    for step, bins in enumerate(counts):
        depth = int(math.log2(count / _TAIL_BIN)) - (len(counts) - 1 - step)
        tail = 2.0 ** -np.arange(depth, math.log2(bins), -1)
        ladder.append(
            np.concatenate([[0.0], tail, np.arange(1, bins) / bins, 1 - tail[::-1], [1.0]])
        )
    return ladder or [np.array([0.0, 1.0])]


def _on_atoms(features: Array, atom: NDArray[np.intp], atoms: int) -> Array:
    """E[e(y) features] for the normalised indicators e of the atoms, `(atoms, f)`."""
    hit = np.flatnonzero(atom != _NO_ATOM)
    if not len(hit):
        return np.zeros((atoms, features.shape[1]))
    member = atom[hit]
    totals = [np.bincount(member, column, minlength=atoms) for column in features[hit].T]
    count = np.bincount(member, minlength=atoms)
    return np.asarray(np.array(totals).T / np.sqrt(np.maximum(count, 1) * len(features))[:, None])


def _on_bins(ordered: Array, edges: Array, points: int) -> Array:
    """E[e_k(y) features] for Legendre polynomials of degree ≤ 2 on each bin, `(3 bins, f)`.

    `ordered` `(M, f)` holds the features of the labels outside the atoms, by rank. Each
    polynomial is normalised by its own sum of squares over the ranks in the bin.
    """
    count = len(ordered)
    if len(edges) == 2:  # next to nothing outside the atoms: one bin, degree 0
        return np.asarray(ordered.sum(axis=0)[None] / math.sqrt(max(count, 1) * points))
    starts = np.round(edges * count).astype(np.intp)
    sizes = np.diff(starts)
    local = (np.arange(count) - np.repeat(starts[:-1], sizes) + 0.5) / np.repeat(sizes, sizes)
    x = 2 * local - 1
    parts = []
    for polynomial in (np.ones(count), x, 1.5 * x**2 - 0.5):
        sums = np.add.reduceat(polynomial[:, None] * ordered, starts[:-1], axis=0)
        squares = np.add.reduceat(polynomial**2, starts[:-1])
        parts.append(sums / np.sqrt(squares * points)[:, None])
    return np.concatenate(parts)


def _cross_products(coefficients: list[Array]) -> tuple[Array, Array]:
    """Mean over pairs of different replicates of Σ_k C_kᵀ C_k, and the same without each one.

    Each C is `(K, f)`; returns `(f, f)` and `(R, f, f)`.
    """
    count = len(coefficients)
    total = np.sum(coefficients, axis=0)
    own = [c.T @ c for c in coefficients]
    all_own = np.sum(own, axis=0)
    best = (total.T @ total - all_own) / (count * (count - 1))
    left_out = [
        ((total - c).T @ (total - c) - (all_own - square)) / ((count - 1) * (count - 2))
        for c, square in zip(coefficients, own, strict=True)
    ]
    return best, np.array(left_out)


class _Table:
    """Means of y and zzᵀ over atoms and bins, all replicates together."""

    def __init__(self, atoms: int, bins: int, rank: int) -> None:
        pairs = rank * (rank + 1) // 2
        self.rank = rank
        self.atoms = np.zeros((atoms, 1 + pairs))
        self.bins = np.zeros((bins, 2 + pairs))

    def add(
        self,
        y: Array,
        z_z: Array,
        atom: NDArray[np.intp],
        order: NDArray[np.intp],
        edges: Array,
    ) -> None:
        """One replicate: `z_z` `(n, r(r+1)/2)`, labels outside the atoms in rank order."""
        ones = np.ones((len(y), 1))
        hit = atom != _NO_ATOM
        np.add.at(self.atoms, atom[hit], np.concatenate([ones, z_z], axis=1)[hit])
        if len(order):
            starts = np.round(edges[:-1] * len(order)).astype(np.intp)
            columns = np.concatenate([ones, y[:, None], z_z], axis=1)[order]
            self.bins += np.add.reduceat(columns, starts, axis=0)

    def finish(self, labels: Array) -> tuple[Callable[[Array], Array], Array, Array]:
        """E[zzᵀ | y] as a function, its knots, and the atoms' labels."""
        at_atoms = self._matrices(self.atoms[:, 1:] / self.atoms[:, :1])
        # A handful of stray labels beside atoms says nothing: then the nearest atom does.
        filled = self.bins[self.bins[:, 0] >= _KNOWN]
        knots, first = np.unique(filled[:, 1] / filled[:, 0], return_index=True)
        moments = self._matrices(filled[first, 2:] / filled[first, :1])
        return Tabulated(knots, moments, labels, at_atoms), knots, labels

    def _matrices(self, pairs: Array) -> Array:
        rows, columns = np.triu_indices(self.rank)
        result = np.empty((len(pairs), self.rank, self.rank))
        result[:, rows, columns] = result[:, columns, rows] = pairs
        return result
