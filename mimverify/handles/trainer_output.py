"""What a trainer warned of and printed: short, readable, safe to show on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from mimverify.support.importing import visible
from mimverify.support.strict_json import Json

__all__ = ["LONGEST_TEXT", "MOST_WARNINGS", "TrainerOutput", "TrainerWarning", "last_lines"]

#: Different warnings that are kept; of others only their number is.
MOST_WARNINGS = 20
#: Characters of standard output, standard error and a traceback that are kept: the last ones.
LONGEST_TEXT = 4000


@dataclass(frozen=True)
class TrainerWarning:
    """A warning that was issued while a trainer worked.

    **Arguments**

    - `category`: the name of its class.
    - `message`: one line.
    - `place`: `"file:line"`.
    - `times`: how often it was issued.
    """

    category: str
    message: str
    place: str
    times: int = 1

    def __str__(self) -> str:
        often = f", {self.times} ×" if self.times > 1 else ""
        return f"{self.category}: {self.message} ({self.place}{often})"


@dataclass(frozen=True)
class TrainerOutput:
    """What a trainer warned of and printed, in some of its calls.

    **Arguments**

    - `warnings`: different ones, at most `MOST_WARNINGS`, in order.
    - `more_warnings`: how often others were issued.
    - `stdout`, `stderr`: the last `LONGEST_TEXT` characters, in lines.
    """

    warnings: tuple[TrainerWarning, ...] = ()
    more_warnings: int = 0
    stdout: str = ""
    stderr: str = ""

    def __bool__(self) -> bool:
        return bool(self.warnings or self.more_warnings or self.stdout or self.stderr)

    def __add__(self, later: TrainerOutput) -> TrainerOutput:
        """Both, in this order; equal warnings are counted together."""
        if not later:
            return self
        warnings, more = merged((*self.warnings, *later.warnings))
        return TrainerOutput(
            warnings,
            self.more_warnings + later.more_warnings + more,
            last_lines(f"{self.stdout}{later.stdout}") if later.stdout else self.stdout,
            last_lines(f"{self.stderr}{later.stderr}") if later.stderr else self.stderr,
        )

    def to_json(self) -> Json:
        """Plain JSON values, without empty entries."""
        content = asdict(self) | {"warnings": [asdict(warning) for warning in self.warnings]}
        return {name: value for name, value in content.items() if value}

    @classmethod
    def from_json(cls, record: Json) -> TrainerOutput:
        """The output that `to_json` wrote."""
        warnings = tuple(TrainerWarning(**item) for item in record.get("warnings", ()))
        return cls(**{**record, "warnings": warnings})


def merged(warnings: Iterable[TrainerWarning]) -> tuple[tuple[TrainerWarning, ...], int]:
    """Equal warnings as one, and how often those beyond `MOST_WARNINGS` were issued."""
    kept: dict[TrainerWarning, int] = {}
    more = 0
    for warning in warnings:
        kind = replace(warning, times=1)
        if kind in kept or len(kept) < MOST_WARNINGS:
            kept[kind] = kept.get(kind, 0) + warning.times
        else:
            more += warning.times
    return tuple(replace(kind, times=times) for kind, times in kept.items()), more


def last_lines(text: str) -> str:
    """The last `LONGEST_TEXT` characters, control characters spelled out, one "…" if cut.

    A carriage return, which progress bars end their states with, begins a line.
    """
    cut = len(text) > LONGEST_TEXT
    lines = text[-LONGEST_TEXT:].expandtabs().splitlines()
    shown = "\n".join(map(visible, lines)).removeprefix("…")
    # Spelling out a character makes several of it.
    end = shown[-LONGEST_TEXT:]
    if not end:
        return ""
    return ("…" if cut or len(shown) > LONGEST_TEXT or text.startswith("…") else "") + end + "\n"
