"""Method of projection, for several features or noise: functions of the label's rank.

E[G ⊗ G] = Σ_k C_k ⊗ C_k with C_k = E[e_k(y) (zzᵀ − I)] over an orthonormal basis e_k of
functions of the label's rank. A finite basis gives a lower bound (data processing). Products
of *different* scrambled Sobol replicates only are used: the square of one noisy C_k would be
biased upwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array
from mimverify.theory.conditional.moments import ROUNDING, ConditionalMoments, Estimate
from mimverify.theory.labels.quadrature import MAX_BOX_DIMENSIONS, normal_rule
from mimverify.theory.labels.sobol import sobol_points
from mimverify.theory.labels.stable_order import stable_order
from mimverify.theory.labels.tables import Tabulated, nearest

MAXIMUM_RANK = 12
_REPLICATES = 16
#: Points per replicate (powers of two, as Sobol points want) up to a rank.
_POINTS = {3: 2**17, 5: 2**16, MAXIMUM_RANK: 2**15}
#: Numbers of equal-mass bins, coarse to fine; the end bins are halved on towards the tails.
_BINS = (16, 64, 256, 1024)
#: Fewest points of one replicate in an equal-mass bin, and in a bin of the tails.
_FULL_BIN = 64
_TAIL_BIN = 4
#: Fewest labels, all replicates together, of which a mean is kept.
_KNOWN = 16
#: Equal labels in one replicate that make an atom.
_SMALLEST_ATOM = 8
_NO_ATOM = -1
#: Labels few enough for an integral over each one's set.
_FEW = 16
_TINY = 1e-12
#: Error of E[G ⊗ G] above which boxes are no better than Sobol points.
_BOXES_WORTH = 5e-5


def by_projection(link: Link, noise: float, seed: int, blur: float = 0.0) -> ConditionalMoments:
    """The moments of any link of rank ≤ 12; `seed` scrambles the Sobol sets.

    `blur` is the absolute rounding of small labels.
    """
    points = next(n for rank, n in _POINTS.items() if link.rank <= rank)
    rows, columns = np.triu_indices(link.rank)
    coefficients: list[list[Float64Array]] = []  # replicate × resolution
    resolutions: list[Float64Array] = []
    hidden = 0.0, 0.0
    for replicate in range(_REPLICATES):
        z, y = _draw(link, noise, seed, replicate, points)
        if replicate == 0:
            labels = _common_labels(y, blur)
            atom = _membership(y, labels, blur)
            if 2 <= len(labels) <= _FEW and noise == 0 and (atom != _NO_ATOM).all():
                discrete = by_boxes(link, labels, blur)
                if discrete is not None:
                    return discrete
            hidden = _hidden(z, y, atom, labels, blur)
            resolutions = _resolutions(int(np.sum(atom == _NO_ATOM)))
            # A step below the finest: there a bin's mean is known to a few per cent.
            table_edges = resolutions[max(len(resolutions) - 2, 0)]
            table = _Table(len(labels), len(table_edges) - 1, link.rank)
        atom = _membership(y, labels, blur)
        order = stable_order(y)
        order = order[atom[order] == _NO_ATOM]
        hit = np.flatnonzero(atom != _NO_ATOM)
        features = _features(np.ascontiguousarray(z[hit].T))
        ordered = _features(z.T.take(order, axis=1))  # sums along rows are fast
        table.add(y[order], ordered, features, atom[hit], table_edges)
        atomic = _on_atoms(features, atom[hit], len(labels), points)
        coefficients.append(
            [np.concatenate([atomic, found]) for found in _on_bins(ordered, resolutions, points)]
        )
    moments = [_cross_products([c[k] for c in coefficients]) for k in range(len(resolutions))]
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

    def gram(value: Float64Array) -> Float64Array:
        return value[full].reshape(r, r, r, r)

    # Ranks differ between replicates: the edges of a tail bin of n points scatter by 1/√n of
    # its width, which mixes its labels with its neighbours' and loses about 1/n of what a bin
    # of mass n/N contributes. Replicates agree in this, so that their scatter does not show it.
    # Atoms are normalised by their count n, which scatters by at most √n: 1/(4n) of the same.
    tails = np.sum(np.diff(resolutions[chosen]) < 0.9 * np.diff(resolutions[chosen]).max())
    smear = (tails + len(labels) / 4) / points
    floors = [ROUNDING + float(smear * np.abs(m).max()) for m in (best[:r, :r], best[r:, r:])]

    return ConditionalMoments(
        Estimate(best[:r, :r], coarser[:r, :r], left_out[:, :r, :r], floors[0], hidden[0]),
        Estimate(
            gram(best),
            gram(coarser),
            np.array([gram(value) for value in left_out]),
            floors[1],
            hidden[1],
        ),
        *table.finish(labels),
        f"Projection on {len(coefficients[0][chosen])} functions of the label's rank (a lower "
        f"bound), from products of different ones of {_REPLICATES} scrambled Sobol sets of "
        f"{points} points; the error is the sets' scatter (jackknife) plus the change of the "
        "last refinement and an allowance for the scatter of ranks in the tails (and, where the "
        "link saturates, for what its coinciding labels hide).",
    )


def _draw(
    link: Link, noise: float, seed: int, replicate: int, points: int
) -> tuple[Float64Array, Float64Array]:
    """z `(points, r)` and y `(points,)` of one independently scrambled Sobol set."""
    from scipy.special import ndtri

    rng = np.random.default_rng([seed, replicate, 0x636F6E64])
    dimension = link.rank + (noise > 0)
    uniform = sobol_points(dimension, points.bit_length() - 1, rng)
    # The coordinates are multiples of 2⁻³⁰, zero among them: half a step off stays inside.
    normal = ndtri(uniform + 2.0**-31)
    y = link(normal[:, : link.rank])
    if noise > 0:
        y = y + noise * normal[:, -1]
    return normal[:, : link.rank], y


def _common_labels(y: Float64Array, blur: float) -> Float64Array:
    """Labels that occur again and again, sorted; rounding may have split equal ones."""
    ordered = np.sort(y)
    spread = float(np.median(np.abs(ordered))) or 1.0
    close = 1e-12 * np.maximum(np.abs(ordered[1:]), 1e-2 * spread) + min(2.5 * blur, 1e-9)
    fresh = np.diff(ordered) > close
    starts = np.flatnonzero(np.concatenate([[True], fresh]))
    counts = np.diff(np.append(starts, len(ordered)))
    often = counts >= _SMALLEST_ATOM
    return np.asarray(ordered[(starts + counts // 2)[often]])


def _membership(y: Float64Array, labels: Float64Array, blur: float) -> NDArray[np.intp]:
    """Index of the atom that each label is, or `_NO_ATOM`."""
    if not len(labels):
        return np.full(len(y), _NO_ATOM)
    index, distance = nearest(labels, y)
    spread = float(np.median(np.abs(y))) or 1.0
    close = 1e-11 * np.maximum(np.abs(labels[index]), 1e-2 * spread) + min(2.5 * blur, 1e-9)
    return np.where(distance <= close, index, _NO_ATOM)


def _hidden(
    z: Float64Array, y: Float64Array, atom: NDArray[np.intp], labels: Float64Array, blur: float
) -> tuple[float, float]:
    """What rounding may hide in the first and second order where labels accumulate at an atom.

    A link that saturates approaches its limit at every scale: about as many labels miss it by
    1e-10 as by 1e-8, relatively. Labels next to the limit contain some fraction of the moments
    of z itself; those that coincide are taken to hide up to twice that.
    """
    hidden = np.zeros(2)
    spread = 1e-2 * float(np.median(np.abs(y)))
    counts = np.bincount(atom[atom != _NO_ATOM], minlength=len(labels))
    for which in np.argsort(-counts, kind="stable")[:_FEW]:
        distance = np.abs(y - labels[which])
        least = 1e-11 * max(abs(labels[which]), spread) + 4 * blur
        near = (distance > least) & (distance <= 1e2 * least)
        far = (distance > 1e2 * least) & (distance <= 1e4 * least)
        if near.sum() >= 8 and far.sum() < 2 * near.sum():
            explained, total = _explained(z[near | far])
            fraction = np.minimum(2 * explained / total, 1.0)
            same = distance <= least
            explained, total = _explained(z[same])
            hidden += same.mean() * fraction * (total - explained)
    return float(hidden[0]), float(hidden[1])


def _explained(z: Float64Array) -> tuple[Float64Array, Float64Array]:
    """|E z|² and ‖E[zzᵀ − I]‖² over points of one label, and E|z|² and E‖zzᵀ − I‖²."""
    squares = (z**2).sum(axis=1)
    mean, excess = z.mean(axis=0), z.T @ z / len(z) - np.eye(z.shape[1])
    total = [squares.mean(), np.mean(squares**2 - 2 * squares) + z.shape[1]]
    return np.array([mean @ mean, np.sum(excess**2)]), np.array(total)


def _resolutions(count: int) -> list[Float64Array]:
    """Edges of the bins as fractions of the mass outside the atoms, coarse to fine.

    The end bins are halved on towards 0 and 1, once more at every step up: labels of unbounded
    links carry much of their information in their tails, and what the next halving would add
    is about what the last one did.
    """
    counts = [bins for bins in _BINS if _FULL_BIN * bins <= count]
    resolutions = []
    for step, bins in enumerate(counts):
        depth = int(math.log2(count / _TAIL_BIN)) - (len(counts) - 1 - step)
        tail = 2.0 ** -np.arange(depth, math.log2(bins), -1)
        resolutions.append(
            np.concatenate([[0.0], tail, np.arange(1, bins) / bins, 1 - tail[::-1], [1.0]])
        )
    return resolutions or [np.array([0.0, 1.0])]


def _features(z: Float64Array) -> Float64Array:
    """z and the upper triangle of zzᵀ − I as rows, `(r + r(r+1)/2, n)`, from z `(r, n)`."""
    r = len(z)
    rows, columns = np.triu_indices(r)
    found = np.empty((r + len(rows), z.shape[1]))
    found[:r] = z
    for k, (i, j) in enumerate(zip(rows, columns, strict=True), start=r):
        np.multiply(z[i], z[j], out=found[k])
        found[k] -= i == j
    return found


def _on_atoms(
    features: Float64Array, member: NDArray[np.intp], atoms: int, points: int
) -> Float64Array:
    """E[e(y) features] for the normalised indicators e of the atoms, `(atoms, f)`.

    `features` `(f, n)` are those of the labels on atoms, `member` says on which.
    """
    if not len(member):
        return np.zeros((atoms, len(features)))
    totals = [np.bincount(member, row, minlength=atoms) for row in features]
    count = np.bincount(member, minlength=atoms)
    return np.asarray(np.array(totals).T / np.sqrt(np.maximum(count, 1) * points)[:, None])


def _on_bins(
    ordered: Float64Array, resolutions: list[Float64Array], points: int
) -> list[Float64Array]:
    """E[e_k(y) features] for Legendre polynomials of degree ≤ 2 on each bin, `(3 bins, f)`, for
    the bins of each resolution.

    `ordered` `(f, M)` holds the features of the labels outside the atoms, by rank. Each
    polynomial is normalised by its own sum of squares over the ranks in the bin. The features are
    summed once, over the bins that all resolutions together cut: a polynomial on a bin is one on
    each of its parts.
    """
    count = ordered.shape[1]
    if len(resolutions[-1]) == 2:  # next to nothing outside the atoms: one bin, degree 0
        return [np.asarray(ordered.sum(axis=1)[None] / math.sqrt(max(count, 1) * points))]
    starts = [np.round(edges * count).astype(np.intp) for edges in resolutions]
    cuts = np.unique(np.concatenate(starts))
    parts = cuts[:-1]
    middle, half = (cuts[1:] + parts) / 2, np.diff(cuts) / 2
    # Local coordinates within each part, in [−1, 1], and their powers' sums.
    sizes = np.diff(cuts)
    local = (np.arange(count) - np.repeat(middle, sizes) + 0.5) / np.repeat(half, sizes)
    sums = []
    weighed = ordered
    for power in range(3):
        if power:
            weighed = np.multiply(local, weighed, out=weighed if power > 1 else None)
        sums.append(np.add.reduceat(weighed, parts, axis=1))
    found = []
    for own in starts:
        sizes = np.diff(own)
        first = np.searchsorted(parts, own[:-1])
        # A part's place in its bin: x = shift + scale · local.
        members = np.diff(np.append(first, len(parts)))
        widths = np.repeat(sizes, members)
        shift = 2 * (middle - np.repeat(own[:-1], members)) / widths - 1
        scale = 2 * half / widths
        linear = shift * sums[0] + scale * sums[1]
        square = shift**2 * sums[0] + 2 * shift * scale * sums[1] + scale**2 * sums[2]
        # Sums of x² and x⁴ over n equidistant ranks x = (2 k + 1)/n − 1.
        n = sizes.astype(np.float64)
        second, fourth = (n**2 - 1) / (3 * n), (n**2 - 1) * (3 * n**2 - 7) / (15 * n**3)
        coefficients = []
        for squares, at_parts in (
            (n, sums[0]),
            (second, linear),
            (2.25 * fourth - 1.5 * second + 0.25 * n, 1.5 * square - 0.5 * sums[0]),
        ):
            totals = np.add.reduceat(at_parts, first, axis=1).T
            coefficients.append(totals / np.sqrt(squares * points)[:, None])
        found.append(np.concatenate(coefficients))
    return found


def _cross_products(coefficients: list[Float64Array]) -> tuple[Float64Array, Float64Array]:
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


def by_boxes(link: Link, labels: Float64Array, blur: float) -> ConditionalMoments | None:
    """The moments of a link with few labels and nothing else; None where boxes do no better.

    The set of each label is integrated over by the deterministic rule of `quadrature`, which
    resolves boundaries along coordinate planes exactly.
    """
    r = link.rank
    if r > MAX_BOX_DIMENSIONS:
        return None

    def indicators_at(z: Float64Array) -> Float64Array:
        atom = _membership(link(z), labels, blur)
        return np.asarray(atom[:, None] == np.arange(len(labels)), dtype=np.float64)

    rule = normal_rule(indicators_at, r)

    def sums(
        nodes: Float64Array, weights: Float64Array
    ) -> tuple[Float64Array, Float64Array, Float64Array]:
        indicators = weights * indicators_at(nodes).T
        outer = np.einsum("kq,qa,qb->kab", indicators, nodes, nodes, optimize=True)
        return indicators.sum(axis=1), indicators @ nodes, outer

    def grams(
        mass: Float64Array, first: Float64Array, outer: Float64Array
    ) -> tuple[Float64Array, Float64Array]:
        excess = outer - mass[:, None, None] * np.eye(r)
        inverse = 1 / np.maximum(mass, _TINY)
        return (
            np.einsum("k,ka,kb->ab", inverse, first, first),
            np.einsum("k,kab,kcd->abcd", inverse, excess, excess),
        )

    fine, coarse = sums(rule.nodes, rule.weights), sums(*rule.check)
    best, coarser = grams(*fine), grams(*coarse)
    none = [np.empty((0, *value.shape)) for value in best]
    first, gram = (Estimate(*arrays, ROUNDING) for arrays in zip(best, coarser, none, strict=True))
    if gram.error() > _BOXES_WORTH or fine[0].min() < _TINY:
        return None
    at_atoms = fine[2] / fine[0][:, None, None]
    nothing = np.empty(0)
    return ConditionalMoments(
        first,
        gram,
        Tabulated(nothing, np.empty((0, r, r)), labels, at_atoms),
        nothing,
        labels,
        f"Sums over the {len(labels)} labels, by {rule.rests_on}, with a floor for rounding.",
    )


class _Table:
    """Means of y and zzᵀ over atoms and bins, all replicates together."""

    def __init__(self, atoms: int, bins: int, rank: int) -> None:
        pairs = rank * (rank + 1) // 2
        self.rank = rank
        # The diagonal, which the features lack.
        self.identity = np.equal(*np.triu_indices(rank)).astype(float)
        self.atoms = np.zeros((atoms, 1 + pairs))
        self.bins = np.zeros((bins, 2 + pairs))

    def add(
        self,
        y: Float64Array,
        ordered: Float64Array,
        on_atoms: Float64Array,
        atom: NDArray[np.intp],
        edges: Float64Array,
    ) -> None:
        """One replicate: labels outside the atoms in rank order with their `_features`, and the
        features of those on atoms, with the atom of each."""
        members = len(self.atoms)
        self.atoms[:, 0] += np.bincount(atom, minlength=members)
        for k, row in enumerate(on_atoms[self.rank :], start=1):
            self.atoms[:, k] += np.bincount(atom, row + self.identity[k - 1], minlength=members)
        if len(y):
            starts = np.round(edges[:-1] * len(y)).astype(np.intp)
            self.bins[:, 0] += np.diff(np.append(starts, len(y)))
            self.bins[:, 1] += np.add.reduceat(y, starts)
            sums = np.add.reduceat(ordered[self.rank :], starts, axis=1)
            self.bins[:, 2:] += sums.T + self.identity * np.diff(np.append(starts, len(y)))[:, None]

    def finish(
        self, labels: Float64Array
    ) -> tuple[Callable[[Float64Array], Float64Array], Float64Array, Float64Array]:
        """E[zzᵀ | y] as a function, its knots, and the atoms' labels."""
        at_atoms = self._matrices(self.atoms[:, 1:] / self.atoms[:, :1])
        # A few isolated labels beside atoms do not give a mean: then the nearest atom's holds.
        filled = self.bins[self.bins[:, 0] >= _KNOWN]
        knots, first = np.unique(filled[:, 1] / filled[:, 0], return_index=True)
        moments = self._matrices(filled[first, 2:] / filled[first, :1])
        return Tabulated(knots, moments, labels, at_atoms), knots, labels

    def _matrices(self, pairs: Float64Array) -> Float64Array:
        rows, columns = np.triu_indices(self.rank)
        result = np.empty((len(pairs), self.rank, self.rank))
        result[:, rows, columns] = result[:, columns, rows] = pairs
        return result
