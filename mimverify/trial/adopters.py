"""Trials from Python: adopters' own pytest suites, notebooks and scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mimverify.errors import InputError
from mimverify.threads import thread_limit
from mimverify.trial.claim import Claim, load_claims
from mimverify.trial.profile import FALSE_ALARM_BUDGET
from mimverify.trial.report import Report, TrainerReport
from mimverify.trial.session import Session, select_claims
from mimverify.validation import choice

__all__ = ["BoundClaim", "check", "parametrize_with_claims"]


def check(
    trainer: object,
    *,
    profile: str = "quick",
    seed: int = 0,
    claims: Iterable[str] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    budget: float = FALSE_ALARM_BUDGET,
    threads: int | None = 1,
    capsules: str | Path | None = None,
) -> Report:
    """Put a trainer on trial and return the report.

    **Arguments**

    - `trainer`: an instance, class or zero-argument factory, run in this process, where
      nothing can stop a call that hangs; or `"module:attribute"`, run in a worker process
      that is killed at the time limit.
    - `profile`, `seed`, `claims`, `expected_failures`, `budget`, `capsules`: see `Session`.
    - `threads`: of this process's and the worker's libraries while the trial lasts; a
      trial's problems are too small for more than one. None leaves them alone.

    **Raises** `TrainerError` where the trainer cannot be made, `InputError` for arguments.
    """
    _check_expectations(expected_failures)
    with (
        thread_limit(threads),
        Session(
            trainer,
            profile=profile,
            seed=seed,
            claims=claims,
            expected_failures=expected_failures,
            budget=budget,
            threads=threads,
            capsules=capsules,
        ) as session,
    ):
        outcome = TrainerReport(
            session.handle.name, capabilities=session.handle.capabilities.to_json()
        )
        for claim in session.claims.values():
            outcome.verdicts.append(session.verdict(claim))
        outcome.seconds = sum(verdict.seconds for verdict in outcome.verdicts)
    return Report(profile, seed, budget, [outcome])


def _check_expectations(expected_failures: Mapping[str, str] | None) -> None:
    for name in expected_failures or {}:
        if name not in load_claims():
            choice("expected_failures", name, load_claims())  # raises, with the nearest name
            raise InputError(f"expected_failures: {name!r}: ids are spelled exactly")


class BoundClaim:
    """A claim and the trainer it is about: call it inside a test.

    Calling it returns for a pass, and otherwise raises pytest's outcome: failed, skipped
    (not applicable, inconclusive) or xfailed (an expected failure).
    """

    def __init__(
        self, claim: Claim, session: Callable[[], Session], threads: int | None = 1
    ) -> None:
        self.claim, self._session, self._threads = claim, session, threads

    def __call__(self) -> None:
        from mimverify.trial.plugin import conclude  # pytest is only needed from here on

        with thread_limit(self._threads):
            verdict = self._session().verdict(self.claim)
        conclude(verdict)

    def __repr__(self) -> str:
        return f"<claim {self.claim.id}>"


def parametrize_with_claims(
    trainer: object,
    *,
    profile: str = "quick",
    seed: int = 0,
    claims: Iterable[str] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    threads: int | None = 1,
    capsules: str | Path | None = None,
) -> Any:
    """Parametrise a test with every claim, for adopters' own pytest suites:

        @mimverify.parametrize_with_claims("my_package:Trainer")
        def test_theorem(claim):
            claim()

    Arguments as for `check`. The trainer is made at the first call, not at collection.
    """
    import pytest  # a test suite has it

    _check_expectations(expected_failures)

    made: list[Session] = []

    def session() -> Session:
        if not made:
            made.append(
                Session(
                    trainer,
                    profile=profile,
                    seed=seed,
                    claims=claims,
                    expected_failures=expected_failures,
                    threads=threads,
                    capsules=capsules,
                )
            )
        return made[0]

    return pytest.mark.parametrize(
        "claim",
        [
            pytest.param(BoundClaim(claim, session, threads), id=name)
            for name, claim in select_claims(claims, profile).items()
        ],
    )
