"""Spectra of H at finite d, drawn without drawing H.

In the eigenbasis of the noise block H⊥ = (1/n) Σ T_i x⊥_i x⊥_iᵀ, with eigenvalues θ_j, H is an
arrowhead matrix,

    H = [ H_zz  h  ]      h_j = (1/n) Σ_i T_i z_i (x⊥_i · v_j),
        [ hᵀ    θ  ]

and Σ_j h_j h_jᵀ/(ζ − θ_j) is what M(ζ) subtracts (docs/theory-engine.md, §3). So the mean of
h_j h_jᵀ near θ is a matrix density that the resolvent knows on the edge of the upper half plane;
eigenvectors of H⊥ are as random as rotation makes them, so h_j is drawn as Gaussian. The θ_j repel
each other like those of the Gaussian orthogonal ensemble, from which they are carried over by their
shares of the two densities; of very many, each share of their density stands for several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.theory.labels.label_measure import unpack
from mimverify.theory.spectrum.resolvent import Resolvent

if TYPE_CHECKING:
    from jaxtyping import Float64

# Points at which the density of the bulk is computed.
_POINTS = 300
# Up to so many eigenvalues of H⊥ are drawn one by one; of more, so many stand for all.
_MOST = 256
_FEWEST_SHARES = 60
_NEWTON_STEPS = 14
_NEWTON_DONE = 1e-11  # relative step from which on rounding alone moves the iterates
# Fewer eigenvalues than this in a part of the spectrum are not drawn from an ensemble.
_FEWEST_REPELLED = 8


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of H, and where their eigenvectors are in the hidden subspace.

    - `eigenvalues`: `(E,)`; `components`: U v for each eigenvector v, rows `(E, r)`, with
      `components.T @ components` the identity.
    - `spare`, `multiplicity`: `(N,)`, further eigenvalues with eigenvectors outside the subspace,
      and how many times each counts (not necessarily an integer).
    """

    eigenvalues: Float64Array
    components: Float64Array
    spare: Float64Array
    multiplicity: Float64Array

    @property
    def rank(self) -> int:
        """r."""
        return int(self.components.shape[1])


@dataclass(frozen=True)
class Bulk:
    """The spectrum of H⊥ in N equal shares, and what couples it to the hidden features.

    - `theta`: `(N,)`, the median of each share; `coupling`: the mean of Σ h_j h_jᵀ over each,
      `(N, r, r)`; they sum to E[T² zzᵀ]/α.
    - `edges`: of the bulk; `gaps`: shares `(g,)` below each gap of its spectrum, ends included.
    """

    theta: Float64Array
    coupling: Float64Array
    edges: tuple[float, float]
    gaps: Float64Array

    def repelled(self, rng: np.random.Generator) -> Float64Array:
        """Random eigenvalues `(N,)` in place of `theta`.

        Beyond the outermost medians the share is (distance from the edge)^1.5 by the square root
        with which the density ends. Parts of the spectrum that hold very few eigenvalues, of a
        large label each, keep theirs.
        """
        count = len(self.theta)
        if count < _FEWEST_REPELLED:
            return self.theta
        middles = (np.arange(count) + 0.5) / count
        shares = _ensemble_shares(count, rng)
        part = np.searchsorted(self.gaps, middles) - 1
        low, high = self.gaps[part], self.gaps[part + 1]
        few = (high - low) * count < _FEWEST_REPELLED
        result = np.interp(
            np.clip(shares, low + 0.5 / count, high - 0.5 / count), middles, self.theta
        )
        near = np.arange(3)
        for edge, tail, outermost, own, mirrored in (
            (self.edges[0], low == 0, self.theta[near], shares, middles),
            (self.edges[1], high == 1, self.theta[::-1][near], 1 - shares, 1 - middles),
        ):
            outward = np.sign(edge - outermost[1])
            scale = np.mean(middles[near] / np.abs(outermost - edge).clip(min=1e-300) ** 1.5)
            beyond = tail & (own < middles[1]) & (mirrored < 0.5)
            distance = np.sign(own) * (np.abs(own) / scale) ** (2 / 3)
            result = np.where(beyond, edge - outward * distance, result)
        return np.where(few, self.theta, result)


def _ensemble_shares(count: int, rng: np.random.Generator) -> Float64Array:
    """Shares of the semicircle below the eigenvalues of a matrix of the Gaussian orthogonal
    ensemble, `(count,)`, by its tridiagonal form (Dumitriu and Edelman); continued beyond its
    ends, below 0 and above 1, as (distance)^1.5 is."""
    from scipy.linalg import eigh_tridiagonal

    diagonal = np.sqrt(2) * rng.standard_normal(count)
    beside = np.sqrt(rng.chisquare(np.arange(count - 1, 0, -1)))
    x = eigh_tridiagonal(diagonal, beside, eigvals_only=True) / np.sqrt(count)
    inside = np.clip(x, -2, 2)
    shares = 0.5 + inside * np.sqrt(4 - inside**2) / (4 * np.pi) + np.arcsin(inside / 2) / np.pi
    return np.asarray(shares + np.sign(x) * 2 / (3 * np.pi) * (np.abs(x) - np.abs(inside)) ** 1.5)


def bulk(resolvent: Resolvent, shares: int) -> Bulk:
    """The bulk's density −Im g/π and coupling density −Im E[T² zzᵀ/(w − T)]/π, along the curve on
    which ζ is real: Im ζ = Im w (1/α − E[T²/|w − T|²])."""
    measure, alpha, r = resolvent.measure, resolvent.alpha, resolvent.rank
    turn = (1 - np.cos(np.pi * (np.arange(_POINTS) + 0.5) / _POINTS)) / 2
    across = resolvent.w_minus + (resolvent.w_plus - resolvent.w_minus) * turn
    w = across + 1j * _heights(resolvent, across)
    sums = resolvent.sums(w)
    zeta = np.real(w / alpha + resolvent.mean + sums[:, 0])
    order = np.argsort(zeta, kind="stable")
    w, zeta, sums = w[order], zeta[order], sums[order]
    low, high = resolvent.edges
    cuts = np.concatenate([[low], (zeta[1:] + zeta[:-1]) / 2, [high]])
    widths = np.diff(cuts)
    mass = np.maximum(np.imag(-alpha / w) / np.pi, 0.0) * widths
    coupled = unpack(-np.imag(sums[:, 1:]) / np.pi * widths[:, None], r)
    # Rank α P(T ≠ 0) at most: the other eigenvalues are zero.
    zero = max(0.0, 1 - alpha * float(measure.mass[measure.T != 0].sum()))
    mass *= (1 - zero) / mass.sum()
    if zero:
        at = int(np.searchsorted(zeta, 0.0))
        mass = np.insert(mass, at, zero)
        coupled = np.insert(coupled, at, 0.0, axis=0)
        cuts = np.insert(cuts, at, cuts[at])
        cuts[at : at + 2] = 0.0
        cuts = np.sort(cuts)
    cumulative = np.concatenate([[0.0], mass.cumsum()])
    cumulative /= cumulative[-1]
    empty = mass < 1e-9 / shares
    gaps = np.unique(np.concatenate([[0.0], cumulative[:-1][empty], [1.0]]))
    gaps = gaps[np.insert(np.diff(gaps) > 1e-9, 0, True)]  # one for each stretch of empty points
    gaps[-1] = 1.0
    edges = np.arange(shares + 1) / shares
    flat = np.concatenate([np.zeros((1, r * r)), coupled.reshape(-1, r * r).cumsum(axis=0)])
    at_edges = np.column_stack([np.interp(edges, cumulative, column) for column in flat.T])
    coupling = np.diff(at_edges, axis=0).reshape(shares, r, r)
    expected = measure.weighted_second(2) / alpha
    coupling *= np.trace(expected) / np.trace(coupling.sum(axis=0))
    theta = np.interp((edges[1:] + edges[:-1]) / 2, cumulative, cuts)
    return Bulk(theta, coupling, (low, high), gaps)


def _heights(resolvent: Resolvent, across: Float64Array) -> Float64Array:
    """Im w ≥ 0 with E[T²/|w − T|²] = 1/α at each Re w, or 0 where there is none.

    1/E[T²/((Re w − T)² + s)] is increasing and concave in s: Newton's steps come from the left.
    """
    T, alpha = resolvent.measure.T, resolvent.alpha
    weights = T**2 * resolvent.measure.mass
    distance = (across[:, None] - T) ** 2
    # From the right end, whose first step lands on the left of the root.
    s = np.full(len(across), 1.01 * alpha * resolvent.variance)
    inverse = np.empty_like(distance)
    for _ in range(_NEWTON_STEPS):
        np.add(distance, s[:, None], out=inverse)
        np.divide(1, inverse, out=inverse)
        mean = inverse @ weights
        np.square(inverse, out=inverse)
        before = s
        s = np.maximum(s - (1 / mean - alpha) * mean**2 / (inverse @ weights), 0.0)
        if (np.abs(s - before) <= _NEWTON_DONE * s).all():
            break
    return np.asarray(np.sqrt(s))


def draw_spectrum(resolvent: Resolvent, dim: int, rng: np.random.Generator) -> Spectrum:
    """H's spectrum in one data set, given its labels' law, d = `dim`.

    **Arguments**

    - `resolvent`: at α = n/(d − r), the ratio for the inputs outside the hidden subspace.
    """
    r, outside = resolvent.rank, dim - resolvent.rank
    single = outside <= _MOST
    found = bulk(resolvent, outside if single else max(_MOST // r, _FEWEST_SHARES))
    shares = len(found.theta)
    values, vectors = np.linalg.eigh(found.coupling)
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    dispersion = _dispersion(resolvent, found, outside)
    if single:  # r neighbours' directions add up to a Wishart matrix
        factor = _wishart_root(r / dispersion, -(-outside // r), r, rng)
        columns = np.moveaxis(factor, 1, 2).reshape(-1, r, 1)[:outside] * np.sqrt(r)
        h = root @ columns
    else:
        h = root @ _wishart_root(outside / shares / dispersion, shares, r, rng)
    theta = found.repelled(rng) if single else found.theta
    each = h.shape[2]
    size = shares * each
    H = np.zeros((r + size, r + size))
    H[:r, :r] = resolvent.measure.weighted_second(1)
    H[:r, r:] = np.moveaxis(h, 1, 0).reshape(r, size)
    H[r:, :r] = H[:r, r:].T
    H[np.arange(r, r + size), np.arange(r, r + size)] = np.repeat(theta, each)
    eigenvalues, vectors = np.linalg.eigh(H)
    spare = np.full(shares, max(outside / shares - each, 0.0))
    return Spectrum(eigenvalues, vectors[:r].T, theta, spare)


def _wishart_root(
    count: float, shares: int, rank: int, rng: np.random.Generator
) -> Float64[Float64Array, "shares r r"]:
    """A with A Aᵀ a Wishart matrix of `count` degrees of freedom and mean I, by Bartlett's
    decomposition, its columns turned at random."""
    factor = np.zeros((shares, rank, rank))
    for i in range(rank):
        factor[:, i, i] = np.sqrt(rng.chisquare(max(count - i, 1.0), size=shares))
        factor[:, i, :i] = rng.standard_normal((shares, i))
    turn, _ = np.linalg.qr(rng.standard_normal((shares, rank, rank)))
    return np.asarray(factor @ turn / np.sqrt(count))


def _dispersion(resolvent: Resolvent, found: Bulk, outside: int) -> float:
    """Variance of M given the labels over that of independent Gaussian h_j, at most 1.

    tr S² γ/(nα), S = E[τ² zzᵀ] and γ = −dg/dζ (docs/theory-engine.md, §5), over
    Σ_j tr C_j²/(ζ − θ_j)², C_j the mean of h_j h_jᵀ, at the spectrum's end of largest modulus:
    eigenvectors that rest on a few large labels have couplings as fixed as these.
    """
    edge = max(resolvent.edges, key=abs)
    end = max(resolvent.extremes, key=abs)
    beyond = edge + 0.1 * (edge - sum(resolvent.edges) / 2)
    zeta = end if abs(end) > abs(beyond) else beyond
    w, measure, alpha = resolvent.w_at(zeta), resolvent.measure, resolvent.alpha
    tau = w * measure.T / (w - measure.T)
    S = np.tensordot(tau**2, measure.second, axes=1)
    gamma = alpha / (w**2 * float(resolvent.slope(np.float64(w))))
    exact = float((S**2).sum()) * gamma / (alpha**2 * outside)
    # C_j of each eigenvalue in a share.
    each = (found.coupling**2).sum(axis=(1, 2)) * len(found.theta) / outside
    independent = float((each / (zeta - found.theta) ** 2).sum())
    return min(1.0, max(exact / independent, 1e-3))


def exact_spectrum(
    H: Float64[Float64Array, "d d"], subspace: Float64[Float64Array, "r d"]
) -> Spectrum:
    """The spectrum of a matrix that is known."""
    eigenvalues, vectors = np.linalg.eigh(H)
    return Spectrum(eigenvalues, (subspace @ vectors).T, np.zeros(0), np.zeros(0))
