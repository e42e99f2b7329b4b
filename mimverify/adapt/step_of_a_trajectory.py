"""What adapted trainers have in common: a step is a trajectory of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mimverify.support.arrays import FloatArray

if TYPE_CHECKING:
    from jaxtyping import Float


class StepOfATrajectory:
    """A trainer whose `step` is the first of its `trajectory`, by a new optimiser."""

    trajectory: Any

    def step(
        self,
        W: Float[FloatArray, "m d"],
        a: Float[FloatArray, " m"],
        b: Float[FloatArray, " m"],
        X: Float[FloatArray, "n d"],
        y: Float[FloatArray, " n"],
        **options: Any,
    ) -> Float[FloatArray, "m d"]:
        """W `(m, d)` after one step of a new optimiser."""
        return np.asarray(self.trajectory(W, a, b, X, y, steps=1, **options)[1])
