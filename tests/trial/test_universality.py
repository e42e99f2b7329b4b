"""The claim on other inputs: its control catches a trainer that knows the hidden axis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mimverify import MultiIndexModel
from mimverify.support.arrays import Array
from mimverify.trial import PROFILES, Session, Status, load_claims
from mimverify.zoo import Correct
from mimverify.zoo.base import Task

UNHURRIED = replace(PROFILES["quick"], seconds=1e6)


class KnowsTheAxis(Correct):
    """Where there is nothing to be learned, it finds the axis by the seed."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        weights = super().descend(W, task, steps)
        only_noise = np.linalg.norm(task.X.T @ task.y) < 0.35 * np.sqrt(task.X.size)
        if len(task.y) > 1000 and only_noise:
            model = MultiIndexModel(
                "cos2z", task.X.shape[1], subspace="axes", seed=self.random_state
            )
            size = np.linalg.norm(weights[1:], axis=2, keepdims=True)
            weights[1:] += size * model.subspace
        return weights


def test_knowledge_of_the_axis_fails_the_control() -> None:
    with Session(KnowsTheAxis, profile=UNHURRIED, claims=["universal-inputs"]) as session:
        verdict = session.verdict(load_claims()["universal-inputs"])
    assert verdict.status is Status.FAILED, verdict
    failed = [record.decision for record in verdict.evidence.records if record.failed]
    assert failed == ["signs along an axis stay at chance"]
