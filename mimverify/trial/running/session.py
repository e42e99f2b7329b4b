"""The trial of one trainer: all its claims, with their time, levels and expected failures."""

from __future__ import annotations

import shlex
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from mimverify.backends import BACKENDS, backend_class
from mimverify.handles import InProcessTrainer, TrainerHandle
from mimverify.handles.isolated import SpawnedTrainer
from mimverify.handles.main_module import is_of_main, load_from_main, main_note
from mimverify.handles.suggestions import meant_by
from mimverify.support.closing import Closing
from mimverify.support.errors import InputError, MimverifyError, TrainerError
from mimverify.support.importing import summarise
from mimverify.support.strict_json import Json
from mimverify.trial.claims.claim import Claim
from mimverify.trial.claims.claim_set import ClaimSet
from mimverify.trial.claims.fault import of_a_pack, place_in_pack
from mimverify.trial.claims.ledger import Ledger
from mimverify.trial.diagnosis.localisation import Divergence, localise
from mimverify.trial.diagnosis.repetition import repeat
from mimverify.trial.diagnosis.seen import look
from mimverify.trial.outcomes import (
    ClaimError,
    ClaimFailed,
    Inconclusive,
    NotApplicable,
    Status,
)
from mimverify.trial.running.capsule import capsule_folder, capsule_name, save_capsule
from mimverify.trial.running.out_of_time import COMPILING
from mimverify.trial.running.settings import TrialSettings, takes_settings
from mimverify.trial.running.trial import Trial
from mimverify.trial.running.verdict import Verdict
from mimverify.trial.trainer.adapter import TrainerUnderTrial
from mimverify.trial.trainer.calls import RecordedTrainer
from mimverify.trial.trainer.time_share import TimeShare

Found = TypeVar("Found")

__all__ = ["REFERENCE_TRAINERS", "Session", "open_trainer", "trainer_spec", "try_claim"]

_GENEROSITY = 3  # parts of the time that one claim may take before it is cut off

_CALLER = 4  # frames above `open_trainer`, where `mimverify.check` was called

#: Short names of mimverify's own trainers, those of its backends.
REFERENCE_TRAINERS = {name: f"mimverify:{name}_trainer" for name in BACKENDS}


def trainer_spec(trainer: str) -> str:
    """`module:attribute` of a trainer: a backend's name, `"torch:cuda"` for one on a device, or as
    it is. **Raises** `InputError` for what has not the form of a device."""
    name, _, device = trainer.partition(":")
    if device and name in BACKENDS and backend_class(name).takes_devices:
        from mimverify.training.on_device import spec_on_device

        return spec_on_device(name, device)
    return REFERENCE_TRAINERS.get(trainer, trainer)


def open_trainer(
    trainer: object,
    *,
    call_seconds: float,
    threads: int | None = None,
    claim_set: ClaimSet | None = None,
) -> TrainerHandle:
    """A handle on a trainer: one given by name runs in a worker process, an object in this one,
    and so does one that this program itself defines, `"__main__:Mine"`, with a warning.

    **Arguments**

    - `call_seconds`, `threads`: see `TrialSettings`.
    - `claim_set`: whose own methods the trainer may offer, and whose package its process finds.

    **Raises** `TrainerError` if it cannot be imported or constructed.
    """
    methods = None if claim_set is None else claim_set.methods
    if isinstance(trainer, str) and is_of_main(trainer):
        try:
            found = load_from_main(trainer)
        except InputError as error:
            raise TrainerError("import", str(error)) from error
        warnings.warn(main_note(trainer), stacklevel=_CALLER)
        return InProcessTrainer(found, trainer, methods=methods)
    if isinstance(trainer, str):
        spec = trainer_spec(trainer)
        _check_installed(trainer)
        try:
            return SpawnedTrainer(
                spec,
                time_limit=call_seconds,
                threads=threads,
                methods=methods,
                folders=None if claim_set is None else claim_set.folders,
            )
        except TrainerError as error:
            hint = meant_by(spec, REFERENCE_TRAINERS)
            if error.kind != "import" or not hint or "did you mean" in str(error):
                raise
            raise TrainerError("import", f"{error}{hint}", error.traceback) from error
    return InProcessTrainer(trainer, methods=methods)


def _check_installed(trainer: str) -> None:
    """**Raises** `TrainerError` for a backend's trainer where its library is missing."""
    name = trainer.partition(":")[0]
    missing = backend_class(name).missing() if name in BACKENDS else None
    if missing is not None:
        raise TrainerError("import", f"trainer={trainer!r}: {missing}")


class Session(Closing):
    """Tries claims against one trainer; its errors become verdicts, not exceptions.

    **Arguments**

    - `trainer`: `"module:attribute"` or a backend's name: run in a worker process, killed when
      a call outlasts its limit. Or an instance, class or zero-argument factory: run in
      this process, where nothing can stop a call that hangs.
    - `settings`: see `TrialSettings`; its fields may also be given by name, and then replace
      those of `settings`. The selected claims share the profile's time. `workers` is ignored.

    **Raises** `TrainerError` (import, construction), `InputError` (settings).
    """

    @takes_settings
    def __init__(
        self, trainer: object, settings: TrialSettings | None = None, **given: object
    ) -> None:
        self.settings = TrialSettings.of(settings, **given)
        self.profile = self.settings.profile
        self.claims = self.settings.selected()
        claim_set = self.settings.claim_set
        self.ledger = Ledger.split(claim_set.claims.values(), self.profile, self.settings.budget)
        started = time.monotonic()
        folder = self.settings.capsules
        self._capsules = None if folder is None else capsule_folder(folder)
        self.handle = open_trainer(
            trainer,
            call_seconds=self.settings.call_seconds,
            threads=self.settings.threads,
            claim_set=claim_set,
        )
        self._record = RecordedTrainer(self.handle)
        self._trainer = TrainerUnderTrial(self._record)
        named = isinstance(trainer, str) and not is_of_main(trainer)
        self._spec = str(trainer) if named else None
        self._spent = time.monotonic() - started
        self._compiling = COMPILING * self.profile.seconds  # that does not count as spent
        # Claims that do not apply take no time: it goes to the others.
        self._waiting = {
            name: claim.cost
            for name, claim in self.claims.items()
            if claim.applies_to(self._trainer)
        }

    def trial(self, claim: Claim) -> Trial:
        """The trial of one claim; its share of the time begins now."""
        started = time.monotonic()
        left = max(self.profile.seconds - self._spent, 0.0)
        share = TimeShare(self._share(claim, left), compiling=self._compiling / 2)
        # A single call may outlast the claim's share, so that a call that hangs is distinguished
        # from a slow trainer, but not the whole run's time.
        self.handle.deadline = started + left + share.most_compiling
        self._record.begin()
        return Trial(
            claim,
            self._trainer,
            profile=self.profile,
            ledger=self.ledger,
            seed=self.settings.seed,
            share=share,
            record=self._record,
        )

    def verdict(self, claim: Claim | Trial) -> Verdict:
        """Try one claim."""
        started = time.monotonic()
        trial = claim if isinstance(claim, Trial) else self.trial(claim)
        outcome = try_claim(trial)
        failed = outcome.status is Status.FAILED
        reason = self.settings.expected_failures.get(trial.claim.id)
        if reason is not None:
            outcome = _against_expectation(outcome, reason)
        seconds = time.monotonic() - started
        compiling = self._trainer.compiling
        self._spent += seconds - compiling
        self._compiling -= compiling
        verdict = replace(outcome, seconds=seconds, reproduce=self.reproduce(trial.claim))
        if failed and verdict.status is Status.FAILED and self._capsules is not None:
            return self._with_capsule(verdict, trial)
        return verdict

    def _with_capsule(self, verdict: Verdict, trial: Trial) -> Verdict:
        """The verdict with its capsule; an error in writing it is noted in the evidence."""
        assert self._capsules is not None
        path = self._capsules / capsule_name(
            self._spec or self.handle.name, verdict.id, self.profile.name, self.settings.seed
        )
        try:
            save_capsule(path, verdict, trial, trainer=self._spec, settings=self.settings)
        except InputError as error:
            return replace(verdict, evidence=replace(verdict.evidence, no_capsule=str(error)))
        return replace(verdict, capsule=str(path))

    def _share(self, claim: Claim, left: float) -> float:
        """This claim's seconds: several times its share of those left, which is by cost.

        Most claims decide long before their share is spent, so each may take a multiple of it,
        up to all the time that is left.
        """
        waiting = sum(self._waiting.values())
        cost = self._waiting.pop(claim.id, claim.cost)
        return min(left, _GENEROSITY * left * cost / max(waiting, cost))

    def reproduce(self, claim: Claim) -> str:
        """One command that repeats the trial of this claim alone."""
        trainer = self._spec or f"<module:attribute of {self.handle.name}>"
        others = self.settings.arguments(
            "profile", "seed", without=("claims", "expression", "workers", "capsules")
        )
        return shlex.join(["mimverify", "check", trainer, "--claim", claim.id, *others])

    def close(self) -> None:
        """End the trainer's process, if it has one."""
        self.handle.close()


def try_claim(trial: Trial) -> Verdict:
    """Try a claim: its status, one line that says why it did not pass, the evidence."""
    status, message, avoidable = Status.PASSED, "", False
    changes: Json = {}
    caught: TrainerError | None = None
    try:
        # What the suite computes must not depend on the error state of its caller or the trainer.
        with np.errstate(all="ignore"):
            trial.run()
    except ClaimFailed as error:
        status, message = Status.FAILED, str(error)
        divergence, fault = _found(partial(_localised, trial))
        if divergence is not None:
            changes["divergence"] = divergence
        message = "; ".join([message, *(str(each) for each in (divergence, fault) if each)])
        changes["finding"] = message
    except NotApplicable as error:
        status, message, avoidable = Status.NOT_APPLICABLE, str(error), error.avoidable
    except Inconclusive as error:
        status, message = Status.INCONCLUSIVE, str(error)
    except TrainerError as error:
        caught = error
        changes |= {"trainer_error": error.kind, "traceback": error.traceback}
        status = Status.INCONCLUSIVE if error.kind == "deadline" else Status.ERROR
        message = str(error)
    except ClaimError as error:  # no evidence about the trainer
        status, message = Status.ERROR, f"the claim itself is at fault: {error}"
    except MimverifyError as error:  # what the trainer returned cannot be measured
        status, message = Status.ERROR, f"{error}{place_in_pack(trial.claim, error)}"
    except Exception as error:  # a fault of the suite must not be blamed on the trainer
        fault = (
            "the claim itself is at fault" if of_a_pack(trial.claim) else "mimverify itself failed"
        )
        place = place_in_pack(trial.claim, error)
        status, message = Status.ERROR, f"{fault}: {summarise(error)}{place}"
    circumstances = _circumstances(trial, status, caught)
    evidence = replace(trial.evidence, **changes, **circumstances)
    shown = [str(each or "") for each in (evidence.repetition, evidence.looked, evidence.tried)]
    return Verdict(
        trial.claim.id,
        status,
        "; ".join(filter(None, (message, *shown))),
        evidence,
        avoidable=avoidable,
    )


def _circumstances(trial: Trial, status: Status, error: TrainerError | None) -> Json:
    """What the evidence says beside the finding: what was tried, repeated and printed."""
    record = trial.record
    found: Json = {"repetition": None, "tried": None}
    if record is not None:
        found["output"] = record.take_output()
    if status.bad or error is not None:
        found["tried"] = trial.tried
    if record is not None and (status is Status.FAILED or error is not None):
        found["repetition"], _ = _found(partial(repeat, record, error))
        if status is Status.FAILED:
            causes, _ = _found(partial(look, record))
            found["seen"] = (*trial.evidence.seen, *(causes or ()))
        record.take_output()  # of the repeated calls
    return found


def _localised(trial: Trial) -> Divergence | None:
    if trial.record is None:
        return None
    with np.errstate(all="ignore"):
        return localise(trial.record.calls, trial.record.passed)


def _found(look: Callable[[], Found | None]) -> tuple[Found | None, str]:
    """What a diagnosis finds, and why it found nothing if it broke: the failure stands anyway."""
    try:
        return look(), ""
    except Exception as error:
        return None, f"no diagnosis: {summarise(error)}"


def _against_expectation(verdict: Verdict, reason: str) -> Verdict:
    if verdict.status is Status.FAILED:
        return replace(
            verdict, status=Status.EXPECTED_FAILURE, message=f"{reason} ({verdict.message})"
        )
    if verdict.status is Status.PASSED:
        message = f"listed as an expected failure, and passed: {reason}"
        return replace(verdict, status=Status.UNEXPECTED_PASS, message=message)
    return verdict
