"""Measurements of a first layer where the subspace is not known."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mimverify.backends import Backend
from mimverify.support.arrays import Array, Float64Array

if TYPE_CHECKING:
    from jaxtyping import Float


class SpectrumRecorder:
    """An observer of stage 1: call it with (t, W), W an array of the backend.

    **Arguments**

    - `on_step`: called after each recorded step with the recorder.

    `singular_values`: of W, `(min(m, d),)` for each t; `seconds`: between one step's end and
    the next, without measuring (0 at t = 0).
    """

    def __init__(
        self, backend: Backend, on_step: Callable[[SpectrumRecorder], None] | None = None
    ) -> None:
        self.singular_values: list[Float64Array] = []
        self.seconds: list[float] = []
        self._backend = backend
        self._on_step = on_step
        self._resumed = 0.0

    def __call__(self, t: int, W: Float[Array, "m d"]) -> None:
        self.seconds.append(time.perf_counter() - self._resumed if t else 0.0)
        weights = self._backend.to_numpy(W).astype(np.float64)
        self.singular_values.append(np.asarray(np.linalg.svd(weights, compute_uv=False)))
        if self._on_step is not None:
            self._on_step(self)
        self._resumed = time.perf_counter()
