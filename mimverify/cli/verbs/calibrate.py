"""`mimverify calibrate`: count false alarms and compare them with the levels."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from mimverify.cli.exit_codes import ExitCodes
from mimverify.cli.number_types import PARALLEL, Count, Number
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
from mimverify.support.strict_json import brief
from mimverify.support.validation import number

if TYPE_CHECKING:
    from mimverify.calibration.counting import Tried
    from mimverify.calibration.plan import Plan, Unit
    from mimverify.calibration.result import Calibration, EventRate, Row
    from mimverify.support.journal import Journal
    from mimverify.trial.running.settings import TrialSettings

SECTION = "Put on trial"
EXIT_CODES = ExitCodes(
    success="no level is exceeded",
    failure="alarms are more frequent than a level allows, or a claim could not be tried",
    unverified="no trial counts, or too few to exceed any level",
)

_LEVELS = (0.1, 0.01)


@click.command(epilog=str(EXIT_CODES))
@click.argument("trainers", nargs=-1, metavar="[TRAINER]...")
@trial_options(
    "pack", "profile", "claims", "expression", "seed",
    help={
        "claims": (
            "Only this claim; repeatable (default: the profile's). Exact claims have no chance in "
            "them and are not tried."
        ),
        "seed": "The first master seed.",
    },
)  # fmt: skip
@click.option(
    "--level", "levels", type=Number(), multiple=True, default=_LEVELS, show_default=True,
    help="False-alarm probability to calibrate at; repeatable.",
)  # fmt: skip
@click.option(
    "--whole",
    is_flag=True,
    help=(
        "A level is the budget of a whole run, split over all claims, and a run is counted for "
        "any alarm in it. Otherwise it is each claim's own."
    ),
)
@click.option(
    "--seeds", type=Count(1), default=300, show_default=True,
    help="Master seeds from which each claim is tried.",
)  # fmt: skip
@click.option(
    "-n", "--workers", type=PARALLEL, default=1, show_default=True,
    help="Processes that share the trials.",
)  # fmt: skip
@click.option(
    "--checkpoint", metavar="FILE", help="Keep each trial in FILE as soon as it has ended."
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint, if the file is there.")
@json_option
@click.option("--markdown", metavar="FILE", help="Write a page of Markdown; '-' prints it.")
def calibrate(
    trainers: tuple[str, ...],
    levels: tuple[float, ...],
    whole: bool,
    seeds: int,
    workers: int,
    checkpoint: str | None,
    resume: bool,
    json_path: str | None,
    markdown: str | None,
    **given: Any,
) -> int:
    """Try the statistical claims on correct trainers from many seeds and count the alarms.

    All alarms are false, and at inflated levels some are expected: at most the level's part of
    the seeds. A TRAINER is named as for mimverify check; numpy without any. Time is not limited,
    except that of one call.
    """
    from mimverify.calibration.page import calibration_page
    from mimverify.calibration.plan import Plan
    from mimverify.calibration.result import Calibration
    from mimverify.support.journal import Journal
    from mimverify.trial.outcomes import Status
    from mimverify.trial.running.report import run_record
    from mimverify.trial.running.run_identity import run_identity, sources_digest
    from mimverify.trial.running.session import REFERENCE_TRAINERS, open_trainer
    from mimverify.trial.running.settings import TrialSettings

    paths = {"--checkpoint": checkpoint, "--json": json_path, "--markdown": markdown}
    for argument, path in paths.items():
        check_writable(argument, path)
    check_distinct(paths)
    if json_path == markdown == "-":
        raise InputError("--json and --markdown are both '-': expected a file for one of them")
    if resume and checkpoint is None:
        raise InputError("--resume: expected --checkpoint, which names the file to go on from")
    settings = TrialSettings.of(**given)
    plan = Plan(
        trainers=tuple(dict.fromkeys(trainers)) or ("numpy",),
        claims=_select(settings),
        levels=_checked(levels),
        seeds=range(settings.seed, settings.seed + seeds),
        profile=settings.profile,
        whole=whole,
        pack=settings.pack,
    )
    sources = {}
    for trainer in plan.trainers:  # so that a wrong name is refused at once
        handle = open_trainer(
            trainer,
            call_seconds=plan.profile.call_seconds,
            threads=1,
            claim_set=plan.claim_set,
        )
        with closing(handle):
            if trainer not in REFERENCE_TRAINERS:  # those are among the sources of mimverify
                sources[trainer] = handle.source_hashes()
    calibration = Calibration(plan)
    journal = None
    done: frozenset[Unit] = frozenset()
    if checkpoint is not None:
        identity = run_identity(settings, levels=plan.levels, whole=plan.whole)
        journal = Journal(checkpoint, "calibrate", identity, resume=resume)
        done = count_finished(journal, checkpoint, calibration, sources)
    console = PageConsole(stderr="-" in (json_path, markdown))
    if done:
        console.print(f"{len(done)} of {plan.size} trials were finished before")
    left = plan.size - len(done)
    interrupted = True
    try:
        with closing(_run(calibration, workers, console, done)) as finished:
            for unit, tried in finished:
                left -= 1
                if journal is not None and Status.ERROR not in tried.statuses:
                    of = {"trainer": unit.trainer, "trainer_sources": sources.get(unit.trainer)}
                    journal.add(of | tried.to_json())
        interrupted = False
    finally:
        _show(calibration, console)
        record = run_record(settings, interrupted=interrupted)
        for name in ("settings", "seed", "false_alarm_budget"):
            del record[name]  # the calibration has several of each, under other keys
        if json_path is not None:
            write_json(json_path, record | calibration.to_json())
        if markdown is not None:
            about = {
                "command": command_line(without=("json_path", "checkpoint", "resume", "workers")),
                "claim_set": plan.claim_set.label,
                "profile": plan.profile.name,
                "sources": sources_digest(),
                "versions": record["versions"],
                "left": left,
            }
            write_text(markdown, calibration_page(calibration, about))
    return calibration.exit_code


def _select(settings: TrialSettings) -> tuple[str, ...]:
    chosen = settings.selected()
    for name in settings.claims:
        if name in chosen and chosen[name].exact:
            raise InputError(f"--claim {name}: is exact, without chance that could be calibrated")
    statistical = tuple(name for name, claim in chosen.items() if not claim.exact)
    if not statistical:
        raise InputError(f"-k {settings.expression!r}: holds for no statistical claim")
    return statistical


def _checked(levels: tuple[float, ...]) -> tuple[float, ...]:
    """The levels, largest first, each once."""
    for level in levels:
        if number("--level", level, minimum=0, exclusive=True) >= 1:
            raise InputError(f"--level={level!r}: expected a probability below 1")
    return tuple(sorted(set(levels), reverse=True))


def count_finished(
    journal: Journal, path: str, calibration: Calibration, sources: dict[str, dict[str, str]]
) -> frozenset[Unit]:
    """Count the plan's units that the journal holds. **Raises** `InputError`."""
    from mimverify.calibration.counting import Tried
    from mimverify.calibration.plan import Unit

    wanted, found = set(calibration.plan.units()), set()
    for line, record in enumerate(journal.records, start=2):
        where = f"--checkpoint={path!r}, line {line}"
        try:
            tried = Tried.from_json(record)
            unit = Unit(str(record["trainer"]), tried.claim, tried.seed)
            if len(tried.statuses) != len(calibration.plan.levels):
                raise ValueError(f"{len(tried.statuses)} statuses")
            before = record["trainer_sources"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{where}: no record of a trial ({brief(error)})") from None
        if unit not in wanted or unit in found:
            continue
        if before != sources.get(unit.trainer):
            raise InputError(f"{where}: the sources of {unit.trainer} have changed since")
        calibration.add(unit.trainer, tried)
        found.add(unit)
    return frozenset(found)


def _run(
    calibration: Calibration, workers: int, console: Console, done: frozenset[Unit]
) -> Generator[tuple[Unit, Tried], None, None]:
    """Try and count the units that are not done."""
    from mimverify.calibration.running import tries

    plan = calibration.plan
    columns = (
        TextColumn("{task.fields[trainer]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with ProgressBars(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(
            "starting", total=plan.size, completed=len(done), trainer=plan.trainers[0]
        )

        def on_start(unit: Unit) -> None:
            description = f"{unit.claim}, seed {unit.seed}"
            progress.update(task, trainer=unit.trainer, description=description)

        with closing(tries(plan, workers, on_start=on_start, done=done)) as finished:
            for unit, tried in finished:
                calibration.add(unit.trainer, tried)
                progress.advance(task)
                yield unit, tried


def _show(calibration: Calibration, console: Console) -> None:
    rows = [row for row in calibration.rows if row.statuses]
    for trainer in calibration.plan.trainers:
        of_trainer = [row for row in rows if row.trainer == trainer]
        if of_trainer:
            console.print(_alarms(_title(trainer, calibration.plan), of_trainer))
    for trainer in calibration.plan.trainers:
        events = [event for event in calibration.events if event.trainer == trainer]
        if events:
            console.print()
            console.print(_events(events))
    for (trainer, claim), (status, message) in calibration.problems.items():
        text = f"{trainer}: {claim}: {status}: {message}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    for row in rows:
        for seed, claims in row.alarms if calibration.plan.whole else ():
            text = f"{row.trainer}: alarm at {row.level:g}, seed {seed}: {', '.join(claims)}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)
    if rows:
        console.print()
        console.print(_summary(calibration, rows), style="dim", highlight=False)


def _title(trainer: str, plan: Plan) -> str:
    return trainer if plan.pack is None else f"{trainer}: {plan.claim_set.label}"


def _alarms(title: str, rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False, title=Text(title), title_justify="left")
    table.add_column("claim", no_wrap=True)
    for heading in ("level", "alarms", "allowed", "undecided", "rate ≤", "p"):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        if not row.seeds:
            table.add_row(row.claim, f"{row.level:g}", "-", "-", "-", "-", "-", "no trials")
            continue
        table.add_row(
            row.claim,
            f"{row.level:g}",
            f"{len(row.alarms)}/{row.seeds}",
            str(row.allowed),
            str(row.undecided),
            f"{row.upper_bound:.2g}",
            f"{row.p_value:.2g}",
            "exceeded" if row.exceeds else "kept",
            style="bold red" if row.exceeds else None,
        )
    return table


def _events(events: Sequence[EventRate]) -> Table:
    from mimverify.trial.decisions import USUALLY

    table = Table(box=None, pad_edge=False)
    table.add_column("claim", no_wrap=True)
    table.add_column("event")
    for heading in ("happened", "P ≥", "P ≤", "rarest"):
        table.add_column(heading, no_wrap=True, justify="right")
    for event in events:
        table.add_row(
            event.claim,
            Text(event.name),
            f"{event.happened}/{event.of}",
            f"{event.lower_bound:.3f}",
            f"{event.upper_bound:.3f}",
            f"{event.rarest:.2f}",
            style="bold red" if event.upper_bound < USUALLY else None,
        )
    return table


def _summary(calibration: Calibration, rows: Sequence[Row]) -> str:
    """The test, its risk and its power, in words."""
    from mimverify.calibration.rates import BOUND_RISK
    from mimverify.calibration.result import TOTAL_RISK
    from mimverify.trial.decisions import POWER, USUALLY

    plan = calibration.plan
    what = "a whole run's" if plan.whole else "a claim's own"
    parts = [
        f"A level is {what} false-alarm probability. Tested, by the exact binomial test: alarms "
        f"are not more frequent. Were every level kept, this calibration would fail with "
        f"probability ≤ {TOTAL_RISK:g} (a row does where p < {rows[0].risk:.2g})."
    ]
    for level in plan.levels:
        weakest = [row.detectable for row in rows if row.level == level and row.seeds]
        if any(rate is None for rate in weakest):
            parts.append(f"So few seeds show nothing at level {level:g}.")
        elif weakest:
            largest = max(rate for rate in weakest if rate is not None)
            parts.append(
                f"A true rate ≥ {largest:.2g} at level {level:g} would have been found with "
                f"probability ≥ {POWER}."
            )
    parts.append(f"Bounds hold with probability {1 - BOUND_RISK:g} each.")
    if calibration.events:
        parts.append(
            f"The ledger's promise is for events of probability P ≥ {USUALLY}; rarest: the "
            f"smallest fraction in any configuration."
        )
    return " ".join(parts)
