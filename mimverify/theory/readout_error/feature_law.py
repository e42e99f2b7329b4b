"""The moments of stage 2's features over the population, without a sample.

Feature k is σ(γ + b), γ = ŵ·x a unit Gaussian. With c_kj = E[σ(γ + b) h_j(γ)],
Cov(φ_k, φ_l) = Σ_{j ≥ 1} c_kj c_lj ρ^j, ρ the correlation of their γ (Mehler), and exactly by
quadrature where they read the same direction. Derivation: docs/theory-engine.md, §12.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.network.activations import Activation
from mimverify.support.arrays import Float64Array
from mimverify.theory.readout_error.label_expansion import LabelExpansion, hermite_values
from mimverify.training.features import Moments

if TYPE_CHECKING:
    from jaxtyping import Float64

#: Degree up to which features are expanded.
DEGREE = 100
# The trapezoidal rule converges faster than any power for smooth σ; 11 standard deviations hold
# all but 4e-28 of the normal law.
_REACH, _SPACING = 11.0, 0.05
# Higher degrees whose coefficients are all below this change no moment.
_NEGLIGIBLE = 1e-9
# Rows are equal up to rounding.
_SAME = 1e-14


def population_moments(
    directions: Float64[Float64Array, "k q"],
    rank: int,
    biases: Float64[Float64Array, " p"],
    activation: Activation,
    labels: LabelExpansion,
) -> Moments:
    """What `feature_moments` tends to as n → ∞.

    **Arguments**

    - `directions`: unit rows in coordinates of which the first `rank` are the hidden features;
      feature j reads row j mod k.
    """
    k, p = len(directions), len(biases)
    directions = directions[:p]
    # Mirrored rows, and equal ones, are one direction with a sign.
    which, signs, distinct = _distinct(directions)
    reads = np.arange(p) % k
    which, signs = which[reads], signs[reads]
    g, weights, hermites = _nodes()
    values = np.empty((p, len(g)))
    preactivations = signs[:, None] * g + biases[:, None]
    activation.to_value(preactivations, values)
    coefficients = (values * weights) @ hermites
    mean, coefficients = coefficients[:, 0], coefficients[:, 1:]
    large = np.abs(coefficients).max(axis=0) > _NEGLIGIBLE * np.abs(coefficients).max(
        initial=1e-300
    )
    last = int(np.flatnonzero(large)[-1]) + 1 if large.any() else 1
    coefficients = coefficients[:, :last]
    gram = np.empty((p, p))
    correlations = directions[distinct] @ directions[distinct].T
    degrees = np.arange(1, last + 1)
    members = [np.flatnonzero(which == i) for i in range(len(distinct))]
    order = np.concatenate(members)
    sorted_coefficients, of_sorted = coefficients[order], which[order]
    centred = values - mean[:, None]
    for i, own in enumerate(members):
        powers = correlations[i, :, None] ** degrees
        gram[np.ix_(own, order)] = coefficients[own] @ (sorted_coefficients * powers[of_sorted]).T
        gram[np.ix_(own, own)] = (centred[own] * weights) @ centred[own].T
    along = labels.along(directions[distinct][:, :rank])
    shared = min(last, labels.degree)
    cross = (coefficients[:, :shared] * along[which, :shared]).sum(axis=1)
    return Moments(mean, (gram + gram.T) / 2, cross, labels.mean)


@cache
def _nodes() -> tuple[Float64Array, Float64Array, Float64Array]:
    """Nodes, weights of the normal law, and h_0 … h_DEGREE at the nodes."""
    half = round(_REACH / _SPACING)
    g: Float64Array = _SPACING * np.arange(-half, half + 1, dtype=float)
    weights = np.exp(-(g**2) / 2)
    weights /= weights.sum()
    return g, weights, hermite_values(g, DEGREE)


def _distinct(
    directions: Float64Array,
) -> tuple[NDArray[np.int_], Float64Array, NDArray[np.int_]]:
    """For each row which distinct one it is, and with which sign; and which rows those are."""
    overlaps = directions @ directions.T
    first = (np.abs(overlaps) > 1 - _SAME).argmax(axis=1)
    distinct, which = np.unique(first, return_inverse=True)
    signs: Float64Array = np.sign(overlaps[np.arange(len(directions)), first])
    return which.astype(int), signs, distinct
