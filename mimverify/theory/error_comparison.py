"""Predicted against trained test errors: a test of the prediction of the whole algorithm.

A cell is a link, a loss and sizes. Its runs are those of the reference trainer as it is, each on
data of its own: subspace, both stages' rows, start, biases and test set. Cells are independent of
one another.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from threadpoolctl import threadpool_limits

from mimverify.measure import normalised_error
from mimverify.network.losses import get_loss
from mimverify.problems import MultiIndexModel, get_link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.support.threads import environment, thread_limit
from mimverify.support.validation import integer, number
from mimverify.theory.readout_error.error_prediction import (
    TestErrorPrediction,
    predict_test_error,
)
from mimverify.training import LayerwiseTrainer

__all__ = [
    "ERROR_BIAS",
    "ERROR_SIZES",
    "FEWEST_PREDICTED",
    "ErrorCell",
    "ErrorComparison",
    "compare_errors",
    "error_cells",
    "pooled_bias",
    "pooled_coverage",
]

#: (d, n of each stage) of the standard comparison: T1 = 4, 5 and 4.
ERROR_SIZES = ((64, 1024), (128, 768), (160, 3840))
#: A median that is off by more than this share is wrong: what the prediction claims of itself.
ERROR_BIAS = 0.05

#: The least and the largest of fewer runs enclose another one with less than 95 %.
FEWEST_PREDICTED = 40

_COVERAGE = 0.95
_TEST_SAMPLES = 2048


@dataclass(frozen=True)
class ErrorCell:
    """What is trained and predicted.

    - `link`, `loss`: names; `noise`: standard deviation of the label noise.
    - `dim`, `samples`: d, and n of each stage.
    - `runs`, `predicted_runs`: trained, and drawn for the prediction.
    - `seed`: everything derives from it and the fields above.
    """

    link: str
    loss: str
    dim: int
    samples: int
    runs: int = 200
    predicted_runs: int = 200
    noise: float = 0.0
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.link} {self.loss} {self.dim} {self.samples}"

    def compared(self) -> ErrorComparison:
        """Train and predict."""
        began = time.perf_counter()
        found = predict_test_error(
            self.link,
            self.loss,
            dim=self.dim,
            samples=self.samples,
            noise=self.noise,
            test_samples=_TEST_SAMPLES,
            runs=self.predicted_runs,
            seed=self.seed,
        )
        between = time.perf_counter()
        trained = np.array([self._trained(k) for k in range(self.runs)])
        seconds = between - began, time.perf_counter() - between
        return ErrorComparison(self, found, trained, *seconds)

    def _trained(self, k: int) -> float:
        """The normalised test error of run k."""
        key = [self.seed, k, self.dim, self.samples, *f"{self.link} {self.loss}".encode()]
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        model = MultiIndexModel(self.link, self.dim, noise=self.noise, seed=seed)
        stage1, stage2 = (model.sample(self.samples, purpose=p) for p in ("stage1", "stage2"))
        trainer = LayerwiseTrainer(loss=self.loss, random_state=seed)
        trainer.fit_stages(stage1.X, stage1.y, stage2.X, stage2.y)
        test = model.sample(_TEST_SAMPLES, purpose="test")
        return normalised_error(trainer.predict(test.X), test.y)


@dataclass(frozen=True)
class ErrorComparison:
    """One cell's prediction beside its trained runs.

    - `predicted`: see `TestErrorPrediction`; `trained`: the errors of the runs, `(runs,)`.
    - `predicting`, `training`: seconds.
    """

    cell: ErrorCell
    predicted: TestErrorPrediction
    trained: Float64Array
    predicting: float
    training: float

    @property
    def sure(self) -> bool:
        """Whether the prediction has no note that calls it poor."""
        return not self.predicted.notes

    @property
    def median(self) -> float:
        """Of the trained runs."""
        return float(np.median(self.trained))

    @property
    def standard_error(self) -> float:
        """Of `median`: half the distance of the order statistics one deviation off the middle."""
        n = len(self.trained)
        ordered, off = np.sort(self.trained), 0.5 * math.sqrt(n)
        low, high = max(math.floor(n / 2 - off), 0), min(math.ceil(n / 2 + off), n - 1)
        return float(ordered[high] - ordered[low]) / 2

    @property
    def inside(self) -> int:
        """Trained runs in the predicted central 95 %."""
        within = (self.predicted.low <= self.trained) & (self.trained <= self.predicted.high)
        return int(within.sum())

    @property
    def coverage(self) -> float:
        """`inside` as a share."""
        return self.inside / len(self.trained)

    @property
    def bias(self) -> float:
        """Trained over predicted median, minus 1."""
        return self.median / self.predicted.median - 1

    @property
    def bias_error(self) -> float:
        """Standard error of `bias`, by both medians'."""
        shares = (
            self.standard_error / self.median,
            self.predicted.standard_error / self.predicted.median,
        )
        return (1 + self.bias) * math.hypot(*shares)

    def contradicts(self, alpha: float) -> tuple[str, ...]:
        """Which of "interval" and "median" the runs contradict, each with false-alarm probability
        at most `alpha`; nothing where the prediction calls itself poor.

        "median": the bias is beyond 5 % by more than chance. "interval": so few runs lie in it by
        chance with less than `alpha`. The ends of the interval are order statistics of the drawn
        runs, and what it covers is therefore a Beta variable of mean 95 %.
        """
        from scipy.special import ndtri
        from scipy.stats import betabinom

        if not self.sure:
            return ()
        found = []
        drawn = len(self.predicted.values) + 1
        law = betabinom(len(self.trained), _COVERAGE * drawn, (1 - _COVERAGE) * drawn)
        if law.cdf(self.inside) < alpha:
            found.append("interval")
        if abs(self.bias) > ERROR_BIAS - float(ndtri(alpha / 2)) * self.bias_error:
            found.append("median")
        return tuple(found)

    def to_json(self) -> Json:
        """A record of plain numbers."""
        return {
            **vars(self.cell),
            "predicted": self.predicted.to_json(),
            "trained": {
                "median": self.median,
                "standard_error": self.standard_error,
                "mean": float(self.trained.mean()),
                "values": self.trained.tolist(),
            },
            "coverage": self.coverage,
            "bias": self.bias,
            "bias_error": self.bias_error,
            "predicting_seconds": self.predicting,
            "training_seconds": self.training,
        }


def error_cells(
    links: Sequence[str],
    losses: Sequence[str],
    sizes: Sequence[tuple[int, int]] = ERROR_SIZES,
    *,
    runs: int = 200,
    predicted_runs: int = 200,
    noise: float = 0.0,
    seed: int = 0,
) -> list[ErrorCell]:
    """Every link × loss × (d, n).

    **Raises** `InputError` for an unknown link or loss, or sizes that make no sense.
    """
    runs = integer("runs", runs, minimum=20)
    predicted_runs = integer("predicted_runs", predicted_runs, minimum=FEWEST_PREDICTED)
    noise = number("noise", noise, minimum=0.0)
    found = []
    for dim, samples in sizes:
        dim, samples = integer("dim", dim, minimum=2), integer("samples", samples, minimum=3)
        if not dim < samples:
            raise InputError(f"dim={dim}, samples={samples}: expected more samples than dimensions")
        for name in links:
            link = get_link(name)
            if not link.rank < dim:
                raise InputError(f"dim={dim}: expected more than the rank of link {link.name}")
            found += [
                ErrorCell(
                    name, get_loss(loss).name, dim, samples, runs, predicted_runs, noise, seed
                )
                for loss in losses
            ]
    return found


def compare_errors(cells: Iterable[ErrorCell], *, workers: int = 1) -> Iterator[ErrorComparison]:
    """Train and predict each cell; yields them as they are finished.

    **Arguments**

    - `workers`: processes, of one thread each; 1: this process.
    """
    cells = list(cells)
    if workers == 1:
        with thread_limit(1):
            yield from (cell.compared() for cell in cells)
        return
    with (
        environment(PYTHONSAFEPATH="1"),  # else they would look in the current folder first
        ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin) as pool,
    ):
        waiting = [pool.submit(ErrorCell.compared, cell) for cell in cells]
        try:
            for future in as_completed(waiting):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    threadpool_limits(1)


def pooled_bias(results: Sequence[ErrorComparison]) -> tuple[float, float]:
    """Mean of `bias` over the cells without a note, and its standard error."""
    sure = [result for result in results if result.sure]
    if not sure:
        return math.nan, math.nan
    error = math.sqrt(sum(result.bias_error**2 for result in sure)) / len(sure)
    return float(np.mean([result.bias for result in sure])), error


def pooled_coverage(results: Sequence[ErrorComparison]) -> tuple[float, float]:
    """Share of the runs of the cells without a note in their intervals, and its standard error:
    by the scatter between the cells, whose intervals have errors of their own."""
    shares = [result.coverage for result in results if result.sure]
    if len(shares) < 2:
        return (shares or [math.nan])[0], math.nan
    return float(np.mean(shares)), float(np.std(shares, ddof=1) / math.sqrt(len(shares)))
