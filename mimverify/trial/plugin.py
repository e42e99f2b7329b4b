"""The pytest plugin that runs the suite: `pytest properties --trainer my_pkg:trainer`.

`mimverify check` runs the same suite through this plugin in a child process and reads the
events that it writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any, TextIO

import pytest
from threadpoolctl import threadpool_limits

from mimverify.errors import MimverifyError, TrainerError
from mimverify.trial.claim import Claim, load_claims
from mimverify.trial.expectations import read_expected_failures
from mimverify.trial.profile import FALSE_ALARM_BUDGET, PROFILES
from mimverify.trial.report import print_verdicts
from mimverify.trial.session import Session, select_claims
from mimverify.trial.verdict import Status, Verdict

_RUN = pytest.StashKey["_Run"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mimverify", "trial of a trainer")
    group.addoption("--trainer", metavar="MODULE:ATTRIBUTE", help="the trainer under trial")
    group.addoption("--trial-profile", choices=list(PROFILES), default="quick")
    group.addoption("--trial-seed", type=int, default=0, help="everything random derives from it")
    group.addoption("--trial-budget", type=float, default=FALSE_ALARM_BUDGET,
                    help="total false-alarm probability of the run")  # fmt: skip
    group.addoption("--trial-time-limit", type=float, default=None, metavar="SECONDS",
                    help="of one call of the trainer")  # fmt: skip
    group.addoption("--trial-threads", type=int, default=None)
    group.addoption("--claim", action="append", default=[], metavar="ID", help="only this claim")
    group.addoption("--expected-failures", metavar="FILE", default=None,
                    help="lines of 'claim-id: reason'")  # fmt: skip
    group.addoption("--trial-capsules", metavar="FOLDER", default=None,
                    help="write a replay capsule of each failure there")  # fmt: skip
    group.addoption("--trial-events", type=int, default=None, help="for mimverify check")


class _Run:
    """One pytest session's trial."""

    def __init__(self, config: pytest.Config) -> None:
        self.verdicts: list[Verdict] = []
        self.session: Session | None = None
        descriptor = config.getoption("trial_events")
        self.events: TextIO | None = None if descriptor is None else os.fdopen(descriptor, "w")

    def tell(self, event: str, **record: Any) -> None:
        """Write one event for the process that started this one."""
        if self.events is not None:
            self.events.write(json.dumps({"event": event, **record}, allow_nan=False) + "\n")
            self.events.flush()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RUN] = _Run(config)
    # The suite's own products are small. Its threads would wait in busy loops on the cores
    # that the trainer needs, and the last bits of its oracles would depend on their number.
    threadpool_limits(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("claim")
    unknown = sorted(set(wanted) - set(load_claims()))
    if unknown:
        raise pytest.UsageError(f"no claim {unknown[0]!r}; `mimverify claims` lists them")
    wanted = select_claims(wanted, config.getoption("trial_profile"))
    kept = [item for item in items if (claim := _claim_of(item)) and claim.id in wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def pytest_runtestloop(session: pytest.Session) -> None:
    """Meet the trainer once the claims are known; the default loop then runs them."""
    config = session.config
    planned = [claim.id for item in session.items if (claim := _claim_of(item))]
    if config.option.collectonly or not planned:
        return
    run = config.stash[_RUN]
    if config.getoption("trainer") is None:
        raise pytest.UsageError("name the trainer under trial: --trainer module:attribute")
    try:
        expected = config.getoption("expected_failures")
        run.session = Session(
            config.getoption("trainer"),
            profile=config.getoption("trial_profile"),
            seed=config.getoption("trial_seed"),
            budget=config.getoption("trial_budget"),
            claims=planned,
            expected_failures=None if expected is None else read_expected_failures(expected),
            call_seconds=config.getoption("trial_time_limit"),
            threads=config.getoption("trial_threads"),
            capsules=config.getoption("trial_capsules"),
        )
    except MimverifyError as error:
        kind = error.kind if isinstance(error, TrainerError) else "input"
        run.tell("unusable", kind=kind, message=str(error))
        raise pytest.UsageError(str(error)) from None
    run.tell("begin", capabilities=run.session.handle.capabilities.to_json(), claims=planned)


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a claim's procedure under its session and turn the verdict into an outcome."""
    claim = _claim_of(pyfuncitem)
    run = pyfuncitem.config.stash[_RUN]
    if claim is None or run.session is None:
        return None
    run.tell("start", claim=claim.id)
    verdict = run.session.verdict(claim)
    run.verdicts.append(verdict)
    run.tell("verdict", verdict=verdict.to_json())
    conclude(verdict)
    return True


def conclude(verdict: Verdict) -> None:
    """Raise the pytest outcome of a verdict; return for a pass."""
    if verdict.status is Status.PASSED:
        return
    text = f"{verdict.id}: {verdict.status}: {verdict.message}"
    if verdict.status is Status.EXPECTED_FAILURE:
        pytest.xfail(text)
    if verdict.status.bad:
        again = f"\nreplay: mimverify replay {verdict.capsule}" if verdict.capsule else ""
        pytest.fail(f"{text}\nreproduce: {verdict.reproduce}{again}", pytrace=False)
    pytest.skip(text)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    run = config.stash[_RUN]
    if run.verdicts and run.events is None:
        terminalreporter.section("trial")
        print_verdicts(config.getoption("trainer"), run.verdicts)


def pytest_unconfigure(config: pytest.Config) -> None:
    run = config.stash.get(_RUN, None)
    if run is None:
        return
    if run.session is not None:
        run.session.close()
    if run.events is not None:
        run.events.close()


@pytest.fixture
def trial() -> Iterator[None]:
    """Stands for the `Trial` that a claim's procedure receives from its session."""
    yield None


def _claim_of(item: pytest.Item) -> Claim | None:
    claim = getattr(getattr(item, "function", None), "claim", None)
    return claim if isinstance(claim, Claim) else None
