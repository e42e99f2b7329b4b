"""Kinds of trials that tests of sweeps run: cheap, and some of them fail, die or take long."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

VERSION = 1


def square(parameters: dict[str, Any]) -> dict[str, Any]:
    """x²; writes a line to the file `log` for every time that it runs."""
    if log := parameters.get("log"):
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"{parameters['x']} {parameters['seed']} {os.getpid()}\n")
    time.sleep(parameters.get("seconds", 0))
    return {"square": parameters["x"] ** 2, "process": os.getpid()}


def fails(parameters: dict[str, Any]) -> dict[str, Any]:
    """Fails for x = 2 unless the file `mended` is there."""
    if parameters["x"] == 2 and not Path(parameters.get("mended", "/none")).exists():
        raise ValueError("no twos")
    return {"square": parameters["x"] ** 2}


def dies(parameters: dict[str, Any]) -> dict[str, Any]:
    """Takes its process with it for x = 2."""
    if parameters["x"] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"square": parameters["x"] ** 2}


def crossing(parameters: dict[str, Any]) -> dict[str, Any]:
    """Crosses 0 at n = 10 · a, with a scatter that depends on the seed."""
    return {"value": parameters["n"] - 10 * parameters.get("a", 1) + (-1) ** parameters["seed"]}


def returns_none(parameters: dict[str, Any]) -> Any:
    """Returns what is no record."""
    return None


def multiplies(parameters: dict[str, Any]) -> dict[str, Any]:
    """Minutes of products of large matrices, outside Python; makes a file `busy-PROCESS` first."""
    import numpy as np

    A = np.ones((3000, 3000))
    Path(f"busy-{os.getpid()}").touch()
    end = time.monotonic() + 120
    while time.monotonic() < end:
        A @ A
    return {}
