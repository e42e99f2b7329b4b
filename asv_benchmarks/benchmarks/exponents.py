"""Exponents of d: of time, memory and counted operations, and of samples to recovery.

All are slopes of least squares on logarithms with a Student interval. Three series stand for a
power law c d^p that should have p = 2:

- `track_exponent`: 1 + |p − 2|. Near 0 asv would take any rise for a regression.
- `track_half_width`: of the 95 % interval of p. An exponent moved if it moved by more.
- `track_prefactor`: value/d² at the middle of the range of d, where the fit is most precise. If
  it rises while p stays near 2, the trainer became slower by the same factor at every d.

Overhead at small d does not bias p: the range begins where a step takes milliseconds; and it spans
a factor of four or more with the repetitions of all d interleaved, so that a slow minute of the
machine affects each of them.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from statistics import median
from typing import Any, ClassVar

from .common import (
    BACKENDS,
    FULL,
    LINK,
    NEURONS,
    ROWS_PER_DIM,
    STEPS,
    general_network,
    grid,
    make_trainer,
    problem,
    stored,
)

Fit = dict[str, float]
Fits = dict[tuple[str, str], Fit]

ORDER = 2.0
_LEVEL = 0.975  # two-sided 95 %


def fit_power_law(dims: Sequence[float], values: Sequence[float]) -> Fit:
    """Least squares of log value on log d.

    - `slope`, with `half_width` of its 95 % interval (Student, len(dims) − 2 degrees).
    - `prefactor`: value/d² of the fitted line at the geometric mean of `dims`.
    """
    import numpy as np
    from scipy.special import stdtrit

    x, y = np.log(np.asarray(dims, dtype=float)), np.log(np.asarray(values, dtype=float))
    degrees = len(x) - 2
    if degrees < 1:
        raise ValueError(f"{len(x)} dimensions: a slope with an interval takes three or more")
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread
    residual = y - y.mean() - slope * centred
    error = math.sqrt(float(residual @ residual) / degrees / spread)
    return {
        "slope": slope,
        "half_width": float(stdtrit(degrees, _LEVEL)) * error,
        "prefactor": math.exp(float(y.mean()) - ORDER * float(x.mean())),
    }


class PowerLaws(ABC):
    """The series of power laws that should be quadratic.

    A subclass measures in `setup_cache`, once for all series. It cannot be inherited: asv
    identifies caches by file and line.
    """

    version = "1"
    timeout = 60
    params: ClassVar[Any]
    param_names: ClassVar[Sequence[str]] = ("backend", "quantity")

    @abstractmethod
    def setup_cache(self) -> Fits:
        """`fit_power_law` by backend and quantity."""

    def track_exponent(self, fits: Fits, backend: str, quantity: str) -> float:
        # To nine digits: of counted operations the slope is exact but for rounding.
        return round(1.0 + abs(fits[backend, quantity]["slope"] - ORDER), 9)

    def track_half_width(self, fits: Fits, backend: str, quantity: str) -> float:
        return round(fits[backend, quantity]["half_width"], 9)

    def track_prefactor(self, fits: Fits, backend: str, quantity: str) -> float:
        return fits[backend, quantity]["prefactor"]

    track_exponent.unit = "1 + |p - 2|"  # type: ignore[attr-defined]
    track_half_width.unit = "+-"  # type: ignore[attr-defined]
    track_prefactor.unit = "value / d^2"  # type: ignore[attr-defined]


def step_seconds(
    backend: str, dims: Sequence[int], repetitions: int, *, start: str = "general"
) -> list[float]:
    """Median seconds of one step of stage 1 at each d, n = 16 d, repetitions interleaved."""
    import time

    import numpy as np

    import mimverify

    rng = np.random.default_rng(0)
    problems = []
    for dim in dims:
        X = rng.standard_normal((ROWS_PER_DIM * dim, dim), dtype=np.float32)
        options: dict[str, Any] = {"neurons": NEURONS}
        if start == "general":
            options |= {"start": mimverify.Network(*general_network(NEURONS, dim))}
            options |= {"schedule": "constant", "eta": 0.1, "beta": 0.1}
        trainer = make_trainer(backend, **{**options, "steps": 2})
        problems.append((trainer, stored(X, backend), np.cos(2 * X[:, 0])))
    seconds: list[list[float]] = [[] for _ in dims]
    for repetition in range(repetitions + 1):
        for k, (trainer, design, y) in enumerate(problems):
            stamps: list[float] = []
            trainer.fit_first_layer(
                design, y, observe=lambda _t, _W, at=stamps: at.append(time.perf_counter())
            )
            if repetition:  # the first round warms up
                seconds[k].append(stamps[2] - stamps[1])
    return [median(values) for values in seconds]


class StepExponents(PowerLaws):
    """Seconds of one step, m = 64, from either start."""

    params = (BACKENDS, ["general start", "symmetric start"])
    dims: ClassVar[list[int]] = (
        [512, 724, 1024, 1448, 2048] if FULL else [362, 512, 724, 1024, 1448]
    )
    repetitions: ClassVar[int] = 9 if FULL else 5

    def setup_cache(self) -> Fits:
        return {
            (backend, quantity): fit_power_law(
                self.dims,
                step_seconds(backend, self.dims, self.repetitions, start=quantity.split()[0]),
            )
            for backend in BACKENDS
            for quantity in self.params[1]
        }

    setup_cache.timeout = 1800  # type: ignore[attr-defined]


# In a process of its own, so that peak memory is that of the run. Growth is that beyond the memory
# after a small run: imports, thread pools. `VmHWM`, since `ru_maxrss` is inherited.
_RUN = """
import dataclasses, json, re, sys, time
from mimverify.experiment import ExperimentConfig, run_experiment

def size(what):
    with open("/proc/self/status") as status:
        return 1024 * int(re.search(what + r":\\s*(\\d+)", status.read())[1])

config = ExperimentConfig(**json.loads(sys.argv[1]))
run_experiment(dataclasses.replace(config, dim=64, samples=1024, test_samples=64))
before, started = size("VmRSS"), time.perf_counter()
run_experiment(config)
print(json.dumps({
    "seconds": time.perf_counter() - started,
    "bytes": size("VmHWM") - before,
}))
"""

QUANTITIES = ["seconds", "bytes"]


def run_apart(backend: str, dim: int, design: str = "stored") -> dict[str, float]:
    """Seconds and growth of peak memory of one whole experiment, n = 16 d a stage."""
    config = {
        "link": LINK,
        "dim": dim,
        "samples": ROWS_PER_DIM * dim,
        "steps": STEPS,
        "neurons": NEURONS,
        "backend": backend,
        "dtype": "float32",
        "design": design,
        "baselines": False,
        "test_samples": 4 * dim,
    }
    done = subprocess.run(
        [sys.executable, "-c", _RUN, json.dumps(config)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


class RunExponents(PowerLaws):
    """Seconds and bytes of whole experiments on stored inputs."""

    params = (BACKENDS, QUANTITIES)
    dims: ClassVar[list[int]] = (
        [512, 724, 1024, 1448, 2048, 2896, 4096] if FULL else [512, 724, 1024, 1448]
    )
    repetitions: ClassVar[int] = 3 if FULL else 2

    def setup_cache(self) -> Fits:
        fits: Fits = {}
        for backend in BACKENDS:
            rounds = [[run_apart(backend, d) for d in self.dims] for _ in range(self.repetitions)]
            runs = list(zip(*rounds, strict=True))  # of each d
            for quantity in QUANTITIES:
                values = [median(run[quantity] for run in of_dim) for of_dim in runs]
                fits[backend, quantity] = fit_power_law(self.dims, values)
                largest = 4 * ROWS_PER_DIM * self.dims[-1] ** 2
                fits[backend, quantity]["per input byte"] = values[-1] / largest
        return fits

    setup_cache.timeout = 3600  # type: ignore[attr-defined]

    def track_memory_over_inputs(self, fits: Fits, backend: str) -> float:
        """Growth of peak memory over the bytes of X, at the largest d."""
        return fits[backend, "bytes"]["per input byte"]

    track_memory_over_inputs.params = (BACKENDS,)  # type: ignore[attr-defined]
    track_memory_over_inputs.param_names = ("backend",)  # type: ignore[attr-defined]
    track_memory_over_inputs.unit = "ratio"  # type: ignore[attr-defined]


class OperationExponents(PowerLaws):
    """Counted multiply-adds with the rows of X: exactly quadratic, in one stage as in both."""

    params = (BACKENDS, ["stage 1", "both stages"])
    dims: ClassVar[list[int]] = [512, 724, 1024, 1448]

    def setup_cache(self) -> Fits:
        fits: Fits = {}
        for backend in BACKENDS:
            counts = [count_operations(backend, dim) for dim in self.dims]
            for quantity, values in zip(self.params[1], zip(*counts, strict=True), strict=True):
                fits[backend, quantity] = fit_power_law(self.dims, values)
        return fits

    setup_cache.timeout = 600  # type: ignore[attr-defined]


def count_operations(backend: str, dim: int) -> tuple[int, int]:
    """Multiply-adds of stage 1, and of both stages, n = 16 d rows in each."""
    X, y = problem(dim, ROWS_PER_DIM * dim)
    design, trainer = stored(X, backend), make_trainer(backend, neurons=NEURONS)
    first = trainer.fit_first_layer(design, y).operation_counts()["multiply_adds"]
    return first, trainer.fit_readout(design, y).operation_counts()["multiply_adds"]


class SamplesToRecovery:
    """How n_half(d, T), the samples for an alignment of 1/2 after T steps, grows with d.

    By the theorem the exponent falls with the number of steps, to 1 + 1/T. Seeds are fixed, so
    that the values change with the algorithm, not with the machine.
    """

    version = "1"
    timeout = 60
    params = ([1, 2, 3],)
    param_names = ("steps",)
    dims: ClassVar[list[int]] = grid([128, 512], [2048])
    precision: ClassVar[float] = 0.01 if FULL else 0.02

    def setup_cache(self) -> dict[int, Fit]:
        from mimverify.scaling import measure_scaling

        dims = [self.dims[0], self.dims[-1]]
        law = measure_scaling(
            LINK, "huber", dims=dims, steps=self.params[0], precision=self.precision, most_runs=200
        )
        samples = {p.steps: p.measured.samples for p in law.points if p.measured is not None}
        return {
            e.steps: {
                "exponent": e.measured,
                "half_width": (e.high - e.low) / 2,
                "distance": math.nan if e.predicted is None else abs(e.measured - e.predicted),
                "samples": samples[e.steps],
            }
            for e in law.exponents
        }

    setup_cache.timeout = 1800  # type: ignore[attr-defined]

    def track_exponent(self, found: dict[int, Fit], steps: int) -> float:
        return found[steps]["exponent"]

    def track_half_width(self, found: dict[int, Fit], steps: int) -> float:
        return found[steps]["half_width"]

    def track_distance_from_theory(self, found: dict[int, Fit], steps: int) -> float:
        """1 + |measured − predicted by the theory engine|."""
        return 1.0 + found[steps]["distance"]

    def track_samples_at_largest_dim(self, found: dict[int, Fit], steps: int) -> float:
        return found[steps]["samples"]

    track_exponent.unit = "p"  # type: ignore[attr-defined]
    track_half_width.unit = "+-"  # type: ignore[attr-defined]
    track_distance_from_theory.unit = "1 + distance"  # type: ignore[attr-defined]
    track_samples_at_largest_dim.unit = "samples"  # type: ignore[attr-defined]
