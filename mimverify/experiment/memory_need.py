"""The memory of a run, estimated before it starts, to some 20 %."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mimverify.support.memory import bytes_text

# Items below this fraction of the total are not announced.
_SMALLEST_FRACTION = 0.02


@dataclass(frozen=True)
class MemoryItem:
    """One item of a memory estimate: `what` it is, its `size` in bytes, `detail` in words."""

    what: str
    size: int
    detail: str = ""

    def __str__(self) -> str:
        text = f"{self.what} {bytes_text(self.size)}"
        return f"{text}: {self.detail}" if self.detail else text


@dataclass(frozen=True)
class MemoryNeed:
    """The memory of a run at its peak, in each of its processes."""

    items: tuple[MemoryItem, ...]

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(item.size for item in self.items)

    @classmethod
    def largest(cls, needs: Iterable[MemoryNeed]) -> MemoryNeed:
        """The peak of phases that follow one another."""
        return max(needs, key=lambda need: need.total)

    def plus(self, *items: MemoryItem) -> MemoryNeed:
        """With further items that are in memory at the same time."""
        return MemoryNeed((*self.items, *items))

    def __str__(self) -> str:
        """The total and its items, the largest first."""
        listed = [item for item in self.items if item.size >= _SMALLEST_FRACTION * self.total]
        listed.sort(key=lambda item: -item.size)
        return f"{bytes_text(self.total)} ({'; '.join(map(str, listed))})"


def announcement(need: MemoryNeed, available: int | None, *, processes: int = 1) -> str:
    """One line, such as `memory: 3.1 GB (bases 2.2 GB: …) of 23 GB`.

    `available`: bytes, None where unknown; `processes` of them share the machine.
    """
    each = f", in each of {processes} processes" if processes > 1 else ""
    limit = "" if available is None else f" of {bytes_text(available)}"
    return f"memory: {need}{each}{limit}"
