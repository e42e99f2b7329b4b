"""The history as a page: one self-contained file, which needs no network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from typing import TypeVar

from mimverify.performance.history.gate import Gate, RatioResult, State
from mimverify.performance.history.quantities import named, scale_of, shown
from mimverify.performance.history.reading import Commit, Point, Series, listed
from mimverify.performance.history.regressions import Regression, steps_of
from mimverify.performance.history.report import Report
from mimverify.performance.history.slopes import Curve
from mimverify.performance.history.style import STYLE
from mimverify.performance.history.svg import Plot, Scale, Tick, log_ticks, nice_ticks

__all__ = ["page_of"]

T = TypeVar("T")

_COLOURS = 6  # in STYLE; more lines than that go into another figure
_GUIDES = ((1, "d"), (2, "d²"), (3, "d³"))
_OPEN = 12  # more held ratios than that are folded away
_MANY = 25  # commits; more than that get smaller marks
_LABELLED = 4  # commits with a label on an axis


def page_of(report: Report) -> str:
    """The page, as the text of an HTML file."""
    body = "\n".join(_body(report))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n"
        '<meta name="color-scheme" content="light dark"/>\n'
        f"<title>Benchmark history</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _body(report: Report) -> Iterator[str]:
    commits = report.history.commits
    yield "<h1>Benchmark history</h1>"
    count = f"{len(commits)} commit{'s' if len(commits) > 1 else ''}"
    first_to_last = str(commits[0]) if len(commits) == 1 else f"{commits[0]} to {commits[-1]}"
    yield f'<p class="lead">{count}, {escape(first_to_last)}. Lower is better everywhere.</p>'
    if report.gate is not None:
        yield from _gate(report.gate)
    yield from _regressions(report.regressions)
    several = len(report.history.places) > 1
    for place in report.history.places:
        machine, environment = place
        yield (
            f'<p class="place">Machine <b>{escape(machine)}</b>, environment '
            f"<b>{escape(environment)}</b></p>"
        )
        curves = [curve for curve in report.curves if curve.place == place]
        if curves and not several:
            yield _contents(curves)
        for name, family in groupby(curves, key=lambda curve: curve.benchmark):
            yield from _family(name, list(family), report.regressions)
        rest = [one for one in report.rest if (one.machine, one.environment) == place]
        if rest:
            yield '<h2>Over the commits</h2><div class="plots">'
            for name, group in groupby(rest, key=lambda one: one.benchmark):
                yield from _group(name, list(group), report.regressions)
            yield "</div>"
    yield f'<p class="note">{_HOW_TO_READ}</p>'


_HOW_TO_READ = (
    "Points are asv's medians with its 99 % intervals, at the latest commit; lines are least "
    "squares through logarithms, slopes have 95 % intervals by Student's t (three dimensions at "
    "least). Slanted guides grow like d, d² and d³. A red flag marks the first commit of a step "
    "upwards that asv's step detection finds and no later commit undid; pale levels are asv's "
    "steps. Failed and missing measurements are gaps. Point at a mark for its numbers."
)


def _gate(gate: Gate) -> Iterator[str]:
    verdict = "holds" if gate.passed else "fails"
    suspects = len(gate.suspects)
    yield (
        f'<h2>Gate: <span class="{verdict}">{verdict}</span>'
        + (f', <span class="suspect">{suspects} to repeat</span>' if suspects else "")
        + "</h2>"
    )
    yield (
        f"<p>A ratio regressed if it is above {gate.threshold:g} × the best "
        "of asv's steps before it, in two runs at least, and in every one.</p>"
    )
    held = gate.of(State.HELD)
    others = [one for one in gate.results if one not in held]
    if others:
        yield _results(others)
    if held:
        unfolded = "" if len(held) > _OPEN else ' open=""'
        yield f"<details{unfolded}><summary>"
        yield f"{len(held)} held</summary>{_results(held)}</details>"


def _results(results: Iterable[RatioResult]) -> str:
    rows = []
    for one in results:
        latest = one.series.measured[-1].value if one.state is State.FIRST else None
        rows.append(
            (
                escape(one.series.label),
                "<br/>".join(f"{run.best:.3f}" for run in one.runs) or "–",
                "<br/>".join(f"{run.ratio:.3f}" for run in one.runs)
                or ("–" if latest is None else f"{latest:.3f}"),
                "<br/>".join(f"{run.factor:.2f}" for run in one.runs) or "–",
                escape(str(one.commit)),
                f'<span class="{one.state}">{one.state}</span>',
            )
        )
    return _table(("ratio", "best before", "latest", "× best", "commit", "state"), rows)


def _regressions(regressions: Sequence[Regression]) -> Iterator[str]:
    yield "<h2>Regressions</h2>"
    if not regressions:
        yield "<p>None, by asv's step detection.</p>"
        return
    rows = [
        (
            escape(one.series.label),
            shown(one.old, one.series.unit),
            shown(one.new, one.series.unit),
            f"{one.factor:.2f}",
            f"<b>{escape(str(one.commit))}</b>",
            escape(str(one.before)),
        )
        for one in regressions
    ]
    yield _table(("benchmark", "from", "to", "×", "at commit", "last good"), rows)


def _contents(curves: Sequence[Curve]) -> str:
    names = dict.fromkeys(curve.benchmark for curve in curves)
    links = (f'<a href="#{escape(name, quote=True)}">{escape(name)}</a>' for name in names)
    return f"<nav>{' · '.join(links)}</nav>"


def _family(name: str, curves: Sequence[Curve], regressions: Sequence[Regression]) -> Iterator[str]:
    """A benchmark against d, for all its other parameters."""
    yield f'<h2 id="{escape(name, quote=True)}">{escape(name)}</h2>'
    for some in _chunks(curves):
        flags = _flags([one for curve in some for one in curve.series], regressions)
        plots = [_against_dim(some)]
        fitted = {k for one in some for k, slope in enumerate(one.slopes) if slope is not None}
        if len(fitted) > 1:
            plots += [_exponents(some), _prefactors(some, flags)]
        yield _figures(plots)
        rows = [_legend(curve, index) for index, curve in enumerate(some)]
        head = ("", "parameters", "slope", "prefactor: fit at", "at commit")
        yield _table(head, rows)


def _legend(curve: Curve, index: int) -> tuple[str, ...]:
    slope = curve.slopes[curve.latest or 0]
    prefactor = "–"
    if slope is not None:
        factor = "" if slope.factor is None else f" ×÷ {slope.factor:.2f}"
        prefactor = f"d = {slope.reference}: {shown(slope.prefactor, curve.unit)}{factor}"
    return (
        _swatch(index),
        escape(curve.label),
        f"<b>{slope or '–'}</b>",
        escape(prefactor),
        escape(str(curve.commits[curve.latest or 0])),
    )


def _against_dim(curves: Sequence[Curve]) -> str:
    points = [
        (index, dim, point, point.value)
        for index, curve in enumerate(curves)
        for dim, point in curve.at(curve.latest or 0)
        if point.value is not None
    ]
    dims = sorted({dim for _, dim, _, _ in points})
    values = [value for _, _, _, value in points]
    unit = curves[0].unit
    plot = Plot(
        Scale(dims[0] / 1.15, dims[-1] * 1.15, logarithmic=True),
        Scale(min(values) / 1.6, max(values) * 1.6, logarithmic=True),
        f"{curves[0].benchmark} against d",
    )
    plot.axes(_dim_ticks(dims), log_ticks(plot.y, lambda at: shown(at, unit, 2)), "d", named(unit))
    anchor = min(value for _, dim, _, value in points if dim == dims[0])
    for power, label in _GUIDES:
        plot.guide(dims[0], anchor, power, label)
    for index, curve in enumerate(curves):
        slope = curve.slopes[curve.latest or 0]
        if slope is not None:
            ends = (min(slope.dims), max(slope.dims))
            inside = [(end, slope.at(end)) for end in ends]
            if all(plot.y.low <= value <= plot.y.high for _, value in inside):
                plot.line(inside, f"line c{index}")
    for index, dim, point, value in points:
        if point.low is not None and point.high is not None:
            plot.interval(dim, point.low, point.high, f"bar c{index}")
        note = f"{curves[index].label}, d = {dim}: {_with_interval(point, unit)}"
        plot.marker(dim, value, f"mark c{index}", note)
    return plot.render()


def _dim_ticks(dims: Sequence[int]) -> list[Tick]:
    """Ticks at the measured dimensions, with labels where there is space for them."""
    chosen: list[Tick] = []
    length = max(math.log(dims[-1] / dims[0]), 1e-9)
    last = -math.inf
    for dim in dims:
        place = math.log(dim / dims[0]) / length
        chosen.append(Tick(dim, str(dim) if place - last >= 0.1 else ""))
        last = place if place - last >= 0.1 else last
    return chosen


def _exponents(curves: Sequence[Curve]) -> str:
    fits = [slope for curve in curves for slope in curve.slopes if slope is not None]
    reach = [slope.exponent for slope in fits]
    reach += [s.exponent + sign * min(s.margin or 0, 1) for s in fits for sign in (-1, 1)]
    commits = curves[0].commits
    plot = Plot(_index_scale(commits), _padded(reach, 0.2), "slope over the commits")
    plot.axes(_commit_ticks(commits), nice_ticks(plot.y, lambda at: f"{at:.4g}"), "", "slope, 95 %")
    for power, _ in _GUIDES:
        plot.level(power, "guide")
    for index, curve in enumerate(curves):
        style = f"c{index}"
        for place, slope in enumerate(curve.slopes):
            if slope is not None and slope.margin is not None:
                low, high = slope.exponent - slope.margin, slope.exponent + slope.margin
                plot.interval(place, low, high, f"bar {style}")
        _track(
            plot,
            [None if slope is None else slope.exponent for slope in curve.slopes],
            [f"{curve.label} at {c}: {s}" for c, s in zip(commits, curve.slopes, strict=True)],
            style,
        )
    return plot.render()


def _prefactors(curves: Sequence[Curve], flags: Sequence[tuple[Commit, str]]) -> str:
    unit, commits = curves[0].unit, curves[0].commits
    values = [s.prefactor for curve in curves for s in curve.slopes if s is not None]
    references = sorted({curve.reference for curve in curves})
    plot = Plot(_index_scale(commits), _ratio_scale(values), "prefactor over the commits")
    at = f"fit at d = {references[0]}" if len(references) == 1 else "fit at the middle d"
    plot.axes(_commit_ticks(commits), _value_ticks(plot.y, unit), "", f"prefactor: {at}")
    _draw_flags(plot, commits, flags)
    for index, curve in enumerate(curves):
        for place, slope in enumerate(curve.slopes):
            if slope is not None and slope.factor is not None:
                low, high = slope.prefactor / slope.factor, slope.prefactor * slope.factor
                plot.interval(place, low, high, f"bar c{index}")
        prefactors = [None if s is None else s.prefactor for s in curve.slopes]
        notes = [
            f"{curve.label} at {c}: {shown(value, unit)}"
            for c, value in zip(commits, prefactors, strict=True)
        ]
        _track(plot, prefactors, notes, f"c{index}")
    return plot.render()


def _group(name: str, series: Sequence[Series], regressions: Sequence[Regression]) -> Iterator[str]:
    """A benchmark over the commits, for all its parameters."""
    for some in _chunks(series):
        plot = _over_commits(some, _flags(some, regressions))
        rows = [
            (
                _swatch(index),
                escape(listed(one.parameters) or name.rpartition(".")[2]),
                shown(one.points[-1].value, one.unit),
                shown(min(point.value or 0 for point in one.measured), one.unit),
            )
            for index, one in enumerate(some)
        ]
        table = _table(("", "parameters", "latest", "best"), rows)
        yield f"<figure><h3>{escape(name)}</h3>{plot}{table}</figure>"


def _over_commits(series: Sequence[Series], flags: Sequence[tuple[Commit, str]]) -> str:
    unit = series[0].unit
    commits = [point.commit for point in series[0].points]
    values = [point.value for one in series for point in one.measured if point.value is not None]
    plot = Plot(
        _index_scale(commits), _ratio_scale(values), f"{series[0].benchmark} over the commits"
    )
    plot.axes(_commit_ticks(commits), _value_ticks(plot.y, unit), "", named(unit))
    _draw_flags(plot, commits, flags)
    for index, one in enumerate(series):
        for step in steps_of(one):
            plot.line([(step.first, step.value), (step.last, step.value)], f"step c{index}")
        for place, point in enumerate(one.points):
            if point.low is not None and point.high is not None:
                plot.interval(place, point.low, point.high, f"bar c{index}")
        name = listed(one.parameters) or one.benchmark
        notes = [f"{name} at {point.commit}: {_with_interval(point, unit)}" for point in one.points]
        _track(plot, [point.value for point in one.points], notes, f"c{index}")
    return plot.render()


def _track(plot: Plot, values: Sequence[float | None], notes: Sequence[str], style: str) -> None:
    """Marks over the commits, with lines between consecutive ones."""
    segment: list[tuple[float, float]] = []
    for place, value in enumerate([*values, None]):
        if value is not None:
            segment.append((place, value))
            continue
        plot.line(segment, f"line {style}")
        segment = []
    for place, value in enumerate(values):
        if value is not None:
            radius = 3.2 if len(values) <= _MANY else 2.0
            plot.marker(place, value, f"mark {style}", notes[place], radius)


def _flags(series: Iterable[Series], regressions: Sequence[Regression]) -> list[tuple[Commit, str]]:
    keys = {one.key for one in series}
    notes: dict[Commit, list[str]] = {}
    for one in regressions:
        if one.series.key in keys:
            note = f"{one.series.label}: × {one.factor:.2f}"
            notes.setdefault(one.commit, []).append(note)
    return [(commit, "\n".join((str(commit), *lines))) for commit, lines in notes.items()]


def _draw_flags(plot: Plot, commits: Sequence[Commit], flags: Sequence[tuple[Commit, str]]) -> None:
    for commit, note in flags:
        plot.flag(list(commits).index(commit), "flag", note)


def _index_scale(commits: Sequence[Commit]) -> Scale:
    return Scale(-0.6, len(commits) - 0.4)


def _commit_ticks(commits: Sequence[Commit]) -> list[Tick]:
    """Ticks at the first and the last commit, and at a few in between."""
    last = len(commits) - 1
    count = min(_LABELLED, len(commits))
    places = {round(k * last / max(count - 1, 1)) for k in range(count)}
    return [Tick(k, commits[k].short, f"{commits[k].date:%Y-%m-%d}") for k in sorted(places)]


def _padded(values: Sequence[float], least: float) -> Scale:
    low, high = min(values), max(values)
    pad = max(0.08 * (high - low), (least - (high - low)) / 2, 1e-12)
    return Scale(low - pad, high + pad)


def _ratio_scale(values: Sequence[float]) -> Scale:
    """Logarithmic where values differ a lot, and all are positive."""
    low, high = min(values), max(values)
    if low > 0 and high / low > 4:
        return Scale(low / 1.5, high * 1.5, logarithmic=True)
    return _padded(values, 0.2 * max(abs(low), abs(high), 1e-9))


def _value_ticks(scale: Scale, unit: str) -> list[Tick]:
    if scale.logarithmic:
        return log_ticks(scale, lambda at: shown(at, unit, 2))
    factor, name = scale_of(scale.high, unit)
    suffix = f" {name}" if unit in ("seconds", "bytes") else ""
    return nice_ticks(scale, lambda at: f"{at / factor:.4g}{suffix}")


def _with_interval(point: Point, unit: str) -> str:
    if point.low is None or point.high is None:
        return shown(point.value, unit)
    return f"{shown(point.value, unit)} ({shown(point.low, unit)} to {shown(point.high, unit)})"


def _chunks(lines: Sequence[T]) -> Iterator[Sequence[T]]:
    """Chunks of about equal size, none with more lines than there are colours."""
    size = math.ceil(len(lines) / math.ceil(len(lines) / _COLOURS))
    for start in range(0, len(lines), size):
        yield lines[start : start + size]


def _swatch(index: int) -> str:
    return f'<span class="swatch b{index}"></span>'


def _figures(plots: Iterable[str]) -> str:
    return f'<div class="plots">{"".join(f"<figure>{plot}</figure>" for plot in plots)}</div>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are HTML, escaped already."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
