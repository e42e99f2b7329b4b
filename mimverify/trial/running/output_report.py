"""What a trainer warned of and printed, in reports: each of its warnings once for a trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from xml.etree import ElementTree

from rich.console import Console
from rich.text import Text

from mimverify.handles.trainer_output import TrainerWarning
from mimverify.trial.outcomes import Status
from mimverify.trial.running.verdict import Verdict

__all__ = ["OutputReport", "add_output_elements", "warning_lines"]

_EXPLAINED = (Status.FAILED, Status.ERROR, Status.EXPECTED_FAILURE)


class OutputReport:
    """Prints what the trainer of a trial said.

    **Arguments**

    - `verbose`: also print tracebacks and what went to standard output and error.
    """

    def __init__(self, console: Console, *, verbose: bool) -> None:
        self._console, self._verbose = console, verbose
        self._shown: set[TrainerWarning] = set()
        self._hidden = False

    def print_under(self, verdict: Verdict) -> None:
        """What was said during a claim that did not pass; a warning under the first such alone."""
        if verdict.status not in _EXPLAINED:
            return
        found = verdict.evidence.output
        for warning in found.warnings:
            if replace(warning, times=1) not in self._shown:
                self._line(f"  the trainer warned: {warning}")
                self._shown.add(replace(warning, times=1))
        texts = {
            "traceback": verdict.evidence.traceback,
            "its standard output": found.stdout,
            "its standard error": found.stderr,
        }
        for title, text in texts.items():
            if text and self._verbose:
                self._line(f"  {title}:")
                for line in text.splitlines():
                    self._line(f"    {line}")
        self._hidden |= not self._verbose and any(texts.values())

    def print_rest(self, verdicts: Sequence[Verdict]) -> None:
        """The other warnings of the trial, and what `--verbose` would add."""
        times: dict[TrainerWarning, int] = {}
        for warning in (one for verdict in verdicts for one in verdict.evidence.output.warnings):
            kind = replace(warning, times=1)
            if kind not in self._shown:
                times[kind] = times.get(kind, 0) + warning.times
        for kind, number in times.items():
            self._line(f"the trainer warned: {replace(kind, times=number)}")
        more = sum(verdict.evidence.output.more_warnings for verdict in verdicts)
        if more:
            self._line(f"the trainer warned {more} more times of other things")
        if self._hidden:
            text = "--verbose shows tracebacks and what the trainer printed."
            self._console.print(Text(text, style="dim"))

    def _line(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)


def warning_lines(verdict: Verdict) -> str:
    """The warnings of a claim, each on a line that begins with a line break."""
    return "".join(f"\nthe trainer warned: {each}" for each in verdict.evidence.output.warnings)


def add_output_elements(case: ElementTree.Element, verdict: Verdict) -> None:
    """JUnit's `system-out` and `system-err` of a claim: what was printed; warnings, traceback."""
    found = verdict.evidence.output
    warnings = "".join(f"{warning}\n" for warning in found.warnings)
    texts = {
        "system-out": found.stdout,
        "system-err": warnings + verdict.evidence.traceback + found.stderr,
    }
    for tag, text in texts.items():
        if text:
            ElementTree.SubElement(case, tag).text = text
