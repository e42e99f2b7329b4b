"""All claims on trial against one trainer: time, risk and expectations shared out."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mimverify.closing import Closing
from mimverify.errors import InputError, MimverifyError, TrainerError
from mimverify.handles import InProcessTrainer, TrainerHandle
from mimverify.handles.isolated import SpawnedTrainer
from mimverify.importing import summarise
from mimverify.trial.adapter import TrainerUnderTrial
from mimverify.trial.calls import RecordedTrainer
from mimverify.trial.capsule import capsule_folder, capsule_name, save_capsule
from mimverify.trial.claim import Claim, load_claims
from mimverify.trial.ledger import Ledger
from mimverify.trial.localisation import localise
from mimverify.trial.profile import (
    FALSE_ALARM_BUDGET,
    PROFILES,
    Profile,
    get_profile,
    profiles_up_to,
)
from mimverify.trial.trial import Trial
from mimverify.trial.verdict import ClaimFailed, Inconclusive, NotApplicable, Status, Verdict
from mimverify.validation import choice, integer, number

__all__ = ["REFERENCE_TRAINERS", "Session", "open_trainer", "outcome_of", "select_claims"]

_GENEROSITY = 3  # parts of the time that one claim may take before it is cut off

#: Short names of the trainers that mimverify brings along.
REFERENCE_TRAINERS = {
    "numpy": "mimverify:numpy_trainer",
    "torch": "mimverify:torch_trainer",
}


def open_trainer(
    trainer: object, *, call_seconds: float, threads: int | None = None
) -> TrainerHandle:
    """A handle on a trainer: a name runs in a process of its own, an object in this one.

    **Raises** `TrainerError` where it cannot be imported or constructed.
    """
    if isinstance(trainer, str):
        spec = REFERENCE_TRAINERS.get(trainer, trainer)
        return SpawnedTrainer(spec, time_limit=call_seconds, threads=threads)
    return InProcessTrainer(trainer)


def select_claims(ids: Iterable[str] | None, profile: str | None = None) -> dict[str, Claim]:
    """The claims of these ids, in the suite's order; without any, all that a profile tries.

    **Arguments**

    - `ids`: None or none for all.
    - `profile`: name of the profile that is asked when there are no ids; None for the largest.

    **Raises** `InputError` for an unknown id or profile.
    """
    claims = load_claims()
    ids = (ids,) if isinstance(ids, str) else ids
    wanted = {choice("claim", name, claims) for name in ids or ()}
    tried = profiles_up_to(profile or list(PROFILES)[-1])
    return {
        name: claim
        for name, claim in claims.items()
        if (name in wanted if wanted else claim.profile in tried)
    }


class Session(Closing):
    """Tries claims against one trainer and returns verdicts; never raises for the trainer's sake.

    **Arguments**

    - `trainer`: `"module:attribute"`, `"numpy"`, `"torch"`: run in a worker process, killed
      when a call outlasts its limit. Or an instance, class or zero-argument factory: run in
      this process, where nothing can stop a call that hangs.
    - `profile`, `seed`, `budget`: how thoroughly, from which seed, at which total risk.
    - `claims`: ids that will be tried (the profile's by default); they share the profile's time.
    - `expected_failures`: claim id → reason.
    - `call_seconds`: time limit of one call (the profile's by default).
    - `capsules`: folder, made if need be, for a replay capsule of each failure; None: none.

    **Raises** `TrainerError` (import, construction), `InputError` (arguments).
    """

    def __init__(
        self,
        trainer: object,
        *,
        profile: Profile | str = "quick",
        seed: int = 0,
        budget: float = FALSE_ALARM_BUDGET,
        claims: Iterable[str] | None = None,
        expected_failures: Mapping[str, str] | None = None,
        call_seconds: float | None = None,
        threads: int | None = None,
        capsules: str | Path | None = None,
    ) -> None:
        self.profile = get_profile(profile) if isinstance(profile, str) else profile
        self.seed = integer("seed", seed, minimum=0)
        self.budget = number("budget", budget, minimum=0, exclusive=True)
        if self.budget >= 1:
            raise InputError(f"budget={budget!r}: expected a probability below 1")
        self.claims = select_claims(claims, self.profile.name)
        self.expected = dict(expected_failures or {})
        self.ledger = Ledger.split(load_claims().values(), self.profile, self.budget)
        limit = self.profile.call_seconds if call_seconds is None else call_seconds
        started = time.monotonic()
        self._capsules = None if capsules is None else capsule_folder(capsules)
        self._call_seconds, self._threads = limit, threads
        self.handle = open_trainer(trainer, call_seconds=limit, threads=threads)
        self._record = RecordedTrainer(self.handle)
        self._trainer = TrainerUnderTrial(self._record)
        self._spec = trainer if isinstance(trainer, str) else None
        self._spent = time.monotonic() - started
        # Claims that do not apply take no time, and are to leave theirs to the others.
        self._waiting = {
            name: claim.cost
            for name, claim in self.claims.items()
            if claim.needs in self._trainer.capabilities
        }

    def verdict(self, claim: Claim) -> Verdict:
        """Try one claim."""
        started = time.monotonic()
        left = max(self.profile.seconds - self._spent, 0.0)
        deadline = started + self._share(claim, left)
        # A single call may outlast the claim's share, so that one that hangs is told from a
        # trainer that is slow, but not the whole run's time.
        self.handle.deadline = started + left
        self._trainer.deadline = deadline
        trial = Trial(
            claim,
            self._trainer,
            profile=self.profile,
            ledger=self.ledger,
            seed=self.seed,
            deadline=deadline,
            record=self._record,
        )
        self._record.begin()
        status, message = outcome_of(trial)
        failed = status is Status.FAILED
        if claim.id in self.expected:
            status, message = _against_expectation(status, message, self.expected[claim.id])
        seconds = time.monotonic() - started
        self._spent += seconds
        verdict = Verdict(
            claim.id,
            status,
            message,
            trial.statistic,
            trial.evidence,
            seconds,
            self.reproduce(claim),
        )
        if failed and status is Status.FAILED and self._capsules is not None:
            return self._with_capsule(verdict, trial)
        return verdict

    def _with_capsule(self, verdict: Verdict, trial: Trial) -> Verdict:
        """The verdict with its capsule written; a disk that is full does not cost the verdict."""
        assert self._capsules is not None
        path = self._capsules / capsule_name(
            self._spec or self.handle.name, verdict.id, self.profile.name, self.seed
        )
        try:
            save_capsule(
                path,
                verdict,
                trainer=self._spec,
                profile=self.profile,
                ledger=self.ledger,
                seed=self.seed,
                call_seconds=self._call_seconds,
                threads=self._threads,
                example=trial.example,
                turn=trial.turn,
                case=trial.case,
                record=self._record,
            )
        except InputError as error:
            trial.evidence["no_capsule"] = str(error)
            return verdict
        return replace(verdict, capsule=str(path))

    def _share(self, claim: Claim, left: float) -> float:
        """This claim's seconds: a generous part of those left, by cost among claims to come.

        Most claims decide long before their part is spent, so each may take several parts;
        together they cannot take more than there is.
        """
        waiting = sum(self._waiting.values())
        cost = self._waiting.pop(claim.id, claim.cost)
        return min(left, _GENEROSITY * left * cost / max(waiting, cost))

    def reproduce(self, claim: Claim) -> str:
        """One command that repeats the trial of this claim alone."""
        trainer = self._spec or f"<module:attribute of {self.handle.name}>"
        words = ["mimverify", "check", trainer, "--claim", claim.id]
        words += ["--profile", self.profile.name, "--seed", str(self.seed)]
        if self.budget != FALSE_ALARM_BUDGET:
            words += ["--budget", f"{self.budget:g}"]
        return shlex.join(words)

    def close(self) -> None:
        """Let the trainer go."""
        self.handle.close()


def outcome_of(trial: Trial) -> tuple[Status, str]:
    """Try a claim: its status, and one line that says why where it did not pass."""
    try:
        trial.run()
    except ClaimFailed as error:
        return Status.FAILED, _localised(trial, str(error))
    except NotApplicable as error:
        return Status.NOT_APPLICABLE, str(error)
    except Inconclusive as error:
        return Status.INCONCLUSIVE, str(error)
    except TrainerError as error:
        trial.evidence["trainer_error"] = error.kind
        status = Status.INCONCLUSIVE if error.kind == "deadline" else Status.ERROR
        return status, str(error)
    except MimverifyError as error:  # what the trainer returned cannot be measured
        return Status.ERROR, str(error)
    except Exception as error:  # a fault of the suite must not pass for the trainer's
        return Status.ERROR, f"mimverify itself failed: {summarise(error)}"
    return Status.PASSED, ""


def _localised(trial: Trial, message: str) -> str:
    """The message with the first divergent step of the calls behind it, and its cause if known."""
    if trial.record is None:
        return message
    divergence = localise(trial.record.calls)
    if divergence is None:
        return message
    trial.evidence["first_divergence"] = divergence.to_json()
    if divergence.behaves_like is not None:
        trial.evidence["behaves_like"] = divergence.behaves_like.to_json()
    return f"{message}; {divergence}"


def _against_expectation(status: Status, message: str, reason: str) -> tuple[Status, str]:
    if status is Status.FAILED:
        return Status.EXPECTED_FAILURE, f"{reason} ({message})"
    if status is Status.PASSED:
        return Status.FAILED, f"passed unexpectedly; listed as an expected failure: {reason}"
    return status, message
