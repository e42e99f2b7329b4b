"""Options that say what is trained, inspected or predicted: one spelling and one default each.

The short forms are the field's letters: d, n, m, T. (In verbs that try trainers, which have no
samples of their own, `-n` is the number of processes, as in pytest-xdist.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import click

from mimverify.backends import BACKENDS, BACKENDS_WITH_DEVICES, backend_class
from mimverify.cli.number_types import STEPS, Count, Number
from mimverify.network import DEFAULT_ACTIVATION, DEFAULT_LOSS

__all__ = ["OPTIONS", "Given", "problem_option"]

Command = TypeVar("Command", bound=Callable[..., object])
Given = int | float | str | bool | None

#: The `default` of a verb that leaves open what others have a default of.
OPEN = "open"


_WITH_DEVICES = " or ".join(backend_class(name).title for name in BACKENDS_WITH_DEVICES)


@dataclass(frozen=True)
class Spelling:
    """How an option is written; `default` is that of every verb that has one value of it."""

    flags: tuple[str, ...]
    type: click.ParamType[int] | click.ParamType[float] | click.ParamType[str]
    help: str
    metavar: str | None = None
    default: Given = None


OPTIONS: dict[str, Spelling] = {
    "dim": Spelling(("-d", "--dim"), Count(), "Input dimension d.", "D", 256),
    "samples": Spelling(
        ("-n", "--samples"), Count(), "Samples n of stage 1 (default: d log² d).", "N"
    ),
    "steps": Spelling(
        ("-T", "--steps"),
        STEPS,
        "Steps of stage 1 (default: ceil(log d / log(n/d)) + 2, which needs n > d).",
        "T",
    ),
    "neurons": Spelling(("-m", "--neurons"), Count(), "Neurons m, an even number.", "M", 64),
    "ratio": Spelling(("--ratio",), Number(), "Samples for each dimension, n/d.", "R"),
    "loss": Spelling(("--loss",), click.STRING, "Loss of stage 1; see below.", "L", DEFAULT_LOSS),
    "activation": Spelling(
        ("--activation",), click.STRING, "Activation; see below.", "A", DEFAULT_ACTIVATION
    ),
    "noise": Spelling(("--noise",), Number(), "Standard deviation of the label noise.", None, 0.0),
    "inputs": Spelling(
        ("--inputs",), click.STRING, "Law of the inputs; see below.", "LAW", "gaussian"
    ),
    "subspace": Spelling(
        ("--subspace",),
        click.STRING,
        "Hidden directions: spread out, or coordinate axes.",
        "haar|axes",
        "haar",
    ),
    "rank": Spelling(("--rank",), Count(), "Rank of a link 'module:function' that has none."),
    "backend": Spelling(
        ("--backend",), click.STRING, "Array library.", "|".join(BACKENDS), "numpy"
    ),
    "device": Spelling(
        ("--device",), click.STRING, f"{_WITH_DEVICES} device, such as 'cuda'.", None, "cpu"
    ),
    "dtype": Spelling(("--dtype",), click.STRING, "float32 or float64.", "F", "float64"),
}


def problem_option(
    name: str,
    argument: str | None = None,
    *,
    help: str | None = None,
    default: Given | tuple[Given, ...] = None,
    multiple: bool = False,
) -> Callable[[Command], Command]:
    """One of `OPTIONS`.

    **Arguments**

    - `argument`: of the command, `name` by default.
    - `help`: where the option means something more special here.
    - `default`: where it has to be another one than everywhere: those of a `multiple` option.
    """
    spelling = OPTIONS[name]
    value = default if default is not None or multiple else spelling.default
    if value == OPEN:
        value = None
    return click.option(
        *spelling.flags,
        argument or name,
        type=spelling.type,
        metavar=spelling.metavar,
        help=help or spelling.help,
        default=value,
        multiple=multiple,
        show_default=value is not None,
    )
