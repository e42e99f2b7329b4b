"""Special functions under one name, whichever library an array is of."""

from __future__ import annotations

from mimverify.backends.registry import special_functions
from mimverify.support.arrays import Array

__all__ = ["special"]


def special(name: str, z: Array) -> Array:
    """A function that the backends' libraries have under one name, apart from the array API."""
    return getattr(special_functions(z), name)(z)
