"""How many samples T steps need: n_half from D1, and its local exponent in d (theory.md D3)."""

from __future__ import annotations

import math

import numpy as np

from mimverify.theory.closed_forms import closed_form_n_half
from mimverify.theory.labels.label_measure import LabelMeasure
from mimverify.theory.spectrum.resolvent import Resolvent
from mimverify.theory.spectrum.traces import traces

#: Of n/d: what needs more samples counts as never learned.
HIGHEST_RATIO = 1e13

_HIGHEST_LOG_RATIO = math.log(HIGHEST_RATIO)
_LOWEST_LOG_RATIO = math.log(1e-3)


def alignment_at(measure: LabelMeasure, dim: float, alpha: float, steps: int) -> float:
    """A_T of D1 at sample ratio α."""
    moments = traces(Resolvent(measure, alpha), dim, [2 * steps])
    return float(np.trace(moments.signal[0]) / moments.total[0])


def n_half(
    measure: LabelMeasure, dim: int, steps: int, level: float = 0.5, guess: float | None = None
) -> float | None:
    """The samples n for which D1's A_T reaches `level` (1/2), not rounded; d = `dim`.

    None where no n reaches it, as at a plateau (theory.md §6, N1).

    **Arguments**

    - `guess`: first guess of n (by default the closed form's).
    """
    from scipy.optimize import brentq

    def gap(log_alpha: float) -> float:
        return alignment_at(measure, dim, math.exp(log_alpha), steps) - level

    if guess is None:
        eigenvalues = np.linalg.eigvalsh(measure.weighted_second(1))
        guess = float(closed_form_n_half(eigenvalues, measure.moment(2), steps, dim=dim))
    middle = math.log(guess / dim) if 1e-3 < guess / dim < HIGHEST_RATIO else 2.0
    low = high = min(max(middle, _LOWEST_LOG_RATIO), _HIGHEST_LOG_RATIO)
    stride = 0.2
    while gap(high) < 0:
        if high >= _HIGHEST_LOG_RATIO:
            return None
        low, high = high, high + stride
        stride *= 2
    stride = 0.2
    while gap(low) > 0:
        low, high = low - stride, low
        stride *= 2
        if low < _LOWEST_LOG_RATIO:
            return None  # above the level without samples: r/d itself is
    if low == high:
        return dim * math.exp(low)
    return dim * math.exp(float(brentq(gap, low, high, xtol=1e-8)))


def local_exponent(
    measure: LabelMeasure, dim: int, steps: int, samples: float | None = None
) -> float | None:
    """d log n_half/d log d at d = `dim`; tends to 1 + 1/T. None where there is no n_half.

    From the derivatives of the log-odds of A_T in log d and log α where they vanish.

    **Arguments**

    - `samples`: n_half, if known.
    """
    from scipy.special import logit

    samples = n_half(measure, dim, steps) if samples is None else samples
    if samples is None:
        return None
    step = 1e-3
    ratio = samples / dim

    def log_odds(d: float, alpha: float) -> float:
        return float(logit(alignment_at(measure, d, alpha, steps)))

    in_dim = log_odds(dim * math.exp(step), ratio) - log_odds(dim * math.exp(-step), ratio)
    in_ratio = log_odds(dim, ratio * math.exp(step)) - log_odds(dim, ratio * math.exp(-step))
    return 1 - in_dim / in_ratio
