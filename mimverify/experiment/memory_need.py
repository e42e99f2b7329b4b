"""The memory of a run, told before it starts. All figures are estimates, good to some 20 %."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mimverify.support.errors import InputError
from mimverify.support.memory import bytes_text

# What takes less of the whole is left out of the announcement.
_SHARE_TOLD = 0.02


@dataclass(frozen=True)
class Part:
    """One thing that takes memory: `what` it is, its `size` in bytes, `detail` in words."""

    what: str
    size: int
    detail: str = ""

    def __str__(self) -> str:
        text = f"{self.what} {bytes_text(self.size)}"
        return f"{text}: {self.detail}" if self.detail else text


@dataclass(frozen=True)
class MemoryNeed:
    """What is in memory at a run's peak, in each of its processes."""

    parts: tuple[Part, ...]

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(part.size for part in self.parts)

    @classmethod
    def largest(cls, needs: Iterable[MemoryNeed]) -> MemoryNeed:
        """The peak of phases that follow one another."""
        return max(needs, key=lambda need: need.total)

    def plus(self, *parts: Part) -> MemoryNeed:
        """With more that is held at the same time."""
        return MemoryNeed((*self.parts, *parts))

    def __str__(self) -> str:
        """The total, and what it is made of, the largest part first."""
        told = [part for part in self.parts if part.size >= _SHARE_TOLD * self.total]
        told.sort(key=lambda part: -part.size)
        return f"{bytes_text(self.total)} ({'; '.join(map(str, told))})"


def check_memory(
    need: MemoryNeed, available: int | None, sizes: str, *, processes: int = 1, advice: str = ""
) -> None:
    """Refuse what cannot fit. **Raises** `InputError` naming `sizes` and the figures.

    **Arguments**

    - `need`: of one process; `processes` of them share the machine.
    - `available`: bytes, None where that is not told: nothing is refused then.
    - `sizes`: the arguments that it comes from.
    - `advice`: what else could be done.
    """
    needed = processes * need.total
    if available is not None and needed > available:
        raise InputError(
            f"{sizes}: needs about {bytes_text(needed)} of memory, this machine has "
            f"{bytes_text(available)}{advice}"
        )


def announcement(need: MemoryNeed, available: int | None, *, processes: int = 1) -> str:
    """One line, such as `memory: 3.1 GB (bases 2.2 GB: …) of 23 GB`. Arguments as above."""
    each = f", in each of {processes} processes" if processes > 1 else ""
    limit = "" if available is None else f" of {bytes_text(available)}"
    return f"memory: {need}{each}{limit}"
