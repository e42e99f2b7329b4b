"""Requests to a child process and its answers, as docs/protocol.md specifies them, version 1."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mimverify.handles.framing import decode, encode
from mimverify.handles.methods import OPERATION_COUNTS, SIGNATURES
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import InputError, TrainerError
from mimverify.support.importing import visible
from mimverify.support.strict_json import Json, brief

__all__ = [
    "FIRST_LAYER_REQUEST",
    "LONGEST_HEADER",
    "PROTOCOL",
    "Hello",
    "Request",
    "answer_of",
    "array_of",
    "counts_of",
    "hello_request",
    "method_request",
    "payload_size",
]

PROTOCOL = 1
LONGEST_HEADER = 1 << 16  # bytes of a line
#: The request for the weights that `fit` has trained.
FIRST_LAYER_REQUEST = "first_layer"
_LARGEST = 1 << 34  # bytes of an array whose shape the request does not determine
_DTYPES = ("float32", "float64")
_REQUESTS = (*SIGNATURES, FIRST_LAYER_REQUEST)
_DECLARATIONS = ("activations", "losses", "dtypes")
_HELLO_KEYS = ("answer", "protocol", "methods", *_DECLARATIONS, "random_state", "name")
#: The axes of every array that is sent; and of the one that answers, sizes of the request.
_AXES = {
    "W": ("m", "d"), "W0": ("m", "d"), "a": ("m",), "b": ("m",), "X": ("n", "d"), "y": ("n",)
}  # fmt: skip
_ANSWER_AXES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"step": ("m", "d"), "trajectory": ("steps + 1", "m", "d"), "predict": ("n",)}
)


@dataclass(frozen=True)
class Request:
    """One request.

    **Arguments**

    - `name`: "hello", a method, or `FIRST_LAYER_REQUEST`.
    - `parts`: the header's line and the arrays' bytes, to be sent one behind the other.
    - `shape`: of the array that answers; None: none does, or one of unknown shape.
    """

    name: str
    parts: tuple[bytes | memoryview, ...]
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Hello:
    """What a child answers first: its methods, what it declares, and whether it takes a seed.

    **Arguments**

    - `methods`: those of `SIGNATURES` and `FIRST_LAYER_REQUEST` that it offers.
    - `declared`: activations, losses and dtypes, those that it names.
    - `random_state`: whether `fit` takes a seed.
    """

    methods: frozenset[str]
    declared: Mapping[str, tuple[str, ...]]
    random_state: bool = False

    @classmethod
    def of(cls, header: Json, program: str) -> Hello:
        """**Raises** `TrainerError` of kind `"protocol"` for another version or form."""
        if header.get("protocol") != PROTOCOL:
            raise _refusal(
                f"{program} speaks protocol {brief(header.get('protocol'))}; this mimverify speaks "
                f'{PROTOCOL}: expected "protocol": {PROTOCOL} in the answer to hello'
            )
        for key in header:
            if key not in _HELLO_KEYS:
                raise _refusal(f"hello of {program}: unknown key {_with_hint(key, _HELLO_KEYS)}")
        methods = _names(header, "methods", program)
        for name in methods or ():
            if name not in _REQUESTS:
                raise _refusal(f"hello of {program}: unknown method {_with_hint(name, _REQUESTS)}")
        if not methods:
            raise _refusal(f'hello of {program}: "methods": expected some of {list(_REQUESTS)}')
        declared = {key: _names(header, key, program) for key in _DECLARATIONS}
        for name in declared["dtypes"] or ():
            if name not in _DTYPES:
                raise _refusal(f"hello of {program}: unknown dtype {_with_hint(name, _DTYPES)}")
        random_state = header.get("random_state", False)
        if not isinstance(random_state, bool):
            raise _refusal(f'hello of {program}: "random_state": expected true or false')
        return cls(
            frozenset(methods),
            {key: names for key, names in declared.items() if names is not None},
            random_state,
        )


def hello_request() -> Request:
    """The first request to every child."""
    return Request("hello", (encode({"request": "hello", "protocol": PROTOCOL, "bytes": 0}),))


def method_request(
    method: str, arrays: Mapping[str, NumpyArray], options: Mapping[str, object]
) -> Request:
    """The request that calls a method.

    **Arguments**

    - `method`: a name of `SIGNATURES`, or `FIRST_LAYER_REQUEST`.
    - `arrays`: those of its signature by name, in its order; of one dtype, or all are sent in the
      widest of theirs, in which each number is the same.
    - `options`: numbers and names, sent in their order.

    **Raises** `InputError` for arrays whose axes contradict each other.
    """
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        if len(array.shape) != len(_AXES[name]):
            axes = " ".join(_AXES[name])
            raise InputError(f"{name}: of shape {array.shape}, expected the axes ({axes})")
        for axis, size in zip(_AXES[name], array.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise InputError(f"{name}: of shape {array.shape}, expected {axis}={sizes[axis]}")
    header: Json = {"request": method}
    parts = []
    if arrays:
        given = [array.dtype for array in arrays.values()]
        single = all(dtype == np.float32 for dtype in given)
        header["dtype"] = _DTYPES[0] if single else _DTYPES[1]
        sent = "<f4" if single else "<f8"
        parts = [np.ascontiguousarray(array, dtype=sent) for array in arrays.values()]
    header.update({axis: sizes[axis] for axis in ("n", "m", "d") if axis in sizes})
    header.update(options)
    header["bytes"] = sum(part.nbytes for part in parts)
    sizes["steps + 1"] = _integer(options.get("steps", 0)) + 1
    answer = _ANSWER_AXES.get(method)
    shape = None if answer is None else tuple(sizes[axis] for axis in answer)
    data = tuple(part.data.cast("B") for part in parts if part.nbytes)
    return Request(method, (encode(header), *data), shape)


def answer_of(request: Request, line: bytes, program: str) -> Json:
    """The header that answers a request.

    **Raises** `TrainerError` of kind `"protocol"`: no header, or the answer to something else; of
    kind `"raised"`: an error that the child reports.
    """
    try:
        header = decode(line, "the answer")
    except InputError:
        raise _refusal(
            f"{program} answered {_shown(line)} to {request.name}: expected a line of JSON. "
            "Whatever it prints besides answers belongs on standard error"
        ) from None
    if "error" in header:
        text = header["error"] if isinstance(header["error"], str) else brief(header["error"])
        raise TrainerError("raised", f"{request.name}: {program} reports: {visible(text[:500])}")
    if header.get("answer") != request.name:
        raise _refusal(
            f"{program} answered {brief(header)} to {request.name}: expected "
            f'"answer": "{request.name}", or "error"'
        )
    return header


def payload_size(request: Request, header: Json, program: str) -> int:
    """Bytes that follow a header; nothing is read of an array that was not asked for.

    **Raises** `TrainerError` of kind `"shape"`, `"dtype"` or `"protocol"`.
    """
    expects_array = request.shape is not None or request.name == FIRST_LAYER_REQUEST
    if not expects_array:
        if "shape" in header or "dtype" in header:
            raise _refusal(f"{program} answered {request.name} with an array: expected none")
        return 0
    shape, dtype = header.get("shape"), header.get("dtype")
    if dtype not in _DTYPES:
        message = f"{request.name}: {program} answered with dtype {brief(dtype)}"
        raise TrainerError("dtype", f"{message}, expected one of {', '.join(_DTYPES)}")
    sizes = shape if isinstance(shape, list) else [-1]
    if not all(isinstance(k, int) and not isinstance(k, bool) and k >= 0 for k in sizes):
        raise _refusal(f'{program} answered {request.name} with "shape": {brief(shape)}')
    if request.shape is not None and tuple(sizes) != request.shape:
        message = f"{request.name}: {program} returned an array of shape {tuple(sizes)}"
        raise TrainerError("shape", f"{message}, expected {request.shape}")
    if request.shape is None and len(sizes) != 2:
        message = f"{request.name}: {program} returned an array of shape {tuple(sizes)}"
        raise TrainerError("shape", f"{message}, expected two axes")
    nbytes = math.prod(sizes) * np.dtype(dtype).itemsize
    if nbytes > _LARGEST:
        message = f"{request.name}: {program} returned an array of shape {tuple(sizes)}"
        raise TrainerError("shape", f"{message}, expected at most {_LARGEST} bytes")
    return nbytes


def array_of(header: Json, payload: bytes | bytearray) -> NumpyArray:
    """The array behind a header that `payload_size` has accepted, in native byte order."""
    dtype = np.dtype(header["dtype"])
    raw = np.frombuffer(payload, dtype=dtype.newbyteorder("<"))
    return raw.astype(dtype, copy=False).reshape(header["shape"])


def counts_of(header: Json) -> dict[str, object]:
    """The counts of an answer to `operation_counts`, whatever they are."""
    return {name: header.get(name) for name in OPERATION_COUNTS}


def _names(header: Json, key: str, program: str) -> tuple[str, ...] | None:
    value = header.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(
        isinstance(name, str) and name and name.isprintable() for name in value
    ):
        raise _refusal(f'hello of {program}: "{key}": {brief(value)}: expected a list of names')
    return tuple(value)


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise InputError(f"steps={value!r}: expected an integer >= 0")
    return int(value)


def _with_hint(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{brief(name)}, expected some of {', '.join(known)}{hint}"


def _shown(line: bytes) -> str:
    return brief(line[:200].decode(errors="backslashreplace").rstrip("\n"))


def _refusal(message: str) -> TrainerError:
    return TrainerError("protocol", message)
