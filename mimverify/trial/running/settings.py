"""The settings of a trial: one frozen value, for every way to start one.

The command line, `mimverify.check`, `mimverify.parametrize_with_claims`, pytest's options, the
child processes that run the suite, reports and capsules all construct or read a
`TrialSettings`. Each field's metadata say how it is checked and how command lines spell it;
nothing else lists the settings.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import TypeGuard, TypeVar

from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.support.validation import (
    PARALLEL_LIMIT,
    choice,
    integer,
    number,
    parallel_count,
    seconds,
    shortest,
)
from mimverify.trial.claims.claim import Claim
from mimverify.trial.claims.claim_set import ClaimSet, PackOrigin
from mimverify.trial.claims.loading import load_claim_set, locate_again, locate_pack
from mimverify.trial.claims.selection import matching, select_claims
from mimverify.trial.profile import PROFILES, Profile
from mimverify.trial.running.expectations import (
    check_expected_failures,
    read_expected_failures,
)

__all__ = ["INCONCLUSIVE", "Spelling", "TrialSettings", "spellings", "takes_settings"]

#: What pytest may make of an inconclusive claim.
INCONCLUSIVE = ("fail", "skip", "xfail")

_LARGEST_SEED = 2**32 - 1  # of NumPy's legacy generator, which trainers may use

Function = TypeVar("Function", bound=Callable[..., object])


@dataclass(frozen=True)
class Spelling:
    """How command lines spell a setting.

    **Arguments**

    - `flags`: options of `mimverify`; none for a setting that only concerns pytest.
    - `pytest`: option of the suite under pytest; "" if pytest has its own.
    - `help`: one sentence.
    - `type`: of the value; bool for an option without one.
    - `choices`, `metavar`: as for `argparse`; `many`: may be repeated.
    - `limits`: smallest and largest value, or None.
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


def _pack(name: str, value: object) -> PackOrigin | None:
    if value is None or isinstance(value, PackOrigin):
        return value
    if isinstance(value, Mapping):  # from JSON
        wanted = [item.name for item in fields(PackOrigin)]
        texts = all(isinstance(text, str) for text in value.values())
        if sorted(value) != sorted(wanted) or not texts:
            raise InputError(f"{name}={dict(value)!r}: expected the texts {', '.join(wanted)}")
        return locate_again(PackOrigin(**value))
    if not isinstance(value, (str, Path)) or not str(value):
        raise InputError(f"{name}={value!r}: expected a module, a file or an entry point")
    return locate_pack(value)


def _profile(name: str, value: object) -> Profile:
    if isinstance(value, Profile):
        return value
    if isinstance(value, Mapping):  # not a named one, from JSON
        wanted = [item.name for item in fields(Profile)]
        if sorted(value) != sorted(wanted):
            raise InputError(f"{name}={dict(value)!r}: expected {', '.join(wanted)}")
        return Profile(**value)
    return PROFILES[choice(name, value, PROFILES)]


def _seed(name: str, value: object) -> int:
    return integer(name, value, minimum=0, maximum=_LARGEST_SEED)


def _budget(name: str, value: object) -> float | None:
    if value is None:
        return None
    budget = number(name, value, minimum=0, exclusive=True)
    if budget >= 1:
        raise InputError(f"{name}={value!r}: expected a probability below 1")
    return budget


def _claims(name: str, value: object, known: Mapping[str, Claim]) -> tuple[str, ...]:
    given = list(value) if _is_listed(value) else [value]
    ids = [one for one in given if isinstance(one, str)]
    if len(ids) < len(given):
        raise InputError(f"{name}={value!r}: expected ids of claims")
    return tuple(select_claims(ids, claims=known)) if ids else ()


def _is_listed(value: object) -> TypeGuard[Iterable[object]]:
    return isinstance(value, (Sequence, Set)) and not isinstance(value, (str, bytes))


def _expression(name: str, value: object, known: Mapping[str, Claim]) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InputError(f"{name}={value!r}: expected a text, as pytest's -k")
    matching(value, known)
    return value


def _threads(name: str, value: object) -> int | None:
    return None if value is None else parallel_count(name, value)


def _seconds(name: str, value: object) -> float | None:
    return None if value is None else seconds(name, value)


def _expected(name: str, value: object, known: Mapping[str, Claim]) -> Mapping[str, str]:
    if isinstance(value, (str, Path)):
        value = read_expected_failures(value, known)
    if value is not None and not isinstance(value, Mapping):
        raise InputError(f"{name}={value!r}: expected claim ids with reasons, or a file of them")
    expected = {str(claim): str(reason) for claim, reason in (value or {}).items()}
    check_expected_failures(name, expected, known)
    return MappingProxyType(expected)


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name}={value!r}: expected True or False")
    return value


def _inconclusive(name: str, value: object) -> str:
    return choice(name, value, INCONCLUSIVE)


def _folder(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (str, Path)) or not str(value):
        raise InputError(f"{name}={value!r}: expected a folder")
    return str(value)


def _how(
    check: Callable[..., object], spelling: Spelling, *, within: bool = False
) -> dict[str, object]:
    """The metadata of a field; `within`: its check also takes the claims of the set."""
    return {"check": check, "spelling": spelling, "within": within}


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """The settings of a trial, checked at construction.

    **Arguments**

    - `pack`: claims that replace mimverify's own: see `locate_pack`.
    - `profile`: "quick", "standard", "deep", or a `Profile`.
    - `seed`: all random numbers derive from it.
    - `budget`: total false-alarm probability for a trainer; None for that of the set of claims.
    - `claims`: ids to try; none for all that the profile includes.
    - `expression`: only claims whose ids match it, as pytest's `-k`.
    - `workers`: processes that share the claims of a trainer named "module:attribute".
    - `time_limit`: seconds of one call of the trainer; None for the profile's.
    - `threads`: of the trainer's libraries, and of this process's if it runs the suite itself; a
      trial's problems are too small for more than one. None: as the libraries decide.
    - `expected_failures`: claim id → reason, or a file of such lines.
    - `strict`: whether the run is only green if nothing is inconclusive, not applicable without
      need (the trainer has the methods, and leaves the claim out by what it declares), or passed
      although it is an expected failure.
    - `inconclusive`: what pytest makes of an inconclusive claim: "fail", "skip" or "xfail".
      Elsewhere it is a verdict of its own.
    - `capsules`: folder for a replay capsule of each failure; None for none.

    **Raises** `InputError` naming the invalid setting.
    """

    pack: PackOrigin | None = field(
        default=None,
        metadata=_how(
            _pack,
            Spelling(
                ("--pack", "--claims"),
                "--trial-claims",
                "The claims of this module, file or entry point, instead of mimverify's own.",
                metavar="PACK",
            ),
        ),
    )
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
            within=True,
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
            within=True,
        ),
    )
    workers: int = field(
        default=1,
        metadata=_how(
            parallel_count,
            Spelling(
                ("-n", "--workers"),
                "",
                "Processes that share the claims of one trainer.",
                type=int,
                limits=(1, PARALLEL_LIMIT),
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
        default=None,  # type: ignore[assignment] # replaced by that of the set of claims
        metadata=_how(
            _budget,
            Spelling(
                ("--budget",),
                "--trial-budget",
                "Total false-alarm probability for each trainer (default: that of the claims).",
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
                limits=(1, PARALLEL_LIMIT),
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
            within=True,
        ),
    )
    strict: bool = field(
        default=False,
        metadata=_how(
            _flag,
            Spelling(
                ("--strict",),
                "--trial-strict",
                "Nothing may be inconclusive, not applicable without need, or pass unexpectedly.",
                type=bool,
            ),
        ),
    )
    inconclusive: str = field(
        default="fail",
        metadata=_how(
            _inconclusive,
            Spelling(
                (),
                "--trial-inconclusive",
                "What pytest makes of an inconclusive claim (default: fail).",
                choices=INCONCLUSIVE,
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
        object.__setattr__(self, "pack", _pack("pack", self.pack))
        known = self.claim_set
        for item in fields(self):
            arguments = (known.claims,) if item.metadata["within"] else ()
            checked = item.metadata["check"](item.name, getattr(self, item.name), *arguments)
            object.__setattr__(self, item.name, checked)
        if self.budget is None:
            object.__setattr__(self, "budget", known.about.budget)
        # A selection without claims is refused here, before any work.
        self.selected()

    @classmethod
    def of(cls, settings: TrialSettings | None = None, /, **given: object) -> TrialSettings:
        """Settings from names and plain values; those not given are as in `settings`, if any."""
        if settings is not None and not isinstance(settings, TrialSettings):
            raise InputError(
                f"settings={settings!r}: expected TrialSettings; a setting is given by its name, "
                "such as profile='standard'"
            )
        names = [item.name for item in fields(cls)]
        known: Json = {choice("setting", name, names): value for name, value in given.items()}
        if settings is None:
            return cls(**known)
        if "pack" in known and settings.budget == settings.claim_set.about.budget:
            known = {"budget": None, **known}  # it was not given: that of the new claims
        return dataclasses.replace(settings, **known)

    @property
    def claim_set(self) -> ClaimSet:
        """The claims of the pack, or mimverify's own, whether selected or not."""
        return load_claim_set(self.pack)

    def selected(self) -> dict[str, Claim]:
        """The claims to try, by id, in their set's order."""
        known = self.claim_set.claims
        if self.expression is None:
            return select_claims(self.claims, self.profile.name, known)
        # An expression selects among all claims, whatever their profile.
        return select_claims(matching(self.expression, self.claims or known), claims=known)

    @property
    def call_seconds(self) -> float:
        """Time limit of one call of the trainer."""
        return self.profile.call_seconds if self.time_limit is None else self.time_limit

    def arguments(self, *always: str, without: Collection[str] = ()) -> list[str]:
        """Command-line arguments for the fields that differ from the default, or are in `always`.

        Left out is what a command line cannot express: expected failures, whose file name is not
        kept, `threads=None`, a profile's differences from the named one, and what only concerns
        pytest.
        """
        default = TrialSettings(pack=self.pack)
        words: list[str] = []
        for item in fields(self):
            value = getattr(self, item.name)
            asked = item.name in (*always, "pack") or value != getattr(default, item.name)
            if not asked or item.name in without or value is None or isinstance(value, Mapping):
                continue
            flags = item.metadata["spelling"].flags
            if not flags or isinstance(value, bool):
                words += flags[-1:] if value else ()
                continue
            several = value if isinstance(value, tuple) else (value,)
            for single in several:
                text = shortest(single) if isinstance(single, float) else str(single)
                words += [flags[-1], getattr(single, "name", text)]
        return words

    def to_json(self) -> Json:
        """A JSON object; `from_json` is its inverse."""
        record = {item.name: getattr(self, item.name) for item in fields(self)}
        named = PROFILES.get(self.profile.name) == self.profile
        record["profile"] = self.profile.name if named else dataclasses.asdict(self.profile)
        record["claims"] = list(self.claims)
        record["pack"] = None if self.pack is None else self.pack.to_json()
        record["expected_failures"] = dict(self.expected_failures)
        return record

    @classmethod
    def from_json(cls, record: Json) -> TrialSettings:
        """The settings that `to_json` wrote. **Raises** `InputError` for anything else."""
        if not isinstance(record, Mapping):
            raise InputError(f"settings={record!r}: expected names and values")
        return cls.of(**{str(name): value for name, value in record.items()})


def spellings() -> dict[str, Spelling]:
    """How command lines spell each setting, by its name."""
    return {item.name: item.metadata["spelling"] for item in fields(TrialSettings)}


def takes_settings(function: Function) -> Function:
    """Add every setting to the signature of a function that takes them as `**given`."""
    own = inspect.signature(function)
    kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    shown = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(TrialSettings).parameters.values()
        if parameter.name not in own.parameters
    ]
    function.__signature__ = own.replace(parameters=[*kept, *shown])  # type: ignore[attr-defined]
    return function
