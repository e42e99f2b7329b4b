"""Backends by name."""

from __future__ import annotations

from mimverify.backends.base import Backend
from mimverify.backends.numpy_backend import NumpyBackend
from mimverify.backends.torch_backend import TorchBackend
from mimverify.support.validation import choice

__all__ = ["BACKENDS", "get_backend"]

_KINDS: dict[str, type[Backend]] = {"numpy": NumpyBackend, "torch": TorchBackend}

BACKENDS = tuple(_KINDS)


def get_backend(name: str, dtype: str, device: str = "cpu") -> Backend:
    """The backend of that name.

    **Raises** `InputError` for an unknown backend or dtype, or a device that it cannot use.
    """
    return _KINDS[choice("backend", name, BACKENDS)](dtype, device)
