"""How many directions a lazy run queries: the memory to reserve. Source: theory.md §8."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mimverify.experiment.resolved import ResolvedConfig
from mimverify.network.losses import Loss

# Each conjugate-gradient solve of `fit_linear_part` reduces its residual by two digits.
_GAIN = math.log(100)
# Reweighting converges more slowly: two to four times as many solves were counted for Huber's
# and log-cosh losses with delta near the labels' spread, more for heavier tails. Reserving too
# much costs less than growing, when old and new memory exist at once.
_REWEIGHTED = 4


@dataclass(frozen=True)
class Directions:
    """Directions of X V (`right`) and of Xᵀ R (`left`) to reserve, at least one of each."""

    right: int
    left: int


def training_directions(config: ResolvedConfig) -> Directions:
    """Those of stage 1: exact without a linear part to remove, an estimate with one."""
    queried = config.steps * (config.neurons // 2 if mirrored(config) else config.neurons)
    right, left = config.link.rank + queried, queried
    if config.remove_linear_part:
        regression = regression_directions(config.loss, config.samples, config.dim, config.dtype)
        # θ itself is queried at every step: no new direction, but memory for one more row.
        right, left = right + regression.right + 1, left + regression.left
    return Directions(right, max(left, 1))


def mirrored(config: ResolvedConfig) -> bool:
    """Whether training keeps the mirrored pairs of the symmetric start, exactly (E1).

    Without decay that cancels the old weights, rounding separates the pairs.
    """
    if config.schedule != "scale-free" and (config.eta or 0.0) * (config.beta or 0.0) != 1.0:
        return False
    return bool(config.activation.even)


def regression_directions(loss: Loss, n: int, d: int, dtype: str) -> Directions:
    """Those of `fit_linear_part` on n > d rows of independent normals.

    The condition number κ of XᵀX is ((1 + √(d/n)) / (1 − √(d/n)))², so that each
    conjugate-gradient iteration multiplies the error by √(d/n), and queries one direction on each
    side; the error of a residual is that of a solution times √κ at most. Least squares is one
    such problem, restarted after every two digits, which may cost an iteration each time;
    reweighted, each solve is a new problem. Each solve queries one more direction on the left,
    the residual that it starts from; weights and intercept query two in all.
    """
    ratio = math.sqrt(d / max(n, d + 1))
    unit = float(np.finfo(dtype).eps) / 2
    # The tolerance of `fit_linear_part`, relative to its initial residual.
    goal = max(8 * unit * math.sqrt(d), 1e-12)
    start = math.log(2 * (1 + ratio) / (1 - ratio))
    solves = max(math.ceil((start - math.log(goal)) / _GAIN), 1)
    if loss.name == "squared":
        iterations = math.ceil((start - math.log(goal)) / -math.log(ratio)) + solves
    else:
        solves *= _REWEIGHTED
        iterations = solves * math.ceil((start + _GAIN) / -math.log(ratio))
    # No more than d or n are independent; a dependent one needs memory for one more row.
    return Directions(min(iterations, d) + 1, min(iterations + solves + 2, n) + 1)
