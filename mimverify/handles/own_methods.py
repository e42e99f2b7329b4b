"""Methods of trainers beyond `SIGNATURES`: those that a pack of claims brings with it.

A claim of another theorem may need what no claim of mimverify's does: two steps with a rate each,
say. It then describes the method, and a trainer that has it is asked for it like for any other.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from mimverify.handles.methods import SIGNATURES, Arrays, Options, Signature
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json

__all__ = ["Capability", "Method", "Signatures", "methods_from_json", "with_own"]

_SIZE = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<more>[+-]\d+)?|(?P<number>\d+)")


@dataclass(frozen=True)
class Method:
    """How a method of a trainer is called, and the shape of what it returns.

        Method({"W": "m d", "X": "n d", "y": "n"}, options=("rates",), returns="m d")

    **Arguments**

    - `arrays`: those it takes, by position in this order, each with the names of its axes. Axes of
      one name have one size.
    - `options`: what it takes by keyword: numbers, names, lists of them.
    - `returns`: the axes of the array that it returns: each the name of one of the arrays' axes or
      of an option that is an integer, with `+1` or `-1` or so behind it, or a number. None: it
      returns nothing.

    **Raises** `InputError` for a name that is not one, or an axis of unknown size.
    """

    arrays: Mapping[str, str] = field(hash=False)
    options: tuple[str, ...] = ()
    returns: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.arrays, Mapping):
            raise InputError(f"arrays={self.arrays!r}: expected names with axes, as {{'X': 'n d'}}")
        object.__setattr__(self, "arrays", MappingProxyType(dict(self.arrays)))
        options = (self.options,) if isinstance(self.options, str) else tuple(self.options)
        object.__setattr__(self, "options", options)
        for name in (*self.arrays, *options):
            _check_name("argument", name)
        if len({*self.arrays, *options}) < len(self.arrays) + len(options):
            raise InputError(f"options={options}: one of them is also an array, or listed twice")
        known = set(options)
        for name, axes in self.arrays.items():
            if not isinstance(axes, str) or not all(map(str.isidentifier, axes.split())):
                raise InputError(f"arrays={{{name!r}: {axes!r}}}: expected names of axes, as 'n d'")
            known |= set(axes.split())
        for size in self.axes:
            read = _SIZE.fullmatch(size)
            if read is None or (read["name"] and read["name"] not in known):
                raise InputError(
                    f"returns={self.returns!r}: {size!r} is no axis of the arrays, option or number"
                )

    def __reduce__(self) -> tuple[type[Method], tuple[object, ...]]:
        return Method, (dict(self.arrays), self.options, self.returns)

    @property
    def axes(self) -> tuple[str, ...]:
        """What the indices of the result count, axis by axis; for messages."""
        return () if self.returns is None else tuple(self.returns.split())

    def shape(self, arrays: Arrays, options: Options) -> tuple[int, ...] | None:
        """The shape that the result has for these arguments; None: there is none.

        **Raises** `InputError` for arrays of other axes, or sizes that contradict each other.
        """
        sizes: dict[str, int] = {}
        for name, axes in self.arrays.items():
            names, shape = axes.split(), arrays[name].shape
            if len(names) != len(shape):
                raise InputError(f"{name}: of shape {shape}, expected the axes ({axes})")
            for axis, size in zip(names, shape, strict=True):
                if sizes.setdefault(axis, size) != size:
                    raise InputError(
                        f"{name}: of shape {shape}, expected {axis}={sizes[axis]} in ({axes})"
                    )
        if self.returns is None:
            return None
        return tuple(self._size(one, sizes, options) for one in self.axes)

    def _size(self, text: str, sizes: Mapping[str, int], options: Options) -> int:
        read = _SIZE.fullmatch(text)
        assert read is not None
        if read["number"]:
            return int(read["number"])
        size = sizes.get(read["name"], options.get(read["name"]))
        try:
            return int(size) + int(read["more"] or 0)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise InputError(
                f"{read['name']}={size!r}: expected an integer, the size of an axis"
            ) from None

    def to_json(self) -> Json:
        """A dictionary of JSON values; `methods_from_json` reads several."""
        return {
            "arrays": dict(self.arrays), "options": list(self.options), "returns": self.returns
        }  # fmt: skip


#: How the methods of a trainer are called, by name.
Signatures: TypeAlias = Mapping[str, Signature | Method]


@dataclass(frozen=True)
class Capability:
    """What a claim can need of a trainer beyond the capabilities that mimverify knows.

    **Arguments**

    - `name`: a few words, for tables and messages.
    - `methods`: those that a trainer has to offer, by name.

    **Raises** `InputError` for no name, no method, or a method that mimverify itself calls.
    """

    name: str
    methods: Mapping[str, Method] = field(hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable():
            raise InputError(f"name={self.name!r}: expected a few words")
        if not isinstance(self.methods, Mapping) or not self.methods:
            raise InputError(f"methods={self.methods!r}: expected names with a Method each")
        for name, method in self.methods.items():
            _check_name("method", name)
            if name in SIGNATURES:
                raise InputError(f"methods={name!r}: mimverify calls it already, in its own way")
            if name.startswith("_"):
                raise InputError(f"methods={name!r}: expected a public name")
            if not isinstance(method, Method):
                raise InputError(f"methods={{{name!r}: {method!r}}}: expected a Method")
        object.__setattr__(self, "methods", MappingProxyType(dict(self.methods)))

    def __reduce__(self) -> tuple[type[Capability], tuple[object, ...]]:
        return Capability, (self.name, dict(self.methods))

    @property
    def text(self) -> str:
        """Its methods, as messages name them."""
        return " and ".join(f"{name}()" for name in self.methods)


def with_own(methods: Mapping[str, Method] | None) -> Signatures:
    """`SIGNATURES` and these."""
    return {**SIGNATURES, **(methods or {})}


def methods_from_json(record: Mapping[str, Json]) -> dict[str, Method]:
    """Methods by name, from what `Method.to_json` made of each."""
    return {
        name: Method(item["arrays"], tuple(item["options"]), item["returns"])
        for name, item in record.items()
    }


def _check_name(kind: str, name: object) -> None:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise InputError(f"{kind}={name!r}: expected a name that Python can use")
