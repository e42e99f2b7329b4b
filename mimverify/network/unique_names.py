"""Records by their names, of which no two may be spellings of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from mimverify.support.validation import canonical

__all__ = ["by_name"]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Record = TypeVar("_Record", bound=_Named)


def by_name(records: Iterable[_Record]) -> dict[str, _Record]:
    """The records by name, in their order.

    **Raises** `ValueError` for two names that `choice` could not tell apart: two files define one
    thing.
    """
    found: dict[str, _Record] = {}
    spelt: dict[str, str] = {}
    for record in records:
        other = spelt.setdefault(canonical(record.name), record.name)
        if record.name in found or other != record.name:
            raise ValueError(
                f"{record.name!r} is defined twice (the other is {other!r}): expected a name that "
                "no other file of its package uses"
            )
        found[record.name] = record
    return found
