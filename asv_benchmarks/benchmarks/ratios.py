"""Time of one step of stage 1 relative to its two bare products, interleaved: for the gate.

A busy, throttled or slower machine slows both down; the ratio depends on the trainer alone.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from .bare import PRODUCTS, BareProducts
from .common import FULL, ROWS_PER_DIM, general_network, make_trainer, stored

_ROUNDS = 7 if FULL else 3
# Steps between two timings of the products; the first ones warm up and do not count: a core that
# was idle is slow for some milliseconds, which at small d are a whole step.
_STEPS, _WARM = 16, 4


def interleaved(trainer: Any, design: Any, y: Any, products: BareProducts) -> list[float]:
    """For each round the median time of a step relative to that of the products after it.

    `trainer` takes `_STEPS` steps for each round, and one round more. Its observer marks the
    ends of steps, so that steps alone are timed: no checks of the data, no centring.
    """
    ratios: list[float] = []
    steps: list[float] = []
    resumed = 0.0

    def observe(t: int, W: Any) -> None:
        nonlocal resumed
        stopped = time.perf_counter()
        if (t - 1) % _STEPS >= _WARM:
            steps.append(stopped - resumed)
        if t % _STEPS == 0:
            bare = products.seconds(_STEPS - _WARM, warm=_WARM)
            if t > _STEPS:  # the first round warms up
                ratios.append(median(steps) / bare)
            steps.clear()
        resumed = time.perf_counter()

    trainer.fit_first_layer(design, y, observe=observe)
    return ratios


class StepOverProducts:
    """A step relative to the bare products, float32, n = 16 d: the median of the rounds' ratios.

    `start`: "general", a network without symmetry, or "symmetric", where half of the neurons
    determine the others; the products are those of all neurons in either case.
    """

    params = (list(PRODUCTS), [512, 1024, 2048], [16, 64], ["general", "symmetric"])
    param_names = ("backend", "dim", "neurons", "start")
    # 1 had both in one process, and 2 no pause, so that idle threads of one slowed the other down;
    # 3 counted steps right after the pause.
    version = "4"
    timeout = 300
    unit = "ratio"

    def setup(self, backend: str, dim: int, neurons: int, start: str) -> None:
        import numpy as np

        import mimverify

        rng = np.random.default_rng(1)
        X = rng.standard_normal((ROWS_PER_DIM * dim, dim), dtype=np.float32)
        self.y = np.cos(2 * X[:, 0])
        options: dict[str, Any] = {"neurons": neurons}
        if start == "general":
            options |= {"start": mimverify.Network(*general_network(neurons, dim))}
            options |= {"schedule": "constant", "eta": 0.1, "beta": 0.1}
        self.trainer = make_trainer(backend, steps=_STEPS * (1 + _ROUNDS), **options)
        self.design = stored(X, backend)
        self.products = BareProducts(backend, *X.shape, neurons)

    def teardown(self, *params: Any) -> None:
        self.products.close()

    def track_ratio(self, backend: str, dim: int, neurons: int, start: str) -> float:
        return median(interleaved(self.trainer, self.design, self.y, self.products))
