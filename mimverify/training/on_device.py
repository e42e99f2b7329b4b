"""The Torch reference trainer on a named device: `mimverify.training.on_device:cuda`.

A trainer under trial is named by module and attribute, and made without arguments in a process of
its own. The attributes here are devices, with `_` for the colon before a card's number.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mimverify.backends import get_backend
from mimverify.support.errors import InputError
from mimverify.training.trainer import LayerwiseTrainer

__all__ = ["check_device_name", "spec_on_device"]

_DEVICE = re.compile(r"[a-z]+(:\d{1,3})?")


def check_device_name(device: str) -> str:
    """The name, if it has the form of a Torch device. **Raises** `InputError`."""
    if not _DEVICE.fullmatch(device):
        raise InputError(f"device={device!r}: expected a Torch device: cpu, cuda, cuda:1, …")
    return device


def spec_on_device(device: str) -> str:
    """The specification `module:attribute` of the trainer there. **Raises** as above."""
    return f"{__name__}:{check_device_name(device).replace(':', '_')}"


def __getattr__(name: str) -> Callable[[], LayerwiseTrainer]:
    device = name.replace("_", ":")
    if not _DEVICE.fullmatch(device):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def trainer() -> LayerwiseTrainer:
        get_backend("torch", "float32", device)  # refused now rather than at every claim
        return LayerwiseTrainer(backend="torch", device=device)

    return trainer
