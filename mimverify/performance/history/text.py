"""The history as text, for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import JustifyMethod, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mimverify.performance.history.gate import Gate, Outcome, RatioResult, State
from mimverify.performance.history.highlights import SummaryLine, gate_text
from mimverify.performance.history.quantities import shown
from mimverify.performance.history.reading import RATIO, Parameters, Series, listed
from mimverify.performance.history.regressions import Regression
from mimverify.performance.history.report import Report

__all__ = ["text_of"]

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 12  # commits in a sparkline
_SO_FAR: dict[str, JustifyMethod] = {"so far": "left"}

_TONES = {"": "", "good": "green", "warn": "yellow", "bad": "bold red"}
_SHORT = {State.FIRST: "nothing to\ncompare"}

# Of states that ask for something: the summary is followed by these ratios.
_STYLES = {
    State.SUSPECT: "yellow",
    State.UNCONFIRMED: "yellow",
    State.REGRESSED: "bold red",
    State.BROKEN: "bold red",
}


def text_of(report: Report, *, everything: bool = False) -> Iterator[RenderableType]:
    """What to print, in order: the summary, what needs attention, and then, or on request,
    every table.

    **Arguments**

    - `report`: the history, evaluated.
    - `everything`: whether to print all tables.
    """
    several = len(report.history.places) > 1
    if not report.history.series:
        yield "No benchmark has a value."
    yield _summary(report.summary)
    if everything:
        for place in report.history.places:
            yield ""
            yield Text(f"machine {place[0]}, environment {place[1]}", style="dim")
            yield from _curves(report, place)
            yield from _rest(report, place)
    yield from _regressions(report, several)
    if report.gate is not None:
        yield from _gate(report.gate, str(report.history.path), several, everything)
    if not everything:
        yield Text("Every table: --all. Pictures: --html FILE, --figure FILE.", style="dim")


def _summary(lines: Sequence[SummaryLine]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    for line in lines:
        table.add_row(Text(line.subject, style="bold"), Text(line.text, style=_TONES[line.tone]))
    return table


def _curves(report: Report, place: tuple[str, str]) -> Iterator[RenderableType]:
    curves = [curve for curve in report.curves if curve.place == place]
    if not curves:
        return
    title = "Against d, at the latest commit measured"
    table = _table(title, "benchmark", slope="left", fit="right", **_SO_FAR)
    previous = ""
    for curve in curves:
        slope = curve.slopes[curve.latest or 0]
        fit = "–"
        if slope is not None:
            fit = f"{shown(slope.prefactor, curve.unit)} at {slope.reference}"
        exponents = [None if one is None else one.exponent for one in curve.slopes]
        row = str(slope or "–"), fit, _sparkline(exponents, 0.2)
        previous = _add(table, curve.series[0], previous, row, parameters=curve.parameters)
    yield table


def _rest(report: Report, place: tuple[str, str]) -> Iterator[RenderableType]:
    rest = [one for one in report.rest if (one.machine, one.environment) == place]
    if not rest:
        return
    table = _table("Over the commits", "benchmark", latest="right", best="right", **_SO_FAR)
    previous = ""
    for one in rest:
        values = [point.value for point in one.points]
        best = min(value for value in values if value is not None)
        row = shown(values[-1], one.unit), shown(best, one.unit), _sparkline(values, 0.1)
        previous = _add(table, one, previous, row)
    yield table


def _regressions(report: Report, several: bool) -> Iterator[RenderableType]:
    if report.regressions:
        yield ""
        yield _steps("Regressions of ratios, by asv's step detection", report.regressions, several)
    if report.recovered:
        yield ""
        yield _steps("Regressions of ratios that have recovered", report.recovered, several)


def _steps(title: str, regressions: Sequence[Regression], several: bool) -> Table:
    columns: dict[str, JustifyMethod] = {"from → to": "left", "×": "right", "commits": "left"}
    table = _table(title, "ratio", **columns)
    previous = ""
    for one in regressions:
        levels = f"{one.old:.3f} → {one.new:.3f}"
        commits = f"from {one.commit}"
        if one.last is not None and one.recovered is not None:
            commits += f"\nto {one.last}\nrecovered at {one.recovered}"
        row = levels, f"{one.factor:.2f}", commits
        previous = _add(table, one.series, previous, row, several=several)
    return table


def _gate(gate: Gate, results: str, several: bool, everything: bool) -> Iterator[RenderableType]:
    """The results that ask for something, or all; and how to repeat suspects."""
    shown_ones = [one for one in gate.results if everything or one.state in _STYLES]
    if shown_ones:
        yield ""
        yield _ratios(gate, shown_ones, several)
    if gate.suspects:
        yield "A suspect fails the gate only if a repeated run shows it again:"
        for line in gate.repeat_command(results):
            yield Text(f"  {line}", no_wrap=True, overflow="ignore")
    if everything or gate.outcome in (Outcome.FAILS, Outcome.UNDECIDED):
        failed = gate.outcome is Outcome.FAILS
        yield Text(f"Gate: {gate_text(gate)}.", style="bold red" if failed else "bold")


def _ratios(gate: Gate, results: Sequence[RatioResult], several: bool) -> Table:
    title = f"Gate: ratios at most {gate.threshold:g} × the best step before"
    columns: dict[str, JustifyMethod] = {"best": "right", "latest": "right", "× best": "right"}
    table = _table(title, "ratio", **columns, commit="left", state="left")
    previous = ""
    for one in results:
        latest = one.series.measured[-1].value if one.state is State.FIRST else None
        row = (
            _each(run.best for run in one.runs),
            _each(run.ratio for run in one.runs) if latest is None else f"{latest:.3f}",
            _each((run.factor for run in one.runs), 2),
            one.commit.short,
            Text(_SHORT.get(one.state, one.state.shown), style=_STYLES.get(one.state, "")),
        )
        previous = _add(table, one.series, previous, row, several=several)
    return table


def _add(
    table: Table,
    series: Series,
    previous: str,
    row: Sequence[RenderableType],
    *,
    several: bool = False,
    parameters: Parameters | None = None,
) -> str:
    """Add a row under its benchmark's name, which is printed once; returns the name."""
    parameters = series.parameters if parameters is None else parameters
    name = series.benchmark + (f" on {series.machine}" if several else "")
    if series.unit not in ("seconds", "bytes", "unit", RATIO):
        name += f" [{series.unit}]"
    if not parameters:
        table.add_row(Text(name, style="bold"), *row)
        return name
    if name != previous:
        table.add_row(Text(name, style="bold"))
    table.add_row(_indented(listed(parameters)), *row)
    return name


def _indented(text: str) -> Padding:
    return Padding(text, (0, 0, 0, 2))


def _each(numbers: Iterable[float], digits: int = 3) -> str:
    return "\n".join(f"{number:.{digits}f}" for number in numbers) or "–"


def _table(title: str, first: str, **columns: JustifyMethod) -> Table:
    """A table whose first column takes the remaining width, and wraps."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, expand=True
    )
    table.add_column(first, overflow="fold", ratio=1)
    for heading, justify in columns.items():
        table.add_column(heading, no_wrap=True, justify=justify)
    return table


def _sparkline(values: Sequence[float | None], least: float) -> str:
    """The last values as bars over a relative range of at least `least`; a gap is a space."""
    values = values[-_WIDTH:]
    there = [value for value in values if value is not None]
    if not there:
        return ""
    low, high = min(there), max(there)
    extent = max(high - low, least * abs(high), 1e-300)
    top = len(_BARS) - 1
    return "".join(
        " " if value is None else _BARS[round((value - low) / extent * top)] for value in values
    )
