"""What the bare products of all libraries share, and the peak speeds that bound a step's time."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from mimverify.performance.competitors.competitor import Competitor
from mimverify.performance.competitors.problem import Task
from mimverify.support.arrays import FloatArray

if TYPE_CHECKING:
    from jaxtyping import Float

#: Side of the square matrices whose product measures the arithmetic peak.
PEAK_SIDE = 2048
#: Bytes read to measure the bandwidth: more than any cache holds.
PEAK_BYTES = 1 << 29

_TRIES = 3


def random_residuals(task: Task) -> Float[FloatArray, "n m"]:
    """A dense R: its values do not matter to the time of a product."""
    rng = np.random.default_rng(task.problem.seed)
    shape = (task.problem.samples, task.problem.neurons)
    R = np.empty(shape, task.problem.dtype)
    R[...] = rng.standard_normal(shape, dtype=np.dtype(task.problem.dtype).type)
    return R


def measure_peaks(
    competitor: Competitor, dtype: str, *, side: int = PEAK_SIDE, nbytes: int = PEAK_BYTES
) -> dict[str, float]:
    """Operations per second of a large square product, and bytes per second of reading.

    **Arguments**

    - `competitor`: in whose library.
    - `dtype`: of the numbers.
    - `side`, `nbytes`: sizes of the product and of what is read.

    **Returns** `flops` and `bytes`, the best of a few tries each; nothing for a competitor that
    has no `peaks`.
    """
    if competitor.peaks is None:
        return {}
    x = np.ones(nbytes // np.dtype(dtype).itemsize, dtype)
    multiply, read = competitor.peaks(np.ones((side, side), dtype), x)
    return {"flops": 2 * side**3 / _best(multiply), "bytes": x.nbytes / _best(read)}


def _best(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(_TRIES):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return min(times)
