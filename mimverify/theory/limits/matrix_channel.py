"""What a label tells about r hidden features, beyond an estimate ω of them.

ω ~ N(0, q), z = ω + V^½ t, t ~ N(0, I_r), V = I − q, y = g(z) + noise. State evolution needs

    R(q) = E[E[t | y, ω] E[t | y, ω]ᵀ],

the fraction of the remaining variance that a label explains, as a matrix. For each of N estimates
ω, labels of M nodes t are ranked, and E[t | y] is projected on polynomials of degree ≤ 2 on bins of
the rank, atoms apart: a lower bound (binned labels tell less) that rises with the bins. A squared
mean of noisy bins would be biased upwards, so that two independent halves of the nodes are
multiplied. Source: theory.md §9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.theory.labels.sobol import sobol_points

#: Points from which labels of positive probability are found, and how often one has to recur.
SAMPLE = 2**15
_RECURRENT = 32
_MOST_ATOMS = 64
_ESTIMATES_AT_ONCE = 64
_LABELS_A_BIN = 32


@dataclass(frozen=True)
class Effort:
    """Sizes of the sums: estimates, nodes of each half (powers of 2), bins, and the seed."""

    estimates: int
    nodes: int
    bins: int
    seed: int


@dataclass(frozen=True)
class MatrixChannel:
    """R(q) of a link of r ≤ 3 features.

    **Arguments**

    - `estimates`: standard normal `(N, r)`.
    - `nodes`: standard normal `(2, N, M, r)`, two halves, different ones for each estimate.
    - `errors`: label noise `(2, N, M)`, or None.
    - `atoms`: labels of positive probability, ascending; `certain`: the probability of the others.
    - `bins`: of equal mass; the outermost are split further.
    """

    link: Link
    estimates: Float64Array
    nodes: Float64Array
    errors: Float64Array | None
    atoms: Float64Array
    certain: float
    bins: int

    @staticmethod
    def of(link: Link, noise: float, effort: Effort) -> MatrixChannel:
        """Scrambled Sobol points, the same for every q: what follows from R is deterministic."""
        from scipy.special import ndtri

        r, rng = link.rank, np.random.default_rng([effort.seed, link.rank, 0x6D6174])
        N, M = effort.estimates, effort.nodes
        estimates = ndtri(sobol_points(r, N.bit_length() - 1, rng) + 2.0**-31)
        dimension = r + (noise > 0)
        # No antithetic points: the order of two nearly equal labels would be taken for knowledge.
        points = np.stack([sobol_points(dimension, M.bit_length() - 1, rng) for _ in range(2)])
        # Another shift for each estimate makes their errors independent.
        shifts = rng.random((2, N, 1, dimension))
        normal = ndtri((points[:, None] + shifts + 2.0**-31) % 1.0)
        nodes = normal[..., :r]
        order = np.argsort(rng.random(nodes.shape[:3]), axis=2)  # equal labels in random order
        nodes = np.take_along_axis(nodes, order[..., None], axis=2)
        errors = None
        if noise > 0:
            errors = noise * np.take_along_axis(normal[..., r], order, axis=2)
        atoms, certain = (np.empty(0), 0.0) if noise > 0 else _atoms(link)
        bins = effort.bins
        if len(atoms):  # of few other labels, ranks in both halves agree in few bins only
            bins = max(1, min(bins, int(certain * M / _LABELS_A_BIN)))
        return MatrixChannel(link, estimates, nodes, errors, atoms, certain, bins)

    def evaluate(self, q: Float64Array) -> tuple[Float64Array, float]:
        """R `(r, r)` and E Var(g(z) | ω), at a matrix 0 ⪯ q ⪯ I."""
        root, rest = square_root(q), square_root(np.eye(len(q)) - q)
        total, spread = np.zeros_like(q), 0.0
        count = len(self.estimates)
        for start in range(0, count, _ESTIMATES_AT_ONCE):
            some = slice(start, min(start + _ESTIMATES_AT_ONCE, count))
            omega = self.estimates[some] @ root
            t = self.nodes[:, some]
            z = omega[:, None] + t @ rest
            values = self.link(z.reshape(-1, len(q))).reshape(t.shape[:3])
            means = values.mean(axis=2)
            spread += float(((values - means[::-1, :, None]) ** 2).mean(axis=(0, 2)).sum())
            # Each half about the other's mean: that mean's own variance comes on top of both.
            spread -= float(((means[0] - means[1]) ** 2).sum())
            labels = values if self.errors is None else values + self.errors[:, some]
            coefficients = [self._projected(labels[half], t[half]) for half in (0, 1)]
            total += np.einsum("nki,nkj->ij", *coefficients)
        total /= count
        return (total + total.T) / 2, spread / count

    def _projected(self, y: Float64Array, t: Float64Array) -> Float64Array:
        """E[e_k(y) t] for orthonormal functions e_k of the label, `(estimates, k, r)`."""
        found = []
        if len(self.atoms):
            scale = np.maximum(np.abs(self.atoms), 1e-3)
            apart = np.abs(y[..., None] - self.atoms) <= 1e-10 * scale
            found.append(_of_atoms(apart, t))
            if self.certain == 0:
                return found[0]
            rest = ~apart.any(axis=2)
        else:
            rest = np.ones(y.shape, dtype=np.bool_)
        order = np.argsort(np.where(rest, y, np.inf), axis=1, kind="stable")
        ranked = np.take_along_axis(t, order[..., None], axis=1)
        found.append(_of_bins(ranked, rest.sum(axis=1), _edges(self.bins)))
        return np.concatenate(found, axis=1)


def square_root(q: Float64Array) -> Float64Array:
    """The symmetric root of a positive semidefinite matrix; rounding below 0 counts as 0."""
    values, vectors = np.linalg.eigh(q)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)


def _atoms(link: Link) -> tuple[Float64Array, float]:
    """Labels of positive probability, and the probability of all others."""
    from scipy.special import ndtri

    rng = np.random.default_rng([link.rank, 0x61746F6D])
    uniform = sobol_points(link.rank, SAMPLE.bit_length() - 1, rng)
    y = link(ndtri(uniform + 2.0**-31))
    labels, counts = np.unique(y, return_counts=True)
    often = counts >= _RECURRENT
    if often.sum() > _MOST_ATOMS:
        raise InputError(
            f"link={link.name!r}: {int(often.sum())} labels of positive probability: expected at "
            f"most {_MOST_ATOMS} of a link of several features"
        )
    # A label of a continuous law never comes twice: those that do are atoms, however rare.
    certain = float(counts[counts == 1].sum() / len(y))
    return labels[often], certain if certain > 1e-3 else 0.0


def _edges(bins: int) -> Float64Array:
    """Equal bins of the rank, of which the first and the last are halved three times."""
    ends = np.array([1 / 8, 1 / 4, 1 / 2])
    return np.concatenate(
        [[0.0], ends / bins, np.arange(1, bins) / bins, 1 - ends[::-1] / bins, [1.0]]
    )


def _of_atoms(member: NDArray[np.bool_], t: Float64Array) -> Float64Array:
    """E[e_k t] for the normalised indicators of atoms, `(estimates, atoms, r)`.

    The norm is the node's own count, which scatters little and has no bearing on t.
    """
    counts = np.maximum(member.sum(axis=1), 1)
    sums = np.einsum("nma,nmi->nai", member, t)
    return np.asarray(sums / np.sqrt(counts[..., None] * t.shape[1]))


def _of_bins(ranked: Float64Array, counts: NDArray[np.intp], edges: Float64Array) -> Float64Array:
    """E[e_k t] for Legendre polynomials on bins of the rank, `(estimates, 3·bins, r)`.

    `ranked` holds t in the order of the labels, `(estimates, M, r)`; the first `counts` of each
    row count, and bins are fractions of these.
    """
    n, m, r = ranked.shape
    bins = len(edges) - 1
    if (counts == m).all():  # every row has the same bins
        which, x = _places(np.arange(m), m, edges)
        starts = np.searchsorted(which, np.arange(bins))
        if (np.diff(np.append(starts, m)) > 0).all():
            found = [
                np.add.reduceat((polynomial * scale[which])[:, None] * ranked, starts, axis=1)
                for polynomial, scale in _orthogonal(x, which, bins)
            ]
            return np.asarray(np.concatenate(found, axis=1) / math.sqrt(m))
    row, rank = np.nonzero(np.arange(m) < counts[:, None])
    which, x = _places(rank, counts[row], edges)
    cell = row * bins + which
    t = ranked[row, rank].T
    found = []
    for polynomial, scale in _orthogonal(x, cell, n * bins):
        sums = [np.bincount(cell, polynomial * column, minlength=n * bins) for column in t]
        found.append((np.array(sums) * scale).reshape(r, n, bins))
    return np.asarray(np.concatenate(found, axis=2).transpose(1, 2, 0) / math.sqrt(m))


def _places(
    rank: NDArray[np.intp], count: NDArray[np.intp] | int, edges: Float64Array
) -> tuple[NDArray[np.intp], Float64Array]:
    """Bin of each rank, and its place there in [−1, 1]."""
    place = (rank + 0.5) / count
    which = np.clip(np.searchsorted(edges, place, side="right") - 1, 0, len(edges) - 2)
    return which, 2 * (place - edges[which]) / (edges[which + 1] - edges[which]) - 1


def _orthogonal(
    x: Float64Array, cell: NDArray[np.intp], cells: int
) -> list[tuple[Float64Array, Float64Array]]:
    """Polynomials of degree 0, 1, 2 at places x, and the factors `(cells,)` that make Σ p² = 1.

    Orthogonalised on the ranks that a cell has: Legendre's, where these are many. On as few labels
    as its degree a polynomial is no function of its own, and its factor 0.
    """

    def summed(values: Float64Array) -> Float64Array:
        return np.bincount(cell, values, minlength=cells).astype(np.float64)

    ones = np.ones(len(x))
    size = np.maximum(summed(ones), 1.0)
    linear = x - (summed(x) / size)[cell]
    square = x**2 - (summed(x**2) / size)[cell]
    norm = np.maximum(summed(linear**2), 1e-12)
    square = square - (summed(square * linear) / norm)[cell] * linear
    return [
        (p, np.where(size > degree, 1 / np.sqrt(np.maximum(summed(p**2), 1e-9)), 0.0))
        for degree, p in enumerate((ones, linear, square))
    ]
