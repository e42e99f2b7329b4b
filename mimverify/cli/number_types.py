"""Numbers on the command line: one spelling and one range for the options of every verb.

Python's `int` and `float` take more than a number's usual spelling: `1_000`, ` 5`, digits of
other scripts; and numbers that no computation survives, such as 1e300 or NaN.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from mimverify.support.validation import LARGEST, PARALLEL_LIMIT, STEP_LIMIT, shortest

__all__ = ["PARALLEL", "STEPS", "Count", "Number"]

if TYPE_CHECKING:  # in click 8.1 the class takes no parameter
    _IntegerType = click.ParamType[int]
    _NumberType = click.ParamType[float]
else:
    _IntegerType = _NumberType = click.ParamType

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SHOWN = 40  # characters of a value in a message


class Count(_IntegerType):
    """An integer in [minimum, maximum], in decimal digits; by default of at most 10¹⁵."""

    name = "integer"

    def __init__(self, minimum: int = -LARGEST, maximum: int = LARGEST) -> None:
        self.minimum, self.maximum = minimum, maximum

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The integer that a text spells."""
        if isinstance(value, int):  # a default
            return value
        text = str(value)
        # Python refuses to read thousands of digits.
        if _INTEGER.fullmatch(text) and len(text.lstrip("+-0")) <= len(str(LARGEST)):
            number = int(text)
            if self.minimum <= number <= self.maximum:
                return number
        low = "" if self.minimum == -LARGEST else f" of at least {self.minimum}"
        high = f"{' and' if low else ' of'} at most {self.maximum}"
        raise _refusal(text, f"an integer{low}{high}", param, ctx)


class Number(_NumberType):
    """A finite number of at most 10¹⁵ in magnitude.

    **Arguments**

    - `minimum`: the smallest one.
    - `below`: what it has to be smaller than.
    """

    name = "number"

    def __init__(self, minimum: float | None = None, below: float | None = None) -> None:
        self.minimum, self.below = minimum, below

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number that a text spells."""
        if isinstance(value, (int, float)):  # a default
            return float(value)
        text = str(value)
        if _DECIMAL.fullmatch(text):
            number = float(text)
            vanished = number == 0 and re.search("[1-9]", re.split("[eE]", text)[0])
            if (
                abs(number) <= LARGEST
                and not vanished
                and (self.minimum is None or number >= self.minimum)
                and (self.below is None or number < self.below)
            ):
                return number
        bounds = [] if self.minimum is None else [f"of at least {shortest(self.minimum)}"]
        bounds += [f"of at most {LARGEST:g} in size" if self.below is None else
                   f"below {shortest(self.below)}"]  # fmt: skip
        raise _refusal(text, f"a finite number {' and '.join(bounds)}", param, ctx)


#: Threads of a pool, or processes side by side.
PARALLEL = Count(1, PARALLEL_LIMIT)
#: Steps of gradient descent.
STEPS = Count(0, STEP_LIMIT)


def _refusal(
    text: str, expected: str, param: click.Parameter | None, ctx: click.Context | None
) -> click.UsageError:
    """An error in the words of every check of arguments."""
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
    if not re.fullmatch(r"[!-~]+…?", shown):  # blanks, digits of other scripts
        shown = repr(shown)
    option = "value" if param is None else "/".join(param.opts)
    return click.UsageError(f"{option}={shown}: expected {expected}", ctx)
