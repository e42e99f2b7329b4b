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


def by_name(found: Iterable[tuple[str, _Record]]) -> dict[str, _Record]:
    """Records by name, in their order.

    **Arguments**

    - `found`: each with the name of the module that it was found in, for messages.

    **Raises** `ImportError` for two names that `choice` could not tell apart: two files define one
    thing.
    """
    records: dict[str, _Record] = {}
    first: dict[str, str] = {}
    for module, record in found:
        others = first.setdefault(canonical(record.name), f"{record.name!r} in {module}")
        if record.name in records or others != f"{record.name!r} in {module}":
            raise ImportError(
                f"{module}: {record.name!r} is defined already ({others}): expected a name of its "
                "own"
            )
        records[record.name] = record
    return records
