"""The gradient compressed before it is applied."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mimverify.trial.diagnosis.rule import Prediction, of_weights, rule
from mimverify.trial.diagnosis.trainer_step import Step


@rule("gradient replaced by the nearest one of rank 1")
def rank_one(step: Step) -> Iterator[Prediction]:
    u, s, v = np.linalg.svd(step.gradient, full_matrices=False)
    if len(s) > 1 and s[0] > 2 * s[1]:
        # Errors of the gradient turn its leading directions by up to 1/(s[0] − s[1]) of themselves.
        more = 4 * s[0] / (s[0] - s[1]) * np.linalg.norm(step.envelope)
        weights = step.keep * step.W - step.eta * s[0] * np.outer(u[:, 0], v[0])
        yield of_weights(step, weights, more)


RULES = (rank_one,)
