"""The fastest backend on this machine, for a shape."""

from __future__ import annotations

from mimverify.performance.competitors.benchmark_run import BenchmarkRun
from mimverify.performance.competitors.problem import Problem
from mimverify.performance.competitors.registry import COMPETITORS
from mimverify.support.errors import MimverifyError
from mimverify.support.validation import integer

# n/d where n is not given: which backend is faster hardly depends on it.
_RATIO = 16


def fastest_backend(
    dim: int,
    neurons: int,
    samples: int | None = None,
    dtype: str = "float32",
    rounds: int = 3,
    *,
    threads: int | None = None,
) -> str:
    """The name of the backend whose step takes the least time here, `"numpy"` say.

    Times one step of a general network on each backend, in processes of their own, in turn; a
    few seconds in all. A backend whose library is not installed is left out. The name is what
    `LayerwiseTrainer(backend=…)` takes.

    **Arguments**

    - `dim`, `neurons`, `samples`: d, m and n; n = 16 d by default.
    - `dtype`: `"float32"` or `"float64"`.
    - `rounds`: how often each is timed.
    - `threads`: of the libraries' pools; None for their defaults.

    **Raises** `InputError` for bad arguments; `MimverifyError` if no backend works.
    """
    dim = integer("dim", dim, minimum=2)
    problem = Problem(dim, neurons, _RATIO * dim if samples is None else samples, dtype)
    ours = [name for name, competitor in COMPETITORS.items() if competitor.backend]
    with BenchmarkRun(ours, rounds=rounds, threads=threads) as benchmark:
        case = benchmark.run(problem)
    if case.fastest is None:
        reasons = "; ".join(f"{name}: {entry.failure}" for name, entry in case.entries.items())
        raise MimverifyError(f"no backend could be timed ({reasons})")
    return case.fastest.competitor.backend
