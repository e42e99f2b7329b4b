"""Exact inference on a rate from independent seeds: p-values, bounds, power."""

from __future__ import annotations

import numpy as np

__all__ = [
    "BOUND_RISK",
    "detectable_rate",
    "exceedance",
    "fewest_alarms",
    "lower_bound",
    "upper_bound",
]

#: Error probability of each confidence bound.
BOUND_RISK = 1e-3


def exceedance(alarms: int, seeds: int, level: float) -> float:
    """p-value of the exact binomial test of "the rate is at most `level`"."""
    from scipy.stats import binom

    return float(binom.sf(alarms - 1, seeds, level))


def fewest_alarms(seeds: int, level: float, risk: float) -> int | None:
    """The fewest alarms whose `exceedance` is below `risk`; None if not even `seeds` are enough."""
    from scipy.stats import binom

    alarms = np.arange(seeds + 1)
    (found,) = np.nonzero(binom.sf(alarms - 1, seeds, level) < risk)
    return int(found[0]) if len(found) else None


def detectable_rate(seeds: int, level: float, risk: float, *, power: float) -> float | None:
    """The smallest rate at which the test at `risk` fails with probability at least `power`."""
    from scipy.stats import beta

    alarms = fewest_alarms(seeds, level, risk)
    if alarms is None:
        return None
    # P(at least k of n) at rate p is the regularised incomplete beta function I_p(k, n − k + 1).
    return float(beta.ppf(power, alarms, seeds - alarms + 1))


def lower_bound(happened: int, of: int, risk: float = BOUND_RISK) -> float:
    """Clopper–Pearson lower bound of a probability; wrong with probability at most `risk`."""
    from scipy.stats import beta

    return float(beta.ppf(risk, happened, of - happened + 1)) if happened else 0.0


def upper_bound(happened: int, of: int, risk: float = BOUND_RISK) -> float:
    """Clopper–Pearson upper bound of a probability; wrong with probability at most `risk`."""
    return 1 - lower_bound(of - happened, of, risk)
