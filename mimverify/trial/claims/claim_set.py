"""Sets of claims: that of mimverify, and packs that state another theorem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from mimverify.handles.own_methods import Method
from mimverify.handles.source_hashes import source_hashes
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.support.validation import number
from mimverify.trial.claims.claim import CLAIM_SET_VERSION, Claim, claims_by_file, load_claims
from mimverify.trial.profile import FALSE_ALARM_BUDGET

__all__ = ["ClaimSet", "Pack", "PackOrigin", "built_in_claims"]


@dataclass(frozen=True)
class Pack:
    """What a pack of claims says of itself; its module holds one, beside the claims.

    **Arguments**

    - `title`: of the theorem or the paper, one line; the tables show it.
    - `source`: where the theorem is stated: an address or a reference, one line.
    - `version`: raise it when a claim is added, removed or decides differently.
    - `budget`: probability that a correct trainer fails any statistical claim of the pack in a
      whole run, at most; it is divided among their decisions.
    - `mutants`: name of the module with the pack's broken trainers, or "": it has none.
    - `justified`: claims that catch none of the mutants, each with the reason why it is there.

    **Raises** `InputError` naming the invalid argument.
    """

    title: str
    source: str
    version: str
    budget: float = FALSE_ALARM_BUDGET
    mutants: str = ""
    justified: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in ("title", "source", "version"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                raise InputError(f"{name}={value!r}: expected one line of text")
        budget = number("budget", self.budget, minimum=0, exclusive=True)
        if budget >= 1:
            raise InputError(f"budget={self.budget!r}: expected a probability below 1")
        object.__setattr__(self, "budget", budget)
        named = isinstance(self.mutants, str) and all(
            part.isidentifier() for part in self.mutants.split(".")
        )
        if self.mutants != "" and not named:
            raise InputError(f"mutants={self.mutants!r}: expected the name of a module, as 'a.b'")
        if not isinstance(self.justified, Mapping):
            raise InputError(f"justified={self.justified!r}: expected claim ids with reasons")
        object.__setattr__(self, "justified", MappingProxyType(dict(self.justified)))


@dataclass(frozen=True)
class PackOrigin:
    """Where a pack of claims is, so that any process finds the same one.

    **Arguments**

    - `name`: what the user called it: an entry point, a module, or a file.
    - `module`: dotted name of its module.
    - `folder`: absolute path of the folder in which the module's topmost package lies.
    """

    name: str
    module: str
    folder: str

    @property
    def package(self) -> str:
        """Name of the topmost package."""
        return self.module.partition(".")[0]

    def to_json(self) -> Json:
        """The three texts."""
        return {"name": self.name, "module": self.module, "folder": self.folder}


@dataclass(frozen=True)
class ClaimSet:
    """Claims that are tried together and share a budget.

    **Arguments**

    - `about`: title, source, version and budget.
    - `claims`: by id, in their order.
    - `files`: the claims of each file, in their order.
    - `origin`: of a pack; None for mimverify's own claims.
    """

    about: Pack
    claims: Mapping[str, Claim]
    files: Mapping[Path, list[Claim]]
    origin: PackOrigin | None = None

    @property
    def label(self) -> str:
        """How reports and capsules name it: the version, after a pack's title."""
        version = self.about.version
        return version if self.origin is None else f"{self.about.title}, version {version}"

    @property
    def methods(self) -> dict[str, Method]:
        """The methods of trainers that its own capabilities consist of, by name."""
        found: dict[str, Method] = {}
        for claim in self.claims.values():
            found |= {} if claim.own is None else claim.own.methods
        return found

    @property
    def folders(self) -> dict[str, str]:
        """Where its topmost package is found, by name."""
        return {} if self.origin is None else {self.origin.package: self.origin.folder}

    def hashes(self) -> dict[str, str]:
        """SHA-256 of the files of a pack's modules that are loaded, by the modules' names."""
        return {} if self.origin is None else source_hashes([self.origin.package], alone=False)

    def to_json(self) -> Json:
        """What it says of itself."""
        about = self.about
        return {
            "title": about.title,
            "source": about.source,
            "version": about.version,
            "budget": about.budget,
            "pack": None if self.origin is None else self.origin.to_json(),
        }


@lru_cache(maxsize=1)
def built_in_claims() -> ClaimSet:
    """The claims of arXiv:2511.15120, those of the suite."""
    about = Pack(
        title="Layer-wise gradient descent on Gaussian multi-index models",
        source="arXiv:2511.15120",
        version=CLAIM_SET_VERSION,
    )
    return ClaimSet(about, load_claims(), claims_by_file())
