"""The settings of a trial: one frozen value, whoever asks for the trial.

The command line, `mimverify.check`, `mimverify.parametrize_with_claims`, pytest's options, the
child processes that run the suite, reports and capsules all make or read a `TrialSettings`.
A field says here how it is checked and how command lines spell it; nothing else lists them.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from mimverify.support.errors import InputError
from mimverify.support.validation import choice, integer, number, shortest
from mimverify.trial.claims.claim import Claim
from mimverify.trial.claims.selection import matching, select_claims
from mimverify.trial.profile import FALSE_ALARM_BUDGET, PROFILES, Profile
from mimverify.trial.running.expectations import read_expected_failures

__all__ = ["Spelling", "TrialSettings", "spellings", "takes_settings"]

_LARGEST_SEED = 2**32 - 1  # of NumPy's legacy generator, which trainers may use

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Spelling:
    """How command lines spell a setting.

    **Arguments**

    - `flags`: of `mimverify`; none for a setting that it does not offer.
    - `pytest`: option of the suite under pytest; "" where pytest has its own.
    - `help`: one sentence.
    - `type`: of the value.
    - `choices`, `metavar`: as usual; `many`: may be repeated.
    - `limits`: least and largest value, or None.
    """

    flags: tuple[str, ...]
    pytest: str
    help: str
    type: type = str
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    many: bool = False
    limits: tuple[int | None, int | None] | None = None


# -- one check for each setting ----------------------------------------------------------------


def _profile(name: str, value: Any) -> Profile:
    if isinstance(value, Profile):
        return value
    if isinstance(value, Mapping):  # one that is not in the list, from JSON
        wanted = [item.name for item in fields(Profile)]
        if sorted(value) != sorted(wanted):
            raise InputError(f"{name}={dict(value)!r}: expected {', '.join(wanted)}")
        return Profile(**value)
    return PROFILES[choice(name, value, PROFILES)]


def _seed(name: str, value: Any) -> int:
    return integer(name, value, minimum=0, maximum=_LARGEST_SEED)


def _budget(name: str, value: Any) -> float:
    if number(name, value, minimum=0, exclusive=True) >= 1:
        raise InputError(f"{name}={value!r}: expected a probability below 1")
    return float(value)


def _claims(name: str, value: Any) -> tuple[str, ...]:
    ids = [value] if isinstance(value, str) else list(value) if _is_listed(value) else [value]
    if not all(isinstance(one, str) for one in ids):
        raise InputError(f"{name}={value!r}: expected ids of claims")
    return tuple(select_claims(ids)) if ids else ()


def _is_listed(value: Any) -> bool:
    return isinstance(value, (Sequence, Set)) and not isinstance(value, bytes)


def _expression(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InputError(f"{name}={value!r}: expected a text, as pytest's -k")
    matching(value, select_claims(None))
    return value


def _count(name: str, value: Any) -> int:
    return integer(name, value, minimum=1)


def _threads(name: str, value: Any) -> int | None:
    return None if value is None else _count(name, value)


def _seconds(name: str, value: Any) -> float | None:
    return None if value is None else number(name, value, minimum=0, exclusive=True)


def _expected(name: str, value: Any) -> Mapping[str, str]:
    if isinstance(value, (str, Path)):
        value = read_expected_failures(value)
    if value is not None and not isinstance(value, Mapping):
        raise InputError(f"{name}={value!r}: expected claim ids with reasons, or a file of them")
    return MappingProxyType({str(claim): str(reason) for claim, reason in (value or {}).items()})


def _folder(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (str, Path)) or not str(value):
        raise InputError(f"{name}={value!r}: expected a folder")
    return str(value)


def _how(check: Callable[[str, Any], Any], spelling: Spelling) -> dict[str, Any]:
    """A field's metadata."""
    return {"check": check, "spelling": spelling}


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """How a trainer is tried, checked where it is made.

    **Arguments**

    - `profile`: how thoroughly: "quick", "standard", "deep", or a `Profile`.
    - `seed`: everything random derives from it.
    - `budget`: total false-alarm probability for a trainer.
    - `claims`: ids to try; none for all that the profile tries.
    - `expression`: only claims whose ids it holds for, as pytest's `-k`.
    - `workers`: processes that share the claims of a trainer named "module:attribute".
    - `time_limit`: seconds of one call of the trainer; None for the profile's.
    - `threads`: of the trainer's libraries, and of this process's where it runs the suite itself;
      a trial's problems are too small for more than one. None leaves them alone.
    - `expected_failures`: claim id → reason, or a file of such lines.
    - `capsules`: folder for a replay capsule of each failure; None for none.

    **Raises** `InputError` naming the setting that is wrong.
    """

    profile: Profile = field(
        default=PROFILES["quick"],
        metadata=_how(
            _profile,
            Spelling(
                ("--profile",), "--trial-profile", "How thorough it is.", choices=tuple(PROFILES)
            ),
        ),
    )
    claims: tuple[str, ...] = field(
        default=(),
        metadata=_how(
            _claims,
            Spelling(
                ("--claim",), "--claim", "Only this claim; repeatable.", metavar="ID", many=True
            ),
        ),
    )
    expression: str | None = field(
        default=None,
        metadata=_how(
            _expression,
            Spelling(
                ("-k",),
                "",
                "Only claims whose ids contain this; with and, or, not and parentheses.",
                metavar="EXPRESSION",
            ),
        ),
    )
    workers: int = field(
        default=1,
        metadata=_how(
            _count,
            Spelling(
                ("-n", "--workers"),
                "",
                "Processes that share the claims of one trainer.",
                type=int,
                limits=(1, None),
            ),
        ),
    )
    seed: int = field(
        default=0,
        metadata=_how(
            _seed,
            Spelling(
                ("--seed",),
                "--trial-seed",
                "Everything random derives from it.",
                type=int,
                limits=(0, _LARGEST_SEED),
            ),
        ),
    )
    budget: float = field(
        default=FALSE_ALARM_BUDGET,
        metadata=_how(
            _budget,
            Spelling(
                ("--budget",),
                "--trial-budget",
                "Total false-alarm probability for each trainer.",
                type=float,
            ),
        ),
    )
    time_limit: float | None = field(
        default=None,
        metadata=_how(
            _seconds,
            Spelling(
                ("--time-limit",),
                "--trial-time-limit",
                "Of one call of the trainer (default: the profile's).",
                type=float,
                metavar="SECONDS",
            ),
        ),
    )
    threads: int | None = field(
        default=1,
        metadata=_how(
            _threads,
            Spelling(
                ("--threads",),
                "--trial-threads",
                "Threads of the trainer's libraries; a trial's problems are too small for more.",
                type=int,
                limits=(1, None),
            ),
        ),
    )
    expected_failures: Mapping[str, str] = field(
        default_factory=dict,
        hash=False,
        metadata=_how(
            _expected,
            Spelling(
                ("--expected-failures",),
                "--expected-failures",
                "Lines of 'claim-id: reason' that may fail.",
                metavar="FILE",
            ),
        ),
    )
    capsules: str | None = field(
        default=None,
        metadata=_how(
            _folder,
            Spelling(
                ("--capsules",),
                "--trial-capsules",
                "Write a file for each failure there, for mimverify replay (default: none).",
                metavar="FOLDER",
            ),
        ),
    )

    def __post_init__(self) -> None:
        for item in fields(self):
            checked = item.metadata["check"](item.name, getattr(self, item.name))
            object.__setattr__(self, item.name, checked)
        # What no claim is left for is refused here, before any work.
        self.selected()

    @classmethod
    def of(cls, settings: TrialSettings | None = None, /, **given: Any) -> TrialSettings:
        """Settings from names and plain values, on top of others where there are any."""
        if settings is not None and not isinstance(settings, TrialSettings):
            raise InputError(
                f"settings={settings!r}: expected TrialSettings; a setting is given by its name, "
                "such as profile='standard'"
            )
        names = [item.name for item in fields(cls)]
        given = {choice("setting", name, names): value for name, value in given.items()}
        return cls(**given) if settings is None else dataclasses.replace(settings, **given)

    def selected(self) -> dict[str, Claim]:
        """The claims that are tried, by id, in the suite's order."""
        if self.expression is None:
            return select_claims(self.claims, self.profile.name)
        # An expression chooses among all claims, whatever their profile.
        return select_claims(matching(self.expression, self.claims or select_claims(None)))

    @property
    def call_seconds(self) -> float:
        """Time limit of one call of the trainer."""
        return self.profile.call_seconds if self.time_limit is None else self.time_limit

    @property
    def unmatched(self) -> list[str]:
        """Expected failures of claims that do not exist."""
        return sorted(set(self.expected_failures) - set(select_claims(None)))

    def arguments(self, *always: str, without: Collection[str] = ()) -> list[str]:
        """Words of a command line for what is not as usual, and for the fields `always` named.

        Left out is what a command line cannot say: expected failures, of whose file the name is
        forgotten, "leave threads alone", and in what a profile differs from the one of its name.
        """
        usual, words = TrialSettings(), []
        for item in fields(self):
            value = getattr(self, item.name)
            asked = item.name in always or value != getattr(usual, item.name)
            if not asked or item.name in without or value is None or isinstance(value, Mapping):
                continue
            several = value if isinstance(value, tuple) else (value,)
            for single in several:
                text = shortest(single) if isinstance(single, float) else str(single)
                words += [item.metadata["spelling"].flags[-1], getattr(single, "name", text)]
        return words

    def to_json(self) -> dict[str, Any]:
        """One JSON value; `from_json` undoes it."""
        record = {item.name: getattr(self, item.name) for item in fields(self)}
        named = PROFILES.get(self.profile.name) == self.profile
        record["profile"] = self.profile.name if named else dataclasses.asdict(self.profile)
        record["claims"] = list(self.claims)
        record["expected_failures"] = dict(self.expected_failures)
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> TrialSettings:
        """The settings that `to_json` wrote. **Raises** `InputError` for anything else."""
        if not isinstance(record, Mapping):
            raise InputError(f"settings={record!r}: expected names and values")
        return cls.of(**{str(name): value for name, value in record.items()})


def spellings() -> dict[str, Spelling]:
    """How command lines spell each setting, by its name."""
    return {item.name: item.metadata["spelling"] for item in fields(TrialSettings)}


def takes_settings(function: Function) -> Function:
    """Show every setting in the signature of a function that takes them as `**given`."""
    own = inspect.signature(function)
    kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    shown = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(TrialSettings).parameters.values()
        if parameter.name not in own.parameters
    ]
    function.__signature__ = own.replace(parameters=[*kept, *shown])  # type: ignore[attr-defined]
    return function
