"""The gate: ratios to the bare matrix products may not rise; absolute times decide nothing.

A ratio compares two pieces of work interleaved in one run, so that the machine's mood cancels.
What is left of it must show again: a rise fails the gate only if a repeated run confirms it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mimverify.performance.history.reading import RATIO, Commit, History, Point, Series
from mimverify.performance.history.regressions import Step, steps_of
from mimverify.support.errors import InputError

__all__ = ["Gate", "Judgement", "Run", "State", "judge"]


class State(StrEnum):
    """What became of a ratio at its latest commit."""

    HELD = "held"  # not above the threshold
    FIRST = "first"  # no earlier commit to compare with
    SUSPECT = "suspect"  # above, in the one run that there is
    UNCONFIRMED = "unconfirmed"  # above, but not in every run
    REGRESSED = "regressed"  # above, in every run of two or more
    BROKEN = "broken"  # the benchmark failed where it once had a value


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
        """How much worse than the best."""
        return self.ratio / self.best


@dataclass(frozen=True)
class Judgement:
    """A ratio at the gate.

    **Arguments**

    - `series`: the ratio over the commits.
    - `commit`: the latest that it was run at.
    - `state`: what became of it.
    - `runs`: its measurements there, that of the results first, then the repeated ones.
    """

    series: Series
    commit: Commit
    state: State
    runs: tuple[Run, ...] = ()


@dataclass(frozen=True)
class Gate:
    """All ratios at the gate.

    **Arguments**

    - `threshold`: a ratio above this multiple of the best before it has regressed.
    - `judgements`: one for each ratio.
    """

    threshold: float
    judgements: tuple[Judgement, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing regressed for certain, and no ratio broke."""
        return not self.of(State.REGRESSED, State.BROKEN)

    def of(self, *states: State) -> tuple[Judgement, ...]:
        """Those judgements."""
        return tuple(one for one in self.judgements if one.state in states)

    @property
    def suspects(self) -> tuple[Judgement, ...]:
        """Those that a repeated run would decide."""
        return self.of(State.SUSPECT)

    @property
    def to_repeat(self) -> tuple[Commit, ...]:
        """The suspects' commits and the best before them, oldest first: what to run again."""
        commits = {one.commit for one in self.suspects}
        commits |= {run.best_commit for one in self.suspects for run in one.runs}
        return tuple(sorted(commits, key=lambda commit: (commit.date, commit.hash)))

    def repeat_command(self, results: str) -> tuple[str, ...]:
        """The shell's lines that repeat the suspects with asv, and judge again.

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


def judge(history: History, repeated: Sequence[History] = (), threshold: float = 1.1) -> Gate:
    """Hold the latest value of every ratio against the best of asv's steps before it.

    A ratio regressed if it is above `threshold` times that best in every run of it, and there
    are two runs or more. Runs are told apart by when they were made: a copy of the same run
    confirms nothing. Results that hold earlier commits are judged against their own best, so
    that a lucky best does not survive its repetition.

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
    return Gate(threshold, tuple(_judge(one, repeated, threshold) for one in ratios))


def _judge(series: Series, repeated: Iterable[History], threshold: float) -> Judgement:
    place = max(k for k, point in enumerate(series.points) if point.recorded)
    latest = series.points[place]
    if latest.value is None:
        state = State.BROKEN if latest.failed else State.HELD
        return Judgement(series, latest.commit, state)
    best = _best(series, place)
    if best is None:
        return Judgement(series, latest.commit, State.FIRST)
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
    return Judgement(series, latest.commit, state, tuple(runs))


def _repeated(
    series: Series, latest: Point, best: Step, repeated: Iterable[History]
) -> Iterable[Run]:
    """The runs of the same ratio at the same commit that are not the same run."""
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
