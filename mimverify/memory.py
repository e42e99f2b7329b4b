"""How much memory this process may use, and refusals of what cannot fit."""

from __future__ import annotations

import os

from mimverify.errors import InputError


def physical_memory() -> int | None:
    """Bytes of memory that this process can have at most; None where that is not told."""
    try:
        limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):  # not a POSIX system
        return None
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limits.append(int(file.read()))
    except (OSError, ValueError):  # not in a container, or one without a limit ("max")
        pass
    return min(limits)


def bytes_text(count: int) -> str:
    """A number of bytes for people: three digits and a unit."""
    units = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
    power = min((len(str(count)) - 1) // 3, len(units) - 1)
    return f"{count / 1000**power:.3g} {units[power]}"


def check_fits(needed: int, what: str) -> None:
    """Refuse what needs more memory than there is, with the figures. Raises `InputError`."""
    available = physical_memory()
    if available is not None and needed > available:
        raise InputError(
            f"{what}: needs about {bytes_text(needed)} of memory, this machine has "
            f"{bytes_text(available)}"
        )
