"""The machine and the processes of a run: processor, versions, threads."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from threadpoolctl import threadpool_info

from mimverify.support.memory import physical_memory
from mimverify.support.strict_json import Json
from mimverify.support.threads import available_cores, current_threads
from mimverify.support.versions import software_versions


def machine_facts() -> Json:
    """Processor, cores, memory, system and this package's version."""
    return {
        "cpu": cpu_name(),
        "cores": available_cores(),
        "memory": physical_memory(),
        "load": _load(),
        "system": platform.platform(),
        "mimverify": software_versions()["mimverify"],
    }


def process_facts(modules: Sequence[str]) -> Json:
    """Versions of Python, NumPy, SciPy and `modules`; this process's thread pools."""
    versions = software_versions("numpy", "scipy", *modules)
    del versions["mimverify"]  # the same in every process: `machine_facts` has it
    pools = [
        {key: pool.get(key) for key in ("internal_api", "version", "num_threads")}
        for pool in threadpool_info()
    ]
    return {"versions": versions, "threads": current_threads(), "pools": pools}


def cpu_name() -> str:
    """The processor as the system names it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    return value.strip()
    except OSError:  # not on this system
        pass
    return platform.processor() or platform.machine() or "unknown"


def _load() -> float | None:
    """The load average of the last minute; None where the system does not report it."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
