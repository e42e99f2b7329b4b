"""Calling a trainer, so that neither side can modify the other's arrays."""

from __future__ import annotations

import operator
import os
import reprlib
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.handles.capabilities import name_of
from mimverify.handles.memory_forms import PLAIN, lay_out
from mimverify.handles.memory_watch import MemoryWatch
from mimverify.handles.methods import OPERATION_COUNTS, SIGNATURES, Arrays, Options
from mimverify.handles.own_methods import Method, Signatures
from mimverify.handles.tracebacks import trainer_error
from mimverify.support.arrays import ArrayLike, NumpyArray
from mimverify.support.errors import InputError, TrainerError
from mimverify.support.importing import summarise, visible

__all__ = ["call", "check_call"]


def check_call(
    method: str, arrays: Arrays, options: Options, signatures: Signatures = SIGNATURES
) -> tuple[int, ...] | None:
    """The shape that the result of a call must have; None for one that returns nothing, as `fit`.

    **Raises** `InputError` where the arrays or options are not those of the method.
    """
    signature = signatures.get(method)
    if signature is None:
        raise InputError(f"method={method!r}: expected one of {list(signatures)}")
    if arrays.keys() != set(signature.arrays):
        raise InputError(f"arrays={sorted(arrays)}: {method}() takes {list(signature.arrays)}")
    if options.keys() != set(signature.options):
        raise InputError(f"options={sorted(options)}: {method}() takes {list(signature.options)}")
    if isinstance(signature, Method):
        return signature.shape(arrays, options)
    if method == "fit":
        return None
    if method == "predict":
        return (len(arrays["X"]),)
    if method == "step":
        return tuple(arrays["W"].shape)
    if method == "operation_counts":
        return (len(OPERATION_COUNTS),)
    return (int(options["steps"]) + 1, *arrays["W0"].shape)


def call(
    trainer: object,
    method: str,
    arrays: Arrays,
    options: Options,
    signatures: Signatures = SIGNATURES,
    *,
    form: str = PLAIN,
    watch: MemoryWatch | None = None,
) -> NumpyArray | None:
    """Call one method of a trainer and check what it returns.

    **Arguments**

    - `trainer`: an object that `new_trainer` returned.
    - `method`: one of `signatures` that it offers.
    - `arrays`: the arrays of the signature by name. The trainer receives copies.
    - `options`: the options of the signature by name; NumPy scalars are passed as Python ones.
    - `signatures`: how methods are called.
    - `form`: of `MEMORY_FORMS`, in which the copies lie in memory.
    - `watch`: told of the call, for what it changes beside.

    **Returns**

    A new C-contiguous array, float32 where the trainer returned float32, float16 or
    bfloat16 and float64 otherwise: `(n,)` for `predict` (`(n, 1)` is accepted), `(m, d)`
    for `step`, `(steps + 1, m, d)` for `trajectory`; None for `fit`. For `operation_counts` the
    integers `OPERATION_COUNTS`, int64.

    **Raises** `TrainerError`, of kind `"raised"`: any exception, `SystemExit` included but not
    `KeyboardInterrupt`; `"dtype"`: not an array of real numbers, or not counts; `"shape"`; or
    `"non-finite"`, naming the first bad entry, or masked ones. `InputError`: the call does not fit
    the signature, or the trainer does not offer the method.
    """
    expected = check_call(method, arrays, options, signatures)
    function = getattr(trainer, method, None)
    if not callable(function):
        raise InputError(f"method={method!r}: {name_of(trainer)} does not offer it")
    given = lay_out({name: arrays[name] for name in signatures[method].arrays}, form)
    keywords = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in options.items()
    }
    if watch is not None:
        watch.handed(method, given)
    process = os.getpid()
    try:
        value = function(*given.values(), **keywords)
    except TrainerError:  # of a process, which says what went wrong with it
        raise
    except (Exception, SystemExit) as error:
        message = f"{method}() raised {summarise(error)}"
        raise trainer_error("raised", message, error) from error
    finally:
        if os.getpid() != process:  # a child that the trainer forked came back from the method
            os._exit(0)  # its caller waits in the parent, and shares memory with this process
    with np.errstate(all="ignore"):  # the trainer may have set it to raise
        if method == "operation_counts":
            if watch is not None:
                watch.returned()
            return _checked_counts(method, value)
        if expected is None:
            if watch is not None:
                watch.returned()
            return None
        read = partial(_checked, method, value, expected, signatures[method].axes)
        result = read()
        if watch is not None:
            watch.returned(_real_array(method, value), read)
        return result


def _checked_counts(method: str, value: Any) -> NumpyArray:  # Any: whatever was returned
    counts = []
    for name in OPERATION_COUNTS:
        try:
            count = value[name]
        except Exception as error:  # not a dictionary, or one without the key
            message = (
                f"{method}() returned {_shown(value)}, expected a dictionary with "
                f"{' and '.join(OPERATION_COUNTS)}"
            )
            raise TrainerError("dtype", message) from error
        try:
            integer = -1 if isinstance(count, (bool, np.bool_)) else operator.index(count)
        except Exception:  # a float, which may hold a rounded count or NaN
            integer = -1
        if not 0 <= integer < 2**63:
            message = f"{method}() returned {name}={_shown(count)}, expected 0 <= integer < 2**63"
            raise TrainerError("dtype", message)
        counts.append(integer)
    return np.array(counts, dtype=np.int64)


def _shown(value: object) -> str:
    """`value` on one short line, whatever it is."""
    return visible(" ".join(reprlib.repr(value).split()))


def _checked(
    method: str, value: object, expected: tuple[int, ...], axes: tuple[str, ...]
) -> NumpyArray:
    allowed = (expected, (*expected, 1)) if method == "predict" else (expected,)

    def check_shape(shape: tuple[int, ...]) -> None:  # before a copy, which may not fit in memory
        if shape not in allowed:
            message = f"{method}() returned an array of shape {shape}, expected {expected}"
            raise TrainerError("shape", message)

    if _is_tensor(value):  # converting one may copy it
        check_shape(tuple(getattr(value, "shape", ())))
    given = _real_array(method, value)
    check_shape(given.shape)
    narrow = given.dtype.name == "bfloat16" or (given.dtype.kind == "f" and given.itemsize <= 4)
    array = np.array(given, dtype=np.float32 if narrow else np.float64, order="C").reshape(expected)
    finite = np.isfinite(array)
    if not finite.all():
        raise TrainerError("non-finite", _first_not_finite(method, axes, array, finite))
    return array


def _first_not_finite(
    method: str, axes: tuple[str, ...], array: NumpyArray, finite: NDArray[np.bool_]
) -> str:
    index = np.unravel_index(int(np.argmin(finite)), array.shape)
    place = ", ".join(f"{axis} {i}" for axis, i in zip(axes, index, strict=True))
    count = f"{np.count_nonzero(~finite)} of {array.size} values are not finite"
    return f"{method}() returned {array[index]} at {place} ({count})"


def _real_array(method: str, value: object) -> NumpyArray:
    """What a trainer returned as an array of real numbers, perhaps its own memory."""
    masked = _masked_entries(value)
    if masked:
        message = f"{method}() returned a masked array with {masked} masked entries"
        raise TrainerError("non-finite", f"{message}, expected numbers")
    try:
        array = np.asarray(_on_host(value))
    except Exception as error:  # ragged lists, tensors on another device, sparse tensors
        message = f"{method}() returned {type(value).__name__}, no array: {summarise(error)}"
        raise trainer_error("dtype", message, error) from error
    dtype = array.dtype
    if dtype.kind not in "fiu" and dtype.name != "bfloat16":
        given = type(value).__name__ if dtype.kind == "O" else f"an array of dtype {dtype}"
        raise TrainerError("dtype", f"{method}() returned {given}, expected real numbers")
    return array


def _masked_entries(value: object) -> int:
    """Masked entries of an array, or of lists of such; NumPy would take what is behind the mask."""
    if isinstance(value, (list, tuple)):
        nested = (list, tuple, np.ma.MaskedArray)
        return sum(_masked_entries(item) for item in value if isinstance(item, nested))
    return int(np.count_nonzero(np.ma.getmask(value))) if np.ma.isMaskedArray(value) else 0


def _on_host(value: ArrayLike) -> ArrayLike:
    """Tensors detached from their graph, in main memory; lists of tensors likewise."""
    if isinstance(value, (list, tuple)):
        return [_on_host(item) for item in value] if _holds_tensors(value) else value
    for name in ("detach", "cpu"):
        method = getattr(value, name, None)
        if callable(method):
            value = method()
    if str(getattr(value, "dtype", "")) == "torch.bfloat16":  # NumPy has no such type
        value = value.float()
    return value


def _holds_tensors(values: Iterable[object]) -> bool:
    return any(map(_is_tensor, values))


def _is_tensor(value: object) -> bool:
    return callable(getattr(value, "detach", None))
