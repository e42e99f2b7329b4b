"""A claim's trial at several false-alarm levels at once, on the same runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from mimverify.pages.notebook import ShownInNotebooks
from mimverify.support.strict_json import Json, jsonable
from mimverify.trial.claims.claim import Claim
from mimverify.trial.claims.ledger import Ledger
from mimverify.trial.decisions.loop import DecidingLoop, EventCount
from mimverify.trial.outcomes import Status
from mimverify.trial.profile import Profile
from mimverify.trial.running.session import try_claim
from mimverify.trial.running.trial import Trial
from mimverify.trial.trainer.adapter import TrainerUnderTrial

__all__ = ["EventCount", "Tried", "try_at_levels"]


@dataclass(frozen=True)
class Tried(ShownInNotebooks):
    """A claim tried from one master seed.

    **Arguments**

    - `claim`, `seed`: which, from which.
    - `statuses`: of the trial, one for each of the ledgers in their order.
    - `counts`: of the events of its decisions.
    - `message`: why, where the trainer could not be used or the claim not be tried.
    - `seconds`: that the trial took.
    """

    claim: str
    seed: int
    statuses: tuple[Status, ...]
    counts: tuple[EventCount, ...] = ()
    message: str = ""
    seconds: float = 0.0

    def to_json(self) -> Json:
        """Strict JSON values; `from_json` is the inverse."""
        record: Json = jsonable(asdict(self))
        return record

    @classmethod
    def from_json(cls, record: Json) -> Tried:
        """What `to_json` wrote.

        **Raises** `KeyError`, `TypeError` or `ValueError` for anything else.
        """
        return cls(
            claim=str(record["claim"]),
            seed=int(record["seed"]),
            statuses=tuple(Status(status) for status in record["statuses"]),
            counts=tuple(
                EventCount(
                    str(count["name"]), str(count["case"]), int(count["happened"]), int(count["of"])
                )
                for count in record["counts"]
            ),
            message=str(record["message"]),
            seconds=float(record["seconds"]),
        )


def try_at_levels(
    claim: Claim,
    trainer: TrainerUnderTrial,
    *,
    profile: Profile,
    ledgers: Sequence[Ledger],
    seed: int = 0,
    counted: int | None = None,
) -> Tried:
    """Try a claim once, deciding with several ledgers where a trial has one.

    Seeds, runs and the deciding loop are those of a trial from the same master seed. Errors of
    the trainer are not raised: they are a status.

    **Arguments**

    - `ledgers`: the per-decision levels to decide at.
    - `counted`: see `DecidingLoop`.
    """
    loop = DecidingLoop([ledger.level for ledger in ledgers], profile, counted=counted)
    strictest = min(ledgers, key=lambda ledger: ledger.level)
    trial = Trial(claim, trainer, profile=profile, ledger=strictest, seed=seed, loop=loop)
    started = time.monotonic()
    verdict = try_claim(trial)
    status, message = verdict.status, verdict.message
    return Tried(
        claim=claim.id,
        seed=seed,
        statuses=tuple(loop.ended.get(k, status) for k in range(len(ledgers))),
        counts=() if status is Status.ERROR else tuple(loop.counts.values()),
        message=message if status in (Status.ERROR, Status.NOT_APPLICABLE) else "",
        seconds=time.monotonic() - started,
    )
