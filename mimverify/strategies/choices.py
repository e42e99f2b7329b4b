"""One of several options, drawn from booleans.

Hypothesis mixes constants that it finds in the source code of local modules into integers,
floats and text, and would draw other configurations from an installed wheel than from a
checkout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

from mimverify.support.errors import InputError

__all__ = ["choices"]

T = TypeVar("T")

# Beyond what the number of options needs, so that the remainder is nearly uniform.
_SPARE_BITS = 6


def choices(options: Sequence[T]) -> st.SearchStrategy[T]:
    """One of `options`, shrinking to the first; the same in every installation.

    **Raises** `InputError` where there is none.
    """
    options = tuple(options)
    if not options:
        raise InputError("options=(): expected at least one")
    bits = max(1, (len(options) - 1).bit_length()) + _SPARE_BITS

    def pick(flags: tuple[bool, ...]) -> T:
        return options[sum(flag << place for place, flag in enumerate(flags)) % len(options)]

    return st.tuples(*[st.booleans()] * bits).map(pick)
