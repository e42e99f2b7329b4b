"""A study as a page: its figures first, every comparison behind them, and how to make it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mimverify.pages import Cell, Column, FigureBlock, Table, figure_svg, has_matplotlib, render
from mimverify.studies.comparison import LIMIT
from mimverify.studies.report import StudyReport
from mimverify.support.memory import bytes_text
from mimverify.support.strict_json import Json

__all__ = ["study_page"]


def study_page(report: StudyReport, command: str) -> str:
    """The page; its numbers come from the report's rows alone.

    **Arguments**

    - `command`: the command line that makes the page again, without `--html` and its like.
    """
    record = report.to_json()
    return render(
        "study.html.j2",
        {
            "title": report.study.title,
            "lead": report.study.summary,
            "verdict": report.verdict,
            "tone": "bad" if report.beyond else "good",
            "figures": [_figure(report, index, command) for index in range(len(report.figures))],
            "comparisons": _comparisons(record),
            "explanation": _explanation(report),
            "command": command,
            "sweeps": _sweeps(report),
            "facts": list(_facts(report)),
            "data": record,
        },
    )


def _figure(report: StudyReport, index: int, command: str) -> FigureBlock:
    figure = report.figures[index]
    svg = None
    if has_matplotlib():
        svg = figure_svg(figure.draw, alt=figure.caption, name=figure.name, size=figure.size)
    which = "" if index == 0 else f"-{figure.name}"
    return FigureBlock(
        figure.title,
        figure.caption,
        svg,
        f"{command} --figure {report.study.name}{which}.pdf",
        figure.data,
        figure.name,
    )


def _explanation(report: StudyReport) -> str:
    return (
        "z is (measured − predicted)/√(standard error² + the prediction's own error²), as a "
        "standard normal score: Student's t with Welch's degrees of freedom is converted, since "
        "standard errors are estimated from few runs. Comparisons are made on the scale that is "
        f"named, on which runs scatter nearly normally. If all {len(report.comparisons)} "
        f"predictions hold, one of them or more is beyond |z| = {LIMIT:g} with probability ≤ "
        f"{report.false_alarms:.2g} (the sum of their probabilities, whatever their dependence); "
        "seeds derive from the configuration, so that a repetition gives the same numbers."
    )


def _comparisons(record: Json) -> Table:
    columns = [
        Column("where"), Column("quantity"), Column("predicted", numeric=True),
        Column("measured", numeric=True), Column("z", numeric=True), Column("compared as"),
        Column("difference", numeric=True), Column("± measured", numeric=True),
        Column("± predicted", numeric=True), Column("runs", numeric=True),
    ]  # fmt: skip
    rows = []
    for index, each in enumerate(record["comparisons"]):
        at = f"/comparisons/{index}"
        tone = "bad" if abs(each["z"]) > LIMIT else ""
        difference = each["measurement"] - each["prediction"]
        rows.append(
            [
                Cell(_where(each["at"])),
                Cell(each["quantity"]),
                Cell(_number(each["predicted"]), pointer=f"{at}/predicted"),
                Cell(_number(each["measured"]), pointer=f"{at}/measured"),
                Cell(f"{each['z']:+.2f}{' ✗' if tone else ''}", tone, pointer=f"{at}/z"),
                Cell("itself" if each["scale"] == "linear" else each["scale"]),
                Cell(f"{difference:+.2g}"),
                Cell(f"{each['standard_error']:.2g}", pointer=f"{at}/standard_error"),
                Cell(f"{each['prediction_error']:.2g}", pointer=f"{at}/prediction_error"),
                Cell(str(each["runs"]), pointer=f"{at}/runs"),
            ]
        )
    return Table(
        "Every prediction beside its measurement.",
        columns,
        rows,
        "Difference and both standard errors are on the scale on which numbers are compared.",
    )


def _where(at: Mapping[str, object]) -> str:
    def text(value: object) -> str:
        if isinstance(value, list):
            return " … ".join(map(text, value))
        return f"{value:,}" if isinstance(value, int) else str(value)

    return ", ".join(f"{name} = {text(value)}" for name, value in at.items())


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def _sweeps(report: StudyReport) -> Table:
    seconds: dict[str, list[float]] = {}
    for row in report.rows:
        seconds.setdefault(row.kind, []).append(row.seconds or 0.0)
    return Table(
        "The trials, by their kind.",
        [Column("kind"), Column("trials", numeric=True), Column("seconds in all", numeric=True)],
        [
            [Cell(kind, code=True), str(len(each)), f"{sum(each):,.1f}"]
            for kind, each in seconds.items()
        ],
        "Each trial is one thread. Predictions are trials as well: page, figures and comparisons "
        "are made from the store alone.",
    )


def _facts(report: StudyReport) -> Iterator[tuple[str, str]]:
    yield "scale", report.scale
    yield "trials", f"{len(report.rows):,}, {report.seconds:,.0f} seconds of one thread in all"
    for environment in report.environments:
        versions = environment.get("versions") or {}
        yield "libraries", ", ".join(f"{name} {text}" for name, text in versions.items())
        rest = {name: value for name, value in environment.items() if name != "versions"}
        if isinstance(rest.get("memory"), int):
            rest["memory"] = bytes_text(rest["memory"])
        yield "machine", "; ".join(f"{name}: {text}" for name, text in rest.items())
