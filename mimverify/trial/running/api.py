"""Trials from Python: users' own pytest suites, notebooks and scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mimverify.handles.main_module import is_of_main, main_remedy
from mimverify.pages.progress import ProgressDisplay
from mimverify.support.errors import InputError, TrainerError
from mimverify.support.strict_json import Json
from mimverify.support.threads import thread_limit
from mimverify.trial.claims.claim import Claim
from mimverify.trial.running.report import Report, TrainerReport
from mimverify.trial.running.runner import run_suite
from mimverify.trial.running.session import Session
from mimverify.trial.running.settings import TrialSettings, takes_settings

if TYPE_CHECKING:
    import pytest

__all__ = ["BoundClaim", "check", "parametrize_with_claims"]


@takes_settings
def check(
    trainer: object,
    settings: TrialSettings | None = None,
    *,
    progress: bool = False,
    **given: object,
) -> Report:
    """Put a trainer on trial and return the report.

    **Arguments**

    - `trainer`: an instance, class or zero-argument factory, run in this process, where
      nothing can stop a call that hangs; or `"module:attribute"`, run in a worker process
      that is killed at the time limit. Only the latter can be shared by several `workers`.
      `"__main__:attribute"`, which no other process can import, is run in this one, with a
      warning.
    - `settings`: see `TrialSettings`; or its fields by name: `profile="standard"`, `seed=3`, …
    - `progress`: show the claims as they are finished: in a notebook, or on a terminal's standard
      error.

    **Raises** `TrainerError` for a trainer that cannot be constructed, `InputError` for settings.
    """
    settings = TrialSettings.of(settings, **given)
    if settings.workers > 1:
        if not isinstance(trainer, str):
            raise InputError(
                f"workers={settings.workers}: an object runs in this process alone; name it "
                "'module:attribute'"
            )
        if is_of_main(trainer):
            raise InputError(
                f"workers={settings.workers}: {trainer!r} runs in this process alone; "
                f"{main_remedy(trainer)}"
            )
        with _Progress(progress) as events:
            report = run_suite(trainer, settings, on_event=events)
        if report.problem and not report.verdicts:
            raise TrainerError("import" if report.bad_input else "construct", report.problem)
        return Report(settings, [report])
    with thread_limit(settings.threads), Session(trainer, settings) as session:
        outcome = TrainerReport(
            session.handle.name,
            capabilities=session.handle.capabilities.to_json(),
            strict=settings.strict,
        )
        with _Progress(progress) as events:
            events("begin", {"claims": list(session.claims)})
            for claim in session.claims.values():
                events("start", {"claim": claim.id})
                outcome.verdicts.append(session.verdict(claim))
                events("verdict", {"verdict": {"id": claim.id}})
        outcome.seconds = sum(verdict.seconds for verdict in outcome.verdicts)
    return Report(settings, [outcome])


class _Progress:
    """The events of a trial as progress: claims that are finished, and those under way."""

    def __init__(self, shown: bool) -> None:
        self._display = ProgressDisplay()
        self._shown = shown
        self._total: int | None = None
        self._done, self._under_way = 0, dict[str, None]()

    def __enter__(self) -> _Progress:
        if self._shown:
            self._display.__enter__()
        return self

    def __call__(self, kind: str, event: Json) -> None:
        if kind == "begin":
            self._total = len(event["claims"])
        elif kind == "start":
            self._under_way[event["claim"]] = None
        elif kind == "verdict":
            self._under_way.pop(event["verdict"]["id"], None)
            self._done += 1
        self._display(", ".join(self._under_way) or "claims", self._done, self._total)

    def __exit__(self, *raised: object) -> None:
        if self._shown:
            self._display.__exit__(None, None, None)


class BoundClaim:
    """A claim and the session of a trainer: call it inside a test.

    A call returns if the claim passed, and otherwise raises pytest's outcome: see
    `mimverify.trial.running.plugin.conclude`.
    """

    def __init__(
        self, claim: Claim, session: Callable[[], Session], settings: TrialSettings
    ) -> None:
        self.claim, self._session, self._settings = claim, session, settings

    def __call__(self) -> None:
        from mimverify.trial.running.plugin import conclude  # pytest is only needed from here on

        with thread_limit(self._settings.threads):
            verdict = self._session().verdict(self.claim)
        conclude(verdict, self._settings)

    def __repr__(self) -> str:
        return f"<claim {self.claim.id}>"


@takes_settings
def parametrize_with_claims(
    trainer: object, settings: TrialSettings | None = None, **given: object
) -> pytest.MarkDecorator:
    """Parametrise a test with every claim, for users' own pytest suites:

        @mimverify.parametrize_with_claims("my_package:Trainer")
        def test_theorem(claim):
            claim()

    Arguments as for `check`, except `workers`: pytest runs the claims. The trainer is constructed
    at the first call, not at collection.
    """
    import pytest  # a test suite has it

    settings = TrialSettings.of(settings, **given)
    if settings.workers > 1:
        raise InputError(f"workers={settings.workers}: pytest runs the claims, one by one")

    made: list[Session] = []

    def session() -> Session:
        if not made:
            made.append(Session(trainer, settings))
        return made[0]

    return pytest.mark.parametrize(
        "claim",
        [
            pytest.param(BoundClaim(claim, session, settings), id=name)
            for name, claim in settings.selected().items()
        ],
    )
