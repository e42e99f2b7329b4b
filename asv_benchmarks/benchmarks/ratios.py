"""One step of stage 1 over its two bare products, interleaved: what gates rest on.

A machine that is busy, throttled or another one slows both down; what is left is the trainer's.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from statistics import median
from typing import Any

from .common import FULL, ROWS_PER_DIM, general_network, make_trainer, stored

_REPETITIONS = 21 if FULL else 7
_WARM_UP = 2


class Products(ABC):
    """X Wᵀ `(n, m)` and then Rᵀ X `(m, d)`, of whole matrices into memory that is there.

    A new backend is a subclass with `array` and `multiply`, and an entry in `PRODUCTS`.
    """

    def __init__(self, X: Any, W: Any) -> None:
        import numpy as np

        (n, d), m = X.shape, len(W)
        self.X, self.directions = self.array(X), self.array(W).T
        # Numbers of an ordinary size: products with zeros, or denormals, take another time.
        self.residuals = self.array(np.ones((n, m), dtype=X.dtype))
        self.projections = self.array(np.empty((n, m), dtype=X.dtype))
        self.gradient = self.array(np.empty((m, d), dtype=X.dtype))

    @abstractmethod
    def array(self, values: Any) -> Any:
        """An array of the backend."""

    @abstractmethod
    def multiply(self, left: Any, right: Any, out: Any) -> None:
        """One product."""

    def __call__(self) -> None:
        self.multiply(self.X, self.directions, self.projections)
        self.multiply(self.residuals.T, self.X, self.gradient)


class NumpyProducts(Products):
    def array(self, values: Any) -> Any:
        return values

    def multiply(self, left: Any, right: Any, out: Any) -> None:
        import numpy as np

        np.matmul(left, right, out=out)


class TorchProducts(Products):
    def array(self, values: Any) -> Any:
        import torch

        return torch.from_numpy(values)

    def multiply(self, left: Any, right: Any, out: Any) -> None:
        import torch

        torch.matmul(left, right, out=out)


PRODUCTS: dict[str, type[Products]] = {"numpy": NumpyProducts, "torch": TorchProducts}


def interleaved(
    trainer: Any, design: Any, y: Any, products: Callable[[], None]
) -> tuple[list[float], list[float]]:
    """Seconds of each step of a fit, and of the products between one step and the next.

    `trainer` takes `_WARM_UP` more steps than are returned. Its own observer tells the steps
    apart, so that nothing but steps counts: no checks of the data, no centring.
    """
    steps: list[float] = []
    bare: list[float] = []
    resumed = 0.0

    def observe(t: int, W: Any) -> None:
        nonlocal resumed
        stopped = time.perf_counter()
        products()
        done = time.perf_counter()
        if t > _WARM_UP:
            steps.append(stopped - resumed)
            bare.append(done - stopped)
        resumed = time.perf_counter()

    trainer.fit_first_layer(design, y, observe=observe)
    return steps, bare


class StepOverProducts:
    """Median seconds of a step over median seconds of the products, float32, n = 16 d.

    `start`: "general", a network whose neurons have nothing in common, or "symmetric", where
    half of them carry all the work; the products are those of all neurons in either case.
    """

    params = (list(PRODUCTS), [512, 1024, 2048], [16, 64], ["general", "symmetric"])
    param_names = ("backend", "dim", "neurons", "start")
    version = "1"
    timeout = 300
    unit = "ratio"

    def setup(self, backend: str, dim: int, neurons: int, start: str) -> None:
        import numpy as np

        import mimverify

        rng = np.random.default_rng(1)
        X = rng.standard_normal((ROWS_PER_DIM * dim, dim), dtype=np.float32)
        self.y = np.cos(2 * X[:, 0])
        W, a, b = general_network(neurons, dim)
        options: dict[str, Any] = {"neurons": neurons}
        if start == "general":
            options |= {"start": mimverify.Network(W, a, b)}
            options |= {"schedule": "constant", "eta": 0.1, "beta": 0.1}
        self.trainer = make_trainer(backend, steps=_WARM_UP + _REPETITIONS, **options)
        self.design = stored(X, backend)
        self.products = PRODUCTS[backend](X, W)

    def track_ratio(self, backend: str, dim: int, neurons: int, start: str) -> float:
        steps, bare = interleaved(self.trainer, self.design, self.y, self.products)
        return median(steps) / median(bare)
