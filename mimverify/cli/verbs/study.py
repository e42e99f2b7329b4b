"""`mimverify study`: run a study's trials, and say what they found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.number_types import PARALLEL, Count
from mimverify.cli.options import (
    check_distinct,
    check_figure,
    check_writable,
    command_line,
    deliver,
    figure_option,
    json_option,
)
from mimverify.cli.study_files import write_files
from mimverify.cli.sweep_progress import duration, following
from mimverify.studies.named_study import SCALES
from mimverify.support.errors import InputError, MimverifyError
from mimverify.support.exit_status import FAILED, NOTHING_VERIFIED, VERIFIED
from mimverify.support.files import is_special
from mimverify.support.memory import bytes_text
from mimverify.support.strict_json import Json
from mimverify.support.validation import choice
from mimverify.sweeps.choice_of_workers import ENGINES

if TYPE_CHECKING:
    from mimverify.studies import NamedStudy, StudyReport
    from mimverify.sweeps import Store, Sweep, SweepPlan, SweepResult

SECTION = "Measure"
EXIT_CODES = ExitCodes(
    success="all trials that were to run are done, and no prediction is off",
    failure="a trial failed, a prediction is off (beyond 4σ), or the workers were lost",
    unverified="no trial is done",
)

_EPILOG = f"""
A file of TOML declares a sweep: `axes` are lists of values, `fixed` single ones, `seeds` how many
runs each point has; with `search` a threshold is looked for at each point (docs/sweeps.md).

Each trial is stored as it ends. A run that was stopped or killed is gone on with by the same
command: what the store has is not run again.

\b
Examples:
  mimverify study --list
  mimverify study steps --html steps.html --figure steps.svg
  mimverify study my-sweep.toml --dry-run
  mimverify study my-sweep.toml --first 4      # then --dry-run knows the time
  mimverify study my-sweep.toml --export trials.parquet
  mimverify study my-sweep.toml --scheduler tcp://cluster:8786

{EXIT_CODES}
"""

#: Where trials are stored unless another file is named.
STORE = ".mimverify/studies.sqlite"


@click.command(epilog=_EPILOG)
@click.argument("name", required=False, metavar="[NAME|FILE.toml]")
@click.option("--list", "listed", is_flag=True, help="List the named studies.")
@click.option("--scale", default=SCALES[0], show_default=True, metavar="|".join(SCALES),
              help="Size of a named study.")  # fmt: skip
@click.option("--store", "store_path", default=STORE, show_default=True, metavar="FILE",
              help="Where trials are kept.")  # fmt: skip
@click.option("-n", "--workers", type=PARALLEL, default=None,
              help="Trials at a time, each in one thread (default: as many as cores).")  # fmt: skip
@click.option("--engine", default=None, metavar="|".join(ENGINES),
              help="What runs the workers (default: Dask where it is installed).")  # fmt: skip
@click.option("--scheduler", default=None, metavar="ADDRESS",
              help="A running Dask scheduler, such as tcp://host:8786.")  # fmt: skip
@click.option("--first", type=Count(1), default=None, metavar="K",
              help="Run only the first K trials that are missing.")  # fmt: skip
@click.option("--retry-failed", is_flag=True, help="Run those again that failed.")
@click.option("--dry-run", is_flag=True,
              help="Only say how many trials, how much memory, how long.")  # fmt: skip
@click.option("--export", "export_path", metavar="FILE",
              help="Write all trials as one flat table, .csv or .parquet.")  # fmt: skip
@click.option("--html", "html_path", metavar="FILE",
              help="Write a named study as a page: figures, comparisons, data.")  # fmt: skip
@figure_option("Draw a named study's figure")
@json_option
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
def study(
    name: str | None,
    listed: bool,
    scale: str,
    store_path: str,
    workers: int | None,
    engine: str | None,
    scheduler: str | None,
    first: int | None,
    retry_failed: bool,
    dry_run: bool,
    export_path: str | None,
    html_path: str | None,
    figure_path: str | None,
    json_path: str | None,
    quiet: bool,
) -> int:
    """Run what is missing of a study, a named one or a sweep of your own.

    Each trial is known by a hash of all that it depends on, so that a changed study runs again
    only what has changed.
    """
    from mimverify.studies import study_names
    from mimverify.sweeps import Store, plan_sweeps
    from mimverify.sweeps.trial_table import check_format

    if listed:
        return _list(json_path)
    if name is None:
        raise InputError("NAME is missing: expected a study (--list shows them) or a file of TOML")
    check_writable("--json", json_path)
    check_writable("--export", export_path)
    if export_path is not None:
        check_format(export_path)
    check_writable("--html", html_path)
    check_figure(figure_path)
    check_distinct(
        {
            "--json": json_path, "--export": export_path, "--store": store_path,
            "--html": html_path, "--figure": figure_path,
        }
    )  # fmt: skip
    if engine is not None:  # also where nothing is left to run
        engine = choice("engine", engine, ENGINES)
    chosen = _choose(name, choice("scale", scale, SCALES))
    if chosen.named is None and (html_path or figure_path):
        raise InputError(
            f"--html, --figure: expected a named study ({', '.join(study_names())}); the results "
            "of a sweep are written by --export and --json"
        )
    store = Store(store_path)
    if dry_run:
        plan = plan_sweeps(chosen.sweeps, store, workers=workers, retry_failed=retry_failed)
        command = command_line(without=("dry_run", "export_path", "json_path"))
        deliver(json_path, plan.to_json, lambda: _plan_page(chosen, plan, command))
        return VERIFIED
    results = _run(
        chosen, store, workers=workers, engine=engine, scheduler=scheduler, first=first,
        retry_failed=retry_failed, quiet=quiet,
    )  # fmt: skip
    report = _report(chosen, results)
    if export_path is not None:
        store.export(export_path, chosen.sweeps)
    deliver(
        json_path,
        lambda: _record(chosen, results, report),
        lambda: _page(chosen, results, report, store_path),
    )
    write_files(
        report,
        command_line(without=("json_path", "export_path", "html_path", "figure_path", "quiet")),
        html_path,
        figure_path,
    )
    return _status(results, report)


@dataclass(frozen=True)
class _Chosen:
    """The sweeps to run, and the named study that they are of."""

    title: str
    sweeps: list[Sweep]
    named: NamedStudy | None = None
    scale: str = ""


def _choose(name: str, scale: str) -> _Chosen:
    from mimverify.studies import get_study
    from mimverify.sweeps import Sweep

    path = Path(name)
    if path.suffix.lower() == ".toml" or path.is_file() or is_special(path):
        sweep = Sweep.from_toml(path)
        return _Chosen(sweep.name, [sweep])
    if "/" in name:
        raise InputError(f"{name}: there is no such file")
    named = get_study(name)
    return _Chosen(f"{named.title} ({scale})", named.sweeps(scale), named, scale)


def _list(json_path: str | None) -> int:
    from mimverify.studies import get_study, study_names

    studies = [get_study(name) for name in study_names()]
    deliver(
        json_path,
        lambda: {
            "studies": [
                {"name": each.name, "title": each.title, "summary": each.summary}
                for each in studies
            ]
        },
        lambda: [
            part
            for each in studies
            for part in (Text(f"{each.name}: {each.title}", style="bold"), each.summary)
        ],
    )
    return VERIFIED


def _run(
    chosen: _Chosen,
    store: Store,
    *,
    workers: int | None,
    engine: str | None,
    scheduler: str | None,
    first: int | None,
    retry_failed: bool,
    quiet: bool,
) -> list[SweepResult]:
    """Run what is missing. An end before its time says how to go on."""
    from mimverify.sweeps import run_sweeps

    again = command_line(without=("retry_failed", "first"))
    try:
        with following(chosen.title, quiet=quiet) as tell:
            return run_sweeps(
                chosen.sweeps,
                store,
                workers=workers,
                engine=engine,
                scheduler=scheduler,
                first=first,
                retry_failed=retry_failed,
                on_progress=tell,
            )
    except (KeyboardInterrupt, MimverifyError) as error:
        if not isinstance(error, InputError):
            click.echo(f"Trials that have ended are in {store.path}. To go on: {again}", err=True)
        raise


def _report(chosen: _Chosen, results: Sequence[SweepResult]) -> StudyReport | None:
    """What a named study came to; None where trials are missing."""
    from mimverify.studies import StudyReport

    if chosen.named is None or any(result.missing or result.failed for result in results):
        return None
    rows = [row for result in results for row in result.rows]
    return StudyReport(chosen.named, chosen.scale, chosen.sweeps, rows)


def _status(results: Sequence[SweepResult], report: StudyReport | None) -> int:
    if any(result.failed for result in results) or (report is not None and report.beyond):
        return FAILED
    return VERIFIED if any(result.done for result in results) else NOTHING_VERIFIED


# -- what is shown -----------------------------------------------------------------------------


def _record(chosen: _Chosen, results: Sequence[SweepResult], report: StudyReport | None) -> Json:
    """A named study's record has its comparisons and the numbers of its figures; any has the
    sweeps with all trials."""
    record = {"study": chosen.title} if report is None else report.to_json()
    return {**record, "sweeps": [result.to_json() for result in results]}


def _plan_page(chosen: _Chosen, plan: SweepPlan, command: str) -> Iterable[RenderableType]:
    yield Text(chosen.title, style="bold")
    more = f", and up to {plan.foreseen} that searches come to" if plan.foreseen else ""
    yield (
        f"Trials: {plan.trials - plan.foreseen}{more}; done {plan.done}, failed {plan.failed}, "
        f"missing {plan.missing}."
    )
    if not plan.missing:
        return
    at_once = f"{plan.workers} at a time"
    if plan.trial_bytes is None or plan.bytes_at_once is None:
        yield f"Memory: the trials do not say; {at_once}."
    else:
        limit = "" if plan.available is None else f", of {bytes_text(plan.available)}"
        yield (
            f"Memory: up to {bytes_text(plan.trial_bytes)} a trial, "
            f"{bytes_text(plan.bytes_at_once)} for {at_once}{limit}."
        )
    if plan.seconds is None:
        yield f"Time: unknown until some have run: {command} --first {2 * plan.workers}"
    else:
        yield (
            f"Time: about {duration(plan.seconds)}, {at_once}, by {plan.timed} trials in the store."
        )


def _page(
    chosen: _Chosen,
    results: Sequence[SweepResult],
    report: StudyReport | None,
    store_path: str,
) -> Iterable[RenderableType]:
    yield Text(chosen.title, style="bold")
    for result in results:
        if chosen.named is None:
            yield from _sweep_page(result)
        yield from _failures(result)
    done, failed = (sum(getattr(each, name) for each in results) for name in ("done", "failed"))
    missing = sum(result.missing for result in results)
    counts = "1 trial done" if done == 1 else f"{done} trials done"
    counts += f", {failed} failed" if failed else ""
    counts += f", {missing} missing" if missing else ""
    computed = results[0].computed if results else 0
    seconds = results[0].seconds if results else 0.0
    here = f"{computed} of them in this run, in {duration(seconds)}" if computed else "none anew"
    yield f"{counts}; {here}: {store_path}"
    if report is not None:
        yield f"{report.verdict}."


def _sweep_page(result: SweepResult) -> Iterable[RenderableType]:
    if result.sweep.search is not None:
        yield _threshold_table(result)
        yield from {f"No threshold: {each.reason}." for each in result.thresholds if each.reason}
        return
    from mimverify.sweeps.mean_table import mean_table

    found = mean_table(result.sweep, result.rows)
    if found.rows:
        yield _table(found.headings, found.rows)
        yield found.note


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _threshold_table(result: SweepResult) -> Table:
    search = result.sweep.search
    assert search is not None
    headings = [*result.sweep.axes, f"{search.parameter} at {search.result} = {search.level:g}"]
    rows = [
        [
            *(_cell(each.at[name]) for name in result.sweep.axes),
            "none" if each.value is None else f"{each.value:.4g} ({_bracket(each.evidence)})",
        ]
        for each in result.thresholds
    ]
    return _table(headings, rows)


def _bracket(evidence: Json) -> str:
    return f"{evidence['low']:.4g} … {evidence['high']:.4g}"


def _cell(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


_MOST_FAILURES = 5


def _failures(result: SweepResult) -> Iterable[RenderableType]:
    failed = [row for row in result.rows if row.error is not None]
    for row in failed[:_MOST_FAILURES]:
        given = {name: row.parameters[name] for name in (*result.sweep.axes, "seed")}
        error = row.error or {}
        where = ", ".join(f"{name} {_cell(value)}" for name, value in given.items())
        yield f"Failed: {where}: {error.get('type')}: {error.get('message')}"
    if len(failed) > _MOST_FAILURES:
        yield f"and {len(failed) - _MOST_FAILURES} more, all of them in --json."
    if failed:
        yield "--retry-failed repeats them."
