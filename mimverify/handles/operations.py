"""What is done with a trainer's object beyond calling its methods: `OPERATIONS`.

They run in the trainer's process and need nothing of the trainer. A copy takes the trainer's place:
later calls go to it. Nothing that is pickled is stored or leaves the process.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from mimverify.handles.calling import call
from mimverify.handles.capabilities import name_of
from mimverify.handles.own_methods import Method
from mimverify.handles.tracebacks import trainer_error
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import TrainerError
from mimverify.support.importing import summarise

__all__ = ["COPIES", "FIRST_LAYER", "OPERATIONS", "REFILL", "label", "operate"]

#: Ways to copy a trainer.
COPIES = ("copy.deepcopy", "pickle.loads")
#: From now on the arguments of a method's calls are the same arrays with other contents, where
#: shape and dtype are those of an earlier call: as in a loop that fills one buffer anew.
REFILL = "arguments in place"
#: Reads the attribute `first_layer_`, `(m, d)`; None where there is none, or another thing of that
#: name.
FIRST_LAYER = ".first_layer_"
#: Called as a trainer's methods are, without arrays and options; no method has such a name.
OPERATIONS = (*COPIES, REFILL, FIRST_LAYER)

_ATTRIBUTE = FIRST_LAYER.removeprefix(".")
_WEIGHTS = Method({}, options=("m", "d"), returns="m d")


def label(method: str) -> str:
    """What messages call a method, "fit()", or one of `OPERATIONS`, "first_layer_"."""
    return method.removeprefix(".") if method in OPERATIONS else f"{method}()"


def operate(trainer: object, operation: str) -> tuple[object, NumpyArray | None]:
    """Carry out one of `OPERATIONS`.

    **Returns** the trainer that later calls go to, and the result, a new array.

    **Raises** `TrainerError` of kind `"raised"` where the trainer cannot be copied, or its
    attribute not be read; `"non-finite"` where that is an array `(m, d)` with other entries.
    """
    try:
        if operation == REFILL:
            return _Refilling(trainer), None
        if operation == FIRST_LAYER:
            return trainer, _first_layer(trainer)
        if operation == COPIES[0]:
            return copy.deepcopy(trainer), None
        return pickle.loads(pickle.dumps(trainer)), None
    except TrainerError:
        raise
    except (Exception, SystemExit) as error:
        message = f"{label(operation)} of {name_of(trainer)} raised {summarise(error)}"
        raise trainer_error("raised", message, error) from error


def _first_layer(trainer: object) -> NumpyArray | None:
    value = getattr(trainer, _ATTRIBUTE, None)
    if value is None:
        return None
    try:
        m, d = tuple(getattr(value, "shape", ())) or np.shape(value)
    except Exception:  # not two axes, or none at all: a part of a network, ragged lists
        return None
    # Checked as what a method returns is.
    read = SimpleNamespace(**{_ATTRIBUTE: lambda m, d: value})
    try:
        return call(read, _ATTRIBUTE, {}, {"m": m, "d": d}, {_ATTRIBUTE: _WEIGHTS})
    except TrainerError as error:
        if error.kind != "non-finite":  # no real numbers
            return None
        message = str(error).replace(f"{_ATTRIBUTE}() returned", f"{_ATTRIBUTE}:")
        raise TrainerError(error.kind, message) from error


class _Refilling:
    """A trainer whose methods are called with the same arrays again, filled anew."""

    def __init__(self, trainer: object) -> None:
        self._trainer = trainer
        self.__qualname__ = name_of(trainer)  # what messages call it
        self._buffers: dict[tuple[object, ...], NumpyArray] = {}

    def __getattr__(self, name: str) -> Any:  # Any: whatever the trainer has
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._trainer, name)
        return self._refilled(name, value) if callable(value) else value

    def _refilled(self, name: str, method: Callable[..., object]) -> Callable[..., object]:
        def refilled(*arrays: NumpyArray, **options: object) -> object:
            held = [self._buffer((name, k), array) for k, array in enumerate(arrays)]
            return method(*held, **options)

        return refilled

    def _buffer(self, place: tuple[str, int], array: NumpyArray) -> NumpyArray:
        """The array of an earlier call with the contents of this one; this one if it is the
        first."""
        held = self._buffers.setdefault((*place, array.shape, array.dtype.str), array)
        if held is not array:
            np.copyto(held, array)
        return held
