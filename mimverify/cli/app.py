"""The entry point: commands, exit codes, signals.

Exit codes: 0 nothing failed; 1 a claim failed or errored; 2 wrong usage or input; 130 and
143 after Ctrl-C and SIGTERM, after a report of what was finished.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import click

from mimverify.support.errors import DivergenceError, LostProcessError, MimverifyError

_COMMANDS = {
    "train": "mimverify.cli.train",
    "fit": "mimverify.cli.fit",
    "check": "mimverify.cli.check",
    "replay": "mimverify.cli.replay",
    "claims": "mimverify.cli.claims",
    "power": "mimverify.cli.power",
    "calibrate": "mimverify.cli.calibrate",
    "inspect": "mimverify.cli.inspect",
    "predict": "mimverify.cli.predict",
    "compare": "mimverify.cli.compare",
    "scaling": "mimverify.cli.scaling",
    "history": "mimverify.cli.history",
    "bench": "mimverify.cli.bench",
}


class _LazyGroup(click.Group):
    """Imports a command's module at its first use, so that `--help` does not load Torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(_COMMANDS[name]), name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # `mimverify … | head`; click itself would exit with 1
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mimverify", prog_name="mimverify")
def app() -> None:
    """Put a trainer on trial against arXiv:2511.15120: layer-wise gradient descent learns
    Gaussian multi-index models with Õ(d) samples, in more than O(1) steps."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # SIGHUP: the terminal was closed
        signal.signal(number, _terminate)
    try:
        code = app.main(args=arguments, prog_name="mimverify", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        _print_error(error.format_message())
        code = 2
    except (DivergenceError, LostProcessError) as error:  # the input was fine; the run was not
        _print_error(str(error))
        code = 1
    except MimverifyError as error:
        _print_error(str(error))
        code = 2
    except (KeyboardInterrupt, click.Abort):
        _print_error("interrupted")
        code = _interrupted
    except BrokenPipeError:  # `mimverify … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


_interrupted = 128 + signal.SIGINT


def _terminate(number: int, _frame: FrameType | None) -> None:
    global _interrupted  # noqa: PLW0603 - the exit code outlives the handler
    _interrupted = 128 + number
    raise KeyboardInterrupt


def _print_error(message: str) -> None:
    click.echo(f"Error: {' '.join(message.split())}", err=True)
