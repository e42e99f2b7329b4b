"""Spectra of H at finite d, drawn without drawing H.

In the eigenbasis of the noise block H⊥ = (1/n) Σ T_i x⊥_i x⊥_iᵀ, with eigenvalues θ_j, H is an
arrowhead matrix,

    H = [ H_zz  h  ]      h_j = (1/n) Σ_i T_i z_i (x⊥_i · v_j),
        [ hᵀ    θ  ]

and Σ_j h_j h_jᵀ/(ζ − θ_j) is what M(ζ) subtracts (docs/theory-engine.md, §3). So the mean of
h_j h_jᵀ near θ is a matrix density that the resolvent knows on the edge of the upper half plane;
eigenvectors of H⊥ are as random as rotation makes them, so h_j is drawn as Gaussian. The θ_j are
taken where the quantiles of their density are: they repel each other.
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
    """

    theta: Float64Array
    coupling: Float64Array


def bulk(resolvent: Resolvent, shares: int) -> Bulk:
    """The bulk's density −Im g/π and coupling density −Im E[T² zzᵀ/(w − T)]/π, along the curve on
    which ζ is real: Im ζ = Im w (1/α − E[T²/|w − T|²])."""
    measure, alpha, r = resolvent.measure, resolvent.alpha, resolvent.rank
    turn = (1 - np.cos(np.pi * (np.arange(_POINTS) + 0.5) / _POINTS)) / 2
    across = resolvent.w_minus + (resolvent.w_plus - resolvent.w_minus) * turn
    w = across + 1j * _heights(resolvent, across)
    zeta = np.real(resolvent.zeta(w))
    order = np.argsort(zeta, kind="stable")
    w, zeta = w[order], zeta[order]
    low, high = resolvent.edges
    cuts = np.concatenate([[low], (zeta[1:] + zeta[:-1]) / 2, [high]])
    widths = np.diff(cuts)
    mass = np.maximum(np.imag(-alpha / w) / np.pi, 0.0) * widths
    gap = measure.T**2 / (w[:, None] - measure.T)
    coupled = unpack(-np.imag(gap @ measure.features[:, 1:]) / np.pi * widths[:, None], r)
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
    edges = np.arange(shares + 1) / shares
    flat = np.concatenate([np.zeros((1, r * r)), coupled.reshape(-1, r * r).cumsum(axis=0)])
    at_edges = np.column_stack([np.interp(edges, cumulative, column) for column in flat.T])
    coupling = np.diff(at_edges, axis=0).reshape(shares, r, r)
    expected = measure.weighted_second(2) / alpha
    coupling *= np.trace(expected) / np.trace(coupling.sum(axis=0))
    return Bulk(np.interp((edges[1:] + edges[:-1]) / 2, cumulative, cuts), coupling)


def _heights(resolvent: Resolvent, across: Float64Array) -> Float64Array:
    """Im w ≥ 0 with E[T²/|w − T|²] = 1/α at each Re w, or 0 where there is none.

    1/E[T²/((Re w − T)² + s)] is increasing and concave in s: Newton's steps come from the left.
    """
    T, alpha = resolvent.measure.T, resolvent.alpha
    weights = T**2 * resolvent.measure.mass
    distance = (across[:, None] - T) ** 2
    # From the right end, whose first step lands on the left of the root.
    s = np.full(len(across), 1.01 * alpha * resolvent.variance)
    for _ in range(_NEWTON_STEPS):
        inverse = 1 / (distance + s[:, None])
        mean = inverse @ weights
        s = np.maximum(s - (1 / mean - alpha) * mean**2 / ((inverse**2) @ weights), 0.0)
    return np.asarray(np.sqrt(s))


def draw_spectrum(resolvent: Resolvent, dim: int, rng: np.random.Generator) -> Spectrum:
    """H's spectrum in one data set, given its labels' law, d = `dim`.

    **Arguments**

    - `resolvent`: at α = n/(d − r), the ratio for the inputs outside the hidden subspace.
    """
    r, outside = resolvent.rank, dim - resolvent.rank
    single = outside <= _MOST
    shares = outside if single else max(_MOST // r, _FEWEST_SHARES)
    found = bulk(resolvent, shares)
    values, vectors = np.linalg.eigh(found.coupling)
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    if single:
        h = root @ rng.standard_normal((shares, r, 1))
    else:  # the sum over a share is a Wishart matrix, by Bartlett's decomposition
        count = outside / shares
        factor = np.zeros((shares, r, r))
        for i in range(r):
            factor[:, i, i] = np.sqrt(rng.chisquare(max(count - i, 1.0), size=shares))
            factor[:, i, :i] = rng.standard_normal((shares, i))
        h = root @ factor / np.sqrt(count)
    each = h.shape[2]
    size = shares * each
    H = np.zeros((r + size, r + size))
    H[:r, :r] = resolvent.measure.weighted_second(1)
    H[:r, r:] = np.moveaxis(h, 1, 0).reshape(r, size)
    H[r:, :r] = H[:r, r:].T
    H[np.arange(r, r + size), np.arange(r, r + size)] = np.repeat(found.theta, each)
    eigenvalues, vectors = np.linalg.eigh(H)
    spare = np.full(shares, max(outside / shares - each, 0.0))
    return Spectrum(eigenvalues, vectors[:r].T, found.theta, spare)


def exact_spectrum(
    H: Float64[Float64Array, "d d"], subspace: Float64[Float64Array, "r d"]
) -> Spectrum:
    """The spectrum of a matrix that is known."""
    eigenvalues, vectors = np.linalg.eigh(H)
    return Spectrum(eigenvalues, (subspace @ vectors).T, np.zeros(0), np.zeros(0))
