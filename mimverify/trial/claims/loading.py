"""Packs of claims: found by file and loaded from their location.

A pack is a module. The folder in which its topmost package lies need not be on `sys.path`, and does
not get there: that one package is found in it, and nothing else that lies beside it.
"""

from __future__ import annotations

import importlib
import keyword
import os
import traceback
from collections.abc import Mapping
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from mimverify.support.errors import InputError
from mimverify.support.importing import (
    find_in_folder,
    find_on_pythonpath,
    needed_by,
    search_path,
    summarise,
)
from mimverify.trial.claims.claim import Claim
from mimverify.trial.claims.claim_set import ClaimSet, Pack, PackOrigin, built_in_claims

__all__ = [
    "ENTRY_POINTS",
    "PackError",
    "load_claim_set",
    "load_module",
    "locate_again",
    "locate_pack",
]

#: The group of entry points by which an installed package offers its claims.
ENTRY_POINTS = "mimverify.claims"


class PackError(InputError):
    """A pack of claims that cannot be found or loaded."""


def locate_pack(spec: str | os.PathLike[str]) -> PackOrigin:
    """Where the pack is that `spec` names; nothing is imported.

    **Arguments**

    - `spec`: the path of a file that ends in `.py`; or the name of an entry point of the group
      `mimverify.claims`; or a module, which is that of the current folder where there is one, and
      else an installed one.

    **Raises** `PackError` for anything else, for a module that is not there, and for one with the
    name of a module that Python or mimverify needs.
    """
    text = os.fspath(spec)
    if text.endswith(".py") or os.sep in text:
        return _by_path(text)
    offered = {entry.name: entry.value for entry in entry_points(group=ENTRY_POINTS)}
    module = offered.get(text, text).strip()
    if not _is_dotted_name(module):
        known = f"; installed are {', '.join(sorted(offered))}" if offered else ""
        raise PackError(
            f"pack={text!r}: expected a module, as in 'my_theorem.claims', a file that ends in "
            f".py, or the name of an entry point of the group {ENTRY_POINTS!r}{known}"
        )
    top = module.partition(".")[0]
    _refuse_needed(text, top)
    return PackOrigin(text, module, _folder_of(text, top))


def locate_again(origin: PackOrigin) -> PackOrigin:
    """Where a pack is now that was at `origin`: if no longer there, where its name leads from here.

    A capsule may come from another machine. A pack that is nowhere stays where it was: loading it
    says so.
    """
    if _is_file(PathFinder.find_spec(origin.package, [origin.folder])):
        return origin
    try:
        found = locate_pack(origin.name)
    except PackError:
        return origin
    return found if found.module == origin.module else origin


def _by_path(text: str) -> PackOrigin:
    path = Path(text)
    if not path.is_file() or path.suffix != ".py":
        raise PackError(f"pack={text!r}: there is no such file; expected one that ends in .py")
    path = path.resolve()
    names, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        names, folder = [folder.name, *names], folder.parent
    if names[-1] == "__init__" and len(names) > 1:
        names.pop()
    if not _is_dotted_name(".".join(names)):
        raise PackError(
            f"pack={text!r}: its module would be {'.'.join(names)!r}, which Python cannot import; "
            "rename it"
        )
    _refuse_needed(text, names[0])
    return PackOrigin(text, ".".join(names), str(folder))


def _is_dotted_name(name: str) -> bool:
    parts = name.split(".")
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)


def _refuse_needed(text: str, top: str) -> None:
    needed = needed_by(top)
    if needed:
        raise PackError(
            f"pack={text!r}: {top!r} is the name of a module that {needed} itself needs; rename "
            "the pack"
        )


def _folder_of(text: str, top: str) -> str:
    importlib.invalidate_caches()
    here = [os.getcwd()] if os.path.isdir(".") else []
    found = PathFinder.find_spec(top, here)
    bare = found is not None and found.origin is None
    if not _is_file(found):
        try:
            found = find_spec(top)
        except (ImportError, ValueError):  # a loaded module without a record of its origin
            found = None
    if not _is_file(found):
        found = PathFinder.find_spec(top, search_path())
    if found is None or found.origin is None or not _is_file(found):
        hint = f": the folder {top!r} has no __init__.py, which a package needs" if bare else ""
        raise PackError(
            f"pack={text!r}: there is no module {top!r} in the current folder or among the "
            f"installed ones{hint}"
        )
    place = Path(os.path.abspath(found.origin)).parent
    return str(place.parent if found.submodule_search_locations is not None else place)


def _is_file(found: ModuleSpec | None) -> bool:
    return found is not None and found.has_location and os.path.isfile(found.origin or "")


@cache
def load_claim_set(origin: PackOrigin | None = None) -> ClaimSet:
    """The claims of a pack; mimverify's own for None. A pack is imported once in a process.

    **Raises** `PackError`: the module raises, or is no pack: without claims, with two of one id,
    without a `Pack` or with several, or with capabilities of one name that differ.
    """
    if origin is None:
        return built_in_claims()
    module = load_module(origin, origin.module)
    where = f"pack={origin.name!r}"
    values = list({id(value): value for value in vars(module).values()}.values())
    records = [value for value in values if isinstance(value, Claim)]
    about = [value for value in values if isinstance(value, Pack)]
    if not records:
        raise PackError(f"{where}: {origin.module!r} has no claims; expected functions with @claim")
    if len(about) != 1:
        raise PackError(
            f"{where}: {origin.module!r} has {len(about)} records of itself; expected one, "
            "PACK = Pack(title=…, source=…, version=…)"
        )
    claims: dict[str, Claim] = {}
    for record in records:
        if record.id in claims:
            raise PackError(f"{where}: two claims have the id {record.id!r}")
        claims[record.id] = record
    _check_capabilities(where, claims)
    for name in about[0].justified:
        if name not in claims:
            raise PackError(f"{where}: justified={name!r}: there is no such claim")
    file = getattr(module, "__file__", None)
    if file is None:
        raise PackError(f"{where}: {origin.module!r} has no file")
    return ClaimSet(about[0], claims, {Path(file).resolve(): records}, origin)


def _check_capabilities(where: str, claims: Mapping[str, Claim]) -> None:
    named: dict[str, object] = {}
    methods: dict[str, object] = {}
    for claim in claims.values():
        if claim.own is None:
            continue
        if named.setdefault(claim.own.name, claim.own) != claim.own:
            raise PackError(f"{where}: two capabilities have the name {claim.own.name!r}")
        for name, method in claim.own.methods.items():
            if methods.setdefault(name, method) != method:
                raise PackError(f"{where}: two capabilities describe the method {name!r} otherwise")


def load_module(origin: PackOrigin, name: str) -> ModuleType:
    """A module of the pack, or one that it names, imported.

    **Raises** `PackError` where it is not there or raises.
    """
    where = f"pack={origin.name!r}"
    try:
        find_in_folder(origin.package, origin.folder)
        find_on_pythonpath()
    except InputError as error:
        raise PackError(f"{where}: {error}") from None
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing and (name == missing or name.startswith(f"{missing}.")):
            raise PackError(
                f"{where}: there is no module {name!r} in {origin.folder!r} or among the "
                "installed ones"
            ) from None
        place = _place_of(error, origin)
        what = f"the module {missing!r}, which cannot be found" if missing else summarise(error)
        raise PackError(f"{where}: {name!r} needs {what}{place}") from error
    except (Exception, SystemExit) as error:
        place = _place_of(error, origin)
        raise PackError(f"{where}: importing {name!r} raised {summarise(error)}{place}") from error


def _place_of(error: BaseException, origin: PackOrigin) -> str:
    """Where in the pack it was raised: ` (demo/claims.py:12)`."""
    package = os.path.join(origin.folder, origin.package)
    places = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename.startswith(package)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno))
    if not places:
        return ""
    file, line = places[-1]
    return f" ({os.path.relpath(file, origin.folder)}:{line})"
