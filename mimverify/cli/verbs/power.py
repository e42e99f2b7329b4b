"""`mimverify power`: put broken trainers on trial, to measure the suite's power."""

from __future__ import annotations

import string
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.number_types import PARALLEL, Count
from mimverify.cli.options import (
    PageConsole,
    check_distinct,
    check_writable,
    command_line,
    json_option,
    write_json,
    write_text,
)
from mimverify.cli.progress_bars import ProgressBars
from mimverify.cli.trial_options import trial_options
from mimverify.support.errors import InputError
from mimverify.support.exit_status import FAILED, NOTHING_VERIFIED, VERIFIED
from mimverify.support.strict_json import Json, brief
from mimverify.support.validation import choice
from mimverify.trial.outcomes import Status
from mimverify.zoo import CATEGORIES

if TYPE_CHECKING:
    from mimverify.support.journal import Journal
    from mimverify.trial.running.report import TrainerReport
    from mimverify.trial.running.settings import TrialSettings
    from mimverify.zoo import Mutant
    from mimverify.zoo.matrix import PowerMatrix, Row

SECTION = "Put on trial"
EXIT_CODES = ExitCodes(
    success="every mutant was caught",
    failure="a mutant survived or, in a full matrix, a claim caught nothing and is not justified",
    unverified="no claim was decided on any mutant",
)

_MARKS = {
    Status.FAILED: "x",
    Status.PASSED: "·",
    Status.INCONCLUSIVE: "?",
    Status.NOT_APPLICABLE: "-",
    Status.ERROR: "!",
}
# One for each claim: those of ASCII, then digits and accented ones.
_LETTERS = string.ascii_letters + string.digits + "".join(map(chr, range(0xF8, 0x180)))


@click.command(epilog=str(EXIT_CODES))
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
@click.option(
    "--until-caught", is_flag=True,
    help=(
        "End a mutant's trial at its first catch: the claim on its record first, then those on "
        "any record, then the others."
    ),
)  # fmt: skip
@click.option(
    "--seeds", type=Count(1), default=1, show_default=True,
    help="Master seeds, from --seed on, from each of which every mutant is tried.",
)  # fmt: skip
@trial_options("pack", "profile", "claims", "seed")
@click.option(
    "--checkpoint", metavar="FILE",
    help="Keep each mutant's verdicts in FILE as soon as its trial has ended.",
)  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on from the checkpoint, if the file is there.")
@json_option
@click.option("--markdown", metavar="FILE", help="Write a page of Markdown; '-' prints it.")
def power(
    mutants: tuple[str, ...],
    categories: tuple[str, ...],
    fastest: bool,
    workers: int,
    until_caught: bool,
    seeds: int,
    checkpoint: str | None,
    resume: bool,
    json_path: str | None,
    markdown: str | None,
    **given: Any,
) -> int:
    """Put the zoo of broken trainers on trial and print who was caught by which claim.

    With --claims the mutants are those of the pack.
    A mutant is caught by a claim that fails; a trial that ends in an error has shown nothing.
    """
    from mimverify.handles.source_hashes import source_hashes
    from mimverify.support.journal import Journal
    from mimverify.trial.running.report import run_record
    from mimverify.trial.running.run_identity import run_identity, sources_digest
    from mimverify.trial.running.settings import TrialSettings
    from mimverify.zoo.matrix import PowerMatrix
    from mimverify.zoo.of_set import justified_in, mutants_of
    from mimverify.zoo.power_page import power_page

    paths = {"--checkpoint": checkpoint, "--json": json_path, "--markdown": markdown}
    for argument, path in paths.items():
        check_writable(argument, path)
    check_distinct(paths)
    if json_path == markdown == "-":
        raise InputError("--json and --markdown are both '-': expected a file for one of them")
    settings = TrialSettings.of(**given)
    if fastest and (settings.claims or until_caught):
        other = "--until-caught" if until_caught else "--claim"
        raise InputError(f"--fastest: takes the claims from the mutants' records, not from {other}")
    if resume and checkpoint is None:
        raise InputError("--resume: expected --checkpoint, which names the file to go on from")
    claim_set = settings.claim_set
    chosen = _select(mutants_of(claim_set), mutants, categories)
    named = [mutant.caught_by for mutant in mutants_of(claim_set)]
    plan = [
        Planned(mutant, seed, _stages(mutant, fastest, until_caught, settings, named), until_caught)
        for seed in range(settings.seed, settings.seed + seeds)
        for mutant in chosen
    ]
    tried = {name for each in plan for stage in each.stages for name in stage}
    matrices = {
        each.seed: PowerMatrix(
            claims=[name for name in claim_set.claims if name in tried],
            full=not (mutants or categories or settings.claims or fastest or until_caught),
            justified=justified_in(claim_set),
        )
        for each in plan
    }
    finished = {}
    journal = None
    if checkpoint is not None:
        # A pack's mutants may lie in a package of their own.
        places = {mutant.trainer.__module__ for mutant in mutants_of(claim_set)}
        packed = {} if settings.pack is None else source_hashes(places, alone=False)
        mode = _mode(settings, fastest, until_caught)
        identity = run_identity(settings, tried=mode, mutants=packed)
        journal = Journal(checkpoint, "power", identity, resume=resume)
        finished = finished_rows(journal, checkpoint, chosen)
    console = PageConsole(stderr="-" in (json_path, markdown))
    interrupted = True
    try:
        for each in plan:
            if each.key in finished:
                matrices[each.seed].rows.append(finished[each.key])
        left = [each for each in plan if each.key not in finished]
        if finished:
            console.print(f"{len(plan) - len(left)} of {len(plan)} trials were finished before")
        with closing(_trials(left, settings, workers, console)) as rows:
            for each, row in rows:
                matrices[each.seed].rows.append(row)
                # A trial with a problem of its own is tried again.
                if journal is not None and not (row.report is not None and row.report.problem):
                    journal.add({"seed": each.seed, **row.to_record()})
        interrupted = False
    finally:
        order = {mutant.name: place for place, mutant in enumerate(chosen)}
        for matrix in matrices.values():
            matrix.rows.sort(key=lambda row: order[row.mutant.name])
        _show_all(matrices, console)
        record = run_record(settings, interrupted=interrupted)
        if json_path is not None:
            write_json(json_path, record | _json_of(matrices))
        if markdown is not None:
            about = {
                "command": command_line(without=("json_path", "checkpoint", "resume", "workers")),
                "claim_set": claim_set.label,
                "profile": settings.profile.name,
                "mode": _mode(settings, fastest, until_caught),
                "sources": sources_digest(),
                "versions": record["versions"],
                "left": len(plan) - sum(len(matrix.rows) for matrix in matrices.values()),
            }
            write_text(markdown, power_page(matrices, about))
    return _exit_code(matrices)


@dataclass(frozen=True)
class Planned:
    """One mutant to be tried from one master seed.

    **Arguments**

    - `stages`: claims that are tried together; all but the first only if nothing before caught it.
    - `until_caught`: whether its trial ends at the first catch.
    """

    mutant: Mutant
    seed: int
    stages: tuple[tuple[str, ...], ...]
    until_caught: bool

    @property
    def key(self) -> tuple[int, str]:
        """Names it among all trials."""
        return self.seed, self.mutant.name


def _mode(settings: TrialSettings, fastest: bool, until_caught: bool) -> str:
    """Which claims are tried on a mutant, in words."""
    which = ", ".join(settings.claims) if settings.claims else "all of the profile"
    if fastest:
        return "the one on the mutant's record"
    return f"{which}, until one catches it" if until_caught else which


def finished_rows(
    journal: Journal, path: str, mutants: Sequence[Mutant]
) -> dict[tuple[int, str], Row]:
    """Those of the chosen mutants, by seed and name. **Raises** `InputError`."""
    from mimverify.zoo.matrix import Row

    known = {mutant.name: mutant for mutant in mutants}
    found = {}
    for number, record in enumerate(journal.records, start=2):
        try:
            mutant = known.get(record["mutant"])
            if mutant is not None:
                found[int(record["seed"]), mutant.name] = Row.from_record(mutant, record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"--checkpoint={path!r}, line {number}: no record of a trial ({brief(error)})"
            ) from None
    return found


def _json_of(matrices: Mapping[int, PowerMatrix]) -> Json:
    """The matrix; of several seeds one for each, and their shares."""
    if len(matrices) == 1:
        return next(iter(matrices.values())).to_json()
    every = {seed: matrix.to_json() for seed, matrix in matrices.items()}
    return {
        "caught": sum(one["caught"] for one in every.values()),
        "tried": sum(one["mutants"] for one in every.values()),
        "seeds": [{"seed": seed, **one} for seed, one in every.items()],
    }


def _exit_code(matrices: Mapping[int, PowerMatrix]) -> int:
    codes = {matrix.exit_code for matrix in matrices.values()}
    return next((code for code in (FAILED, VERIFIED) if code in codes), NOTHING_VERIFIED)


def _select(
    known: tuple[Mutant, ...], mutants: Sequence[str], categories: Sequence[str]
) -> list[Mutant]:
    """Mutants of these names and categories; all, if none are given. **Raises** `InputError`."""
    from mimverify.zoo.of_set import categories_of

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


def _stages(
    mutant: Mutant,
    fastest: bool,
    until_caught: bool,
    settings: TrialSettings,
    named: Sequence[str | None],
) -> tuple[tuple[str, ...], ...]:
    """Claims to try, part after part."""
    if fastest:
        return () if mutant.caught_by is None else ((mutant.caught_by,),)
    selected = tuple(settings.selected())
    if not until_caught:
        return (selected,)
    first = tuple(name for name in selected if name == mutant.caught_by)
    likely = tuple(name for name in selected if name in named and name not in first)
    others = tuple(name for name in selected if name not in (*first, *likely))
    return tuple(stage for stage in (first, likely, others) if stage)


def _trials(
    plan: Sequence[Planned],
    settings: TrialSettings,
    workers: int,
    console: Console,
) -> Generator[tuple[Planned, Row], None, None]:
    """Rows as they are finished. An interrupt ends the trials after the claims under way."""
    from mimverify.trial.running.runner import run_suite
    from mimverify.zoo.matrix import Row

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

        def trial(each: Planned) -> Row:
            report: TrainerReport | None = None
            for stage in each.stages:
                watcher = _Watcher(until_caught=each.until_caught, stop=stop)

                def on_event(kind: str, event: Json, watcher: _Watcher = watcher) -> None:
                    if kind == "start":
                        description = f"{each.mutant.name}: {event['claim']}"
                        progress.update(task, description=description)
                    watcher(kind, event)

                own = replace(settings, claims=stage, seed=each.seed)
                found = watcher.report(lambda own=own, on_event=on_event: run_suite(  # type: ignore[misc]
                    each.mutant.spec, own, on_event=on_event
                ))  # fmt: skip
                report = found if report is None else _joined(report, found)
                if each.until_caught and Row(each.mutant, report).catches:
                    break
            return Row(each.mutant, report)

        futures = {pool.submit(trial, each): each for each in plan}
        try:
            for future in as_completed(futures):
                progress.advance(task)
                yield futures[future], future.result()
        finally:
            # Cancelled before the trial under way ends: its thread would begin the next one.
            pool.shutdown(wait=False, cancel_futures=True)
            stop.set()


class _Watcher:
    """Ends a trial at an interrupt or, on request, at the first claim that fails.

    `run_suite` is ended by a `KeyboardInterrupt`, which then holds the report so far.
    """

    def __init__(self, *, until_caught: bool, stop: threading.Event) -> None:
        self._until_caught, self._stop = until_caught, stop
        self._caught = False

    def __call__(self, kind: str, event: Json) -> None:
        caught = kind == "verdict" and event["verdict"]["status"] == Status.FAILED
        self._caught = self._caught or (self._until_caught and caught)
        if self._stop.is_set() or self._caught:
            raise KeyboardInterrupt

    def report(self, run: Callable[[], TrainerReport]) -> TrainerReport:
        """What `run` returns, or had found when it was caught."""
        from mimverify.trial.running.report import TrainerReport

        try:
            return run()
        except KeyboardInterrupt as ended:
            if not self._caught or self._stop.is_set():
                raise
            (report,) = ended.args
            assert isinstance(report, TrainerReport)
            return report


def _joined(first: TrainerReport, second: TrainerReport) -> TrainerReport:
    """Of two parts of one trial."""
    return replace(
        second,
        verdicts=[*first.verdicts, *second.verdicts],
        problem=first.problem or second.problem,
        seconds=first.seconds + second.seconds,
    )


def _show_all(matrices: Mapping[int, PowerMatrix], console: Console) -> None:
    """The matrix; of several seeds a line for each."""
    if len(matrices) == 1:
        _show(next(iter(matrices.values())), console)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("seed", "mutants", "caught", "share"):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("survivors", overflow="fold")
    for seed, matrix in matrices.items():
        count, left = len(matrix.rows), matrix.survivors
        if count:
            caught = count - len(left)
            names = ", ".join(row.mutant.name for row in left) or "none"
            table.add_row(str(seed), str(count), str(caught), f"{caught / count:.1%}", names)
    console.print(table)
    for seed, matrix in matrices.items():
        for row in matrix.survivors:
            text = f"seed {seed}: {row.mutant.name} survived: {row.problem}"
            console.print(text, markup=False, soft_wrap=True)


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
