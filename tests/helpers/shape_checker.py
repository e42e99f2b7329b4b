"""Checks the shapes that annotations state, `Float[Array, "n d"]`, at every call under test.

An import hook decorates all functions of mimverify that have such annotations, with jaxtyping's
checks by beartype. Other annotations are left alone: many tests hand over wrong types on purpose,
to see them refused by the library's own checks.

A check takes a tenth of a millisecond, longer than many of the functions, and its outcome depends
on types, shapes and dtypes alone: what has passed with the same ones is not checked again.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

import jaxtyping
from beartype.door import die_if_unbearable

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
    where = f"{function.__module__}.{function.__qualname__}"
    CHECKED.add(where)
    signature = inspect.signature(function)
    form_of_call = _form_of_call(signature, shapes)
    passed: set[Hashable] = set()

    def check(values: dict[str, Any]) -> None:
        """All in one context: a dimension has one size in it."""
        with jaxtyping.jaxtyped("context"):
            for name, value in _named(signature, values):
                if name in shapes:
                    what = f"{where}: {name}: {function.__annotations__[name]} "
                    die_if_unbearable(value, shapes[name], exception_prefix=what)

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        called = form_of_call(args, kwargs)
        if called not in passed:
            check(_bound(signature, args, kwargs))
            passed.add(called)
        result = function(*args, **kwargs)
        if "return" in shapes and (returned := (called, _form(result))) not in passed:
            check(_bound(signature, args, kwargs) | {"return": result})
            passed.add(returned)
        return result

    return checked


def _form(value: Any) -> Hashable:
    """All of a value that a check looks at."""
    if isinstance(shape := getattr(value, "shape", None), tuple):
        return type(value), shape, getattr(value, "dtype", None)
    if isinstance(value, tuple | list):
        return type(value), *map(_form, value)
    if isinstance(value, dict):
        return type(value), *((key, _form(each)) for key, each in value.items())
    return (type(value),)


def _form_of_call(
    signature: inspect.Signature, shapes: dict[str, Any]
) -> Callable[[tuple[Any, ...], dict[str, Any]], Hashable]:
    """Gives the form of those arguments that have shapes."""
    kinds = [(name in shapes, each.kind) for name, each in signature.parameters.items()]
    places = [k for k, (shaped, _) in enumerate(kinds) if shaped]
    all_further = (True, inspect.Parameter.VAR_POSITIONAL) in kinds
    all_named = (True, inspect.Parameter.VAR_KEYWORD) in kinds

    def form(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
        by_place = args if all_further else [args[k] for k in places if k < len(args)]
        by_name = [(n, _form(value)) for n, value in kwargs.items() if all_named or n in shapes]
        return (*map(_form, by_place), *by_name)

    return form


def _bound(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    try:
        return signature.bind(*args, **kwargs).arguments
    except TypeError:
        return {}  # the call itself says what is wrong with it


def _named(signature: inspect.Signature, values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values; those of `*args` and `**kwargs` one by one."""
    for name, value in values.items():
        kind = signature.parameters[name].kind if name in signature.parameters else None
        if kind is inspect.Parameter.VAR_POSITIONAL:
            yield from ((name, each) for each in value)
        elif kind is inspect.Parameter.VAR_KEYWORD:
            yield from ((name, each) for each in value.values())
        else:
            yield name, value


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
