"""Errors of drawn runs: over the population in closed form, and on n₂ samples by stage 2 itself.

Over the population weights and error come from the features' moments, without sampling. What n₂
samples cost beyond that is measured on simulated stages 2, by the same moments; it is in proportion
to 1/n₂ where there are many samples for a feature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array
from mimverify.support.threads import map_with_own_threads
from mimverify.theory.readout_error.feature_law import population_moments
from mimverify.theory.readout_error.label_expansion import LabelExpansion
from mimverify.theory.readout_error.learned_span import LearnedSpan
from mimverify.theory.readout_error.simulated_readout import (
    ReadoutSettings,
    log_error_variance,
    population_error,
    simulated_readout,
)
from mimverify.training.features import Moments
from mimverify.training.stage2 import output_weights

# Stage 2 is simulated on so many samples at most, or on so many for each feature.
_MOST_SAMPLES = 8192
_SAMPLES_PER_FEATURE = 32
# Rows of all simulated stages 2 together, and how many of these there are at least.
_ALL_ROWS = 150_000
_FEWEST_SIMULATED = 8
# Samples for the fluctuation of the test error, and pairs for the floor, of one run.
_TEST_ROWS = 2000
_PAIRS = 4000
# What is left of the ridge where the error without one is computed: the moments' accuracy.
_NO_RIDGE = 1e-9


@dataclass(frozen=True)
class RunErrors:
    """Errors of drawn runs, in units of Var y, each `(runs,)`.

    - `floor`: E Var(g | Wx), label noise apart; `best`: of the p features without a ridge;
      `population`: with it, on infinitely many samples; `values`: on n₂ samples.
    - `test_variance`: of the logarithm of a test error, times the number of test samples.
    """

    floor: Float64Array
    best: Float64Array
    population: Float64Array
    values: Float64Array
    test_variance: float

    @classmethod
    def of(
        cls,
        spans: list[LearnedSpan],
        link: Link,
        labels: LabelExpansion,
        samples: int,
        settings: ReadoutSettings,
        seed: np.random.SeedSequence,
    ) -> RunErrors:
        """Stage 2 on each of `spans`; of many, on n₂ samples for some only."""
        runs, variance = len(spans), labels.variance + settings.noise**2
        rows = min(samples, max(_MOST_SAMPLES, _SAMPLES_PER_FEATURE * settings.features))
        simulated = min(runs, max(_FEWEST_SIMULATED, _ALL_ROWS // rows))
        # Evenly over the data sets.
        chosen = set(np.linspace(0, runs - 1, simulated).astype(int).tolist())
        floor, best, population = np.empty(runs), np.empty(runs), np.empty(runs)
        costs, fluctuations = np.full(runs, np.nan), np.full(runs, np.nan)
        seeds = seed.spawn(runs)

        def simulate(k: int) -> None:
            span, rng = spans[k], np.random.default_rng(seeds[k])
            floor[k] = span.unexplained_variance(link, _PAIRS, rng) / variance
            readout = (
                simulated_readout(span.rows, link, rows, settings, rng) if k in chosen else None
            )
            biases = rng.standard_normal(settings.features) if readout is None else readout.biases
            moments = population_moments(span.rows, link.rank, biases, settings.activation, labels)
            population[k] = _error(moments, settings.ridge, labels, settings.noise)
            best[k] = _error(moments, min(settings.ridge, _NO_RIDGE), labels, settings.noise)
            if readout is not None:
                fitted = population_error(
                    moments, readout.weights, readout.constant, labels, settings.noise
                )
                costs[k] = (fitted / population[k] - 1) * rows / samples
                fluctuations[k] = log_error_variance(readout, link, _TEST_ROWS, settings.noise, rng)

        map_with_own_threads(simulate, range(runs))
        # The others bear the cost of one that was simulated.
        known = np.isfinite(costs)
        costs = np.where(known, costs, np.random.default_rng(seed).choice(costs[known], runs))
        variance_of_test = float(np.mean(fluctuations[known]))
        return cls(floor, best, population, population * (1 + costs), variance_of_test)


def _error(moments: Moments, ridge: float, labels: LabelExpansion, noise: float) -> float:
    """Of the output layer that the population's moments give."""
    weights, _ = output_weights(moments, ridge=ridge)
    constant = moments.intercept - float(moments.mean @ weights)
    return population_error(moments, weights, constant, labels, noise)
