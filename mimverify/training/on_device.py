"""The reference trainer on a device that is named: `mimverify.training.on_device:torch_on_cuda`.

A trainer under trial is named by module and attribute, and made without arguments in a process of
its own. The attributes here are a backend and a device of it, with `_` for the colon before a
card's number.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mimverify.backends import BACKENDS_WITH_DEVICES, backend_class, get_backend
from mimverify.support.errors import InputError
from mimverify.training.trainer import LayerwiseTrainer

__all__ = ["check_device_name", "spec_on_device"]

_DEVICE = re.compile(r"[a-z]+(:\d{1,3})?")
_BETWEEN = "_on_"


def check_device_name(device: str) -> str:
    """The name, if it has the form of a device. **Raises** `InputError`."""
    if not _DEVICE.fullmatch(device):
        titles = " or ".join(backend_class(name).title for name in BACKENDS_WITH_DEVICES)
        raise InputError(f"device={device!r}: expected a {titles} device: cpu, cuda, cuda:1, …")
    return device


def spec_on_device(backend: str, device: str) -> str:
    """The specification `module:attribute` of the trainer there. **Raises** as above."""
    name = check_device_name(device).replace(":", "_")
    return f"{__name__}:{backend}{_BETWEEN}{name}"


def __getattr__(name: str) -> Callable[[], LayerwiseTrainer]:
    backend, _, device = name.partition(_BETWEEN)
    device = device.replace("_", ":")
    if backend not in BACKENDS_WITH_DEVICES or not _DEVICE.fullmatch(device):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def trainer() -> LayerwiseTrainer:
        get_backend(backend, "float32", device)  # refused now rather than at every claim
        return LayerwiseTrainer(backend=backend, device=device)

    return trainer
