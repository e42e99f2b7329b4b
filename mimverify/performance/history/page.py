"""The history as a page: pictures first, tables folded; one file, which needs no network."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mimverify.pages import Cell, Column, FigureBlock, Fold, Table, figure_svg, render
from mimverify.performance.history.gate import Gate, RatioResult, State
from mimverify.performance.history.highlights import extent, gate_text
from mimverify.performance.history.pictures import Picture, overview, pictures_of
from mimverify.performance.history.quantities import shown
from mimverify.performance.history.reading import RATIO, Series, listed
from mimverify.performance.history.regressions import Regression
from mimverify.performance.history.report import Report
from mimverify.performance.history.slopes import Curve

__all__ = ["page_of"]

_AGAINST = {"seconds": "Time against d", "bytes": "Memory against d"}


@dataclass(frozen=True)
class Section:
    """A heading of the page and what is under it.

    **Arguments**

    - `anchor`, `title`: of the heading.
    - `text`: paragraphs.
    - `figures`, `folds`: pictures, then folded tables, of which the first is open if `open`.
    - `parts`: sections of the next level.
    - `style`: classes: "judged" keeps tables within a phone's width, "steps" those of steps.
    """

    anchor: str
    title: str
    text: Sequence[str] = ()
    figures: Sequence[FigureBlock] = ()
    folds: Sequence[Fold] = ()
    parts: Sequence[Section] = ()
    open: bool = False
    style: str = ""


def page_of(report: Report, command: str = "mimverify history") -> str:
    """The page, as the text of an HTML file.

    **Arguments**

    - `report`: the history, evaluated.
    - `command`: the command line that reads it, to which `--figure` is added.

    **Raises** `InputError` without matplotlib.
    """
    record = report.to_json()
    del record["series"]  # each figure has the values that it draws
    return render(
        "history.html.j2",
        {
            "title": "Benchmark history",
            "lead": f"{extent(report.history)}. Lower is better everywhere.",
            "summary": report.summary,
            "sections": list(_sections(report, command)),
            "record": record,
        },
    )


def _sections(report: Report, command: str) -> Iterator[Section]:
    places = report.history.places
    drawing = f"{command} --figure overview.svg"
    for number, place in enumerate(places):
        several = len(places) > 1
        yield Section(
            f"pictures-{number + 1}" if several else "pictures",
            f"Pictures: {place[0]}, environment {number + 1}" if several else "Pictures",
            [f"Machine {place[0]}, environment {place[1]}."],
            [_figure(one, drawing, number) for one in overview(report, place)],
        )
    if report.gate is not None:
        yield _gate(report.gate)
    yield _regressions(report)
    for number, place in enumerate(places):
        yield from _benchmarks(report, place, number, command)
    yield Section("reading", "How to read this page", _HOW_TO_READ)


_HOW_TO_READ = (
    "Values are asv's; against d they are those of the latest commit measured. Lines there are "
    "least squares through logarithms; the slope's interval (95 %, Student's t) needs four "
    "dimensions: with three it would rest on a single residual. The bold guide grows like d², the "
    "theorem's rate at n proportional to d; the thin ones like d and d³.",
    "Over the commits, those at which a benchmark was not run take no space; where it failed, the "
    "line has a gap. Lines stand a little beside one another so that no bar hides another one. An "
    "arrow at the end of a bar says that it goes on beyond the axis.",
    "Only ratios are judged: quantities relative to another of the same run, above all time "
    "relative to the bare matrix products interleaved with it. Seconds of different days differ by "
    "more than most changes of the code, so no step among them is called a regression.",
)


# -- what is judged ------------------------------------------------------------------------------


def _gate(gate: Gate) -> Section:
    rule = (
        f"A ratio regressed if it is above {gate.threshold:g} × the best of asv's steps before it, "
        "in two runs at least, and in every one. Without an earlier value there is nothing to "
        "compare, and nothing holds."
    )
    order = [state for state in _TONES if gate.of(state)]
    folds = [
        Fold(
            f"{len(gate.of(state))} {state.shown}",
            table=_gate_table(f"Ratios, {state.shown}", gate, gate.of(state)),
        )
        for state in order
    ]
    urgent = bool(order) and _TONES[order[0]] in ("bad", "warn")
    return Section(
        "gate", "Gate", [f"{gate_text(gate)}.", rule], folds=folds, open=urgent, style="judged"
    )


# States by urgency, and the tone of their cells.
_TONES = {
    State.REGRESSED: "bad",
    State.BROKEN: "bad",
    State.SUSPECT: "warn",
    State.UNCONFIRMED: "warn",
    State.HELD: "good",
    State.FIRST: "",
}


def _gate_table(caption: str, gate: Gate, results: Sequence[RatioResult]) -> Table:
    rows: list[Sequence[Cell | str]] = []
    for one in results:
        at = f"/gate/ratios/{gate.results.index(one)}"
        state = Cell(one.state.shown, _TONES[one.state])
        commit = Cell(one.commit.short, code=True)
        measured = one.series.measured
        if not one.runs:
            latest = f"{measured[-1].value:.3f}" if one.state is State.FIRST else "–"
            rows.append((one.series.label, state, "–", latest, "–", commit))
        for number, run in enumerate(one.runs):
            pointer = f"{at}/runs/{number}"
            rows.append(
                (
                    one.series.label + (f", run {number + 1}" if number else ""),
                    state,
                    Cell(f"{run.factor:.2f}", pointer=f"{pointer}/factor"),
                    Cell(f"{run.ratio:.3f}", pointer=f"{pointer}/ratio"),
                    Cell(f"{run.best:.3f}", pointer=f"{pointer}/best"),
                    commit,
                )
            )
    numbers = [Column(name, numeric=True) for name in ("× best", "latest", "best before")]
    return Table(caption, ("ratio", "state", *numbers, "commit"), rows)


def _regressions(report: Report) -> Section:
    ratios = [one for one in report.history.series if one.unit == RATIO]
    several = sum(len(one.measured) > 1 for one in ratios)
    text = (
        f"Ratios alone are judged, by asv's step detection: {several} of {len(ratios)} have two "
        "values."
    )
    if not several:
        return Section("regressions", "Regressions", [f"Nothing to compare. {text}"])
    folds = [
        Fold(f"{len(found)} {name}", table=_steps(f"Regressions, {name}", key, found))
        for name, key, found in (
            ("standing", "regressions", report.regressions),
            ("recovered", "recovered", report.recovered),
        )
        if found
    ]
    none = "" if folds else "None. "
    standing = bool(report.regressions)
    words = [none + text]
    title, style = "Regressions", "judged steps"
    return Section("regressions", title, words, folds=folds, open=standing, style=style)


def _steps(caption: str, key: str, regressions: Sequence[Regression]) -> Table:
    rows = []
    for number, one in enumerate(regressions):
        at = f"/{key}/{number}"
        when = [f"from {one.commit}"]
        if one.last is not None and one.recovered is not None:
            when += [f"to {one.last}", f"recovered at {one.recovered}"]
        rows.append(
            (
                one.series.label,
                Cell(f"{one.factor:.2f}", pointer=f"{at}/factor"),
                Cell(f"{one.old:.3f}", pointer=f"{at}/old"),
                Cell(f"{one.new:.3f}", pointer=f"{at}/new"),
                ", ".join(when),
                str(one.before),
            )
        )
    numbers = [Column(name, numeric=True) for name in ("×", "before", "since")]
    return Table(caption, ("ratio", *numbers, "commits", "last good"), rows)


# -- what is shown -------------------------------------------------------------------------------


def _benchmarks(
    report: Report, place: tuple[str, str], number: int, command: str
) -> Iterator[Section]:
    """A section for each quantity: time and memory against d, ratios, and the rest."""
    suffix = f"-{number + 1}" if len(report.history.places) > 1 else ""
    where = f": {place[0]}, environment {number + 1}" if suffix else ""
    curves = [curve for curve in report.curves if curve.place == place]
    rest = [one for one in report.rest if (one.machine, one.environment) == place]
    groups: list[tuple[str, list[Curve], list[Series]]] = [
        (name, [curve for curve in curves if curve.unit == unit], [])
        for unit, name in _AGAINST.items()
    ]
    groups += [
        ("Other quantities against d", [c for c in curves if c.unit not in _AGAINST], []),
        ("Ratios", [], [one for one in rest if one.unit == RATIO]),
        ("Over the commits", [], [one for one in rest if one.unit != RATIO]),
    ]
    for title, some_curves, some_series in groups:
        names = {curve.benchmark for curve in some_curves} | {one.benchmark for one in some_series}
        anchor = title.lower().replace(" ", "-") + suffix
        parts = []
        for name in sorted(names):
            mine = [curve for curve in some_curves if curve.benchmark == name]
            own = [one for one in some_series if one.benchmark == name]
            part = _benchmark(report, name, mine, own, number, command)
            parts.append(replace(part, anchor=f"{anchor}-{part.anchor}"))
        if parts:
            yield Section(anchor, title + where, parts=parts)


def _benchmark(
    report: Report,
    name: str,
    curves: Sequence[Curve],
    series: Sequence[Series],
    number: int,
    command: str,
) -> Section:
    drawing = f"{command} --figure {_anchor(name)}.svg --benchmark {shlex.quote(name)}"
    figures = [_figure(one, drawing, number) for one in pictures_of(name, curves, series, report)]
    folds = []
    if curves:
        folds.append(Fold("Slopes and prefactors", table=_fits(report, name, curves)))
    if series:
        folds.append(Fold("Latest and best values", table=_values(name, series)))
    single = bool(series) and not figures
    text = ["Measured at one commit so far."] if single else []
    return Section(_anchor(name), name, text, figures, folds)


def _fits(report: Report, name: str, curves: Sequence[Curve]) -> Table:
    rows: list[Sequence[Cell | str]] = []
    for curve in curves:
        latest = curve.latest or 0
        slope = curve.slopes[latest]
        commit = Cell(curve.commits[latest].short, code=True)
        if slope is None:
            rows.append((curve.label, "–", "–", "–", "–", "–", commit))
            continue
        fitted = sum(one is not None for one in curve.slopes[:latest])
        at = f"/slopes/{report.curves.index(curve)}/fits/{fitted}"
        few = f"too few points ({len(slope.dims)})"
        rows.append(
            (
                curve.label,
                Cell(f"{slope.exponent:.2f}", pointer=f"{at}/exponent"),
                few
                if slope.margin is None
                else Cell(f"{slope.margin:.2f}", pointer=f"{at}/margin"),
                shown(slope.prefactor, curve.unit),
                "–" if slope.factor is None else f"{slope.factor:.2f}",
                str(slope.reference),
                commit,
            )
        )
    names = ("slope", "±, 95 %", "prefactor", "×÷", "at d")
    numbers = [Column(one, numeric=True) for one in names]
    columns: Sequence[Column | str] = ("parameters", *numbers, "commit")
    return Table(f"{name}: fits at the latest commit", columns, rows)


def _values(name: str, series: Sequence[Series]) -> Table:
    rows = []
    for one in series:
        values = [point.value for point in one.measured if point.value is not None]
        last = one.points[-1].value
        rows.append(
            (
                listed(one.parameters) or name.rpartition(".")[2],
                shown(values[-1], one.unit),
                shown(min(values), one.unit),
                str(len(values)),
                str(one.measured[-1].commit) + ("" if last is not None else ", its last value"),
            )
        )
    numbers = [Column(one, numeric=True) for one in ("latest", "best", "commits")]
    return Table(f"{name}: values", ("parameters", *numbers, "latest at"), rows)


def _figure(picture: Picture, command: str, number: int) -> FigureBlock:
    name = _anchor(f"{picture.name} {number + 1}")
    panels = [panel.to_json() for panel in picture.panels]
    summary = ", ".join(panel.title for panel in picture.panels)
    return FigureBlock(
        picture.title,
        picture.caption,
        figure_svg(picture.draw, alt=f"{summary}. {picture.caption}", name=name, size=picture.size),
        command=command,
        data={"panels": panels},
        name=name,
    )


def _anchor(text: str) -> str:
    words = "".join(c if c.isalnum() and c.isascii() else " " for c in text)
    return "-".join(words.lower().split()) or "benchmark"
