"""Runs the suite against named trainers: one child pytest per trainer, watched by events.

The child has its own configuration (the suite's pytest.ini) and is blind to the user's:
no plugin autoloading, no PYTEST_ADDOPTS, no rootdir or conftest but the suite's.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mimverify.threads import thread_environment
from mimverify.trial.claim import suite_path
from mimverify.trial.expectations import read_expected_failures
from mimverify.trial.profile import FALSE_ALARM_BUDGET
from mimverify.trial.report import TrainerReport
from mimverify.trial.session import select_claims
from mimverify.trial.verdict import Verdict

__all__ = ["SuiteOptions", "run_suite"]

_PATIENCE = 5.0  # s; for the child to end its worker after an interrupt

#: Called with the kind of an event and its record: "begin", "start", "verdict", "unusable".
OnEvent = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True)
class SuiteOptions:
    """How a suite is run; see `Session` for the arguments."""

    profile: str = "quick"
    seed: int = 0
    budget: float = FALSE_ALARM_BUDGET
    claims: tuple[str, ...] = ()
    expected_failures: str | None = None
    call_seconds: float | None = None
    threads: int | None = None

    def arguments(self) -> list[str]:
        """The plugin's options."""
        given = {
            "--trial-profile": self.profile,
            "--trial-seed": self.seed,
            "--trial-budget": self.budget,
            "--trial-time-limit": self.call_seconds,
            "--trial-threads": self.threads,
            "--expected-failures": self.expected_failures,
        }
        flags = [f"{name}={value}" for name, value in given.items() if value is not None]
        return flags + [f"--claim={name}" for name in self.claims]


def run_suite(
    trainer: str, options: SuiteOptions, *, on_event: OnEvent | None = None
) -> TrainerReport:
    """Try a trainer, named `"module:attribute"`, `"numpy"` or `"torch"`, in child processes.

    **Raises** `InputError` for an unknown claim or a bad file of expected failures.
    On `KeyboardInterrupt` the children are ended, and the exception carries the report of
    what was finished as its argument.
    """
    report = TrainerReport(trainer)
    report.unfinished = list(select_claims(options.claims))
    if options.expected_failures is not None:
        listed = read_expected_failures(options.expected_failures)
        report.unmatched = sorted(set(listed) - set(select_claims(None)))
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mimverify-") as scratch:
        try:
            _watch(trainer, options, Path(scratch), report, on_event)
        except KeyboardInterrupt:
            report.seconds = time.monotonic() - started
            raise KeyboardInterrupt(report) from None
    report.seconds = time.monotonic() - started
    return report


def _watch(
    trainer: str,
    options: SuiteOptions,
    scratch: Path,
    report: TrainerReport,
    on_event: OnEvent | None,
) -> None:
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as events, open(scratch / "output", "w+b") as output:
        try:
            child = subprocess.Popen(
                _command(trainer, options, writing),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                env=_environment(scratch),
                start_new_session=True,  # Ctrl-C reaches it through us, once
            )
        finally:
            os.close(writing)
        try:
            for line in events:
                _note(json.loads(line), report, on_event)
            code = child.wait()
        except BaseException:
            _end(child)
            raise
        # 0: all passed; 1: some failed; anything else never got as far as a verdict.
        if code not in (0, 1) and not report.problem:
            report.problem = f"the suite ended with code {code}: {_last_line(output)}"
        elif report.unfinished and not report.problem:
            report.problem = f"the suite ended early: {_last_line(output)}"


def _command(trainer: str, options: SuiteOptions, events: int) -> list[str]:
    suite = suite_path()
    return [
        sys.executable, "-m", "pytest", "-c", str(suite / "pytest.ini"), "--rootdir", str(suite),
        "-p", "no:cacheprovider", "-q", "--trainer", trainer, f"--trial-events={events}",
        *options.arguments(), str(suite),
    ]  # fmt: skip


def _environment(scratch: Path) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    # One thread for the suite itself (see the plugin); the trainer's are set by `threads`.
    return (
        environment
        | thread_environment(1)
        | {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(scratch / "hypothesis"),
        }
    )


def _note(event: dict[str, Any], report: TrainerReport, on_event: OnEvent | None) -> None:
    kind = event["event"]
    if kind == "begin":
        report.capabilities = event["capabilities"]
        report.unfinished = list(event["claims"])
    elif kind == "verdict":
        verdict = Verdict.from_json(event["verdict"])
        report.verdicts.append(verdict)
        report.unfinished.remove(verdict.id)
    elif kind == "unusable":
        report.problem = event["message"]
        report.bad_input = event["kind"] in ("import", "input")
    if on_event is not None:
        on_event(kind, event)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Interrupt the child, give it time to end its worker, then end its group."""
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        child.wait(_PATIENCE)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _last_line(output: Any) -> str:
    output.seek(0)
    lines = [line for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no output"


def ids(claims: Iterable[str] | None) -> tuple[str, ...]:
    """Claim ids, checked and in the suite's order; empty for all."""
    return tuple(select_claims(claims)) if claims else ()
