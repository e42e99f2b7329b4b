"""What the benchmarks share: a learning problem, and time and memory of one piece of work."""

from __future__ import annotations

from abc import ABC, abstractmethod

NEURONS = 64
ROWS_PER_DIM = 16  # n = 16 d: linear sample size, the theory's regime


class TrainerBenchmark(ABC):
    """Time and peak memory of `work()`, for each backend and input dimension.

    A new benchmark is a subclass with `work`, and with `prepare` if the work needs more than the
    data. asv leaves abstract classes out.

    The data `X` (`n d`) and `y` (`n`) are made in `setup`, outside the clock. Peak memory is that
    of the whole process, set-up and imports included: read it as a difference between dimensions.
    """

    params = (["numpy", "torch"], [128, 256, 512])
    param_names = ("backend", "dim")
    timeout = 120
    # History is comparable as long as this stays: raise it when the work itself changes.
    version = "1"

    def setup(self, backend: str, dim: int) -> None:
        # Inside, so that a commit that cannot be imported costs its own numbers only.
        import mimverify

        sample = mimverify.MultiIndexModel(link="cos2z", dim=dim).sample(ROWS_PER_DIM * dim, seed=0)
        self.X = sample.X.astype("float32")
        self.y = sample.y.astype("float32")
        self.trainer = mimverify.LayerwiseTrainer(
            backend=backend, neurons=NEURONS, steps=4, dtype="float32"
        )
        self.prepare(backend, dim)
        self.work()  # the first call pays for lazy imports, thread pools and allocator growth

    def prepare(self, backend: str, dim: int) -> None:  # noqa: B027 - may be left as it is
        """Makes what `work` needs besides the data and the trainer."""

    @abstractmethod
    def work(self) -> None:
        """What is measured. Called many times; must leave the state as it found it."""

    def time_work(self, backend: str, dim: int) -> None:
        self.work()

    def peakmem_work(self, backend: str, dim: int) -> None:
        self.work()
