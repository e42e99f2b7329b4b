"""Measurements along a trajectory, taken while the network trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mimverify.measure.angles import overlaps, principal_cosines
from mimverify.support.arrays import Array, Float64Array, FloatArray
from mimverify.support.threads import single_threaded_libraries

if TYPE_CHECKING:
    from jaxtyping import Float


@dataclass
class Recorder:
    """An observer of stage 1: call it with (t, W).

    **Arguments**

    - `subspace`: U `(r, d)`.
    - `keep_weights`: also keep every W, `(T + 1, m, d)` in all.
    - `on_step`: called after each recorded step with the recorder.

    `alignment`, `span_recovery`: lists over t; `overlaps`, `cosines`: lists of `(r,)`
    arrays; `seconds`: time between one step's end and the next, measuring left out
    (0 at t = 0).
    """

    subspace: Float64Array
    keep_weights: bool = False
    on_step: Callable[[Recorder], None] | None = None
    alignment: list[float] = field(default_factory=list)
    span_recovery: list[float] = field(default_factory=list)
    overlaps: list[Float64Array] = field(default_factory=list)
    cosines: list[Float64Array] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    weights: list[FloatArray] = field(default_factory=list)
    _resumed: float | None = None

    def resume(self) -> None:
        """Time the next step from now on: the steps so far were taken by another process."""
        self._resumed = time.perf_counter()

    def __call__(self, t: int, W: Float[Array, "m d"]) -> None:
        now = time.perf_counter()
        self.seconds.append(0.0 if self._resumed is None else now - self._resumed)
        W = np.array(W) if isinstance(W, np.ndarray) else np.array(W.detach().cpu().numpy())
        # BLAS threads started here would keep a core busy into the next step.
        with single_threaded_libraries():
            self.overlaps.append(overlaps(W, self.subspace))
            self.cosines.append(principal_cosines(W, self.subspace))
        self.alignment.append(float(self.overlaps[-1].sum()))
        self.span_recovery.append(float(self.cosines[-1][-1]))
        if self.keep_weights:
            self.weights.append(W)
        if self.on_step is not None:
            self.on_step(self)
        self._resumed = time.perf_counter()
