"""The test error after T steps and stage 2, run by run, before anything is trained.

For each run a data set is drawn (a spectrum of H), a start on it (neurons in H's eigenbasis), and
stage 2: over the population, and on n₂ samples. Source: theory.md §7.
Derivation: docs/theory-engine.md, §12.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain

import numpy as np

from mimverify.network.activations import DEFAULT_ACTIVATION, Activation, get_activation
from mimverify.network.losses import DEFAULT_LOSS, Loss, get_loss
from mimverify.pages.notebook import ShownInNotebooks
from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.support.threads import map_with_own_threads
from mimverify.support.validation import LARGEST, choice, integer, number
from mimverify.theory.labels.cache import cached
from mimverify.theory.labels.quadrature import MAX_BOX_DIMENSIONS
from mimverify.theory.readout_error.drawn_neurons import draw_neurons
from mimverify.theory.readout_error.label_expansion import label_expansion
from mimverify.theory.readout_error.learned_span import LearnedSpan
from mimverify.theory.readout_error.run_errors import RunErrors
from mimverify.theory.readout_error.simulated_readout import ReadoutSettings
from mimverify.theory.spectrum.arrowhead import draw_spectrum
from mimverify.theory.spectrum.population import drawn_measures, limiting_population
from mimverify.theory.spectrum.resolvent import Resolvent
from mimverify.theory.spectrum.span import central_interval
from mimverify.theory.steps import MOST_STEPS
from mimverify.theory.trajectory import MOST_LABELS
from mimverify.training.schedules import default_samples, default_steps
from mimverify.training.stage2 import READOUTS

# Seeds of the runs, and of their test sets.
_RUNS, _TEST_SET = 0x6572726F72, 0x74657374
# Of the data sets, for the median's standard error.
_RESAMPLES = 200
# Features that are as large as this multiple of z² at the distance z have heavy tails.
_FAR, _STEEP = 12.0, 10.0


@dataclass(frozen=True)
class ErrorParts:
    """What the mean test error is made of; the parts add up to it.

    - `label_noise`: no predictor is better: the share of the labels' variance that is noise.
    - `stage1`: what the learned span leaves open: E Var(g(z) | Wx)/Var y.
    - `features`: the best combination of the p features, beyond both.
    - `ridge`: the penalty's cost over the population.
    - `samples`: the cost of fitting the output weights on n₂ samples.
    """

    label_noise: float
    stage1: float
    features: float
    ridge: float
    samples: float

    @property
    def total(self) -> float:
        """The mean test error."""
        return self.label_noise + self.stage1 + self.features + self.ridge + self.samples

    def to_json(self) -> dict[str, float]:
        """The parts by name."""
        return {
            "label_noise": self.label_noise,
            "stage1": self.stage1,
            "features": self.features,
            "ridge": self.ridge,
            "samples": self.samples,
        }


@dataclass(frozen=True)
class TestErrorPrediction(ShownInNotebooks):
    """The normalised test error (1 = predicting the mean) over runs of T steps and stage 2.

    - `median`, `mean`, `low`, `high`: over runs; the last two are the central 95 %.
    - `values`: of the drawn runs, `(runs,)`; `standard_error`: of `median`, by their number.
    - `population`: the median as n₂ → ∞.
    - `decomposition`: of `mean`.
    - `samples`, `readout_samples`: n₁, n₂; `neurons`: m of a symmetric start.
    - `test_samples`: those of each run's test set, whose fluctuation `values` contain; None:
      the error over the population.
    - `notes`: where the prediction is known to be poor.
    """

    __test__ = False  # pytest: not a test

    link: str
    loss: str
    activation: str
    noise: float
    dim: int
    samples: int
    readout_samples: int
    steps: int
    neurons: int
    readout_neurons: int
    ridge: float
    test_samples: int | None
    median: float
    mean: float
    low: float
    high: float
    values: Float64Array
    standard_error: float
    population: float
    decomposition: ErrorParts
    notes: tuple[str, ...]

    def to_json(self) -> Json:
        """A record of plain numbers; what does not exist is None."""
        return {
            "link": self.link,
            "loss": self.loss,
            "activation": self.activation,
            "noise": self.noise,
            "dim": self.dim,
            "samples": self.samples,
            "readout_samples": self.readout_samples,
            "steps": self.steps,
            "neurons": self.neurons,
            "readout_neurons": self.readout_neurons,
            "ridge": self.ridge,
            "test_samples": self.test_samples,
            "runs": len(self.values),
            "test_error": {
                "median": self.median,
                "low": self.low,
                "high": self.high,
                "mean": self.mean,
                "standard_error": self.standard_error,
                "population": self.population,
                "decomposition": dict(self.decomposition.to_json()),
            },
            "notes": list(self.notes),
        }


def predict_test_error(
    link: Link | str,
    loss: Loss | str = DEFAULT_LOSS,
    *,
    dim: int,
    samples: int | None = None,
    readout_samples: int | None = None,
    steps: int | None = None,
    neurons: int = 64,
    readout_neurons: int = 256,
    ridge: float = 1e-3,
    activation: Activation | str = DEFAULT_ACTIVATION,
    readout: str = "closed-form",
    noise: float = 0.0,
    rank: int | None = None,
    test_samples: int | None = 10_000,
    runs: int = 100,
    seed: int = 0,
) -> TestErrorPrediction:
    """Predict the normalised test error of `mimverify train`. No object of dimension d is made.

    **Arguments**

    - `samples`, `readout_samples`: n₁ and n₂, of stages 1 and 2; d log² d, and n₁, by default.
    - `steps`: T; None for `default_steps`.
    - `neurons`: m of a symmetric start, small as `LayerwiseTrainer` makes it by default, under
      the scale-free schedule.
    - `readout_neurons`, `ridge`, `activation`, `readout`: of stage 2, as for `LayerwiseTrainer`;
      of gradient descent the limit is predicted.
    - `noise`: standard deviation of all labels' noise, the test set's included.
    - `test_samples`: of the test set; None for the error over the population.
    - `runs`: that are drawn, each on a data set of its own where T is bounded.

    **Raises** `InputError` for sizes out of range, or a link and loss that have no prediction.
    """
    link, loss, activation = get_link(link, rank=rank), get_loss(loss), get_activation(activation)
    dim = integer("dim", dim, minimum=2, maximum=LARGEST)
    if link.rank >= dim:
        raise InputError(f"rank={link.rank}: expected less than dim={dim}")
    samples = default_samples(dim) if samples is None else samples
    samples = integer("samples", samples, minimum=2, maximum=LARGEST)
    n2 = samples if readout_samples is None else readout_samples
    n2 = integer("readout_samples", n2, minimum=2, maximum=LARGEST)
    if steps is None and samples <= dim:
        raise InputError(
            f"samples={samples}, dim={dim}: expected more samples than dimensions, from which the "
            "number of steps follows; or give steps"
        )
    steps = default_steps(samples, dim) if steps is None else steps
    steps = integer("steps", steps, minimum=0, maximum=MOST_STEPS)
    neurons = integer("neurons", neurons, minimum=2)
    if neurons % 2:
        raise InputError(f"neurons={neurons}: expected an even number, as a symmetric start has")
    if test_samples is not None:
        test_samples = integer("test_samples", test_samples, minimum=2)
    runs = integer("runs", runs, minimum=8)
    readout = choice("readout", readout, READOUTS)
    settings = ReadoutSettings(
        integer("readout_neurons", readout_neurons, minimum=1),
        number("ridge", ridge, minimum=0.0, exclusive=True),
        activation,
        number("noise", noise, minimum=0.0),
    )
    population = limiting_population(
        link, loss, noise=settings.noise, dim=dim, samples=samples, steps=steps
    )
    if population is None and samples > MOST_LABELS:
        raise InputError(
            f"samples={samples}: the labels of link {link.name} under loss {loss.name} have to be "
            f"simulated, at most {MOST_LABELS}: expected fewer samples, or a smooth Lipschitz loss"
        )
    seed = integer("seed", seed, minimum=0)
    drawn, data_sets = _drawn_runs(
        link, loss, dim, samples, n2, steps, neurons // 2, settings, runs, seed
    )
    rng = np.random.default_rng([seed, _TEST_SET])
    values = drawn.values
    if test_samples is not None:
        spread = math.sqrt(drawn.test_variance / test_samples)
        values = values * np.exp(spread * rng.standard_normal(len(values)))
    sets = values.reshape(data_sets, -1)
    low, high = central_interval(sets[None])[:, 0]
    labels = label_expansion(link)
    parts = _parts(drawn, noise**2 / (labels.variance + noise**2))
    return TestErrorPrediction(
        link=link.name,
        loss=loss.name,
        activation=activation.name,
        noise=noise,
        dim=dim,
        samples=samples,
        readout_samples=n2,
        steps=steps,
        neurons=neurons,
        readout_neurons=settings.features,
        ridge=settings.ridge,
        test_samples=test_samples,
        median=float(np.median(values)),
        mean=parts.total,
        low=float(low),
        high=float(high),
        values=values,
        standard_error=_error_of_median(sets, rng),
        population=float(np.median(drawn.population)),
        decomposition=parts,
        notes=_notes(link, activation, population is None, readout),
    )


# The same runs are asked for with and without a test set, and as a bracket is narrowed.
@cached(maxsize=16)
def _drawn_runs(
    link: Link,
    loss: Loss,
    dim: int,
    samples: int,
    readout_samples: int,
    steps: int,
    neurons: int,
    settings: ReadoutSettings,
    runs: int,
    seed: int,
) -> tuple[RunErrors, int]:
    """Errors of runs, in order of their data sets, and how many of these there are."""
    measures = drawn_measures(
        link, loss, noise=settings.noise, dim=dim, samples=samples, steps=steps, count=runs,
        seed=seed,
    )  # fmt: skip
    starts = -(-runs // len(measures))
    of_spectra, of_readouts = np.random.SeedSequence([seed, _RUNS]).spawn(2)
    seeds = of_spectra.spawn(len(measures))

    def draw(k: int) -> list[LearnedSpan]:
        rng = np.random.default_rng(seeds[k])
        spectrum = draw_spectrum(Resolvent(measures[k], samples / (dim - link.rank)), dim, rng)
        grams = draw_neurons(spectrum, steps, starts, neurons, rng)
        return [LearnedSpan.of(gram, link.rank, sign=(-1) ** steps) for gram in grams]

    spans = list(chain.from_iterable(map_with_own_threads(draw, range(len(measures)))))
    labels = label_expansion(link)
    found = RunErrors.of(spans, link, labels, readout_samples, settings, of_readouts)
    return found, len(measures)


def _parts(drawn: RunErrors, label_noise: float) -> ErrorParts:
    floor, best, whole, fitted = (
        float(errors.mean()) for errors in (drawn.floor, drawn.best, drawn.population, drawn.values)
    )
    return ErrorParts(label_noise, floor, best - floor - label_noise, whole - best, fitted - whole)


def _error_of_median(sets: Float64Array, rng: np.random.Generator) -> float:
    """Standard error of the median of runs `(sets, starts)`, by resampling data sets."""
    chosen = rng.integers(len(sets), size=(_RESAMPLES, len(sets)))
    return float(np.median(sets[chosen].reshape(_RESAMPLES, -1), axis=1).std(ddof=1))


def _notes(link: Link, activation: Activation, simulated: bool, readout: str) -> tuple[str, ...]:
    notes = []
    if link.rank > MAX_BOX_DIMENSIONS:
        notes.append(
            f"rank {link.rank}: the link is expanded to degree {label_expansion(link).degree} "
            "by quasi-random points"
        )
    if simulated:
        notes.append(
            "T(y) is not bounded, has a bound that few labels reach, or jumps at an atom of the "
            "labels: label sets were simulated; where a few large labels rule the spectrum, the "
            "scatter between data sets is drawn too large"
        )
    if activation.slope_at_zero:
        notes.append(
            f"activation {activation.name} has a slope at zero, which moves every neuron along "
            "the labels' linear part: predicted is power iteration, as if that were removed"
        )
    if np.abs(activation.value(np.array([-_FAR, _FAR]))).max() > _STEEP * _FAR**2:
        notes.append(
            f"activation {activation.name} grows faster than a square: features have heavy tails, "
            "and single inputs scatter the error more than predicted"
        )
    if readout != "closed-form":
        notes.append(f"readout {readout}: predicted is its limit in closed form")
    return tuple(notes)
