"""Replay of a recorded failure: its one configuration, without Hypothesis."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from mimverify.support.errors import InputError, MimverifyError
from mimverify.support.exit_status import FAILED, NOTHING_VERIFIED, VERIFIED
from mimverify.support.strict_json import Json
from mimverify.support.validation import canonical
from mimverify.trial.claims.claim import Claim
from mimverify.trial.outcomes import Status
from mimverify.trial.running.capsule import (
    Capsule,
    claim_hashes,
    decode_case,
    environment,
    same_arrays,
)
from mimverify.trial.running.session import open_trainer, try_claim
from mimverify.trial.running.trial import Replayed, Trial
from mimverify.trial.running.verdict import Verdict
from mimverify.trial.trainer.adapter import TrainerUnderTrial
from mimverify.trial.trainer.calls import RecordedTrainer, TriedCombination

__all__ = ["Conclusion", "Replay", "replay"]

_MOST_STRATA = 100  # strategies of one claim


class Conclusion(StrEnum):
    """What a replay shows of the recorded failure. The value is the sentence that says so."""

    SAME = "It fails as it did."
    OTHER = "It still fails, in another way."
    MENDED = "The recorded example was tried and passed."
    NOT_REPRODUCED = (
        "Not reproduced: the recorded example passed, although the trainer's source and all "
        "versions are as recorded. Nothing was verified; repeat it, and look for what is random."
    )
    SOURCE_UNKNOWN = (
        "The recorded example passed, and nothing shows that the trainer was mended: its source "
        "cannot be compared with the recorded one."
    )
    NOT_TRIED = "Nothing was verified: the recorded example was not tried."


@dataclass(frozen=True)
class Replay:
    """The result of a replay.

    **Arguments**

    - `verdict`: the new one.
    - `recorded`: the message of the recorded one.
    - `conclusion`: what the new one says of the recorded one.
    - `differences`: from the recorded run: claims, arrays, versions, sources.
    """

    verdict: Verdict
    recorded: str
    conclusion: Conclusion
    differences: list[str]

    @property
    def same(self) -> bool:
        """Whether it fails with the recorded finding."""
        return self.conclusion is Conclusion.SAME

    @property
    def exit_code(self) -> int:
        """1 if it still fails, or if the trainer cannot be used; 0 if it is mended; else 3."""
        if self.verdict.status.bad:
            return FAILED
        return VERIFIED if self.conclusion is Conclusion.MENDED else NOTHING_VERIFIED

    def to_json(self) -> Json:
        """Everything, in strict JSON's terms."""
        return {
            "verdict": self.verdict.to_json(),
            "recorded_message": self.recorded,
            "same": self.same,
            "conclusion": self.conclusion.name.lower(),
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
    claim_set = capsule.settings.claim_set
    claims = claim_set.claims
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
    with open_trainer(
        source, call_seconds=settings.call_seconds, threads=threads, claim_set=claim_set
    ) as handle:
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
        missing = _missing(capsule, claim, case)
        if missing:
            verdict = Verdict(claim.id, Status.INCONCLUSIVE, missing)
        else:
            verdict = try_claim(trial)
        sources = _sources_now(record)
    verdict = replace(verdict, seconds=time.monotonic() - started)
    changed = _changed(capsule.sources, sources)
    same_trainer = _is_the_recorded(trainer, capsule, record)
    unchanged = (
        same_trainer and not changed and not _other_versions(capsule) and not _other_claims(capsule)
    )
    passed = Conclusion.MENDED
    if unchanged:
        passed = Conclusion.SOURCE_UNKNOWN if changed is None else Conclusion.NOT_REPRODUCED
    conclusion = _conclusion(capsule, verdict, record, passed)
    differences = _differences(capsule, record, verdict.status)
    if same_trainer and changed is None:
        differences.append("it is not known whether the source is the recorded one")
    elif same_trainer and changed:
        differences.append(f"the source of {', '.join(changed)}")
    return Replay(verdict, capsule.message, conclusion, differences)


def _is_the_recorded(trainer: object, capsule: Capsule, record: RecordedTrainer) -> bool:
    """Whether it is the recorded trainer by name; of an object, by that of its class."""
    if trainer is None or trainer == capsule.trainer:
        return True
    given_as_object = f"<module:attribute of {record.name}>"
    return capsule.trainer is None and given_as_object in capsule.verdict.reproduce


def _missing(capsule: Capsule, claim: Claim, case: object) -> str:
    """Why the claim has no such example, or ""."""
    profile = capsule.settings.profile
    examples = profile.exact_examples if claim.exact else profile.statistical_examples
    if not claim.admits(case):
        return f"the claim's assumptions exclude the recorded example, {case}"
    if claim.exact:  # each stratum has an example more at most, or its least number
        examples += profile.stratum_examples * _MOST_STRATA
    if capsule.turn > examples:
        return f"turn={capsule.turn}: the claim has about {examples} examples"
    return ""


def _conclusion(
    capsule: Capsule, verdict: Verdict, record: RecordedTrainer, passed: Conclusion
) -> Conclusion:
    if verdict.status.bad:
        same = verdict.evidence.finding == capsule.finding
        failed = verdict.status is Status.FAILED
        return Conclusion.SAME if failed and same else Conclusion.OTHER
    # A trainer may have declared the failing combination away.
    tried = _spelled(capsule.combinations) <= _spelled(record.tried)
    if verdict.status is not Status.PASSED or not tried:
        return Conclusion.NOT_TRIED
    return passed


def _spelled(combinations: Iterable[TriedCombination]) -> set[TriedCombination]:
    return {tuple(map(canonical, one)) for one in combinations}


def _sources_now(record: RecordedTrainer) -> dict[str, str]:
    try:
        return record.source_hashes()
    except MimverifyError:  # its process cannot be started again
        return {}


def _changed(recorded: dict[str, str], now: dict[str, str]) -> list[str] | None:
    """Modules with another source than recorded; None: nothing can be compared.

    Others may be loaded now: a replay does less than the run that failed.
    """
    common = recorded.keys() & now.keys()
    return sorted(name for name in common if recorded[name] != now[name]) if common else None


def _other_versions(capsule: Capsule) -> list[str]:
    """Versions that are not those recorded, and the pass: its last bits are its own."""
    here_now = environment()
    now = here_now["versions"] | {"pass": here_now["pass"]}
    then = dict(capsule.environment.get("versions", {}))
    if "pass" in capsule.environment:
        then["pass"] = capsule.environment["pass"]
    both = [(name, now.get(name), version) for name, version in then.items()]
    return [
        f"{name} {here}, recorded {version}"
        for name, here, version in both
        if here is not None and here != version
    ]


def _other_claims(capsule: Capsule) -> list[str]:
    """In what the claims are not those recorded: in their version, or in a pack's files."""
    label = capsule.settings.claim_set.label
    if capsule.claim_set != label:
        return [f"claim set {label}, recorded {capsule.claim_set}"]
    recorded = capsule.environment.get("claims", {})
    # Modules that only one of the two runs has loaded are compared with nothing.
    if _changed(recorded, claim_hashes(capsule.settings)):
        return ["the claims: their file is another one, of the same version"]
    return []


def _differences(capsule: Capsule, record: RecordedTrainer, status: Status) -> list[str]:
    found = []
    found += _other_claims(capsule)
    # Only a failure ends at the recorded calls.
    if status is Status.FAILED and not same_arrays(capsule.calls, record.calls):
        found.append("the trainer was handed other arrays")
    found += _other_versions(capsule)
    now, then = environment()["platform"], capsule.environment.get("platform")
    return found if now == then else [*found, f"platform {now}, recorded {then}"]
