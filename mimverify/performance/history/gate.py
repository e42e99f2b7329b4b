"""The gate: ratios to the bare matrix products may not rise; absolute times decide nothing.

A ratio compares two measurements interleaved in one run, so that most noise of the machine
cancels. Against the rest, a rise fails the gate only if a repeated run confirms it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mimverify.performance.history.reading import RATIO, Commit, History, Point, Series
from mimverify.performance.history.regressions import Step, steps_of
from mimverify.support.errors import InputError

__all__ = ["Gate", "Outcome", "RatioResult", "Run", "State", "evaluate_gate"]


class State(StrEnum):
    """The result for a ratio at its latest commit."""

    HELD = "held"  # not above the threshold
    FIRST = "first"  # no earlier commit to compare with
    SUSPECT = "suspect"  # above, in the one run that there is
    UNCONFIRMED = "unconfirmed"  # above, but not in every run
    REGRESSED = "regressed"  # above, in every run of two or more
    BROKEN = "broken"  # the benchmark failed where it once had a value

    @property
    def shown(self) -> str:
        """The state in a reader's words."""
        return "nothing to compare" if self is State.FIRST else self.value


class Outcome(StrEnum):
    """The result for all ratios together."""

    HOLDS = "holds"  # every ratio was compared, and none is above the threshold
    PARTLY = "holds in part"  # so it is for some, and others have nothing to compare
    UNDECIDED = "undecided"  # a suspect waits for its repetition
    FAILS = "fails"
    NOTHING = "nothing to compare"


@dataclass(frozen=True)
class Run:
    """One measurement of a ratio at the latest commit, against the best before it.

    **Arguments**

    - `ratio`: at the latest commit.
    - `best`: the level of the best of asv's steps before it.
    - `best_commit`: the last commit of that step.
    """

    ratio: float
    best: float
    best_commit: Commit

    @property
    def factor(self) -> float:
        """The ratio relative to the best."""
        return self.ratio / self.best


@dataclass(frozen=True)
class RatioResult:
    """The gate's result for one ratio.

    **Arguments**

    - `series`: the ratio over the commits.
    - `commit`: the latest that it was run at.
    - `state`: the result.
    - `runs`: its measurements there, the original one first, then the repeated ones.
    """

    series: Series
    commit: Commit
    state: State
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True)
class Gate:
    """The gate's results for all ratios.

    **Arguments**

    - `threshold`: a ratio above this multiple of the best before it has regressed.
    - `results`: one for each ratio.
    """

    threshold: float
    results: tuple[RatioResult, ...]

    @property
    def passed(self) -> bool:
        """Whether no ratio regressed or broke."""
        return not self.of(State.REGRESSED, State.BROKEN)

    @property
    def compared(self) -> tuple[RatioResult, ...]:
        """Results of ratios that have an earlier one, or broke."""
        return tuple(one for one in self.results if one.state is not State.FIRST)

    @property
    def outcome(self) -> Outcome:
        """The result for all ratios together: what was not compared does not hold."""
        if not self.passed:
            return Outcome.FAILS
        if not self.compared:
            return Outcome.NOTHING
        if self.suspects:
            return Outcome.UNDECIDED
        return Outcome.PARTLY if self.of(State.FIRST) else Outcome.HOLDS

    def of(self, *states: State) -> tuple[RatioResult, ...]:
        """Results in one of these states."""
        return tuple(one for one in self.results if one.state in states)

    @property
    def suspects(self) -> tuple[RatioResult, ...]:
        """Results that a repeated run would decide."""
        return self.of(State.SUSPECT)

    @property
    def to_repeat(self) -> tuple[Commit, ...]:
        """The suspects' commits and the best before them, oldest first: what to run again."""
        commits = {one.commit for one in self.suspects}
        commits |= {run.best_commit for one in self.suspects for run in one.runs}
        return tuple(sorted(commits, key=lambda commit: (commit.date, commit.hash)))

    def repeat_command(self, results: str) -> tuple[str, ...]:
        """The shell commands that repeat the suspects with asv and evaluate again.

        **Arguments**

        - `results`: the folder of the results.
        """
        if not self.suspects:
            return ()
        names = sorted({one.series.benchmark for one in self.suspects})
        pattern = "|".join(name.replace(".", r"\.") for name in names)
        hashes = " ".join(commit.short for commit in self.to_repeat)
        return (
            f"mkdir first-results && cp -r {results}/. first-results",
            f"printf '%s\\n' {hashes} | \\",
            "  asv run --config asv_benchmarks/asv.conf.json \\",
            f"  --bench '^({pattern})' HASHFILE:-",
            f"mimverify history {results} --gate --confirm first-results",
        )


def evaluate_gate(
    history: History, repeated: Sequence[History] = (), threshold: float = 1.1
) -> Gate:
    """Compare the latest value of every ratio with the best of asv's steps before it.

    A ratio regressed if it is above `threshold` times that best in every run of it, and there
    are two runs or more. Runs are distinguished by their start: a copy of the same run
    confirms nothing. Results that hold earlier commits are compared with their own best, so
    that a best value by chance does not survive its repetition.

    **Arguments**

    - `history`: the results.
    - `repeated`: other results with repeated runs.
    - `threshold`: above 1.

    **Raises** `InputError` for a threshold of at most 1, or where there is no ratio.
    """
    if not threshold > 1:
        raise InputError(f"--threshold={threshold:g}: expected a number above 1, such as 1.1")
    ratios = [one for one in history.series if one.unit == RATIO]
    if not ratios:
        raise InputError(
            f"--gate: {str(history.path)!r} holds no value of a benchmark of unit {RATIO!r}, "
            "expected one (asv run --bench ratios)"
        )
    return Gate(threshold, tuple(_evaluate(one, repeated, threshold) for one in ratios))


def _evaluate(series: Series, repeated: Iterable[History], threshold: float) -> RatioResult:
    # Where these parameters were left out, or not selected, they were not measured.
    place = max(k for k, point in enumerate(series.points) if point.recorded and not point.skipped)
    latest = series.points[place]
    if latest.value is None:
        return RatioResult(series, latest.commit, State.BROKEN)
    best = _best(series, place)
    if best is None:
        return RatioResult(series, latest.commit, State.FIRST)
    runs = [_run(latest.value, best, series)]
    if runs[0].factor > threshold:
        runs += _repeated(series, latest, best, repeated)
    above = [run.factor > threshold for run in runs]
    if not above[0]:
        state = State.HELD
    elif len(runs) == 1:
        state = State.SUSPECT
    else:
        state = State.REGRESSED if all(above) else State.UNCONFIRMED
    return RatioResult(series, latest.commit, state, tuple(runs))


def _repeated(
    series: Series, latest: Point, best: Step, repeated: Iterable[History]
) -> Iterable[Run]:
    """The runs of the same ratio at the same commit that are different runs."""
    seen = {latest.run}
    for history in repeated:
        other = history.find(series.key)
        hashes = [point.commit.hash for point in other.points] if other else []
        if other is None or latest.commit.hash not in hashes:
            continue
        place = hashes.index(latest.commit.hash)
        point = other.points[place]
        if point.value is None or point.run in seen:
            continue
        seen.add(point.run)
        own = _best(other, place)
        yield _run(point.value, own, other) if own else _run(point.value, best, series)


def _run(ratio: float, best: Step, series: Series) -> Run:
    return Run(ratio, best.value, series.points[best.last].commit)


def _best(series: Series, until: int) -> Step | None:
    """The best step before a point."""
    steps = [step for step in steps_of(series, until) if step.value > 0]
    return min(steps, key=lambda step: step.value, default=None)
