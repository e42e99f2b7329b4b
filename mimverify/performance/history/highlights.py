"""What a maintainer wants to know first of a history, in ten lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from mimverify.performance.history.gate import Gate, Outcome, State
from mimverify.performance.history.quantities import shown
from mimverify.performance.history.reading import RATIO, History, Series
from mimverify.performance.history.regressions import Regression
from mimverify.performance.history.slopes import Curve, Slope

__all__ = ["SummaryLine", "extent", "gate_text", "growth", "summary_of"]

_TITLES = {"seconds": "time", "bytes": "memory"}


@dataclass(frozen=True)
class SummaryLine:
    """A line of the summary.

    **Arguments**

    - `subject`: what it is about.
    - `text`: what is the case.
    - `tone`: "good", "bad", "warn" or none, for its colour; the text says it too.
    """

    subject: str
    text: str
    tone: str = ""


def summary_of(
    history: History,
    curves: Sequence[Curve],
    regressions: Sequence[Regression],
    recovered: Sequence[Regression],
    gate: Gate | None,
) -> tuple[SummaryLine, ...]:
    """Ten lines at most: what was measured, what is judged, how it grows, what broke."""
    lines = [SummaryLine("measured", extent(history))]
    if gate is not None:
        lines.append(_gate(gate))
    lines.append(_regressions(history, regressions, recovered))
    lines += _ratios(history)
    for unit in _TITLES:
        lines += _curves(unit, [curve for curve in curves if curve.unit == unit])
    lines.append(_failures(history))
    return (*lines, _unjudged(history))


def extent(history: History) -> str:
    """How many commits were measured, and which."""
    commits = history.commits
    several = f"{commits[0]} to {commits[-1]}" if len(commits) > 1 else f"{commits[0]}"
    places = len(history.places)
    where = "" if places < 2 else f", on {places} machines or environments"
    return f"{_counted(len(commits), 'commit')}, {several}{where}"


def gate_text(gate: Gate) -> str:
    """The gate's result in a sentence: what was not compared is not said to hold."""
    total, compared = len(gate.results), len(gate.compared)
    if gate.outcome is Outcome.NOTHING:
        return f"nothing to compare: none of {_counted(total, 'ratio')} has an earlier value"
    counts = Counter(one.state for one in gate.compared)
    states = ", ".join(f"{counts[state]} {state.shown}" for state in State if counts[state])
    text = f"{compared} of {_counted(total, 'ratio')} compared: {states}"
    first = len(gate.of(State.FIRST))
    return f"{text}; {first} with nothing to compare" if first else text


_TONES = {
    Outcome.HOLDS: "good",
    Outcome.PARTLY: "",
    Outcome.UNDECIDED: "warn",
    Outcome.FAILS: "bad",
    Outcome.NOTHING: "warn",
}


def _gate(gate: Gate) -> SummaryLine:
    return SummaryLine("gate", gate_text(gate), _TONES[gate.outcome])


def _regressions(
    history: History, standing: Sequence[Regression], recovered: Sequence[Regression]
) -> SummaryLine:
    ratios = [one for one in history.series if one.unit == RATIO]
    several = sum(len(one.measured) > 1 for one in ratios)
    if not several:
        return SummaryLine("regressions", "not judged: no ratio has values at two commits", "warn")
    text = (
        f"{len(standing)} standing, {len(recovered)} recovered; "
        f"{several} of {_counted(len(ratios), 'ratio')} with two values"
    )
    return SummaryLine("regressions", text, "bad" if standing else "")


def _ratios(history: History) -> Iterator[SummaryLine]:
    """Of the two benchmarks with the most ratios: the extremes of the latest values."""
    ratios = [one for one in history.series if one.unit == RATIO]
    for name, _ in Counter(one.benchmark for one in ratios).most_common(2):
        latest = [one.measured[-1].value for one in ratios if one.benchmark == name]
        values = sorted(value for value in latest if value is not None)
        text = f"{values[0]:.3f}"
        if len(values) > 1:
            text += f" to {values[-1]:.3f}, median {median(values):.3f}"
        yield SummaryLine("ratios", f"{text}: {_short(name)}")


def growth(curve: Curve) -> Slope | None:
    """Its slope at the latest commit, if that has an interval."""
    slope = None if curve.latest is None else curve.slopes[curve.latest]
    return slope if slope is not None and slope.margin is not None else None


def _curves(unit: str, curves: Sequence[Curve]) -> Iterator[SummaryLine]:
    if not curves:
        return
    fits = [(slope, curve) for curve in curves if (slope := growth(curve)) is not None]
    if not fits:
        few = f"{_counted(len(curves), 'curve')}, too few points for intervals (four at least)"
        yield SummaryLine(_TITLES[unit], few)
        return
    above = [slope for slope, _ in fits if slope.exponent - (slope.margin or 0) > 2]
    slope, steepest = max(fits, key=lambda fit: fit[0].exponent)
    text = f"{len(above) or 'none'} above d²; steepest d^{slope}: {_named(steepest)}"
    yield SummaryLine(_TITLES[unit], text, "warn" if above else "")
    if unit == "seconds":
        largest = max(curves, key=_largest)
        dim, value = _end(largest)
        yield SummaryLine("longest", f"{shown(value, unit)} at d = {dim}: {_named(largest)}")


def _end(curve: Curve) -> tuple[int, float]:
    dim, point = curve.at(curve.latest or 0)[-1]
    return dim, point.value or 0.0


def _largest(curve: Curve) -> float:
    return _end(curve)[1]


def _named(curve: Curve) -> str:
    return " ".join((_short(curve.benchmark), *(str(value) for _, value in curve.parameters)))


def _failures(history: History) -> SummaryLine:
    """Benchmarks that had a value once and broke where they were run last."""
    broken = Counter(one.benchmark for one in history.series if _broken(one))
    if not broken:
        return SummaryLine("failed", "none that ever had a value")
    names = ", ".join(f"{_short(name)} ({count})" for name, count in broken.most_common(3))
    more = "" if len(broken) <= 3 else f", and {len(broken) - 3} more"
    return SummaryLine("failed", names + more, "bad")


def _broken(series: Series) -> bool:
    recorded = [point for point in series.points if point.recorded]
    return bool(recorded) and recorded[-1].failed


def _unjudged(history: History) -> SummaryLine:
    counts = Counter(one.unit for one in history.series if one.unit != RATIO)
    seconds = counts.pop("seconds", 0)
    size = counts.pop("bytes", 0)
    others = sum(counts.values())
    text = f"seconds ({seconds} series: noise of days), bytes ({size}), others ({others})"
    return SummaryLine("not judged", text)


def _short(benchmark: str) -> str:
    """A benchmark without its module."""
    return benchmark.partition(".")[2] or benchmark


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
