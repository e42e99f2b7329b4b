"""Replay capsules: everything about one failure in one file that is read without pickle.

The arrays that were handed to the trainer and that it returned are in the .npz unchanged;
the JSON beside them holds the rest: claim, configuration, seeds, settings, verdict, versions.
"""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from mimverify.backends import BACKEND_MODULES
from mimverify.handles.memory_forms import PLAIN
from mimverify.native import pass_in_use
from mimverify.support.archive import Archive
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import InputError, MimverifyError, OutputError
from mimverify.support.field_types import check_field_types
from mimverify.support.files import check_place, reason_of
from mimverify.support.strict_json import Json, brief, jsonable
from mimverify.support.validation import SECONDS_LIMIT
from mimverify.support.versions import software_versions
from mimverify.trial.claims import cases
from mimverify.trial.claims.claim import Claim
from mimverify.trial.claims.ledger import Ledger
from mimverify.trial.claims.loading import PackError
from mimverify.trial.running.settings import TrialSettings
from mimverify.trial.running.trial import Trial
from mimverify.trial.running.verdict import Verdict
from mimverify.trial.trainer.calls import Call, RecordedTrainer, TriedCombination

__all__ = [
    "Capsule",
    "CapsuleError",
    "capsule_folder",
    "capsule_name",
    "claim_hashes",
    "decode_case",
    "encode_case",
    "load_capsule",
    "save_capsule",
]

# 2: data sets come from another generator. 3: settings as one value, evidence as records.
# 4: data sets come from another generator again.
_FILE = Archive(
    "replay capsule", 4, "its seeds have stood for other data since: replay it with the version "
    "that wrote it, or run the trial again"
)  # fmt: skip
_LARGEST = 1 << 26  # bytes of one array; of larger ones only the hash is stored
_LONGEST_NAME = 100  # characters of a trainer's name in a file's
# What a replay may be told to do: more is a forgery, and no operating system takes it.
_MOST_RUNS = 10**7


class CapsuleError(InputError):
    """A capsule whose content is invalid."""


@dataclass(frozen=True)
class Capsule:
    """One failure, and everything that is needed to repeat it.

    **Arguments**

    - `claim`: its id.
    - `claim_set`: version of the set of claims, after the title of a pack.
    - `trainer`: `"module:attribute"`, or None for an object of the process.
    - `settings`, `ledger`: of the run.
    - `case`: the configuration, as `encode_case` writes it, and its `repr`.
    - `turn`: number of the example among all of the claim's, from 0.
    - `seeds`: random states of the trainers made for this example.
    - `calls`: method, options, memory form (which earlier capsules lack) and array hashes of the
      calls on which the decision rests.
    - `verdict`: the recorded one.
    - `environment`: versions, thread pools, platform, pass; and `sources`, the SHA-256 of the
      trainer's files by module, and `claims`, of a pack's files by name, which earlier capsules
      lack.
    """

    claim: str
    claim_set: str
    trainer: str | None
    settings: TrialSettings
    ledger: Ledger
    turn: int
    case: Json
    seeds: list[int | None]
    calls: list[Json]
    verdict: Verdict
    environment: Json

    @property
    def message(self) -> str:
        """Of the recorded verdict."""
        return self.verdict.message

    @property
    def finding(self) -> str:
        """What the trainer did wrong, without the circumstances."""
        return self.verdict.evidence.finding or self.message

    @property
    def sources(self) -> dict[str, str]:
        """SHA-256 of the trainer's files, by module; empty: not recorded."""
        return dict(self.environment.get("sources", {}))

    @property
    def combinations(self) -> set[TriedCombination]:
        """Activation, loss and dtype of the recorded calls."""
        found: set[TriedCombination] = set()
        for call in self.calls:
            weights = call["arrays"].get("W", call["arrays"].get("W0"))
            if weights is not None and "loss" in call["options"]:
                options = call["options"]
                found.add((str(options.get("activation")), str(options["loss"]), weights["dtype"]))
        return found


# -- writing -----------------------------------------------------------------------------------


def capsule_folder(path: str | Path) -> Path:
    """The folder for capsules, created if missing.

    **Raises** `InputError` if that fails, or if no file can be written there.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise InputError(
            f"capsules={str(path)!r}: expected a folder ({reason_of(error)})"
        ) from None
    check_place("capsules", folder / "capsule.npz")
    return folder


def capsule_name(trainer: str, claim: str, profile: str, seed: int) -> str:
    """A file name for a failure: `my_package.Trainer--trajectory--quick-0.npz`."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", ".", trainer).strip(".")
    if len(name) > _LONGEST_NAME:  # file systems allow 255 bytes in all
        name = f"{name[:_LONGEST_NAME]}.{hashlib.sha256(trainer.encode()).hexdigest()[:8]}"
    return f"{name}--{claim}--{profile}-{seed}.npz"


def save_capsule(
    path: str | Path,
    verdict: Verdict,
    trial: Trial,
    *,
    trainer: str | None,
    settings: TrialSettings,
) -> None:
    """Write the capsule of a failure.

    **Arguments**

    - `verdict`, `trial`: of the failure; the trial has a record of calls.
    - `trainer`, `settings`: as in `Capsule`.

    **Raises** `InputError` where it cannot be written.
    """
    assert trial.record is not None
    arrays: dict[str, NumpyArray] = {}
    calls = [_call_record(call, arrays) for call in trial.record.calls]
    case = trial.case
    value = None if case is None else encode_case(case)
    if case is not None and value is None:
        raise InputError(
            f"the configuration {repr(case)[:200]} cannot be written down: expected a dataclass of "
            "numbers, texts and tuples of these"
        )
    description = {
        "claim": verdict.id,
        "claim_set": settings.claim_set.label,
        "trainer": trainer,
        # The claim is named above; the run's others need not exist where this is read.
        "settings": dataclasses.replace(
            settings, claims=(), expression=None, expected_failures={}
        ).to_json(),
        "ledger": dataclasses.asdict(trial.ledger),
        "turn": trial.turn,
        # A failure after the last example belongs to no single one.
        "case": {"repr": repr(case), "value": value},
        "seeds": trial.record.seeds,
        "calls": calls,
        "verdict": verdict.to_json(),
        "environment": environment()
        | {"sources": _sources(trial.record), "claims": claim_hashes(settings)},
    }
    try:
        _FILE.write(path, description, arrays)
    except OutputError as error:  # a verdict must survive it, as it does a wrong path
        raise InputError(str(error)) from None


def claim_hashes(settings: TrialSettings) -> dict[str, str]:
    """SHA-256 of a pack's files, by name; mimverify's own claims have a version."""
    return {} if settings.pack is None else settings.claim_set.hashes()


def _sources(record: RecordedTrainer) -> dict[str, str]:
    try:
        return record.source_hashes()
    except MimverifyError:  # its process cannot be started again
        return {}


def _call_record(call: Call, stored: dict[str, NumpyArray]) -> Json:
    """The call with hashes for arrays; those up to `_LARGEST` bytes are added to `stored`."""

    def entry(array: NumpyArray) -> Json:
        name = array_hash(array)
        if array.nbytes <= _LARGEST:
            stored[name] = array
        return {"sha256": name, "shape": list(array.shape), "dtype": array.dtype.name}

    return {
        "method": call.method,
        "options": jsonable(dict(call.options)),
        "form": call.form,
        "arrays": {key: entry(array) for key, array in call.arrays.items()},
        "result": None if call.result is None else entry(call.result),
    }


def array_hash(array: NumpyArray) -> str:
    """SHA-256 of dtype, shape and entries."""
    total = hashlib.sha256(f"{array.dtype.str}:{array.shape}:".encode())
    total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def environment() -> Json:
    """Versions, thread pools, platform and pass of this process."""
    versions = software_versions("numpy", "scipy", "hypothesis", if_imported=BACKEND_MODULES)
    pools = [
        {key: pool.get(key) for key in ("user_api", "internal_api", "version", "num_threads")}
        for pool in threadpool_info()
    ]
    return {
        "versions": versions,
        "thread_pools": pools,
        "platform": platform.platform(),
        "pass": pass_in_use()[0],
    }


# -- configurations ----------------------------------------------------------------------------


def encode_case(case: object) -> Json | None:
    """A configuration as JSON values; None for one of unknown form."""
    try:
        return {"plain": _encode(case)}
    except TypeError:
        return None


def _encode(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        items = {item.name: _encode(getattr(value, item.name)) for item in fields(value)}
        return {"class": type(value).__name__, "fields": items}
    if type(value) is tuple:
        return {"tuple": [_encode(item) for item in value]}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"got {type(value).__name__}")


def decode_case(case: Json, claim: Claim) -> object:
    """The configuration that a capsule's `case` records.

    Classes are looked up by name among the dataclasses of `mimverify.trial.claims.cases` and of the
    claim's own module, or those that it has from its own package; nothing is evaluated.

    **Raises** `CapsuleError` if it cannot be rebuilt exactly.
    """
    try:
        text, value = case["repr"], case["value"]
        if value is None:
            raise ValueError("no configuration, or one of no known form")
        rebuilt = _decode(value["plain"], _case_classes(claim))
        shown = repr(rebuilt)
    except Exception as error:  # the classes may be the user's, and check what they are given
        raise CapsuleError(f"case={brief(case)}: cannot be rebuilt ({brief(error)})") from None
    if shown != text:
        raise CapsuleError(f"case: rebuilt as {shown}, recorded as {text}")
    return rebuilt


def _case_classes(claim: Claim) -> dict[str, type]:
    """Classes defined in these two modules: a file must not construct what they import.

    The modules of a pack are one.
    """
    own = sys.modules.get(claim.procedure.__module__, cases)

    def defined_in(value: type, module: ModuleType) -> bool:
        pack = module is own and own is not cases and value.__module__.partition(".")[0]
        return value.__module__ == module.__name__ or pack == module.__name__.partition(".")[0]

    return {
        name: value
        for module in (cases, own)
        for name, value in vars(module).items()
        if isinstance(value, type) and is_dataclass(value) and defined_in(value, module)
    }


def _decode(value: object, classes: dict[str, type]) -> object:
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise TypeError("got a list")
        return value
    if "tuple" in value:
        return tuple(_decode(item, classes) for item in value["tuple"])
    name = value["class"]
    if name not in classes:
        raise ValueError(f"no class {name!r} among {sorted(classes)}")
    items = {key: _decode(item, classes) for key, item in value["fields"].items()}
    rebuilt = classes[name](**items)
    check_field_types(rebuilt)
    return rebuilt


# -- reading -----------------------------------------------------------------------------------


def load_capsule(path: str | Path) -> tuple[Capsule, dict[str, NumpyArray]]:
    """The capsule and its arrays by hash.

    **Raises** `InputError`, naming the path and the reason, for a file that cannot be read, is
    not a capsule, was truncated or changed, or comes from a later version.
    """
    description, arrays = _FILE.read(path)
    try:
        content = {item.name: description[item.name] for item in fields(Capsule)}
        _check(content)
        content["settings"] = TrialSettings.from_json(content["settings"])
        content["ledger"] = Ledger(**content["ledger"])
        content["verdict"] = Verdict.from_json(content["verdict"])
        capsule = Capsule(**content)
        check_field_types(capsule)
        _check_ranges(capsule)
        capsule.verdict.to_json()  # its records derive what they show
        for name, array in arrays.items():
            if array_hash(array) != name:
                raise ValueError(f"an array that is not {name}")
        return capsule, arrays
    except PackError as error:  # its claims are gone
        raise InputError(f"{path}: {error}") from None
    except _INVALID as error:
        raise InputError(f"{path}: not a valid {_FILE.noun} ({brief(error)})") from None


# What rebuilding from other values than were written raises.
_INVALID = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)


def _check(content: Json) -> None:
    """The parts that stay JSON. **Raises** `LookupError`, `TypeError` or `ValueError`."""
    case, environment = content["case"], content["environment"]
    _expect("case", case, dict)
    _expect("case.repr", case["repr"], str)
    _expect("case.value", case["value"], (dict, type(None)))
    for seed in _expect("seeds", content["seeds"], list):
        if seed is not None and type(seed) is not int:
            raise TypeError(f"seeds: {brief(seed)}")
    for call in _expect("calls", content["calls"], list):
        _expect("call", call, dict)
        _expect("call.method", call["method"], str)
        _expect("call.options", call["options"], dict)
        _expect("call.form", call.get("form", PLAIN), str)  # earlier capsules have none
        _expect("call.arrays", call["arrays"], dict)
        results = [] if call["result"] is None else [call["result"]]
        for entry in (*call["arrays"].values(), *results):
            _expect("array", entry, dict)
            _expect("array.sha256", entry["sha256"], str)
            _expect("array.dtype", entry["dtype"], str)
            if any(type(k) is not int or k < 0 for k in _expect("shape", entry["shape"], list)):
                raise TypeError(f"shape: {brief(entry['shape'])}")
    _expect("environment", environment, dict)
    for name in ("platform", "pass"):
        _expect(f"environment.{name}", environment.get(name), (str, type(None)))
    for version in _expect("versions", environment.get("versions", {}), dict).values():
        _expect("version", version, (str, type(None)))
    for name in ("sources", "claims"):
        for digest in _expect(name, environment.get(name, {}), dict).values():
            _expect(name, digest, str)
    for pool in _expect("thread_pools", environment.get("thread_pools", []), list):
        _expect("thread pool", pool, dict)


def _expect(name: str, value: Any, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{name}: {brief(value)}")
    return value


def _check_ranges(capsule: Capsule) -> None:
    settings, ledger = capsule.settings, capsule.ledger
    if capsule.turn < 0 or not 0 < ledger.level <= ledger.budget < 1:
        raise ValueError(f"turn={brief(capsule.turn)}, {brief(ledger)}")
    if settings.call_seconds > SECONDS_LIMIT:  # of the profile; the settings check themselves
        raise ValueError(f"call_seconds={settings.call_seconds}")
    if max(settings.profile.maximum_runs, settings.profile.null_samples) > _MOST_RUNS:
        raise ValueError(f"{brief(settings.profile)}")


def same_arrays(recorded: Sequence[Json], calls: Sequence[Call]) -> bool:
    """Whether these calls got exactly the arrays of the capsule's calls, in the same forms."""

    def given(call: Json) -> tuple[str, dict[str, str]]:
        hashes = {key: entry["sha256"] for key, entry in call["arrays"].items()}
        return call.get("form", PLAIN), hashes

    return [given(call) for call in recorded] == [
        (call.form, {key: array_hash(array) for key, array in call.arrays.items()})
        for call in calls
    ]
