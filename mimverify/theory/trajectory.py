"""The alignment at every step, predicted (theory.md §4, D1, with its finite-size terms).

A_T = tr(U H^{2T} Uᵀ)/tr(H^{2T}), both traces by their deterministic equivalents: a ratio of
means over data sets and starts. What one run with m neurons shows scatters about it; the
scatter and the shift of its mean are predicted as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from mimverify.network.losses import DEFAULT_LOSS, Loss, get_loss
from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import integer, number, step_count
from mimverify.theory.labels.label_law import sampled_law
from mimverify.theory.labels.label_measure import LabelMeasure, label_measure
from mimverify.theory.labels.transforms import LabelTransform
from mimverify.theory.spectrum.bias import trace_bias
from mimverify.theory.spectrum.fluctuations import LabelShift, trace_covariance
from mimverify.theory.spectrum.population import limiting_population
from mimverify.theory.spectrum.resolvent import Resolvent
from mimverify.theory.spectrum.traces import traces

if TYPE_CHECKING:
    from jaxtyping import Float64

#: Most labels that are simulated for an unbounded T.
MOST_LABELS = 5_000_000
# Label sets are drawn until the standard error is below 0.4 % of the alignment, or there are
# so many of them, or so many labels.
_ACCURATE = 0.004
_LEAST_DRAWS, _MOST_DRAWS = 8, 128
_MOST_DRAWN = 2_000_000


@dataclass(frozen=True)
class Trajectory:
    """Predictions for t = 0 … T, all arrays along t.

    - `asymptotic`: D1 itself, A_t of the deterministic equivalents.
    - `alignment`: A_t, ratio of means over data sets and starts at this d and n, to second
      order in what the traces of H fluctuate by; A_0 = r/d. It tends to `asymptotic`.
    - `overlaps`: `(T + 1, r)`, ‖W u_k‖²/‖W‖² for each hidden feature; they sum to `alignment`.
    - `signal`: tr-normalised U E[W ᵀW] Uᵀ, `(T + 1, r, r)`.
    - `log_odds_shift`: mean over data sets of log(A/(1 − A)) minus the log-odds of
      `alignment`, of order 1/d.
    - `remainder`: an estimate of what the expansion leaves out, in log-odds: half of the
      squared shifts, as in exp x ≈ 1 + x. Where it is not small, d is too small for theory.
    - `log_odds_deviation`: standard deviation of the log-odds between data sets, for
      infinitely many neurons.
    - `start_deviation`: the same from the random start of *one* independent neuron, to be
      divided by √(number of independent neurons); `start_shift` likewise (by that number).
    - `log_trace`: log E tr H^{2t}.
    - `error`: of `alignment`, absolute: how far it moves on a coarser quadrature, or, where
      labels were simulated (`sampled`: no `limiting_population`), the standard error over
      their draws. Where a few labels of all draws decide, as under heavy tails, it is large.
    - `label_sets`: mean and standard deviation of the log-odds between data sets that have
      their labels in common, for infinitely many neurons, `(K, T + 1)` each, for each of K
      simulated label sets; None where none was.
    """

    dim: int
    samples: int
    asymptotic: Float64Array
    alignment: Float64Array
    signal: Float64Array
    log_odds_shift: Float64Array
    remainder: Float64Array
    log_odds_deviation: Float64Array
    start_shift: Float64Array
    start_deviation: Float64Array
    log_trace: Float64Array
    error: Float64Array
    label_sets: tuple[Float64Array, Float64Array] | None = None

    @property
    def sampled(self) -> bool:
        """Whether labels were simulated."""
        return self.label_sets is not None

    @property
    def overlaps(self) -> Float64[Float64Array, "steps_1 r"]:
        """`(T + 1, r)`."""
        return np.asarray(np.diagonal(self.signal, axis1=1, axis2=2))

    @property
    def log_odds(self) -> Float64[Float64Array, " steps_1"]:
        """log(A/(1 − A)) of `alignment`."""
        from scipy.special import logit

        return np.asarray(logit(self.alignment))

    def run_log_odds(
        self, neurons: int
    ) -> tuple[Float64[Float64Array, " steps_1"], Float64[Float64Array, " steps_1"]]:
        """Mean and standard deviation over runs of log(A_t/(1 − A_t)).

        **Arguments**

        - `neurons`: independent ones; of a symmetric start half of m.
        """
        mean = self.log_odds + self.log_odds_shift + self.start_shift / neurons
        variance = self.log_odds_deviation**2 + self.start_deviation**2 / neurons
        return mean, np.sqrt(variance)

    def run_mean(self, neurons: int) -> Float64[Float64Array, " steps_1"]:
        """Mean over runs of A_t: the log-odds are taken to be normal, given the labels where
        those were simulated."""
        from scipy.special import expit

        mean, deviation = self._normals(neurons)
        x, w = hermegauss(40)
        odds = mean[..., None] + deviation[..., None] * x
        return np.asarray((expit(odds) @ (w / w.sum())).mean(axis=0))

    def run_interval(
        self, neurons: int, coverage: float = 0.95
    ) -> tuple[Float64Array, Float64Array]:
        """The central interval `(T + 1,)` each that contains A_t with probability `coverage`."""
        from scipy.special import expit

        mean, deviation = self._normals(neurons)
        outside = (1 - coverage) / 2
        low, high = (
            np.asarray(expit(_mixture_quantile(mean, deviation, level)))
            for level in (outside, 1 - outside)
        )
        return low, high

    def _normals(self, neurons: int) -> tuple[Float64Array, Float64Array]:
        """Means and deviations `(K, T + 1)` of the log-odds of a run: an equal mixture of K
        normal laws, one of each label set."""
        if self.label_sets is None:
            mean, deviation = self.run_log_odds(neurons)
            return mean[None], deviation[None]
        mean, deviation = self.label_sets
        variance = deviation**2 + self.start_deviation**2 / neurons
        return mean + self.start_shift / neurons, np.sqrt(variance)


def _mixture_quantile(mean: Float64Array, deviation: Float64Array, level: float) -> Float64Array:
    """The quantile `(T + 1,)` of each column's equal mixture of K normal laws, by bisection."""
    from scipy.special import ndtr, ndtri

    reach = float(ndtri(level)) * deviation
    low, high = (mean + reach).min(axis=0), (mean + reach).max(axis=0)
    spread = np.maximum(deviation, np.finfo(float).tiny)
    for _ in range(60):
        middle = (low + high) / 2
        below = ndtr((middle - mean) / spread).mean(axis=0) < level
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2)


def predict_trajectory(
    link: Link | str,
    loss: Loss | LabelTransform | str = DEFAULT_LOSS,
    *,
    dim: int,
    samples: int,
    steps: int,
    noise: float = 0.0,
    rank: int | None = None,
    decay: float = 1.0,
    rate: float = 1.0,
    linear_part_removed: bool = False,
    seed: int = 0,
) -> Trajectory:
    """D1 for t = 0 … `steps`.

    **Arguments**

    - `link`, `loss`, `noise`, `rank`: as in `label_law`.
    - `dim`, `samples`: d and n of stage 1.
    - `decay`, `rate`: η1 β1 and η1 |a_j|. A step is w ← (1 − decay) w ± rate H w, the sign
      being that of a_j, half of each. `rate` matters only where `decay` ≠ 1.
    - `linear_part_removed`: the labels' linear part is regressed out first (squared loss);
      n acts as n − d (D8).
    - `seed`: of the simulated labels, which a T needs that is unbounded, or whose bound too
      few labels reach (`limiting_population`).

    **Raises** `InputError` for r > d, n ≤ d with `linear_part_removed`, or an unbounded T with
    more labels than can be simulated.
    """
    link = get_link(link, rank=rank)
    loss = get_loss(loss) if isinstance(loss, str) else loss
    dim = integer("dim", dim, minimum=2)
    samples = integer("samples", samples, minimum=1)
    steps = step_count("steps", steps)
    if link.rank >= dim:
        raise InputError(f"dim={dim}: expected more than the link's rank {link.rank}")
    effective = samples - dim if linear_part_removed else samples
    if effective < 1:
        raise InputError(
            f"samples={samples}: removing the linear part needs more than dim={dim} samples"
        )
    decay = number("decay", decay, minimum=0.0)
    rate = number("rate", rate, minimum=0.0, exclusive=True)
    offset = (1 - decay) / rate
    if linear_part_removed and loss.name != "squared":
        raise InputError(
            f"loss={loss.name!r}: with the linear part removed only 'squared' is predicted"
        )
    population = limiting_population(
        link, loss, noise=noise, dim=dim, samples=effective, steps=steps
    )
    if population is not None:
        result = trajectory_of(
            population.measure, dim, effective, steps, offset=offset, shift=population.shift
        )
        coarse = alignments(population.coarse, dim, effective, steps, offset=offset)
        result = replace(result, error=population.margin * np.abs(result.asymptotic - coarse))
    else:
        result = _simulated(link, loss, dim, effective, steps, noise, offset, seed)
    return replace(result, samples=samples)


def trajectory_of(
    measure: LabelMeasure,
    dim: int,
    samples: int,
    steps: int,
    *,
    offset: float = 0.0,
    shift: LabelShift | None = None,
    labels: bool = True,
) -> Trajectory:
    """D1 for a measure that is known: a bounded T's, or that of a sample's own labels.

    **Arguments**

    - `offset`: (1 − η1 β1)/(η1 |a|); a step multiplies by offset ± H.
    - `shift`: how the law moves with the fitted constant (`Population`).
    - `labels`: False where the measure is that of the very labels, which then vary no more.
    """
    from scipy.special import expit, logit

    resolvent = Resolvent(measure, samples / dim)
    times = list(range(steps + 1))
    powers_of_steps = [2 * t for t in times[1:]]
    powers = sorted({2 * t for t in times} | {4 * t for t in times})
    at = {power: index for index, power in enumerate(powers)}
    first, second = [at[2 * t] for t in times], [at[4 * t] for t in times]

    halves, scale = _halves(resolvent, dim, powers, offset)
    # exp(scale) of power 4t and twice that of 2t differ by a known factor.
    align = np.exp(scale[second] - 2 * scale[first])
    signal, total = np.zeros((len(times), measure.rank, measure.rank)), np.zeros(len(times))
    spread = np.zeros((len(times), 3))
    for sigma, trace in halves:
        signal += sigma[first]
        total += trace[first]
        spread += _start_spread(sigma[first], trace[first], sigma[second], trace[second], align)
    variance, shift_start = _start_moments(signal, total, spread, len(halves))

    aligned = np.trace(signal, axis1=1, axis2=2) / total
    later = slice(1, None)
    between, bias = np.zeros((len(times), 2, 2)), np.zeros((len(times), 2))
    if steps:
        between[later] = trace_covariance(
            resolvent, dim, powers_of_steps, offset=offset, shift=shift, labels=labels
        )
        # The bias is relative to the natural ratio n/(d − r), whose own effect is as large.
        natural = Resolvent(measure, samples / (dim - measure.rank))
        bias[later] = trace_bias(
            natural, dim, powers_of_steps, offset=offset, shift=shift, labels=labels
        )
        reference = alignments(measure, dim, samples, steps, offset=offset, natural=True)
    else:
        reference = aligned
    corrected = expit(logit(reference) + bias[:, 0] - bias[:, 1])
    growth = reference * np.exp(bias[:, 0]) + (1 - reference) * np.exp(bias[:, 1])
    log_odds_variance = between[:, 0, 0] + between[:, 1, 1] - 2 * between[:, 0, 1]
    return Trajectory(
        dim=dim,
        samples=samples,
        asymptotic=aligned,
        alignment=corrected,
        signal=signal * (corrected / np.trace(signal, axis1=1, axis2=2))[:, None, None],
        # log s and log b lie below log E s and log E b by half of their variances.
        log_odds_shift=(between[:, 1, 1] - between[:, 0, 0]) / 2,
        remainder=np.abs(bias[:, 0] ** 2 - bias[:, 1] ** 2) / 2,
        log_odds_deviation=np.sqrt(np.maximum(log_odds_variance, 0.0)),
        start_shift=shift_start,
        start_deviation=np.sqrt(variance),
        log_trace=np.log(total * growth / len(halves)) + scale[first],
        error=np.zeros(len(times)),
    )


def alignments(
    measure: LabelMeasure,
    dim: int,
    samples: int,
    steps: int,
    *,
    offset: float = 0.0,
    natural: bool = False,
) -> Float64[Float64Array, " steps_1"]:
    """A_0 … A_T by D1 alone, at α = n/d or, `natural`, n/(d − r)."""
    resolvent = Resolvent(measure, samples / (dim - measure.rank if natural else dim))
    powers = [2 * t for t in range(steps + 1)]
    halves, _ = _halves(resolvent, dim, powers, offset)
    signal = sum(np.trace(sigma, axis1=1, axis2=2) for sigma, _ in halves)
    return np.asarray(signal / sum(total for _, total in halves))


def _halves(
    resolvent: Resolvent, dim: int, powers: Sequence[int], offset: float
) -> tuple[list[tuple[Float64Array, Float64Array]], Float64Array]:
    """U p Uᵀ `(P, r, r)` and tr p `(P,)` of the neurons with a > 0 and with a < 0 (the same,
    and given once, unless offset ≠ 0), and the common log scale `(P,)`."""
    moments = [
        traces(resolvent, dim, powers, offset=sign * offset)
        for sign in ((1, -1) if offset else (1,))
    ]
    scale = np.max([half.log_scale for half in moments], axis=0)
    factors = [np.exp(half.log_scale - scale) for half in moments]
    return [
        (half.signal * factor[:, None, None], half.total * factor)
        for half, factor in zip(moments, factors, strict=True)
    ], scale


def _start_spread(
    sigma: Float64Array,
    trace: Float64Array,
    sigma_squared: Float64Array,
    trace_squared: Float64Array,
    align: Float64Array,
) -> Float64Array:
    """tr Σ², tr Σ N and tr N² of one half's neurons, `(T + 1, 3)`.

    A neuron is p(H) w₀: its signal part has covariance Σ = U p² Uᵀ, its noise part
    N = P⊥ p² P⊥, and both come from one w₀.
    """
    both = np.einsum("tij,tji->t", sigma, sigma)
    fourth = np.trace(sigma_squared, axis1=1, axis2=2) * align
    cross = np.maximum(fourth - both, 0.0)
    noise = np.maximum(trace_squared * align - 2 * fourth + both, 0.0)
    return np.stack([both, cross, noise], axis=1)


def _start_moments(
    signal: Float64Array, total: Float64Array, spread: Float64Array, halves: int
) -> tuple[Float64Array, Float64Array]:
    """Variance and shift of the log-odds of one independent neuron (to first order)."""
    s = np.trace(signal, axis1=1, axis2=2)
    b = total - s
    signal_part = 2 * halves * spread[:, 0] / s**2
    noise_part = 2 * halves * spread[:, 2] / b**2
    cross = 2 * halves * spread[:, 1] / (s * b)
    return np.maximum(signal_part + noise_part - 2 * cross, 0.0), (noise_part - signal_part) / 2


def _simulated(
    link: Link,
    loss: Loss | LabelTransform,
    dim: int,
    samples: int,
    steps: int,
    noise: float,
    offset: float,
    seed: int,
) -> Trajectory:
    """The ratio of means over simulated label sets: a sample's largest labels set its spectrum."""
    if samples > MOST_LABELS or not isinstance(loss, Loss):
        raise InputError(
            f"samples={samples}: T(y) of link {link.name} under loss {loss.name} is not bounded, "
            f"has a bound that few of {samples} labels reach, or jumps at an atom of the labels: "
            f"its labels have to be simulated, at most {MOST_LABELS}; a smooth Lipschitz loss "
            "such as 'huber' has no such limit"
        )
    runs: list[Trajectory] = []
    most = min(_MOST_DRAWS, max(_LEAST_DRAWS, _MOST_DRAWN // samples))
    while len(runs) < most:
        law = sampled_law(link, loss, samples, noise=noise, seed=seed * _MOST_DRAWS + len(runs))
        with np.errstate(all="ignore"):  # what comes of extreme labels is checked below
            run = trajectory_of(
                label_measure(law), dim, samples, steps, offset=offset, labels=False
            )
        if not (np.isfinite(run.alignment) & np.isfinite(run.log_trace)).all():
            largest = float(np.abs(law.T).max())
            raise InputError(
                f"loss={loss.name!r}: the labels of link {link.name} have too heavy tails: the "
                f"largest |T| of {samples} is {largest:.3g}, {largest / np.std(law.T):.3g} "
                "standard deviations: expected a Lipschitz loss"
            )
        runs.append(run)
        if len(runs) >= _LEAST_DRAWS:
            result = _ratio_of_means(runs)
            if (result.error <= _ACCURATE * result.alignment).all():
                return result
    return _ratio_of_means(runs)


def _ratio_of_means(runs: list[Trajectory]) -> Trajectory:
    """One trajectory from those of single label sets."""
    from scipy.special import logit

    log_trace = np.array([run.log_trace for run in runs])
    scale = log_trace.max(axis=0)
    total = np.exp(log_trace - scale)
    aligned = np.array([run.alignment for run in runs])
    ratio = (aligned * total).mean(axis=0) / total.mean(axis=0)
    residual = (aligned - ratio) * total / total.mean(axis=0)
    log_odds = logit(aligned)
    inside = np.mean([run.log_odds_deviation**2 for run in runs], axis=0)
    asymptotic = np.array([run.asymptotic for run in runs])
    signal = np.mean(
        [
            run.signal * weight[:, None, None]
            for run, weight in zip(runs, total / total.mean(axis=0), strict=True)
        ],
        axis=0,
    )

    def mean(name: str) -> Float64Array:
        return np.asarray(np.mean([getattr(run, name) for run in runs], axis=0))

    return replace(
        runs[0],
        asymptotic=(asymptotic * total).mean(axis=0) / total.mean(axis=0),
        alignment=ratio,
        signal=signal * (ratio / np.trace(signal, axis1=1, axis2=2))[:, None, None],
        log_odds_shift=mean("log_odds_shift") + log_odds.mean(axis=0) - logit(ratio),
        remainder=mean("remainder"),
        log_odds_deviation=np.sqrt(inside + log_odds.var(axis=0, ddof=1)),
        start_shift=mean("start_shift"),
        start_deviation=mean("start_deviation"),
        log_trace=np.log(total.mean(axis=0)) + scale,
        label_sets=(
            log_odds + np.array([run.log_odds_shift for run in runs]),
            np.array([run.log_odds_deviation for run in runs]),
        ),
        error=residual.std(axis=0, ddof=1) / np.sqrt(len(runs)),
    )
