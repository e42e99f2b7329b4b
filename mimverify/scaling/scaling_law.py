"""n_half(d, T) over many dimensions, and its local exponents beside those of D1."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np

from mimverify.backends import BACKENDS
from mimverify.network.losses import DEFAULT_LOSS, Loss, get_loss
from mimverify.pages.notebook import ShownInNotebooks
from mimverify.problems.links import Link, get_link
from mimverify.scaling.measurement import half_bytes, measured_log_odds
from mimverify.scaling.search import HalfPoint, find_n_half
from mimverify.support.errors import InputError
from mimverify.support.memory import bytes_text, physical_memory
from mimverify.support.strict_json import Json
from mimverify.support.threads import thread_limit
from mimverify.support.validation import choice, dtype_name, integer, number, parallel_count
from mimverify.support.versions import software_versions
from mimverify.theory import LabelMeasure, label_law, n_half
from mimverify.theory.analysis import first_moments
from mimverify.theory.spectrum.population import limiting_population, reached_measure

#: Called with T, d, and a line on what is going on.
OnProgress = Callable[[int, int, str], None]

# Where several neurons for each direction cost no more than this, they are taken: their
# mean scatters less.
_CHEAP_BYTES = 1 << 28
_REPEATS = 4
# Of the machine's memory: what a measurement may take.
_MEMORY_FRACTION = 0.8


@dataclass(frozen=True)
class ScalingPoint:
    """n_half measured at one (d, T), or the reason why it was not.

    **Arguments**

    - `predicted`: D1's n_half, None where it has none.
    - `measured`: None where n does not fit into memory (`why` says so).
    """

    steps: int
    dim: int
    predicted: float | None
    measured: HalfPoint | None
    why: str = ""


@dataclass(frozen=True)
class Exponent:
    """The local exponent Δ log n_half/Δ log d between two neighbouring dimensions.

    **Arguments**

    - `measured`, `low`, `high`: with its 95 % interval (Student, Welch's degrees of freedom).
    - `predicted`: D1's, between the same two dimensions.
    - `limit`: 1 + 1/T (theory.md D3).
    """

    steps: int
    dims: tuple[int, int]
    measured: float
    low: float
    high: float
    predicted: float | None
    limit: float


@dataclass(frozen=True)
class ScalingLaw(ShownInNotebooks):
    """All that was measured, in order of T and d."""

    link: str
    loss: str
    points: tuple[ScalingPoint, ...]
    exponents: tuple[Exponent, ...]
    configuration: Json

    def to_json(self) -> Json:
        """A record of plain numbers; what does not exist is None."""
        points = []
        for point in self.points:
            found = point.measured
            low, high = (None, None) if found is None else found.interval()
            points.append(
                {
                    "steps": point.steps,
                    "dim": point.dim,
                    "n_half": None if found is None else found.samples,
                    "low": low,
                    "high": high,
                    "predicted": point.predicted,
                    "runs": 0 if found is None else found.runs,
                    "scatter": None if found is None else found.scatter,
                    "slope": None if found is None else found.slope,
                    "why": point.why or None,
                }
            )
        exponents = [asdict(exponent) for exponent in self.exponents]
        return {
            "link": self.link,
            "loss": self.loss,
            "points": points,
            "exponents": exponents,
            "configuration": self.configuration,
        }


def measure_scaling(
    link: Link | str,
    loss: Loss | str = DEFAULT_LOSS,
    *,
    dims: Sequence[int] = (100, 1000, 10_000, 100_000, 1_000_000),
    steps: Sequence[int] = (1, 2, 3, 4),
    rank: int | None = None,
    noise: float = 0.0,
    backend: str = "numpy",
    dtype: str = "float32",
    precision: float = 0.005,
    most_runs: int = 400,
    memory: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
    on_point: Callable[[ScalingLaw], None] | None = None,
) -> ScalingLaw:
    """Measure n_half(d, T) with lazily revealed designs (theory.md §8).

    **Arguments**

    - `dims`, `steps`: the grid; each T ends at the first d whose n does not fit.
    - `precision`: wanted standard error of log n_half; `most_runs` bounds the runs that one
      n_half rests on (those that look for its neighbourhood are not counted).
    - `memory`: bytes that a run may take; by default four fifths of the machine's.
    - `on_point`: called after each (d, T) with all that is known so far, for callers that may
      have to stop early.
    - the others: as in `measured_log_odds`.

    **Raises** `InputError` for a link of which one step of gradient descent learns nothing
    (Λ = 0: there is no n_half), or arguments out of range.
    """
    link, loss = get_link(link, rank=rank), get_loss(loss)
    dims = sorted({integer("dims", d, minimum=max(10, 2 * link.rank)) for d in dims})
    steps = sorted({integer("steps", t, minimum=1, maximum=20) for t in steps})
    if not dims or not steps:
        raise InputError(f"dims={dims}, steps={steps}: expected at least one of each")
    noise = number("noise", noise, minimum=0.0)
    precision = number("precision", precision, minimum=0.0, exclusive=True)
    most_runs = integer("most_runs", most_runs, minimum=8)
    backend, dtype = choice("backend", backend, BACKENDS), dtype_name("dtype", dtype)
    seed = integer("seed", seed, minimum=0, maximum=2**32 - 1)
    threads = None if threads is None else parallel_count("threads", threads)
    present = physical_memory()
    if memory is None:
        available = math.inf if present is None else _MEMORY_FRACTION * present
    else:
        available = number("memory", memory, minimum=0.0, exclusive=True)
    if first_moments(label_law(link, loss, noise=noise)).rank == 0:
        raise InputError(
            f"link={link.name!r}, loss={loss.name!r}: Λ = 0, power iteration finds nothing to "
            "align with at any n; try another loss (`mimverify inspect`)"
        )
    report: OnProgress = on_progress or (lambda _t, _d, _line: None)
    configuration = {
        "dims": dims, "steps": steps, "noise": noise, "backend": backend, "dtype": dtype,
        "precision": precision, "most_runs": most_runs, "memory": available, "seed": seed,
        "threads": threads, "version": software_versions()["mimverify"],
    }  # fmt: skip
    points: list[ScalingPoint] = []

    def so_far() -> ScalingLaw:
        return ScalingLaw(link.name, loss.name, tuple(points), _exponents(points), configuration)

    with thread_limit(threads):
        for t in steps:
            guess, before = 4.0 * dims[0], None
            for d in dims:
                if before is not None:  # by D3's limit, from the last one measured
                    guess = before[1] * (d / before[0]) ** (1 + 1 / t)
                point = _measure_point(
                    link, loss, d, t, guess, noise=noise, backend=backend, dtype=dtype,
                    precision=precision, most_runs=most_runs, memory=available, seed=seed,
                    threads=threads, report=report,
                )  # fmt: skip
                points.append(point)
                if on_point is not None:
                    on_point(so_far())
                if point.measured is None:
                    break
                before = (d, point.measured.samples)
    return so_far()


def _measure_point(
    link: Link,
    loss: Loss,
    dim: int,
    steps: int,
    guess: float,
    *,
    noise: float,
    backend: str,
    dtype: str,
    precision: float,
    most_runs: int,
    memory: float,
    seed: int,
    threads: int | None,
    report: OnProgress,
) -> ScalingPoint:
    r = link.rank
    cheap = half_bytes(dim, round(2 * guess), r, steps, _REPEATS, dtype) <= _CHEAP_BYTES
    repeats = _REPEATS if cheap else 1
    per_sample = half_bytes(1, 2, r, steps, repeats, dtype) - half_bytes(
        1, 1, r, steps, repeats, dtype
    )
    fixed = half_bytes(dim, 0, r, steps, repeats, dtype)
    highest = (memory - fixed) / per_sample
    key = [seed, 0x7363616C, steps, dim]

    def measure(samples: int, index: int) -> float:
        report(steps, dim, f"n = {samples:.3g}, run {index + 1}")
        (derived,) = np.random.SeedSequence([*key, index]).generate_state(1)
        return measured_log_odds(
            link, loss, dim=dim, samples=samples, steps=steps, repeats=repeats, noise=noise,
            backend=backend, dtype=dtype, seed=int(derived), threads=threads,
        )  # fmt: skip

    found = None
    if highest > guess / 8:
        found = find_n_half(
            measure, guess, precision=precision, most_runs=most_runs, highest=highest
        )
    size = found.samples if found is not None else guess
    predicted = n_half(_label_measure(link, loss, noise, size, dim, steps), dim, steps, guess=size)
    why = ""
    if found is None:
        needed = predicted if predicted is not None else guess
        takes = half_bytes(dim, round(needed), r, steps, repeats, dtype)
        why = (
            f"n of about {needed:.2g} takes {bytes_text(takes)}, allowed are "
            f"{bytes_text(int(memory))}"
        )
        if takes <= memory:
            why = "no change of sign was found"
    return ScalingPoint(steps, dim, predicted, found, why)


def _label_measure(
    link: Link, loss: Loss, noise: float, samples: float, dim: int, steps: int
) -> LabelMeasure:
    """What D1 needs of link and loss; of heavy tails what n labels reach."""
    population = limiting_population(
        link, loss, noise=noise, dim=dim, samples=round(samples), steps=steps
    )
    if population is not None:
        return population.measure
    return reached_measure(link, loss, round(samples), noise=noise)


def _exponents(points: Sequence[ScalingPoint]) -> tuple[Exponent, ...]:
    from scipy.special import stdtrit

    found = []
    for one, two in pairwise(points):
        if one.steps != two.steps or one.measured is None or two.measured is None:
            continue
        span = math.log(two.dim / one.dim)
        errors = (one.measured.log_error, two.measured.log_error)
        degrees = (one.measured.degrees, two.measured.degrees)
        variance = errors[0] ** 2 + errors[1] ** 2
        welch = variance**2 / sum(e**4 / k for e, k in zip(errors, degrees, strict=True))
        reach = float(stdtrit(welch, 0.975)) * math.sqrt(variance) / span
        slope = (two.measured.log_samples - one.measured.log_samples) / span
        predicted = None
        if one.predicted is not None and two.predicted is not None:
            predicted = math.log(two.predicted / one.predicted) / span
        found.append(
            Exponent(
                one.steps,
                (one.dim, two.dim),
                slope,
                slope - reach,
                slope + reach,
                predicted,
                1 + 1 / one.steps,
            )
        )
    return tuple(found)
