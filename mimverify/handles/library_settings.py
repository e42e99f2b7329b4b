"""Settings of libraries that hold for a whole process, and that a trainer may change.

They are its own: in the process of the suite, the reference's results would change with them.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["SETTINGS", "Setting", "apply_settings", "read_settings"]


@dataclass(frozen=True)
class Setting:
    """One setting.

    **Arguments**

    - `library`: the module without which there is none; it is not imported for this.
    - `read`, `write`: called with that module.
    - `default`: its value once the library is imported.
    """

    library: str
    read: Callable[[Any], Any]
    write: Callable[[Any, Any], object]
    default: Any = None


def _read_deterministic(torch: Any) -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _write_deterministic(torch: Any, value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _read_precision(torch: Any) -> str:
    try:
        return str(torch.get_float32_matmul_precision())
    except RuntimeError:  # it was set for one device alone, which has no one name
        return "highest"


def _write_device(torch: Any, value: str) -> None:
    torch.set_default_device(None if value == "cpu" else value)  # None: without a device's mode


def _write_filters(_: Any, filters: Sequence[tuple[object, ...]]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    with warnings.catch_warnings():  # forgets which warnings were shown
        pass


#: By name. Each is written only where it differs: some writes take longer than a small step.
SETTINGS: dict[str, Setting] = {
    "filters of warnings": Setting("warnings", lambda _: list(warnings.filters), _write_filters),
    "NumPy's error state": Setting("numpy", lambda _: np.geterr(), lambda _, v: np.seterr(**v)),
    "Torch's default dtype": Setting(
        "torch",
        lambda torch: str(torch.get_default_dtype()).removeprefix("torch."),
        lambda torch, value: torch.set_default_dtype(getattr(torch, value)),
        "float32",
    ),
    "Torch's gradients": Setting(
        "torch",
        lambda torch: torch.is_grad_enabled(),
        lambda torch, value: torch.set_grad_enabled(value),
        True,
    ),
    "Torch's default device": Setting(
        "torch", lambda torch: str(torch.get_default_device()), _write_device, "cpu"
    ),
    "Torch's deterministic algorithms": Setting(
        "torch", _read_deterministic, _write_deterministic, (False, False)
    ),
    "Torch's precision of float32 products": Setting(
        "torch",
        _read_precision,
        lambda torch, value: torch.set_float32_matmul_precision(value),
        "highest",
    ),
}


def read_settings() -> dict[str, Any]:
    """The values by name; the library's own where it is not imported yet."""
    values = {}
    for name, setting in SETTINGS.items():
        library = sys.modules.get(setting.library)
        values[name] = setting.default if library is None else setting.read(library)
    return values


def apply_settings(values: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Set what differs from the values `now`."""
    for name, value in values.items():
        library = sys.modules.get(SETTINGS[name].library)
        if value != now[name] and library is not None:
            SETTINGS[name].write(library, value)
