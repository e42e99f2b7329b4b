"""Stage 1, the training of the first layer: one gradient step, and a whole fit."""

from __future__ import annotations

from itertools import product
from typing import Any

from .common import ALL_BACKENDS, BACKENDS, DIMS, FULL, TrainerWork, general_network, grid


class Step(TrainerWork):
    """One step of the first layer from a general network, by the public method `step`."""

    params = (ALL_BACKENDS, DIMS)

    def prepare(self, *params: Any) -> None:
        super().prepare(*params)
        self.network = general_network(self.neurons, params[1], self.dtype)

    def work(self) -> None:
        self.trainer.step(
            *self.network,
            self.X,
            self.y,
            eta=0.1,
            beta=0.1,
            activation="log-cosh",
            loss="huber",
        )


class Fit(TrainerWork):
    """Both layers, from data to predictor; half of the rows for each."""

    params = (ALL_BACKENDS, DIMS)

    def work(self) -> None:
        self.trainer.fit(self.X, self.y)


class StepShapes(Step):
    """One step over m, n/d and dtype."""

    params = (
        BACKENDS,
        grid([512], [2048]),
        grid([16, 64], [256]),
        grid([4, 16], [64]),
        ["float32", "float64"],
    )
    param_names = ("backend", "dim", "neurons", "rows_per_dim", "dtype")
    if FULL:  # what would take more than 1 GiB
        skip_params = [
            combination
            for combination in product(*params)
            if combination[1] ** 2 * combination[3] * int(combination[4][-2:]) // 8 > 1 << 30
        ]

    def prepare(self, *params: Any) -> None:
        _, _, self.neurons, self.rows_per_dim, self.dtype = params  # type: ignore[misc]
        super().prepare(*params)

    peakmem_work = None  # type: ignore[assignment]  # follows from n, d and dtype
