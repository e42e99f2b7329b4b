"""`mimverify power`: put broken trainers on trial, to measure the suite's power."""

from __future__ import annotations

import string
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import replace
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from mimverify.cli.exit_codes import exit_codes
from mimverify.cli.number_types import PARALLEL
from mimverify.cli.options import PageConsole, check_writable, json_option, write_json
from mimverify.cli.progress_bars import ProgressBars
from mimverify.cli.trial_options import trial_options
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.support.validation import choice
from mimverify.trial.outcomes import Status
from mimverify.trial.running.report import run_record
from mimverify.trial.running.runner import run_suite
from mimverify.trial.running.settings import TrialSettings
from mimverify.zoo import CATEGORIES, Mutant
from mimverify.zoo.matrix import PowerMatrix, Row
from mimverify.zoo.of_set import categories_of, justified_in, mutants_of

_MARKS = {
    Status.FAILED: "x",
    Status.PASSED: "·",
    Status.INCONCLUSIVE: "?",
    Status.NOT_APPLICABLE: "-",
    Status.ERROR: "!",
}
_LETTERS = string.ascii_lowercase + string.ascii_uppercase

OnEvent = Callable[[str, Json], None]


@click.command(epilog=exit_codes("power"))
@click.option(
    "--mutant", "mutants", multiple=True, metavar="NAME", help="Only this mutant; repeatable."
)
@click.option(
    "--category", "categories", multiple=True, metavar="CATEGORY",
    help=f"Only mutants of this category; repeatable. In the zoo: {', '.join(CATEGORIES)}.",
)  # fmt: skip
@click.option(
    "--fastest", is_flag=True,
    help="Try each mutant against the claim alone that its record names as the fastest.",
)  # fmt: skip
@click.option(
    "-n", "--workers", type=PARALLEL, default=1, show_default=True,
    help="Mutants on trial at a time, each in processes of its own.",
)  # fmt: skip
@trial_options("pack", "profile", "claims", "seed")
@json_option
def power(
    mutants: tuple[str, ...],
    categories: tuple[str, ...],
    fastest: bool,
    workers: int,
    json_path: str | None,
    **given: Any,
) -> int:
    """Put the zoo of broken trainers on trial and print who was caught by which claim.

    With --claims the mutants are those of the pack.
    A mutant is caught by a claim that fails; a trial that ends in an error has shown nothing.
    """
    check_writable("--json", json_path)
    settings = TrialSettings.of(**given)
    if fastest and settings.claims:
        raise InputError("--fastest: takes the claims from the mutants' records, not from --claim")
    claim_set = settings.claim_set
    chosen = _select(mutants_of(claim_set), mutants, categories)
    plan = [(mutant, _claims_for(mutant, fastest, settings)) for mutant in chosen]
    tried = {name for _, names in plan for name in names}
    matrix = PowerMatrix(
        claims=[name for name in claim_set.claims if name in tried],
        full=not (mutants or categories or settings.claims or fastest),
        justified=justified_in(claim_set),
    )
    console = PageConsole(stderr=json_path == "-")
    interrupted = True
    try:
        with closing(_trials(plan, settings, workers, console)) as rows:
            for row in rows:
                matrix.rows.append(row)
        interrupted = False
    finally:
        order = {mutant.name: place for place, mutant in enumerate(chosen)}
        matrix.rows.sort(key=lambda row: order[row.mutant.name])
        _show(matrix, console)
        if json_path is not None:
            record = run_record(settings, interrupted=interrupted)
            write_json(json_path, record | matrix.to_json())
    return matrix.exit_code


def _select(
    known: tuple[Mutant, ...], mutants: Sequence[str], categories: Sequence[str]
) -> list[Mutant]:
    """Mutants of these names and categories; all, if none are given. **Raises** `InputError`."""
    names = [mutant.name for mutant in known]
    wanted = {choice("mutant", name, names) for name in mutants}
    wanted_categories = {choice("category", name, categories_of(known)) for name in categories}
    chosen = [
        mutant
        for mutant in known
        if (not wanted or mutant.name in wanted)
        and (not wanted_categories or mutant.category in wanted_categories)
    ]
    if not chosen:
        raise InputError(
            f"--mutant {', '.join(sorted(wanted))}: none is of the category "
            f"{', '.join(sorted(wanted_categories))}"
        )
    return chosen


def _claims_for(mutant: Mutant, fastest: bool, settings: TrialSettings) -> tuple[str, ...]:
    if fastest:
        return () if mutant.caught_by is None else (mutant.caught_by,)
    return tuple(settings.selected())


def _trials(
    plan: Sequence[tuple[Mutant, tuple[str, ...]]],
    settings: TrialSettings,
    workers: int,
    console: Console,
) -> Generator[Row, None, None]:
    """Rows as they are finished. An interrupt ends the trials after the claims under way."""
    stop = threading.Event()
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    quiet = not console.is_terminal
    with (
        ProgressBars(*columns, console=console, transient=True, disable=quiet) as progress,
        ThreadPoolExecutor(workers) as pool,
    ):
        task = progress.add_task("starting", total=len(plan))

        def watcher(mutant: Mutant) -> OnEvent:
            def on_event(kind: str, event: Json) -> None:
                if stop.is_set():
                    raise KeyboardInterrupt
                if kind == "start":
                    progress.update(task, description=f"{mutant.name}: {event['claim']}")

            return on_event

        def trial(mutant: Mutant, claims: tuple[str, ...]) -> Row:
            if not claims:
                return Row(mutant)
            own = replace(settings, claims=claims)
            return Row(mutant, run_suite(mutant.spec, own, on_event=watcher(mutant)))

        futures = [pool.submit(trial, mutant, claims) for mutant, claims in plan]
        try:
            for future in as_completed(futures):
                progress.advance(task)
                yield future.result()
        finally:
            # Cancelled before the trial under way ends: its thread would begin the next one.
            pool.shutdown(wait=False, cancel_futures=True)
            stop.set()


def _show(matrix: PowerMatrix, console: Console) -> None:
    if not matrix.rows:
        return
    letters = dict(zip(matrix.claims, _LETTERS, strict=False))
    table = Table(box=None, pad_edge=False)
    for heading in ("mutant", "category", "".join(letters.values()), "s", "fastest claim"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "s" else "left")
    for row in matrix.rows:
        marks = {verdict.id: _MARKS.get(verdict.status, " ") for verdict in row.verdicts}
        first = row.catches[0] if row.catches else None
        table.add_row(
            row.mutant.name,
            row.mutant.category,
            "".join(marks.get(name, " ") for name in letters),
            "" if first is None else f"{first.seconds:.1f}",
            first.id if first is not None else "survived" if row.tried else "not tried",
            style="bold red" if first is None else None,
        )
    console.print(table)
    legend = Table(box=None, pad_edge=False)
    for heading in ("", "claim", "catches"):
        legend.add_column(
            heading, no_wrap=True, justify="right" if heading == "catches" else "left"
        )
    for name, letter in letters.items():
        legend.add_row(letter, name, str(len(matrix.kills(name))))
    console.print(legend)
    console.print("x caught, · passed, ? inconclusive, - not applicable, ! error", style="dim")
    for row in matrix.survivors:
        how = "survived" if row.tried else "was not tried"
        console.print(f"{row.mutant.name} {how}: {row.problem}", markup=False, soft_wrap=True)
    for name in matrix.idle:
        console.print(f"{name} caught nothing, and nothing justifies it", markup=False)
    for row in matrix.rows:
        if row.misnamed:
            wrong = f"{row.mutant.name}: not its cause: {' or '.join(row.misnamed)}"
            console.print(wrong, markup=False, soft_wrap=True)
    caught, count = len(matrix.rows) - len(matrix.survivors), len(matrix.rows)
    console.print(f"{caught} of {count} mutants caught")
    named = len(matrix.named)
    console.print(f"{named} of {count} causes named ({named / count:.0%})")
