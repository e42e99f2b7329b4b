"""The samples with which T steps from a balanced start reach an alignment of 1/2, predicted."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from mimverify.network.losses import get_loss
from mimverify.problems.links import get_link
from mimverify.studies.trials._parameters import PROBLEM, completed
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.theory import LabelMeasure, Resolvent, n_half
from mimverify.theory.spectrum.population import population_of
from mimverify.theory.spectrum.traces import traces
from mimverify.theory.trajectory import Trajectory, predict_trajectory

VERSION = 1

_NEEDED = ("link", "dim", "steps")
_DEFAULTS = {**PROBLEM, "repeats": 1}
# Of log n, between the two sizes that give the slope of the log-odds.
_APART = 0.1


def complete(given: Mapping[str, object]) -> Json:
    """All parameters: as of `mimverify predict`, and `repeats` of `balanced_start`."""
    return completed(given, _NEEDED, _DEFAULTS)


def cost(p: Json) -> float:
    """Seconds of one thread, very roughly."""
    return 1.0


def run(parameters: Json) -> Json:
    """`log_samples`: log of the n at which the mean log-odds of A vanish, with finite-size terms;
    `error` of it, as the prediction says itself; `limit`: n_half of D1 alone;
    `deviation` of the log-odds between runs, and their `slope` in log n.

    **Raises** `InputError` for a T without a deterministic limit, or where no n suffices.
    """
    p = complete(parameters)
    link, loss, dim, steps = get_link(p["link"]), get_loss(p["loss"]), p["dim"], p["steps"]
    measure = population_of(link, loss, noise=p["noise"]).measure
    limit = n_half(measure, dim, steps)
    if limit is None:
        raise InputError(f"link={link.name!r}, loss={loss.name!r}: no n reaches an alignment of ½")

    def at(log_samples: float) -> tuple[float, Trajectory]:
        found = predict_trajectory(
            link, loss, dim=dim, samples=round(math.exp(log_samples)), steps=steps,
            noise=p["noise"], seed=p["seed"],
        )  # fmt: skip
        return _balanced_log_odds(measure, found, steps, p["repeats"]), found

    x = math.log(limit)
    low, high = (at(x + shift)[0] for shift in (-_APART / 2, _APART / 2))
    slope = (high - low) / _APART
    x -= (low + high) / 2 / slope
    value, found = at(x)
    x -= value / slope
    numerical = found.error[-1] / (found.alignment[-1] * (1 - found.alignment[-1]))
    error = (float(numerical) + float(found.remainder[-1])) / slope
    return {
        "log_samples": x,
        "error": error,
        "limit": limit,
        "deviation": float(found.log_odds_deviation[-1]),
        "slope": slope,
    }


def _balanced_log_odds(measure: LabelMeasure, found: Trajectory, steps: int, repeats: int) -> float:
    """Mean over runs of the log-odds after the last step, from a balanced start (r = 1)."""
    k = found.dim - 1
    resolvent = Resolvent(measure, found.samples / k)
    moments = traces(resolvent, found.dim, [steps * power for power in (1, 2, 3, 4)])
    unit = np.exp(moments.log_scale - np.arange(1, 5) * moments.log_scale[1] / 2)
    shift = start_shift(moments.signal[:, 0, 0] * unit, (moments.total * unit)[[1, 3]], k)
    return float(found.log_odds[-1] + found.log_odds_shift[-1]) + shift / repeats


def start_shift(signal: Float64Array, total: Float64Array, k: int) -> float:
    """By how much the mean of log(s/b) over one pair of neurons exceeds log(E s/E b), given H.

    A pair of a balanced start begins at u/√d ± β w, β² = 1 − 1/d, w uniform on the sphere of u's
    complement, of k = d − 1 dimensions. With p = H^T, q = P⊥pu and K = P⊥p P⊥ p P⊥, sums over the
    pair are in proportion to

        s = (uᵀpu)²/d + β² (q·w)²,    b = |q|²/d + β² wᵀKw,

    whose relative variances, V_s and V_b, shift the mean to first order by (V_b − V_s)/2. A
    quadratic form wᵀMw has the variance 2 (tr M² − (tr M)²/k)/(k (k + 2)). Derived for this
    package; `mimverify.scaling.balanced_start` has the start.

    **Arguments**

    - `signal`: uᵀp^j u for j = 1, 2, 3, 4; `total`: tr p² and tr p⁴.
    """
    h, s2, s3, s4 = signal
    t2, t4 = total
    q2 = s2 - h**2
    qNq = s4 - 2 * h * s3 + h**2 * s2  # N = P⊥p²P⊥ = K + qqᵀ
    traceK, traceK2 = t2 - s2 - q2, t4 - 2 * s4 + s2**2 - 2 * qNq + q2**2
    shape = 2 * k / (k + 2)
    of_signal = shape * (q2 / s2) ** 2 * (1 - 1 / k)
    of_noise = shape * (traceK2 - traceK**2 / k) / (t2 - s2) ** 2
    return float(of_noise - of_signal) / 2
