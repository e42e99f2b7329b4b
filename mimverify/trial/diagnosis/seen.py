"""Causes that are seen in what a trainer does, beside those of its steps.

A trainer of which predictions or counts alone are known has no step that a wrong rule could
predict. Where it fails, a few calls are made that only a certain fault can answer as it does: two
fits, predictions in pieces, a copy. What is named was seen, not inferred from the claim.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from mimverify.handles.memory_watch import CHANGES
from mimverify.support.errors import MimverifyError
from mimverify.trial.decisions.memory_use import REFUSED
from mimverify.trial.diagnosis.catalogue import RULES
from mimverify.trial.diagnosis.count_causes import COUNT_CAUSES, causes_of_counts
from mimverify.trial.diagnosis.fit_causes import FIT_CAUSES, causes_of_predictions
from mimverify.trial.diagnosis.matching import Match
from mimverify.trial.diagnosis.rules.first_weights import ONE_BUFFER
from mimverify.trial.trainer.calls import RecordedTrainer

__all__ = ["CAUSE_NAMES", "SEEN", "look", "seen"]

#: Names of all causes that can be seen, beside those that a rule of a step has too.
SEEN = (*CHANGES, REFUSED, *COUNT_CAUSES, *FIT_CAUSES)
#: Names of all causes that can be named.
CAUSE_NAMES = (*RULES, ONE_BUFFER, *SEEN)

_LONGEST = 5.0  # s; that all of this may be expected to take,
_SHARE = 0.1  # and this part of the time that is left

_LOOKS: tuple[Callable[[RecordedTrainer, float], Iterator[tuple[str, str]]], ...] = (
    causes_of_counts,
    causes_of_predictions,
)


def seen(cause: str, detail: str = "") -> Match:
    """A cause that was seen, as it is reported."""
    return Match(cause, (detail,), 0.0, 0)


def look(record: RecordedTrainer) -> tuple[Match, ...]:
    """What the trainer of a failed claim can be seen to do wrong; the trainer is a new one after.

    **Arguments**

    - `record`: of its calls, which stays as it is.

    **Returns** nothing where the calls would take more than seconds, or one does not return.
    """
    before, now = record.deadline, time.monotonic()
    affordable = _LONGEST if before is None else min(_LONGEST, _SHARE * (before - now))
    record.deadline = now + 2 * affordable
    found: list[Match] = []
    try:
        for causes in _LOOKS:
            found += [seen(*cause) for cause in causes(record, affordable)]
    except MimverifyError:
        pass
    finally:
        record.deadline = before
    return tuple(found)
