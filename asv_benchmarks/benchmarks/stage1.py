"""Stage 1, the training of the first layer: one gradient step, and a whole fit."""

from __future__ import annotations

from .common import NEURONS, TrainerBenchmark


class Step(TrainerBenchmark):
    """One step of the first layer: one pass over the rows of X."""

    def prepare(self, backend: str, dim: int) -> None:
        import numpy as np

        rng = np.random.default_rng(0)
        W = rng.standard_normal((NEURONS, dim)) / np.sqrt(dim)
        self.W = W.astype("float32")
        self.a = (rng.choice([-1.0, 1.0], NEURONS) / NEURONS).astype("float32")
        self.b = np.zeros(NEURONS, dtype="float32")

    def work(self) -> None:
        self.trainer.step(
            self.W,
            self.a,
            self.b,
            self.X,
            self.y,
            eta=0.1,
            beta=0.1,
            activation="log-cosh",
            loss="huber",
        )


class Fit(TrainerBenchmark):
    """Both layers, from data to predictor."""

    def work(self) -> None:
        self.trainer.fit(self.X, self.y)
