"""Whether runs deviate from a prediction by no more than it says: a mean of squared deviations.

A prediction with a standard deviation says how far runs lie from it. The squared deviations, in
units of the predicted variance plus the square of the accuracy to which the prediction is known,
have a mean of at most 1 where it holds; a shift of all runs, or a larger spread, raises it. No law
is assumed. Clipped squares have no larger mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import ArrayLike
from mimverify.trial.decisions import Mean, Shown

if TYPE_CHECKING:
    from mimverify.support.arrays import Float64Array
    from mimverify.theory.trajectory import Trajectory

__all__ = ["as_predicted", "deviation_of_odds", "prediction_accuracy", "squared_deviation"]

# Fails beyond 1.5: a predicted variance is known to some ten per cent, not to a half. A shift by
# k deviations gives nearly 1 + k²; from 1.7 on, 3.5, it passes hardly ever. Beyond three deviations
# a run counts as one of three.
_AT_MOST, _GAP, _LARGEST = 1.5, 2.0, 9.0


def as_predicted(name: str, *, quantity: str) -> Mean:
    """The claim that `squared_deviation` from a prediction has a mean of at most 1.5.

    **Arguments**

    - `name`: what is as predicted, for messages.
    - `quantity`: of the values that are shown beside their predictions, for the table.
    """
    return Mean(
        name,
        at_most=_AT_MOST,
        gap=_GAP,
        low=0.0,
        high=_LARGEST,
        quantity=quantity,
        number="squared deviation",
    )


def squared_deviation(
    values: ArrayLike, predicted: ArrayLike, deviation: ArrayLike, accuracy: ArrayLike = 0.0
) -> float:
    """One run's (value − predicted)²/(deviation² + accuracy²), each at most 9; the mean of them.

    **Arguments**

    - `values`: of the run, `(k,)` or a number, as are the others.
    - `predicted`, `deviation`: mean and standard deviation of one run by the theory.
    - `accuracy`: to which the predicted mean is known.
    """
    gaps = np.asarray(values, dtype=np.float64) - np.asarray(predicted)
    scale = np.hypot(np.asarray(deviation), np.asarray(accuracy))
    squares: Float64Array = np.minimum((gaps / scale) ** 2, _LARGEST)
    return float(np.mean(squares))


def deviation_of_odds(
    odds: ArrayLike, predicted: ArrayLike, deviation: ArrayLike, accuracy: ArrayLike = 0.0
) -> Shown:
    """`squared_deviation` of log-odds `(k,)`, with the alignments of the last shown beside it."""
    from scipy.special import expit

    last = [float(expit(np.atleast_1d(one)[-1])) for one in (odds, predicted)]
    return Shown(squared_deviation(odds, predicted, deviation, accuracy), *last)


def prediction_accuracy(predicted: Trajectory) -> Float64Array:
    """To which predicted log-odds `(steps + 1,)` are known.

    1 % of the alignment, and the truncation error of the expansion in 1/d: its last term and its
    remainder.
    """
    of_alignment = 0.01 / (1 - predicted.alignment)
    return np.asarray(of_alignment + np.abs(predicted.log_odds_shift) + predicted.remainder)
