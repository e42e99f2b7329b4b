"""Kinds of trials: functions of their parameters alone, found by name."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from mimverify.support.errors import InputError
from mimverify.support.importing import load_attribute
from mimverify.support.package_files import names_of_modules
from mimverify.support.strict_json import Json
from mimverify.support.validation import choice

__all__ = ["KINDS_PACKAGE", "TrialKind", "get_trial_kind", "source_version", "trial_kinds"]

#: Each file of this package is a kind of trial, named as the file. It is imported by its name
#: alone: sweeps know nothing of what is tried.
KINDS_PACKAGE = "mimverify.studies.trials"


@dataclass(frozen=True)
class TrialKind:
    """What is run for the parameters of a trial.

    **Arguments**

    - `name`: a file's, or `"module:function"`.
    - `version`: part of every key. A file's `VERSION`; of a module that has none, the hash of its
      source, so that a changed function runs again.
    - `run`: parameters to results, both JSON values; it depends on nothing else.
    - `complete`: fills defaults in, and refuses parameters that the kind does not have
      (`InputError`); they stay as they are where the module has no such function.
    - `memory`: bytes that a trial takes, None where the module does not say.
    - `cost`: its time in arbitrary units, all trials alike where the module does not say.
    """

    name: str
    version: str
    run: Callable[[Json], Mapping[str, object]]
    complete: Callable[[Json], Json]
    memory: Callable[[Json], int | None]
    cost: Callable[[Json], float]


def trial_kinds() -> tuple[str, ...]:
    """The names of the kinds that are installed, in order."""
    if importlib.util.find_spec(KINDS_PACKAGE.rpartition(".")[0]) is None:
        return ()
    package = importlib.import_module(KINDS_PACKAGE)
    return tuple(name.replace("_", "-") for name in names_of_modules(package))


@lru_cache(maxsize=64)
def get_trial_kind(name: str) -> TrialKind:
    """The kind of this name.

    **Arguments**

    - `name`: one of `trial_kinds()`, or `"module:function"`, which is loaded as other objects of
      users are: from the current directory, or installed.

    **Raises** `InputError`.
    """
    if isinstance(name, str) and ":" in name:
        run = load_attribute("kind", name)
        if not callable(run):
            raise InputError(f"kind={name!r}: is no function")
        module = sys.modules[name.partition(":")[0]]
        return _kind(name, module, run)
    name = choice("kind", name, trial_kinds())
    module = importlib.import_module(f"{KINDS_PACKAGE}.{name.replace('-', '_')}")
    if not callable(run := getattr(module, "run", None)):
        raise ImportError(f"{module.__name__}: expected a function run, of a trial's parameters")
    return _kind(name, module, run)


def _kind(name: str, module: ModuleType, run: Callable[[Json], Mapping[str, object]]) -> TrialKind:
    return TrialKind(
        name=name,
        version=_version(name, module),
        run=run,
        complete=getattr(module, "complete", dict),
        memory=getattr(module, "memory", lambda _: None),
        cost=getattr(module, "cost", lambda _: 1.0),
    )


def _version(name: str, module: ModuleType) -> str:
    version = getattr(module, "VERSION", None)
    if version is None:
        version = source_version(module.__name__)
    if version is None:
        raise InputError(f"kind={name!r}: its module has no file: expected it to have a VERSION")
    return str(version)


def source_version(module: str) -> str | None:
    """A hash of the source of a module that is loaded; None where it has no file."""
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        return None if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
    except OSError:  # deleted since, or in an archive
        return None
