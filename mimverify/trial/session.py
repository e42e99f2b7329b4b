"""All claims on trial against one trainer: time, risk and expectations shared out."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Mapping
from types import TracebackType

from mimverify.errors import InputError, MimverifyError, TrainerError
from mimverify.importing import summarise
from mimverify.trial.adapter import TrainerUnderTrial
from mimverify.trial.claim import Claim, load_claims
from mimverify.trial.interface import InProcessTrainer, TrainerHandle
from mimverify.trial.isolated import SpawnedTrainer
from mimverify.trial.ledger import Ledger
from mimverify.trial.profile import FALSE_ALARM_BUDGET, Profile, get_profile
from mimverify.trial.trial import Trial
from mimverify.trial.verdict import ClaimFailed, Inconclusive, NotApplicable, Status, Verdict
from mimverify.validation import choice, integer, number

__all__ = ["REFERENCE_TRAINERS", "Session", "open_trainer", "select_claims"]

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


def select_claims(ids: Iterable[str] | None) -> dict[str, Claim]:
    """The claims of these ids (all for None or none), in the suite's order.

    **Raises** `InputError` for an unknown id.
    """
    claims = load_claims()
    ids = (ids,) if isinstance(ids, str) else ids
    wanted = {choice("claim", name, claims) for name in ids or ()}
    return {name: claim for name, claim in claims.items() if not wanted or name in wanted}


class Session:
    """Tries claims against one trainer and returns verdicts; never raises for the trainer's sake.

    **Arguments**

    - `trainer`: `"module:attribute"`, `"numpy"`, `"torch"`: run in a worker process, killed
      when a call outlasts its limit. Or an instance, class or zero-argument factory: run in
      this process, where nothing can stop a call that hangs.
    - `profile`, `seed`, `budget`: how thoroughly, from which seed, at which total risk.
    - `claims`: ids that will be tried (all by default); they share the profile's time.
    - `expected_failures`: claim id → reason.
    - `call_seconds`: time limit of one call (the profile's by default).

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
    ) -> None:
        self.profile = get_profile(profile) if isinstance(profile, str) else profile
        self.seed = integer("seed", seed, minimum=0)
        self.budget = number("budget", budget, minimum=0, exclusive=True)
        if self.budget >= 1:
            raise InputError(f"budget={budget!r}: expected a probability below 1")
        self.claims = select_claims(claims)
        self.expected = dict(expected_failures or {})
        self.ledger = Ledger.split(load_claims().values(), self.profile, self.budget)
        limit = self.profile.call_seconds if call_seconds is None else call_seconds
        started = time.monotonic()
        self.handle = open_trainer(trainer, call_seconds=limit, threads=threads)
        self._trainer = TrainerUnderTrial(self.handle)
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
        )
        status, message = _outcome(trial)
        if claim.id in self.expected:
            status, message = _against_expectation(status, message, self.expected[claim.id])
        seconds = time.monotonic() - started
        self._spent += seconds
        return Verdict(
            claim.id,
            status,
            message,
            trial.statistic,
            trial.evidence,
            seconds,
            self.reproduce(claim),
        )

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

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _outcome(trial: Trial) -> tuple[Status, str]:
    try:
        trial.run()
    except ClaimFailed as error:
        return Status.FAILED, str(error)
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


def _against_expectation(status: Status, message: str, reason: str) -> tuple[Status, str]:
    if status is Status.FAILED:
        return Status.EXPECTED_FAILURE, f"{reason} ({message})"
    if status is Status.PASSED:
        return Status.FAILED, f"passed unexpectedly; listed as an expected failure: {reason}"
    return status, message
