"""What a long run is: all on which its finished pieces depend, so that no others are mixed in."""

from __future__ import annotations

import hashlib
import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mimverify.backends import BACKEND_MODULES
from mimverify.native import pass_in_use
from mimverify.support.strict_json import Json
from mimverify.support.versions import software_versions
from mimverify.trial.claims.claim import suite_path
from mimverify.trial.running.settings import TrialSettings

__all__ = ["run_identity", "sources_digest"]

_DIGITS = 16  # of a hash: 64 bits tell files apart that nobody forges
_SUFFIXES = (".py", ".c", ".h")  # of sources that results depend on
#: By trials in other processes, perhaps; importing takes a second.
_NOT_IMPORTED = ("scipy", *(name for name in BACKEND_MODULES if name != "numpy"))


def run_identity(settings: TrialSettings, **more: object) -> Json:
    """Claim set, profile, seed, versions, platform, pass and source hashes, as JSON values.

    Which claims are selected is not in it: records say of which claim they are.

    **Arguments**

    - `more`: of this kind of run.
    """
    claim_set, written = settings.claim_set, settings.to_json()
    return {
        **more,
        "claim_set": claim_set.label,
        "profile": written["profile"],
        "seed": settings.seed,
        "budget": settings.budget,
        "time_limit": settings.time_limit,
        "threads": settings.threads,
        "versions": software_versions("numpy", "hypothesis") | _installed(),
        "machine": f"{platform.system()} {platform.machine()}",
        "pass": pass_in_use()[0],
        "sources": _sources() | claim_set.hashes(),
    }


def sources_digest() -> str:
    """One hash of all sources of mimverify and its suite, which a page of results names."""
    text = "\n".join(f"{name} {digest}" for name, digest in sorted(_sources().items()))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _installed() -> dict[str, str]:
    found = {}
    for name in _NOT_IMPORTED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


@lru_cache(maxsize=1)
def _sources() -> dict[str, str]:
    """Hashes of the files of mimverify and of its suite, by their places."""
    package = Path(__file__).resolve().parents[2]
    found = {}
    for folder, name in ((package, "mimverify"), (suite_path(), "properties")):
        for path in sorted(path for path in folder.rglob("*.*") if path.suffix in _SUFFIXES):
            inner = path.relative_to(folder)
            if name == "mimverify" and inner.parts[0] == "_properties":
                continue
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            found[f"{name}/{inner.as_posix()}"] = digest[:_DIGITS]
    return found
