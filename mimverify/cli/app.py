"""The entry point: commands, standard streams, exit codes, signals."""

from __future__ import annotations

import errno
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from mimverify.cli.exit_codes import COMMON, ExitCodes
from mimverify.cli.finding import command_of, help_of, module_of, sections, verb_names
from mimverify.cli.standard_streams import StandardStreams
from mimverify.support.errors import (
    DivergenceError,
    LostProcessError,
    MimverifyError,
    OutputError,
)
from mimverify.support.exit_status import OUTPUT_LOST


class _LazyGroup(click.Group):
    """Imports a command's module at its first use, so that `--help` does not load Torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(verb_names())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return command_of(name) if name in verb_names() else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in verb_names() and not ctx.resilient_parsing:  # as completion is
            from mimverify.support.validation import choice  # imports NumPy

            args = [choice("verb", args[0], verb_names()), *args[1:]]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One line for each verb, from its docstring as it is written: nothing is imported."""
        longest = max(map(len, verb_names()))
        width = formatter.width - 6 - longest
        for heading, verbs in sections().items():
            rows = []
            for name in verbs:
                command = click.Command(name, help=help_of(name))
                # As wide as the longest of all, so that the sections' columns are one.
                rows.append((name.ljust(longest), command.get_short_help_str(width)))
            with formatter.section(heading):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        finally:
            ctx.ensure_object(dict)["verb"] = ctx.invoked_subcommand


@click.group(
    cls=_LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 verified or done; 1 failed or errored; 3 nothing was verified; "
        + "; ".join(f"{code} {meaning}" for code, meaning in COMMON.items())
        + ". Each command's help says what 0, 1 and 3 mean there."
    ),
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, _parameter, wanted: _print_version(ctx) if wanted else None,
    help="Show the version and which pass is in use, and exit.",
)
@click.pass_context
def app(ctx: click.Context) -> None:
    """Put a trainer on trial against arXiv:2511.15120: layer-wise gradient descent learns
    Gaussian multi-index models with Õ(d) samples, in more than O(1) steps."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _print_version(ctx: click.Context) -> NoReturn:
    from mimverify.native import pass_in_use
    from mimverify.support.versions import software_versions

    used, reason = pass_in_use()
    click.echo(f"mimverify, version {software_versions()['mimverify']}")
    click.echo(f"pass: {used}" + (f" ({reason})" if reason else ""))
    ctx.exit()


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    _set_signals()
    context: dict[str, str | None] = {"verb": None}
    with StandardStreams() as streams:
        code = _run(arguments, context)
        failure = streams.failure()
        if failure is not None:
            _print_error(f"standard output: cannot be written ({failure.strerror})")
            if code == 0 and not _outlives_output(context["verb"]):
                code = OUTPUT_LOST
    sys.exit(code)


def _run(arguments: Sequence[str] | None, context: dict[str, str | None]) -> int:
    """The exit code of a run, after a line on standard error if it did not succeed."""
    try:
        code = app.main(args=arguments, prog_name="mimverify", standalone_mode=False, obj=context)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        _print_error(error.format_message())
        return 2
    except (DivergenceError, LostProcessError) as error:  # the input was fine; the run was not
        _print_error(str(error))
        return 1
    except OutputError as error:
        _print_error(str(error))
        return OUTPUT_LOST
    except MimverifyError as error:
        _print_error(str(error))
        return 2
    except (KeyboardInterrupt, click.Abort):
        _print_error("interrupted")
        return _interrupted
    except MemoryError as error:  # of sizes that no check beforehand refused
        _print_error(f"not enough memory ({str(error) or 'for this run'}): expected smaller sizes")
        return 2
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        _print_error(f"{error.filename or 'output'}: cannot be written ({error.strerror})")
        return OUTPUT_LOST


def _outlives_output(verb: str | None) -> bool:
    """Whether the verb that was run keeps its code where its output could not be written."""
    codes = None if verb is None else getattr(module_of(verb), "EXIT_CODES", None)
    return isinstance(codes, ExitCodes) and codes.outlive_output


#: Errors of a write, wherever in a verb: of a checkpoint, say, or of scratch files.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EROFS)

_interrupted = 128 + signal.SIGINT


def _set_signals() -> None:
    for name in ("SIGTERM", "SIGHUP"):  # SIGHUP, which not every system has: the terminal closed
        number = getattr(signal, name, None)
        # One that is ignored stays so: nohup asks for that.
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _terminate)
    if (number := getattr(signal, "SIGXFSZ", None)) is not None:
        signal.signal(number, signal.SIG_IGN)  # writing past `ulimit -f` is an OSError then


def _terminate(number: int, _frame: FrameType | None) -> None:
    global _interrupted  # noqa: PLW0603 - the exit code outlives the handler
    _interrupted = 128 + number
    raise KeyboardInterrupt


def _print_error(message: str) -> None:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
