"""Laws of inputs by their specifications."""

from __future__ import annotations

import importlib
import inspect
from functools import lru_cache

from mimverify.problems.inputs import laws
from mimverify.problems.inputs.base import InputLaw
from mimverify.problems.inputs.matrix_rows import MatrixRows
from mimverify.problems.inputs.own import import_law
from mimverify.support.errors import InputError
from mimverify.support.package_files import names_of_modules
from mimverify.support.validation import canonical, choice

__all__ = ["get_inputs", "input_names"]

_ROWS = "rows"


def input_names() -> tuple[str, ...]:
    """The names of the laws: of the files in `laws`, and of rows of a matrix."""
    return (*(name.replace("_", "-") for name in names_of_modules(laws)), _ROWS)


def get_inputs(inputs: InputLaw | str) -> InputLaw:
    """The law that a specification names; an `InputLaw` is returned as it is.

    **Arguments**

    - `inputs`: an `InputLaw`, a name with optional parameters after a colon (`"gaussian"`,
      `"student-t:5"`, `"student-t:df=5"`, `"ar:0.6"`), `"rows:FILE.npy"` for rows of a matrix in
      a file, or `"module:attribute"` for a law of one's own.

    **Raises** `InputError` for an unknown name, wrong parameters, a matrix that cannot be used, or
    a module or attribute that cannot be imported.
    """
    if isinstance(inputs, InputLaw):
        return inputs
    if not isinstance(inputs, str):
        raise InputError(
            f"inputs={inputs!r}: expected an InputLaw or a name; rows of a matrix are MatrixRows(X)"
        )
    head, _, parameters = inputs.partition(":")
    known = {canonical(name): name for name in input_names()}
    name = known.get(canonical(head))
    if name == _ROWS:
        return MatrixRows.read(parameters)
    if name is not None:
        return _build(name, parameters)
    try:
        choice("inputs", head, known.values())  # raises, with the nearest name
    except InputError as error:
        if not parameters:
            raise
        unknown = str(error)
    try:
        return import_law(inputs)
    except InputError as error:
        raise InputError(f"{unknown}, or 'module:attribute' ({error})") from None


@lru_cache(maxsize=128)
def _build(name: str, parameters: str) -> InputLaw:
    # One object for one specification, as for links.
    module = importlib.import_module(f"{laws.__name__}.{name.replace('-', '_')}")
    law = getattr(module, "Law", None)
    if not isinstance(law, type) or not issubclass(law, InputLaw):
        raise ImportError(f"{module.__name__}: expected a class Law, an InputLaw named {name!r}")
    accepted = list(inspect.signature(law).parameters)
    positional: list[float] = []
    named: dict[str, float] = {}
    for part in filter(None, parameters.split(",")):
        key, equals, text = part.rpartition("=")
        try:
            value = float(text)
        except ValueError:
            raise InputError(f"inputs {name}: parameter {part!r}: expected a number") from None
        if equals:
            named[key.strip()] = value
        else:
            positional.append(value)
    # A name that is not known, one that is given twice, or more numbers than there are names.
    free = accepted[len(positional) :]
    if len(positional) > len(accepted) or not set(named) <= set(free):
        takes = ", ".join(f"{key}=…" for key in accepted)
        raise InputError(f"inputs {name}:{parameters}: takes {takes or 'no parameters'}")
    built = law(*positional, **named)
    if built.name.partition(":")[0] != name:  # records would know it by that name
        raise ImportError(f"{module.__name__}: name={built.name!r}: expected {name!r}")
    return built
