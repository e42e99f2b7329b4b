"""Names of modules and packages that a verb is to write."""

from __future__ import annotations

import keyword
from importlib.util import find_spec

from mimverify.support.errors import InputError
from mimverify.support.importing import needed_by

__all__ = ["check_new_name"]


def check_new_name(name: str, kind: str, example: str) -> None:
    """**Raises** `InputError` for what is no name, or the name of another module.

    **Arguments**

    - `kind`: of what it is to name, `"package"` or `"module"`.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InputError(f"NAME={name!r}: expected the name of a Python {kind}, as {example}")
    needed = needed_by(name)
    if needed:
        raise InputError(f"NAME={name!r}: {needed} itself needs a module of that name")
    try:
        installed = find_spec(name) is not None
    except (ImportError, ValueError):
        installed = True
    if installed:
        raise InputError(f"NAME={name!r}: a module of that name is installed; it would hide it")
