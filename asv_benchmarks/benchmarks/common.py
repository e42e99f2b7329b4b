"""Shared by the benchmarks: sizes, a learning problem, time and memory of one function.

No module here imports mimverify, or its dependencies, before `setup`: at a commit without some
module only the benchmarks of that module fail, and what asv imports to discover benchmarks does
not count as memory of any. All that is imported from mimverify exists in older commits, too.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

from .backend_files import backend_names

#: `make history` sets it; without it the sizes are those of `make bench`.
FULL = os.environ.get("MIMVERIFY_BENCH") == "full"

LINK = "cos2z"
NEURONS = 64
ROWS_PER_DIM = 16  # n = 16 d: linear sample size, the theory's regime
STEPS = 4


def grid(quick: Sequence[int], more: Sequence[int] = ()) -> list[int]:
    """Sizes in ascending order: the quick ones, and in a full run `more`."""
    return sorted({*quick, *(more if FULL else ())})


#: A backend that needs no extra is benchmarked by everything that has a backend. Others, where they
#: are installed, take part in few: compiling for each shape takes longer than what is measured.
BACKENDS, _OPTIONAL = backend_names()
ALL_BACKENDS = [*BACKENDS, *_OPTIONAL]
#: CI runs only benchmarks with a backend, at the smallest dimension.
DIMS = grid([128, 512], [256, 1024, 2048])

# Their peak memory is that of the imports; and CI takes less time without it.
_SMALLEST = [(DIMS[0],), *((backend, DIMS[0]) for backend in ALL_BACKENDS)]


class Work(ABC):
    """Time and peak memory of `work()`.

    A new benchmark is a subclass with `work`, and with `prepare` for what is not timed. asv
    skips abstract classes.

    Peak memory is that of the whole process, set-up and imports included: read it as a
    difference between dimensions.
    """

    params: ClassVar[Any] = (BACKENDS, DIMS)
    param_names: ClassVar[Sequence[str]] = ("backend", "dim")
    # History is comparable as long as this stays: raise it when the work itself changes.
    version: ClassVar[str] = "1"
    timeout = 300
    rounds = 1
    number = 1
    repeat = (3, 10, 5.0)
    warmup_time = 0

    _ready: tuple[Any, ...] | None = None

    def setup(self, *params: Any) -> None:
        # asv calls this before each call that it times.
        if self._ready == params:
            return
        self.prepare(*params)
        self.warm_up()
        self._ready = params

    @abstractmethod
    def prepare(self, *params: Any) -> None:
        """Set up what `work` needs."""

    def warm_up(self) -> None:
        """Trigger lazy imports, thread pools and allocator growth."""
        self.work()

    @abstractmethod
    def work(self) -> Any:
        """What is measured. Called many times; must not change the state."""

    def time_work(self, *params: Any) -> None:
        self.work()

    def peakmem_work(self, *params: Any) -> None:
        self.work()

    peakmem_work.skip_params = _SMALLEST  # type: ignore[attr-defined]


class TrainerWork(Work):
    """Work of a trainer on data in memory: `trainer`, `X` `(n, d)` and `y` `(n,)`."""

    neurons: ClassVar[int] = NEURONS
    rows_per_dim: ClassVar[int] = ROWS_PER_DIM
    dtype: ClassVar[str] = "float32"
    options: ClassVar[dict[str, Any]] = {}

    def prepare(self, *params: Any) -> None:
        backend, dim = params[:2]
        self.trainer = make_trainer(backend, self.dtype, neurons=self.neurons, **self.options)
        self.X, self.y = problem(dim, self.rows_per_dim * dim, self.dtype)


def make_trainer(backend: str, dtype: str = "float32", **options: Any) -> Any:
    """A `LayerwiseTrainer`, by default of `STEPS` steps."""
    import mimverify

    return mimverify.LayerwiseTrainer(backend=backend, dtype=dtype, **{"steps": STEPS, **options})


def make_model(dim: int) -> Any:
    """The model that all data is drawn from."""
    import mimverify

    return mimverify.MultiIndexModel(LINK, dim, seed=0)


@lru_cache(maxsize=1)
def problem(dim: int, samples: int, dtype: str = "float32") -> tuple[Any, Any]:
    """Inputs `(n, d)` and labels `(n,)`."""
    data = make_model(dim).sample(samples)
    # Not by an argument of `sample`, which older commits lack.
    return data.X.astype(dtype, copy=False), data.y.astype(dtype, copy=False)


def stored(X: Any, backend: str) -> Any:
    """`X` as a design: unlike arrays, designs are not checked for NaNs at each call."""
    from mimverify.backends import get_backend
    from mimverify.designs import StoredDesign

    return StoredDesign(X, get_backend(backend, X.dtype.name))


def general_network(neurons: int, dim: int, dtype: str = "float32") -> tuple[Any, Any, Any]:
    """W `(m, d)`, a and b `(m,)` of a network without any symmetry."""
    import numpy as np

    rng = np.random.default_rng(0)
    W = rng.standard_normal((neurons, dim)) / np.sqrt(dim)
    a = rng.choice([-1.0, 1.0], neurons) * rng.uniform(0.5, 1.5, neurons) / neurons
    b = 0.1 * rng.standard_normal(neurons)
    return W.astype(dtype), a.astype(dtype), b.astype(dtype)
