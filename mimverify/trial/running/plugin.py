"""The pytest plugin that runs the suite: `pytest properties --trainer my_pkg:trainer`.

`mimverify check` runs the same suite through this plugin in child processes and reads the
events that they write. Under pytest-xdist each of its workers has a session of its own, and the
reports of tests carry the verdicts to the process that prints them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TextIO

import pytest
from threadpoolctl import threadpool_limits

from mimverify.handles.framing import decode
from mimverify.support.errors import InputError, MimverifyError, TrainerError
from mimverify.support.strict_json import Json
from mimverify.trial.claims.claim import Claim, suite_path
from mimverify.trial.outcomes import Status
from mimverify.trial.running.output_report import warning_lines
from mimverify.trial.running.report import TrainerReport, print_verdicts
from mimverify.trial.running.session import Session
from mimverify.trial.running.settings import TrialSettings, spellings
from mimverify.trial.running.trial import Trial
from mimverify.trial.running.verdict import Verdict

_RUN = pytest.StashKey["_Run"]()
_VERDICT = pytest.StashKey[Verdict]()
_NO_TRAINER = "name the trainer under trial: --trainer module:attribute"
_KEYWORD = "trial_expression"  # of pytest's options: what `-k` was
_ATTRIBUTE = "mimverify_verdict"  # of a test's report: JSON text, which xdist can send


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mimverify", "trial of a trainer")
    group.addoption("--trainer", metavar="MODULE:ATTRIBUTE", help="the trainer under trial")
    for spelling in spellings().values():
        if not spelling.pytest:
            continue
        options: Json = {"help": spelling.help, "metavar": spelling.metavar}
        if spelling.many:
            options |= {"action": "append"}
        elif spelling.type is bool:
            options = {"help": spelling.help, "action": "store_true"}
        else:
            options |= {"type": spelling.type, "choices": spelling.choices or None}
        group.addoption(spelling.pytest, default=None, **options)
    group.addoption("--trial-settings", metavar="FILE", help="all settings, for mimverify check")
    group.addoption("--trial-events", type=int, default=None, help="for mimverify check")


def _settings(config: pytest.Config) -> TrialSettings:
    """From the file that `mimverify check` wrote, or from pytest's options.

    **Raises** `pytest.UsageError` for an invalid setting.
    """
    path = config.getoption("trial_settings")
    try:
        if path is not None:
            return TrialSettings.from_json(decode(Path(path).read_bytes(), path))
        given = {
            name: config.getoption(spelling.pytest)
            for name, spelling in spellings().items()
            if spelling.pytest
        }
        given["expression"] = _expression(config)
        return TrialSettings.of(**{k: v for k, v in given.items() if v is not None})
    except (InputError, OSError, ValueError) as error:
        raise pytest.UsageError(str(error)) from None


def _expression(config: pytest.Config) -> str | None:
    """pytest's `-k`, which selects as that of `mimverify check` does: by ids of claims alone, not
    by names of files too, and among all claims, whatever their profile."""
    if config.option.keyword:
        # Workers of pytest-xdist get the options as they are after this.
        setattr(config.option, _KEYWORD, config.option.keyword)
        config.option.keyword = ""
    return getattr(config.option, _KEYWORD, None)


class _Run:
    """The trial of one pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        self.settings = _settings(config)
        self.trainer: str | None = config.getoption("trainer")
        self.verdicts: dict[str, Verdict] = {}  # a test that is run again has a new one
        self.session: Session | None = None
        self._problem: MimverifyError | None = None
        descriptor = config.getoption("trial_events")
        self.events: TextIO | None = None if descriptor is None else os.fdopen(descriptor, "w")

    def report(self, event: str, **record: object) -> None:
        """Write one event, as a line of JSON, for the process that started this one."""
        if self.events is not None:
            self.events.write(json.dumps({"event": event, **record}, allow_nan=False) + "\n")
            self.events.flush()

    def open(self, planned: Sequence[str]) -> Session:
        """The session, in which these claims share the time.

        **Raises** `MimverifyError`, each time, if the trainer cannot be used.
        """
        if self._problem is not None:
            raise self._problem
        if self.session is None:
            try:
                if self.trainer is None:
                    raise InputError(_NO_TRAINER)
                self.session = Session(self.trainer, self.settings, claims=planned)
            except MimverifyError as error:
                self._problem = error
                raise
        return self.session

    def try_claim(self, trial: Trial) -> Verdict:
        """The verdict of one claim."""
        assert self.session is not None
        self.report("start", claim=trial.claim.id)
        verdict = self.session.verdict(trial)
        self.report("verdict", verdict=verdict.to_json())
        return verdict


def pytest_configure(config: pytest.Config) -> None:
    run = config.stash[_RUN] = _Run(config)
    config.pluginmanager.register(_Collector(run), "mimverify-verdicts")
    # The suite's own matrix products are small: its threads would spin on cores that the trainer
    # needs, and the last bits of its oracle would depend on their number.
    threadpool_limits(1)


# -- collection of claims, which pytest would not recognise as tests ---------------------------


class ClaimTest(pytest.Function):
    """One claim as a test."""

    claim: Claim


class ClaimFile(pytest.File):
    """The claims of one of the files of the set, which are imported where it is loaded alone."""

    def collect(self) -> Iterator[ClaimTest]:
        for claim in self.config.stash[_RUN].settings.claim_set.files[self.path]:
            test: ClaimTest = ClaimTest.from_parent(self, name=claim.id, callobj=try_claim)
            test.claim = claim
            yield test


class PackFolder(pytest.Directory):
    """Stands for the suite's folder where the claims are those of a pack.

    pytest itself never looks at the pack's folder: it would run a `conftest.py` there, import the
    package, and put the folder on the path.
    """

    def collect(self) -> Iterator[ClaimFile]:
        for path in self.config.stash[_RUN].settings.claim_set.files:
            made: ClaimFile = ClaimFile.from_parent(self, path=path)
            yield made


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> PackFolder | None:
    pack = parent.config.stash[_RUN].settings.pack
    if pack is None or path.resolve() != suite_path():
        return None
    made: PackFolder = PackFolder.from_parent(parent, path=path)
    return made


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ClaimFile | None:
    path = file_path.resolve()  # the folder may be a symbolic link
    settings = parent.config.stash[_RUN].settings
    if settings.pack is None and path.parent == suite_path() and path in settings.claim_set.files:
        made: ClaimFile = ClaimFile.from_parent(parent, path=path)
        return made
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.stash[_RUN].settings.selected()
    kept = [item for item in items if isinstance(item, ClaimTest) and item.claim.id in wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_runtestloop(session: pytest.Session) -> None:
    """Open the trainer once the claims are selected; the default loop then runs them."""
    config = session.config
    planned = _planned(session)
    if config.option.collectonly or not planned:
        return
    run = config.stash[_RUN]
    if run.trainer is None:
        raise pytest.UsageError(_NO_TRAINER)
    try:
        # The selected claims share the time, whichever option deselected the others.
        opened = run.open(planned)
    except MimverifyError as error:
        kind = error.kind if isinstance(error, TrainerError) else "input"
        traceback = error.traceback if isinstance(error, TrainerError) else ""
        run.report("unusable", kind=kind, message=str(error), traceback=traceback)
        raise pytest.UsageError(str(error)) from None
    run.report("begin", capabilities=opened.handle.capabilities.to_json(), claims=planned)


def _planned(session: pytest.Session) -> list[str]:
    return [item.claim.id for item in session.items if isinstance(item, ClaimTest)]


@pytest.fixture
def trial(request: pytest.FixtureRequest) -> Trial:
    """The trial of the test's claim, within the claim's share of the time."""
    assert isinstance(request.node, ClaimTest)
    try:
        # A worker of pytest-xdist has a loop of its own, which has not opened it.
        session = request.config.stash[_RUN].open(_planned(request.session))
    except MimverifyError as error:
        pytest.fail(str(error), pytrace=False)
    return session.trial(request.node.claim)


def try_claim(trial: Trial, request: pytest.FixtureRequest) -> None:
    """The body of each claim's test."""
    run = request.config.stash[_RUN]
    verdict = run.try_claim(trial)
    request.node.stash[_VERDICT] = verdict
    conclude(verdict, run.settings)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    verdict = item.stash.get(_VERDICT, None)
    if verdict is not None and call.when == "call":
        setattr(report, _ATTRIBUTE, json.dumps(verdict.to_json(), allow_nan=False))
    return report


class _Collector:
    """Keeps the verdicts that reports carry, from this process or from workers."""

    def __init__(self, run: _Run) -> None:
        self._run = run

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        text = getattr(report, _ATTRIBUTE, None)
        if text is not None:
            verdict = Verdict.from_json(decode(text.encode(), "a report"))
            self._run.verdicts[verdict.id] = verdict


def conclude(verdict: Verdict, settings: TrialSettings) -> None:
    """Raise the pytest outcome of a verdict; return if it passed.

    Not applicable is skipped, an expected failure xfailed, and `settings.inconclusive` says what
    becomes of an inconclusive claim. With `settings.strict` whatever is undecided fails.
    """
    text = f"{verdict.id}: {verdict.status}: {verdict.message}"
    left = verdict.status is Status.INCONCLUSIVE and settings.inconclusive
    refused = settings.strict and verdict.undecided
    if verdict.status.verified and not refused:
        return
    if verdict.status is Status.EXPECTED_FAILURE or (left == "xfail" and not refused):
        pytest.xfail(text)
    if verdict.status.bad or refused or left == "fail":
        again = f"\nreplay: mimverify replay {verdict.capsule}" if verdict.capsule else ""
        warned = warning_lines(verdict)
        pytest.fail(f"{text}\nreproduce: {verdict.reproduce}{again}{warned}", pytrace=False)
    pytest.skip(text)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A run in which no claim passed is not green: it ends as one in which there was no test."""
    run = session.config.stash[_RUN]
    shown = run.verdicts and run.events is None and exitstatus == pytest.ExitCode.OK
    if shown and not any(verdict.status.verified for verdict in run.verdicts.values()):
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    run = config.stash[_RUN]
    if run.verdicts and run.events is None:
        terminalreporter.section("trial")
        ordered = [run.verdicts[name] for name in run.settings.selected() if name in run.verdicts]
        print_verdicts(str(run.trainer), ordered, claim_set=run.settings.claim_set)
        unverified = TrainerReport(str(run.trainer), ordered, strict=run.settings.strict).unverified
        if unverified:
            terminalreporter.write_line(f"Not verified: {unverified}.")


def pytest_unconfigure(config: pytest.Config) -> None:
    run = config.stash.get(_RUN, None)
    if run is None:
        return
    if run.session is not None:
        run.session.close()
    if run.events is not None:
        run.events.close()
