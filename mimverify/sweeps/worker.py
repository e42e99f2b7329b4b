"""What runs in a worker process: one trial, to a record of strict JSON."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import threading
import time
import traceback
from collections.abc import Mapping
from functools import lru_cache
from multiprocessing import connection, parent_process

from mimverify.backends import BACKEND_MODULES
from mimverify.native import pass_in_use
from mimverify.problems.streams import DATA_DEFINITION
from mimverify.support.errors import InputError
from mimverify.support.importing import summarise
from mimverify.support.memory import physical_memory
from mimverify.support.strict_json import Json, brief, jsonable, parse_json
from mimverify.support.threads import available_cores, single_threaded_libraries
from mimverify.support.versions import software_versions
from mimverify.sweeps.trial_kind import get_trial_kind

__all__ = ["begin", "run_trial"]

_LONGEST = 20_000  # characters of a traceback that are kept: its end


def run_trial(kind: str, version: str, parameters: str) -> str:
    """The record of one trial, as JSON: status, result or error, seconds, environment.

    The trial has one thread: there are as many workers as cores. Whatever it raises is its error.

    **Arguments**

    - `parameters`: a JSON text, the kind's own spelling of them all.
    """
    started = time.perf_counter()
    record: Json
    try:
        found = get_trial_kind(kind)
        if found.version != version:
            raise InputError(
                f"kind={kind!r}: this worker has version {found.version}, expected {version}: "
                "restart the workers with the coordinator's code"
            )
        with single_threaded_libraries():
            started = time.perf_counter()
            result = found.run(parse_json(parameters.encode(), "parameters of a trial"))
        seconds = time.perf_counter() - started
        if not isinstance(result, Mapping):
            raise TypeError(f"kind={kind!r} returned {brief(result)}: expected names with values")
        record = {"status": "done", "result": jsonable(dict(result)), "seconds": seconds}
    except (Exception, SystemExit) as error:
        record = {
            "status": "failed",
            "error": error_record(error),
            "seconds": time.perf_counter() - started,
        }
    record["environment"] = environment_record()
    return json.dumps(record, allow_nan=False)


def error_record(error: BaseException) -> Json:
    """An exception as it is stored: type, message, traceback."""
    text = "".join(traceback.format_exception(error))[-_LONGEST:]
    return {
        "type": type(error).__name__,
        "message": summarise(error).partition(": ")[2],
        "traceback": jsonable(text),
    }


def environment_record() -> Json:
    """Where a trial ran: host, machine, pass, definition of data, versions of libraries."""
    versions = software_versions(if_imported=("numpy", "scipy", *BACKEND_MODULES))
    return {
        **_machine(),
        "pass": pass_in_use()[0],
        "data_definition": DATA_DEFINITION,
        "versions": versions,
    }


@lru_cache(maxsize=1)
def _machine() -> Json:
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": available_cores(),
        "memory": physical_memory(),
    }


def begin() -> None:
    """Make this process a worker: it leaves Ctrl-C to the coordinator, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)  # also from the middle of a long call of BLAS

    threading.Thread(target=watch, name="coordinator's end", daemon=True).start()
