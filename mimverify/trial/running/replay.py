"""Replay of a recorded failure: its one configuration, without Hypothesis."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.trial.claims.claim import CLAIM_SET_VERSION, load_claims
from mimverify.trial.outcomes import Status
from mimverify.trial.running.capsule import Capsule, decode_case, environment, same_arrays
from mimverify.trial.running.session import open_trainer, try_claim
from mimverify.trial.running.trial import Replayed, Trial
from mimverify.trial.running.verdict import Verdict
from mimverify.trial.trainer.adapter import TrainerUnderTrial
from mimverify.trial.trainer.calls import RecordedTrainer

__all__ = ["Replay", "replay"]


@dataclass(frozen=True)
class Replay:
    """The result of a replay.

    **Arguments**

    - `verdict`: the new one.
    - `recorded`: the message of the recorded one.
    - `differences`: from the recorded run: claims, arrays, versions.
    """

    verdict: Verdict
    recorded: str
    differences: list[str]

    @property
    def same(self) -> bool:
        """Whether it fails with the recorded message."""
        return self.verdict.status is Status.FAILED and self.verdict.message == self.recorded

    @property
    def exit_code(self) -> int:
        """1 if it still fails, or if the trainer cannot be used."""
        return int(self.verdict.status.bad)

    def to_json(self) -> Json:
        """Everything, in strict JSON's terms."""
        return {
            "verdict": self.verdict.to_json(),
            "recorded_message": self.recorded,
            "same": self.same,
            "differences": self.differences,
        }


def replay(capsule: Capsule, trainer: object = None, *, threads: int | None = None) -> Replay:
    """Try the claim on the recorded configuration, with the recorded seeds, and decide again.

    A statistical decision repeats the recorded runs until it is made, or until the profile's
    number of runs is spent. Only the time of a single call is limited.

    **Arguments**

    - `trainer`: as for `Session`; the capsule's by default.
    - `threads`: of the trainer's libraries; the capsule's by default.

    **Raises** `InputError` for a claim that no longer exists, a configuration that cannot be
    rebuilt, or a capsule without a trainer's name; `TrainerError` for a trainer that cannot be
    constructed.
    """
    claims = load_claims()
    if capsule.claim not in claims:
        raise InputError(f"claim={capsule.claim!r}: this version has no such claim")
    claim = claims[capsule.claim]
    case = decode_case(capsule.case, claim)
    source = capsule.trainer if trainer is None else trainer
    if source is None:
        raise InputError("trainer=None: the capsule names none; expected 'module:attribute'")
    settings = capsule.settings
    threads = settings.threads if threads is None else threads
    started = time.monotonic()
    with open_trainer(source, call_seconds=settings.call_seconds, threads=threads) as handle:
        record = RecordedTrainer(handle)
        trial = Trial(
            claim,
            TrainerUnderTrial(record),
            profile=settings.profile,
            ledger=capsule.ledger,
            seed=settings.seed,
            record=record,
            replayed=Replayed(case, capsule.turn),
        )
        verdict = try_claim(trial)
    verdict = replace(verdict, seconds=time.monotonic() - started)
    return Replay(verdict, capsule.message, _differences(capsule, record, verdict.status))


def _differences(capsule: Capsule, record: RecordedTrainer, status: Status) -> list[str]:
    found = []
    if capsule.claim_set != CLAIM_SET_VERSION:
        found.append(f"claim set {CLAIM_SET_VERSION}, recorded {capsule.claim_set}")
    # Only a failure ends at the recorded calls.
    if status is Status.FAILED and not same_arrays(capsule.calls, record.calls):
        found.append("the trainer was handed other arrays")
    now = environment()
    then = capsule.environment.get("versions", {})
    for name, version in then.items():
        here = now["versions"].get(name)
        if here is not None and here != version:
            found.append(f"{name} {here}, recorded {version}")
    if capsule.environment.get("platform") != now["platform"]:
        found.append(f"platform {now['platform']}, recorded {capsule.environment.get('platform')}")
    return found
