"""Checks the shapes that annotations state, `Float[Array, "n d"]`, at every call under test.

An import hook decorates all functions of mimverify that have such annotations, with jaxtyping's
checks by beartype. Other annotations are left alone: many tests hand over wrong types on purpose,
to see them refused by the library's own checks.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

import jaxtyping
from beartype import beartype

__all__ = ["CHECKED", "install"]

_SHAPED = re.compile(
    r"\b(Bool|Complex|Complex128|Float|Float32|Float64|Int|Int64|Num|Real|Shaped|UInt64)\["
)
_NAMES = {name: getattr(jaxtyping, name) for name in _SHAPED.pattern[3:-3].split("|")}
#: Qualified names of the functions that were decorated so far.
CHECKED: set[str] = set()


def shape_checked(function: Any) -> Any:
    """The function with the shapes in its annotations checked."""
    scope = function.__globals__ | _NAMES
    shapes = {
        name: eval(text, scope)
        for name, text in function.__annotations__.items()
        if isinstance(text, str) and _SHAPED.search(text)
    }
    if not shapes:
        return function
    kept, function.__annotations__ = function.__annotations__, shapes
    checked = jaxtyping.jaxtyped(typechecker=beartype)(function)
    checked.__annotations__ = kept
    CHECKED.add(f"{function.__module__}.{function.__qualname__}")
    return checked


class _Decorates(ast.NodeTransformer):
    """Puts the decorator innermost, where it meets the function itself."""

    def _visit(self, node: Any) -> Any:
        self.generic_visit(node)
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        written = [a.annotation for a in arguments if a.annotation is not None]
        written += [node.returns] if node.returns is not None else []
        if any(_SHAPED.search(ast.unparse(annotation)) for annotation in written):
            name = ast.Name("__shape_checked__", ast.Load())
            node.decorator_list.append(ast.copy_location(name, node))
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _visit  # noqa: N815 - ast's names


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew: what lies in the cache is undecorated."""
        path = self.get_filename(fullname)
        tree = ast.fix_missing_locations(_Decorates().visit(ast.parse(self.get_data(path))))
        code: CodeType = compile(tree, path, "exec", dont_inherit=True)
        return code

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__shape_checked__"] = shape_checked
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.partition(".")[0] != "mimverify":
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def install() -> None:
    """Check what is imported from now on."""
    assert "mimverify" not in sys.modules, "imported before it could be checked"
    sys.meta_path.insert(0, _Finder())
