"""Thread pools: BLAS, OpenMP and Torch under one number."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def thread_environment(threads: int) -> dict[str, str]:
    """Environment variables that give every pool of a new process this many threads."""
    return dict.fromkeys(_VARIABLES, str(threads))


@contextmanager
def thread_limit(threads: int | None) -> Iterator[None]:
    """Limit the pools of this process and of those it starts meanwhile; None: leave them."""
    if threads is None:
        yield
        return
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(thread_environment(threads))
    try:
        with threadpool_limits(threads):
            if "torch" in sys.modules:  # loaded later, it reads the environment
                sys.modules["torch"].set_num_threads(threads)
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
