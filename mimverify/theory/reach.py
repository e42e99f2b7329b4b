"""Thresholds by the law of T that n labels reach, and from which n the limit's mean anything.

The thresholds of theory.md §5 belong to n → ∞. A bound of T that no sample of n labels comes
near does not end its spectrum: Huber with delta = 50 is squared loss for all labels there are.
What they see is taken from n labels at the quantiles of T.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mimverify.network.losses import DEFAULT_LOSS, Loss, get_loss
from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import Float64Array
from mimverify.support.validation import integer, number
from mimverify.theory.analysis import analyse_transform
from mimverify.theory.labels.cache import cached
from mimverify.theory.labels.label_law import label_law
from mimverify.theory.labels.quantile_measure import quantile_measure, reaches_both_ends
from mimverify.theory.labels.transforms import LabelTransform
from mimverify.theory.spectrum.population import reached_measure
from mimverify.theory.spectrum.thresholds import Thresholds, thresholds

#: Relative distance from its limit at which a threshold counts as near.
NEAR = 0.05
# Powers of ten among which the n is sought from which thresholds are near.
_LEAST_POWER, _MOST_POWER = 2, 16


@dataclass(frozen=True)
class ReachedThresholds:
    """Thresholds for n labels, under one link and loss.

    - `samples`: n.
    - `spectral`: `(r,)` from which n/d 1, 2, … r outliers exist; `descent`: α_GD. Both are inf
      where never, and change with d at this law of T.
    - `spectral_error` `(r,)`, `descent_error`: how far they move on a coarser quadrature; nan
      where there is no coarser one, or where a threshold is inf.
    """

    samples: int
    spectral: Float64Array
    descent: float
    spectral_error: Float64Array
    descent_error: float


@cached(maxsize=64)
def _at(link: Link, loss: Loss | LabelTransform, samples: int, noise: float) -> Thresholds:
    analysis = analyse_transform(link, loss, noise=noise)
    spectral, descent = analysis.alpha_spectral, analysis.alpha_gd
    reached = reaches_both_ends(label_law(link, loss, noise=noise), samples)
    if reached and spectral is not None and descent is not None:
        return Thresholds(spectral, descent)
    found = thresholds(reached_measure(link, loss, samples, noise=noise))
    limit = min(analysis.resolved_ratio, float(samples))  # from n/d = n on there is no d
    return Thresholds(
        np.where(found.spectral < limit, found.spectral, math.inf),
        found.descent if found.descent < limit else math.inf,
    )


@cached(maxsize=64)
def _thresholds_at(
    link: Link, loss: Loss | LabelTransform, samples: int, noise: float
) -> ReachedThresholds:
    analysis = analyse_transform(link, loss, noise=noise)
    found = _at(link, loss, samples, noise)
    law = label_law(link, loss, noise=noise)
    spectral_error, descent_error = np.full(link.rank, math.nan), math.nan
    if law.check is not None:
        coarse = thresholds(quantile_measure(law.check, samples))
        with np.errstate(invalid="ignore"):  # inf − inf
            spectral_error = law.margin * np.abs(coarse.spectral - found.spectral)
            descent_error = law.margin * abs(coarse.descent - found.descent)
        if analysis.alpha_gd_error is not None:  # an asymmetry of the bulk counts as well
            descent_error = max(descent_error, analysis.alpha_gd_error)
    return ReachedThresholds(
        samples, found.spectral, found.descent, spectral_error, float(descent_error)
    )


def reached_thresholds(
    link: Link | str,
    loss: Loss | LabelTransform | str = DEFAULT_LOSS,
    *,
    samples: int,
    noise: float = 0.0,
    rank: int | None = None,
) -> ReachedThresholds:
    """The thresholds of the law of T that n = `samples` labels reach; of any T, bounded or not.

    Other arguments and errors as in `label_law`.
    """
    link = get_link(link, rank=rank)
    loss = get_loss(loss) if isinstance(loss, str) else loss
    samples = integer("samples", samples, minimum=2)
    return _thresholds_at(link, loss, samples, number("noise", noise, minimum=0.0))


def limit_holds_from(link: Link, loss: Loss | LabelTransform, *, noise: float = 0.0) -> int | None:
    """The power of ten from which, as n grows, all thresholds are within 5 % of their limits.

    None where there are no limits (an unbounded T), or no n that a law's nodes resolve.
    """
    analysis = analyse_transform(link, loss, noise=noise)
    if analysis.alpha_spectral is None or analysis.alpha_gd is None:
        return None
    limits = np.array([*analysis.alpha_spectral, analysis.alpha_gd])
    limits = np.where(np.isfinite(limits), limits, 0.0)

    def near(power: int) -> bool:
        found = _at(link, loss, 10**power, noise)
        values = np.array([*found.spectral, found.descent])
        values = np.where(np.isfinite(values), values, 0.0)
        return bool((np.abs(values - limits) <= NEAR * limits).all())

    low, high = _LEAST_POWER - 1, _MOST_POWER
    if not near(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if near(middle) else (middle, high)
    return int(10**high)
