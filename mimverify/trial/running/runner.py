"""Runs the suite against named trainers in child processes of pytest, which report events.

One child for a trainer, or several that share its claims. They are independent: levels and
seeds belong to a claim, in whichever process it is tried, and each child has the profile's
time, since they run in parallel.

A child has its own configuration (the suite's pytest.ini) and ignores the user's: no plugin
autoloading, no PYTEST_ADDOPTS, no rootdir or conftest but the suite's. Neither the current
folder nor PYTHONPATH is on its path: the trainer is found by its own process.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, TypeAlias

from mimverify.handles.framing import decode
from mimverify.handles.launcher import launch_command
from mimverify.support.importing import visible
from mimverify.support.strict_json import Json
from mimverify.support.threads import thread_environment
from mimverify.trial.claims.claim import Claim, suite_path
from mimverify.trial.running.capsule import capsule_folder
from mimverify.trial.running.report import TrainerReport
from mimverify.trial.running.scratch_folder import scratch_folder
from mimverify.trial.running.settings import TrialSettings
from mimverify.trial.running.verdict import Verdict

__all__ = ["run_suite"]

_GRACE_PERIOD = 5.0  # s; for the children to end their workers after an interrupt
_CHUNK = 1 << 16  # bytes read at once

#: Called with the kind of an event and its record: "begin", "start", "verdict", "unusable".
OnEvent: TypeAlias = Callable[[str, Json], None]


def run_suite(
    trainer: str, settings: TrialSettings, *, on_event: OnEvent | None = None
) -> TrainerReport:
    """Try a trainer, named `"module:attribute"` or by its backend, in child processes.

    The settings' `workers` is the number of children, which share the claims.

    **Raises** `InputError` for a folder of capsules that cannot be used.
    On `KeyboardInterrupt` the children are ended, and the exception's argument is the report of
    the claims that were finished.
    """
    claims = settings.selected()
    report = TrainerReport(trainer, strict=settings.strict)
    report.unfinished = list(claims)
    if settings.capsules is not None:
        capsule_folder(settings.capsules)  # refused before the work, not after
    started = time.monotonic()
    with scratch_folder() as scratch:
        children: list[_Child] = []
        try:
            for index, part in enumerate(_balanced_parts(claims, settings.workers)):
                folder = scratch / str(index)
                folder.mkdir()
                own = replace(settings, claims=tuple(part), expression=None, workers=1)
                children.append(_Child(trainer, own, part, folder))
            _Collector(children, report, on_event).run()
        except KeyboardInterrupt:
            _end(children)
            raise KeyboardInterrupt(_finished(report, claims, started)) from None
        except BaseException:
            _end(children)
            raise
        finally:
            for child in children:
                child.close()
    return _finished(report, claims, started)


def _finished(report: TrainerReport, claims: Mapping[str, Claim], started: float) -> TrainerReport:
    """The report with its verdicts in the suite's order, not that of completion."""
    order = {name: index for index, name in enumerate(claims)}
    report.verdicts.sort(key=lambda verdict: order.get(verdict.id, len(order)))
    report.unfinished.sort(key=lambda name: order.get(name, len(order)))
    report.seconds = time.monotonic() - started
    return report


def _balanced_parts(claims: Mapping[str, Claim], workers: int) -> list[list[str]]:
    """The claims in at most `workers` parts of about equal cost, each in the suite's order."""
    parts: list[list[str]] = [[] for _ in range(min(workers, len(claims)))]
    costs = [0.0] * len(parts)
    for claim in sorted(claims.values(), key=lambda claim: -claim.cost):
        lightest = costs.index(min(costs))
        parts[lightest].append(claim.id)
        costs[lightest] += claim.cost
    order = list(claims)
    return [sorted(part, key=order.index) for part in parts]


class _Child:
    """A pytest process that tries some claims."""

    def __init__(
        self, trainer: str, settings: TrialSettings, claims: Sequence[str], scratch: Path
    ) -> None:
        self.waiting = list(claims)
        self._rest = b""
        self._events, writing = os.pipe()
        self._output = open(scratch / "output", "w+b")  # noqa: SIM115 - closed by `close`
        written = scratch / "settings.json"
        written.write_text(json.dumps(settings.to_json()), encoding="utf-8")
        try:
            self.process = subprocess.Popen(
                _command(trainer, written, writing),
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                pass_fds=(writing,),
                env=_environment(scratch),
                start_new_session=True,  # Ctrl-C reaches it through us, once
            )
        except BaseException:
            self.close()
            raise
        finally:
            os.close(writing)

    def fileno(self) -> int:
        """Of the pipe that events come through."""
        return self._events

    def read(self) -> list[Json] | None:
        """The events that are complete so far, perhaps none; None at the end."""
        chunk = os.read(self._events, _CHUNK)
        if not chunk:
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [decode(line, "the suite") for line in lines]

    def problem(self) -> str:
        """Once it has ended: why its claims have no verdict, or ""."""
        code = self.process.wait()
        # 0: all passed; 1: some failed; anything else: pytest itself failed.
        if code not in (0, 1):
            return f"the suite ended with code {code}: {_last_line(self._output)}"
        return f"the suite ended early: {_last_line(self._output)}" if self.waiting else ""

    def close(self) -> None:
        os.close(self._events)
        self._output.close()


class _Collector:
    """Collects the children's events in one report."""

    def __init__(
        self, children: Sequence[_Child], report: TrainerReport, on_event: OnEvent | None
    ) -> None:
        self._children, self._report = children, report
        self._on_event = on_event or (lambda kind, event: None)
        self._begun = False

    def run(self) -> None:
        """Until all children have ended."""
        with selectors.DefaultSelector() as selector:
            for each in self._children:
                selector.register(each, selectors.EVENT_READ, each)
            while selector.get_map():
                for key, _ in selector.select():
                    child: _Child = key.data
                    events = child.read()
                    if events is None:
                        selector.unregister(child)
                        problem = child.problem()  # waits for it in any case
                        self._report.problem = self._report.problem or problem
                    for event in events or ():
                        self._collect(event, child)

    def _collect(self, event: Json, child: _Child) -> None:
        kind, report = event["event"], self._report
        if kind == "begin":
            if self._begun:  # all children report the same
                return
            self._begun = True
            report.capabilities = event["capabilities"]
            event = {**event, "claims": list(report.unfinished)}
        elif kind == "verdict":
            verdict = Verdict.from_json(event["verdict"])
            report.verdicts.append(verdict)
            report.unfinished.remove(verdict.id)
            child.waiting.remove(verdict.id)
        elif kind == "unusable":
            if report.problem:
                return
            report.problem = event["message"]
            report.problem_traceback = event["traceback"]
            report.bad_input = event["kind"] in ("import", "input")
        self._on_event(kind, event)


def _command(trainer: str, settings: Path, events: int) -> list[str]:
    suite = suite_path()
    # -E: PYTHONPATH is the trainer's, whose worker inherits it. -B: PYTHONDONTWRITEBYTECODE is
    # ignored with it.
    return launch_command(
        "pytest", "-c", str(suite / "pytest.ini"), "--rootdir", str(suite),
        "-p", "no:cacheprovider", "-q", "--trainer", trainer, f"--trial-settings={settings}",
        f"--trial-events={events}", str(suite), flags=("-E", "-B"), end_with=os.getpid(),
    )  # fmt: skip


def _environment(scratch: Path) -> dict[str, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    # One thread for the suite itself (see the plugin); `threads` sets the trainer's.
    return (
        environment
        | thread_environment(1)
        | {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": str(scratch / "hypothesis"),
        }
    )


def _end(children: Sequence[_Child]) -> None:
    """Interrupt the children, wait while they end their workers, then kill their groups."""
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + _GRACE_PERIOD
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            child.process.wait(max(deadline - time.monotonic(), 0))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()


def _last_line(output: BinaryIO) -> str:
    output.seek(0)
    lines = [line for line in output.read().decode(errors="replace").splitlines() if line.strip()]
    return visible(lines[-1][:300]) if lines else "no output"
