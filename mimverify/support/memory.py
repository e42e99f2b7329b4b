"""How much memory this process may use, and refusals of what cannot fit."""

from __future__ import annotations

import os

from mimverify.support.errors import InputError


def physical_memory() -> int | None:
    """Bytes of memory that this process can have at most; None where unknown."""
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


def available_memory(device: str, *, on_host: bool = True) -> int | None:
    """Bytes that a run can have at most; None where unknown.

    **Arguments**

    - `device`: a name of Torch's; all but CUDA's have the machine's memory.
    - `on_host`: whether a run on another device fills the machine's memory as well.
    """
    if not device.startswith("cuda"):
        return physical_memory()
    import torch  # not at the top: importing it takes a second

    own = int(torch.cuda.get_device_properties(device).total_memory)
    host = physical_memory() if on_host else None
    return own if host is None else min(own, host)


def bytes_text(count: int) -> str:
    """A number of bytes for messages: three digits and a unit."""
    units = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
    power = min((len(str(count)) - 1) // 3, len(units) - 1)
    return f"{count / 1000**power:.3g} {units[power]}"


def check_fits(
    needed: int, what: str, device: str = "cpu", *, on_host: bool = False, advice: str = ""
) -> None:
    """Refuse what needs more memory than there is; nothing where that is unknown.

    **Arguments**

    - `needed`: bytes.
    - `what`: what needs them, for the message; `advice` ends it.
    - `device`, `on_host`: as for `available_memory`.

    **Raises** `InputError` with the number of bytes.
    """
    available = available_memory(device, on_host=on_host)
    if available is not None and needed > available:
        raise InputError(
            f"{what}: needs about {bytes_text(needed)} of memory, this machine has "
            f"{bytes_text(available)}{advice}"
        )
