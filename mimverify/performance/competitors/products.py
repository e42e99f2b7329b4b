"""The two bare matrix products of a step, and the peak speeds that bound its time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from mimverify.performance.competitors.competitor import Competitor, Run
from mimverify.performance.competitors.problem import Task
from mimverify.support.arrays import Array, FloatArray
from mimverify.support.threads import current_threads, map_in_order, single_threaded_libraries

if TYPE_CHECKING:
    from jaxtyping import Float

#: Side of the square matrices whose product measures the arithmetic peak.
PEAK_SIDE = 2048
#: Bytes read to measure the bandwidth: more than any cache holds.
PEAK_BYTES = 1 << 29

_TRIES = 3


def _residuals(task: Task) -> Float[FloatArray, "n m"]:
    """A dense R: its values do not matter to the time of a product."""
    rng = np.random.default_rng(task.problem.seed)
    shape = (task.problem.samples, task.problem.neurons)
    R = np.empty(shape, task.problem.dtype)
    R[...] = rng.standard_normal(shape, dtype=np.dtype(task.problem.dtype).type)
    return R


def _numpy(task: Task) -> Run:
    X, W, R = task.X, task.W, _residuals(task)

    def call() -> tuple[Array, Array]:
        return X @ W.T, R.T @ X

    return Run(call)


def _torch(task: Task, device: str = "cpu") -> Run:
    import torch

    X, W, R = (
        torch.as_tensor(array, device=device) for array in (task.X, task.W, _residuals(task))
    )

    def call() -> tuple[Array, Array]:
        with torch.inference_mode():
            products = X @ W.T, R.T @ X
            _finish(device)
            return products

    return Run(call)


def _finish(device: str) -> None:
    """Wait for what is queued on a card; elsewhere calls end when they are done."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def measure_peaks(
    name: str, dtype: str, *, side: int = PEAK_SIDE, nbytes: int = PEAK_BYTES
) -> dict[str, float]:
    """Operations per second of a large square product, and bytes per second of reading.

    **Arguments**

    - `name`: of a competitor of this module, whose library is used.
    - `dtype`: of the numbers.
    - `side`, `nbytes`: sizes of the product and of what is read.

    **Returns** `flops` and `bytes`, the best of a few tries each.
    """
    A = np.ones((side, side), dtype)
    x = np.ones(nbytes // np.dtype(dtype).itemsize, dtype)
    if name.startswith(TORCH_PRODUCTS.name):
        import torch

        device = name.partition(" on ")[2] or "cpu"
        B, v = torch.as_tensor(A, device=device), torch.as_tensor(x, device=device)

        def multiply() -> object:
            product = B @ B
            _finish(device)
            return product

        def read() -> object:
            total = v.sum()
            _finish(device)
            return total
    else:
        chunks = np.array_split(x, current_threads())

        def read_all() -> object:
            with single_threaded_libraries():  # a thread for each chunk instead
                return map_in_order(lambda chunk: chunk @ chunk, chunks, len(chunks))

        def multiply() -> object:
            return A @ A

        read = read_all
    return {"flops": 2 * side**3 / _best(multiply), "bytes": x.nbytes / _best(read)}


def _best(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(_TRIES):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return min(times)


NUMPY_PRODUCTS = Competitor(
    "numpy products",
    "X @ W.T and R.T @ X in NumPy, as a user writes them, for an R that is given",
    _numpy,
    computes_step=False,
)
TORCH_PRODUCTS = Competitor(
    "torch products",
    "the same in Torch",
    _torch,
    modules=("torch",),
    computes_step=False,
)


def torch_products_on(device: str) -> Competitor:
    """The bare products on a Torch device."""
    return Competitor(
        f"{TORCH_PRODUCTS.name} on {device}",
        f"the bare products in Torch on {device}",
        partial(_torch, device=device),
        modules=("torch",),
        computes_step=False,
    )
