"""A deterministic stand-in for a sample: n labels where the quantiles of T are.

The law of T goes on where no sample has labels. What n of them reach is imitated by putting the
most extreme ones, on either side, at the medians of equal shares 1/n of the law.
"""

from __future__ import annotations

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.support.validation import integer
from mimverify.theory.labels.label_law import LabelLaw
from mimverify.theory.labels.label_measure import LabelMeasure, pairs, sorted_measure
from mimverify.theory.labels.stable_order import stable_order

# So many labels on either side are told apart; between them the law is taken as it is.
_MOST_EXTREME = 200


def reaches_both_ends(law: LabelLaw, n: int) -> bool:
    """Whether the extreme labels of n all sit at the ends of the law's support: T is then bounded
    for n labels as it is for all."""
    share = min(n // 2, _MOST_EXTREME) / n
    return all(
        float(law.weights[end == law.T].sum()) >= share for end in (law.T.min(), law.T.max())
    )


def quantile_measure(law: LabelLaw, n: int) -> LabelMeasure:
    """The measure of n labels at the quantiles of a law's T, centred; without fourth moments.

    **Arguments**

    - `n`: at least 2. Each of the 200 largest and the 200 smallest has mass 1/n, and E[zzᵀ | T]
      is the mean over its share.
    """
    n = integer("n", n, minimum=2)
    i, j = pairs(law.rank)
    order = law.order
    T, weights = law.T[order], law.weights[order]
    mass = np.concatenate([[0.0], weights.cumsum()])
    total = mass[-1]
    mass = mass / total
    count = min(n // 2, _MOST_EXTREME)
    shares = np.arange(count + 1) / n

    nodes: list[Float64Array] = []
    masses: list[Float64Array] = []
    for cuts in (shares, 1 - shares[::-1]):
        # Nodes from the one in which the first cut falls to that of the last: tails, mostly.
        first = max(int(np.searchsorted(mass, cuts[0], side="right")) - 1, 0)
        last = min(int(np.searchsorted(mass, cuts[-1], side="left")) + 1, len(mass) - 1)
        part = order[first:last]
        z = law.z[part]
        features = np.column_stack([np.ones(len(part)), z[:, i] * z[:, j]])
        features *= law.weights[part, None]
        below = np.concatenate([np.zeros((1, features.shape[1])), features.cumsum(axis=0)])
        at_cuts = np.column_stack(
            [np.interp(cuts, mass[first : last + 1], column) for column in below.T]
        )
        middles = (cuts[1:] + cuts[:-1]) / 2
        nodes.append(T[np.searchsorted(mass[1:], middles).clip(max=len(T) - 1)])
        masses.append(np.diff(at_cuts, axis=0))
    left, right = shares[-1], 1 - shares[-1]
    kept = np.minimum(mass[1:], right) - np.maximum(mass[:-1], left)
    inside = kept > 0
    if right > left and inside.any():
        part = order[inside]
        whole = sorted_measure(
            T[inside], law.z.T.take(part, axis=1), kept[inside], fourth_moments=False
        )
        nodes.append(whole.T)
        masses.append(whole.features)
    at, packed = np.concatenate(nodes), np.concatenate(masses)
    packed = packed / packed[:, 0].sum()
    at = at - at @ packed[:, 0]
    rank = stable_order(at)
    return LabelMeasure(at[rank], packed[rank], None, law.rank, float(at.min()), float(at.max()))
