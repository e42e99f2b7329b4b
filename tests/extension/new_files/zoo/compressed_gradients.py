"""The gradient is compressed before it is applied, as where it is sent between machines."""

from __future__ import annotations

import numpy as np

from mimverify.support.arrays import Array
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

CATEGORY = "compressed gradients"


@broken(caught_by="gradient-step", causes=("gradient replaced by the nearest one of rank 1",))
class RankOneGradients(Correct):
    """The gradient is replaced by the nearest matrix of rank 1."""

    def gradient(self, W: Array, task: Task) -> Array:
        u, s, v = np.linalg.svd(super().gradient(W, task), full_matrices=False)
        return np.asarray(s[0] * np.outer(u[:, 0], v[0]))
