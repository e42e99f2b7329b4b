"""Packages whose names are imported when they are used.

A package that gathers its modules' names would import all of them for the sake of one. Its
`__init__.py` keeps those imports under `if TYPE_CHECKING:`, where type checkers and editors look,
and has them done one at a time:

    if TYPE_CHECKING:
        from package.module import name

    __getattr__, __dir__ = lazy_names(__name__, __file__)

No name may be that of a module of the package: importing the module, by whomever, would put it in
the name's place.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any

__all__ = ["lazy_names"]


def lazy_names(package: str, file: str) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package, from its own imports for type checkers.

    **Arguments**

    - `file`: its `__init__`. Where that is no file with source, as in an archive or an
      installation of byte code alone, the package's loader has the source or the code.
    """
    if file.endswith(".py") and Path(file).is_file():
        defined_in = dict(_imported(ast.parse(Path(file).read_bytes())))
    else:
        defined_in = _from_loader(package)

    def get(name: str) -> object:
        if name not in defined_in:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = defined_in[name]
        value = getattr(import_module(module), original)
        setattr(sys.modules[package], name, value)  # found at once from now on
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *defined_in})

    return get, names


def _from_loader(package: str) -> dict[str, tuple[str, str]]:
    spec = sys.modules[package].__spec__
    loader: Any = None if spec is None else spec.loader
    source = loader.get_source(package) if hasattr(loader, "get_source") else None
    if source is not None:
        return dict(_imported(ast.parse(source)))
    code = loader.get_code(package) if hasattr(loader, "get_code") else None
    return {} if code is None else dict(_imported_by(code, package))


def _imported(tree: ast.Module) -> Iterator[tuple[str, tuple[str, str]]]:
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for line in node.body:
                if isinstance(line, ast.ImportFrom) and line.module and not line.level:
                    for alias in line.names:
                        yield alias.asname or alias.name, (line.module, alias.name)


def _imported_by(code: CodeType, package: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """From byte code, all names that come from the package: `from module import original` is
    IMPORT_NAME, and for each name IMPORT_FROM and STORE_NAME."""
    import dis  # takes some milliseconds, which others need not spend

    module = original = ""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            module = instruction.argval
        elif instruction.opname == "IMPORT_FROM":
            original = instruction.argval
        elif instruction.opname == "STORE_NAME" and original:
            if f"{module}.".startswith(f"{package.partition('.')[0]}."):
                yield instruction.argval, (module, original)
            original = ""
