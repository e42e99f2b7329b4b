"""A cache that leaves out what cannot be a key.

Laws and analyses are cached by link and loss. A link is a name and a function, so that a
user's function that changes what it computes must be wrapped in a new `Link`; for one that
cannot be hashed nothing is cached.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def cached(maxsize: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Like `functools.lru_cache`, and a plain call for arguments without a hash."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        lookup = lru_cache(maxsize=maxsize)(function)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                hash((args, tuple(kwargs.values())))
            except TypeError:
                return function(*args, **kwargs)
            return lookup(*args, **kwargs)  # type: ignore[arg-type]

        return call

    return decorate
