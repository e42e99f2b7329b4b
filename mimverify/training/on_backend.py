"""The reference trainer on each backend as a function: `mimverify.NAME_trainer`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from mimverify.backends import BACKENDS, backend_class
from mimverify.support.errors import InputError
from mimverify.training import trainer as defined
from mimverify.training.trainer import LayerwiseTrainer

__all__ = ["trainer_named", "trainer_on"]

_SUFFIX = "_trainer"


def trainer_on(backend: str) -> Callable[..., LayerwiseTrainer]:
    """A function that makes the reference trainer on a backend, `mimverify.torch_trainer` say.

    Its parameters are those of `LayerwiseTrainer`, but the backend.

    **Raises** `InputError` for an unknown backend; the function does where the library of the
    backend is not installed.
    """
    kind = backend_class(backend)
    name = f"{kind.name}{_SUFFIX}"
    written: Callable[..., LayerwiseTrainer] | None = getattr(defined, name, None)
    if written is not None:
        return written

    def make(**params: Any) -> LayerwiseTrainer:
        missing = kind.missing()
        if missing is not None:
            raise InputError(f"backend={kind.name!r}: {missing}")
        # Now, which may take seconds: a trial limits the time of each later call.
        for module in kind.modules:
            import_module(module)
        return LayerwiseTrainer(backend=kind.name, **params)

    # As if it were written there, for pickling and messages.
    make.__name__ = make.__qualname__ = name
    make.__module__ = "mimverify"
    make.__doc__ = f"The reference trainer on {kind.title}; `params` as for `LayerwiseTrainer`."
    return make


def trainer_named(name: str) -> Callable[..., LayerwiseTrainer] | None:
    """The function of that name, `"torch_trainer"`; None if it is no backend's."""
    backend = name.removesuffix(_SUFFIX)
    return trainer_on(backend) if name.endswith(_SUFFIX) and backend in BACKENDS else None
