"""One neuron of each pair computed, the other derived from it: the symmetric start's short cut.

Where theory.md §3, E1 holds, f ≡ 0, and after a step w_{j + m/2} = ± w_j. A trainer that takes the
short cut elsewhere moves the second half of its neurons as the mirror image of the first.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mimverify.support.arrays import Float64Array
from mimverify.trial.diagnosis.rule import Prediction, changed, rule
from mimverify.trial.diagnosis.trainer_step import Step


@rule("second half of the neurons taken for the mirror image of the first", varies=True)
def mirrored(step: Step) -> Iterator[Prediction]:
    """With either sign, which alternates from step to step; f taken for 0, or as it is."""
    half, rest = divmod(len(step.a), 2)
    if rest or not half:
        return
    without_output = changed(step, y=step.y + step.output)
    as_it_is = Prediction(lambda: step.right, lambda: step.envelope)
    zero = bool((np.abs(without_output.weights() - step.right) <= step.envelope).all())
    for detail, whole in (("f taken for 0", without_output), ("", as_it_is)):
        if zero and not detail:
            continue  # f is 0
        for sign, name in ((-1.0, "of opposite sign"), (1.0, "of the same sign")):
            halved = _mirrored(whole, half, sign)
            # Halves that are mirrored anyway show nothing.
            if (np.abs(halved.weights() - whole.weights()) > whole.allowed()).any():
                yield halved.named(", ".join(filter(None, (name, detail))))


def _mirrored(whole: Prediction, half: int, sign: float) -> Prediction:
    def weights() -> Float64Array:
        first = whole.weights()[:half]
        return np.concatenate([first, sign * first])

    return Prediction(weights, lambda: np.concatenate([whole.allowed()[:half]] * 2))


RULES = (mirrored,)
