"""The trainer under trial: what it may offer, and how it is called.

A trainer is an interface, not a class to inherit. Whatever methods an object has decide
what can be checked:

- `fit(X, y)` and `predict(X) -> (n,)`;
- `features(X, y, W0, a, b, *, steps, eta, beta, activation, loss) -> (steps + 1, m, d)`;
- `step(W, a, b, X, y, *, eta, beta, activation, loss) -> (m, d)`;
- `operation_counts() -> {"multiply_adds": int, "design_passes": int}`, of the last call of
  `features` or `step`.

with `X: (n, d)`, `y: (n,)`, `W` and `W0: (m, d)`, `a` and `b: (m,)`. NumPy arrays go in;
whatever `np.asarray` takes comes out.

Operations are counted where seconds would not be honest. `multiply_adds` are those of the
textbook products with X, n m d for X Wᵀ and as many for RᵀX, however they are carried out; what
costs n m or m d, a lower order, may be added or left out. `design_passes` says how often the
rows were gone through from first to last: once for each of the two products, or once for both
where each block of rows serves both.

This module finds trainers, makes a fresh one for every example, and calls it so that neither
side can harm the other through an array. It runs in the process of its caller;
`mimverify.handles.isolated` offers the same handle on a process that may hang or crash.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import operator
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mimverify.closing import Closing
from mimverify.errors import InputError, TrainerError
from mimverify.importing import load_attribute, summarise

__all__ = [
    "OPERATION_COUNTS",
    "SIGNATURES",
    "Capabilities",
    "InProcessTrainer",
    "Signature",
    "TrainerHandle",
    "call",
    "check_call",
    "check_random_state",
    "describe",
    "load_source",
    "new_trainer",
]

Array = NDArray[Any]


@dataclass(frozen=True)
class Signature:
    """How one method of a trainer is called.

    **Arguments**

    - `arrays`: the arrays, handed over by position in this order.
    - `options`: the options, handed over by keyword.
    - `axes`: what one index along each axis of the result counts, for messages.
    """

    arrays: tuple[str, ...]
    options: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()


#: What `operation_counts` returns, in the order in which `call` does.
OPERATION_COUNTS = ("multiply_adds", "design_passes")

_PHYSICS = ("eta", "beta", "activation", "loss")

SIGNATURES: Mapping[str, Signature] = {
    "fit": Signature(("X", "y")),
    "predict": Signature(("X",), (), ("sample",)),
    "features": Signature(
        ("X", "y", "W0", "a", "b"), ("steps", *_PHYSICS), ("step", "neuron", "coordinate")
    ),
    "step": Signature(("W", "a", "b", "X", "y"), _PHYSICS, ("neuron", "coordinate")),
    "operation_counts": Signature(()),
}


@dataclass(frozen=True)
class Capabilities:
    """What a trainer says it can do.

    **Arguments**

    - `methods`: those of `SIGNATURES` that it offers.
    - `activations`, `losses`, `dtypes`: the names it declares, or None: not declared.
    - `sets_random_state`: whether a seed can be handed to it.
    """

    methods: frozenset[str]
    activations: tuple[str, ...] | None = None
    losses: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    sets_random_state: bool = False

    def to_json(self) -> dict[str, Any]:
        """A dictionary of lists, strings and booleans; `from_json` undoes it."""

        def listed(names: tuple[str, ...] | None) -> list[str] | None:
            return None if names is None else list(names)

        return {
            "methods": sorted(self.methods),
            "activations": listed(self.activations),
            "losses": listed(self.losses),
            "dtypes": listed(self.dtypes),
            "sets_random_state": self.sets_random_state,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Capabilities:
        """The capabilities that `to_json` wrote.

        **Raises** `InputError` where `data` is not of that form.
        """
        try:
            declared = {key: _names(data[key]) for key in _DECLARATIONS}
            methods = frozenset(_names(data["methods"]) or ())
            sets_random_state = bool(data["sets_random_state"])
        except (KeyError, TypeError) as error:
            raise InputError(f"capabilities={data!r}: {summarise(error)}") from error
        if not methods <= SIGNATURES.keys():
            raise InputError(f"methods={sorted(methods)}: expected some of {list(SIGNATURES)}")
        return cls(methods=methods, sets_random_state=sets_random_state, **declared)


_DECLARATIONS = ("activations", "losses", "dtypes")


def _names(value: object) -> tuple[str, ...] | None:
    """`value`, a list of names or None, as a tuple; TypeError for anything else."""
    if value is None:
        return None
    if isinstance(value, (set, frozenset)):
        value = sorted(value)
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"expected a list of names, got {value!r}")
    return tuple(value)


# --- Finding a trainer ----------------------------------------------------------------


def load_source(spec: str) -> object:
    """The trainer that `spec`, `"module:attribute"`, names: see `load_attribute`.

    **Raises** `TrainerError` of kind `"import"` where that raises `InputError`.
    """
    try:
        return load_attribute("trainer", spec)
    except InputError as error:
        raise TrainerError("import", str(error)) from error


# --- A fresh trainer for every example ------------------------------------------------


def new_trainer(source: object, random_state: int | None = None) -> object:
    """A trainer that no earlier example has touched.

    **Arguments**

    - `source`: a class, or a callable without trainer methods: called without arguments. Or
      an instance: cloned the way scikit-learn does if it has `get_params` and `set_params`,
      by `copy.deepcopy` otherwise.
    - `random_state`: a seed for the `random_state` of the new object, where it has one (as
      a parameter, those of nested estimators included, or as an attribute). None leaves it.

    **Raises** `TrainerError` of kind `"construct"`, naming what went wrong; `InputError` for
    a seed that is not one.
    """
    check_random_state(random_state)
    if inspect.isclass(source) or (callable(source) and not _methods(source)):
        trainer = _made_by(source)
    elif _methods(source):
        trainer = _cloned(source)
    else:
        trainer = source
    if inspect.isclass(trainer):
        message = f"{_name_of(source)}() returned the class {trainer.__name__}, not an instance"
        raise TrainerError("construct", message)
    if not _methods(trainer):
        message = (
            f"{_name_of(trainer)} is no trainer: expected an object with at least one of "
            f"the methods {', '.join(SIGNATURES)}"
        )
        raise TrainerError("construct", message)
    if random_state is not None:
        _set_random_state(trainer, random_state)
    return trainer


def check_random_state(random_state: int | None) -> None:
    """**Raises** `InputError` unless this is None or a seed that NumPy's legacy generator and
    scikit-learn take: an integer in [0, 2**32)."""
    if random_state is None:
        return
    integral = isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool)
    if not integral or not 0 <= random_state < 2**32:
        raise InputError(f"random_state={random_state!r}: expected None or 0 <= integer < 2**32")


def _name_of(source: object) -> str:
    named = source if hasattr(source, "__qualname__") else type(source)
    return str(named.__qualname__)


def _methods(trainer: object) -> frozenset[str]:
    try:
        return frozenset(name for name in SIGNATURES if callable(getattr(trainer, name, None)))
    except Exception as error:  # a property that raises something else than AttributeError
        message = f"reading the methods of {_name_of(trainer)} raised {summarise(error)}"
        raise TrainerError("construct", message) from error


def _made_by(factory: Any) -> object:
    try:
        made: object = factory()
    except (Exception, SystemExit) as error:
        message = f"{_name_of(factory)}() raised {summarise(error)}"
        raise TrainerError("construct", message) from error
    return made


def _cloned(instance: object) -> object:
    try:
        if _has_parameters(instance):
            return _clone_estimator(instance)
        return copy.deepcopy(instance)
    except (Exception, SystemExit) as error:
        message = (
            f"copying the instance of {_name_of(instance)} raised {summarise(error)}; "
            "name its class or a function that returns a new one instead"
        )
        raise TrainerError("construct", message) from error


def _has_parameters(trainer: object) -> bool:
    """Whether `trainer` follows scikit-learn's convention. `get_params` alone does not tell:
    others use the name for methods that need arguments."""
    return all(callable(getattr(trainer, name, None)) for name in ("get_params", "set_params"))


def _clone_estimator(instance: Any) -> object:
    """What `sklearn.base.clone` does, by itself where it is at hand.

    scikit-learn is never imported for the sake of an estimator that does not come from it:
    it costs a second, and it may not be installed.
    """
    module = type(instance).__module__.partition(".")[0]
    if module == "sklearn" or "sklearn.base" in sys.modules:
        made: object = importlib.import_module("sklearn.base").clone(instance)
        return made
    parameters = instance.get_params(deep=False)
    return type(instance)(**{name: _clone_value(value) for name, value in parameters.items()})


def _clone_value(value: object) -> object:
    if _has_parameters(value) and not inspect.isclass(value):
        return _clone_estimator(value)
    return copy.deepcopy(value)


def _random_state_parameters(trainer: Any) -> list[str]:
    """Names of the `random_state` parameters, those of nested estimators included."""
    if not _has_parameters(trainer):
        return []
    names = sorted(str(name) for name in trainer.get_params())
    return [name for name in names if name.rpartition("__")[2] == "random_state"]


def _takes_random_state(trainer: object) -> bool:
    try:
        return bool(_random_state_parameters(trainer)) or hasattr(trainer, "random_state")
    except Exception as error:
        message = f"reading the parameters of {_name_of(trainer)} raised {summarise(error)}"
        raise TrainerError("construct", message) from error


def _set_random_state(trainer: Any, random_state: int) -> None:
    seed = int(random_state)
    try:
        names = _random_state_parameters(trainer)
        if len(names) > 1:  # the parts of a pipeline must not share one stream
            seeds = np.random.SeedSequence(seed).generate_state(len(names))
            trainer.set_params(**dict(zip(names, map(int, seeds), strict=True)))
        elif names:
            trainer.set_params(**{names[0]: seed})
        elif hasattr(trainer, "random_state"):
            trainer.random_state = seed
    except (Exception, SystemExit) as error:
        message = f"setting random_state of {_name_of(trainer)} raised {summarise(error)}"
        raise TrainerError("construct", message) from error


def describe(trainer: object) -> Capabilities:
    """What `trainer`, an object that `new_trainer` returned, offers and declares.

    **Raises** `TrainerError` of kind `"construct"` for a declaration that is no list of names.
    """
    declared: dict[str, tuple[str, ...] | None] = {}
    for key in _DECLARATIONS:
        try:
            declared[key] = _names(getattr(trainer, key, None))
        except Exception as error:
            message = f"{key} of {_name_of(trainer)}: {summarise(error)}"
            raise TrainerError("construct", message) from error
    return Capabilities(
        methods=_methods(trainer), sets_random_state=_takes_random_state(trainer), **declared
    )


# --- Calling it -----------------------------------------------------------------------


def check_call(
    method: str, arrays: Mapping[str, Array], options: Mapping[str, Any]
) -> tuple[int, ...] | None:
    """The shape that the result of a call must have; None for `fit`, which returns nothing.

    **Raises** `InputError` where the arrays or options are not those of the method.
    """
    signature = SIGNATURES.get(method)
    if signature is None:
        raise InputError(f"method={method!r}: expected one of {list(SIGNATURES)}")
    if arrays.keys() != set(signature.arrays):
        raise InputError(f"arrays={sorted(arrays)}: {method}() takes {list(signature.arrays)}")
    if options.keys() != set(signature.options):
        raise InputError(f"options={sorted(options)}: {method}() takes {list(signature.options)}")
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
    trainer: object, method: str, arrays: Mapping[str, Array], options: Mapping[str, Any]
) -> Array | None:
    """Call one method of a trainer and check what it returns.

    **Arguments**

    - `trainer`: an object that `new_trainer` returned.
    - `method`: one of `SIGNATURES` that it offers.
    - `arrays`: the arrays of the signature by name. The trainer receives private, writable,
      C-contiguous copies: one that works in place harms nobody.
    - `options`: the options of the signature by name; NumPy scalars arrive as Python ones.

    **Returns**

    A new C-contiguous array, float32 where the trainer returned float32, float16 or
    bfloat16 and float64 otherwise: `(n,)` for `predict` (`(n, 1)` is accepted), `(m, d)`
    for `step`, `(steps + 1, m, d)` for `features`; None for `fit`. For `operation_counts` the
    integers `OPERATION_COUNTS`, int64.

    **Raises** `TrainerError`, of kind `"raised"`: any exception, `SystemExit` included but not
    `KeyboardInterrupt`; `"dtype"`: not an array of real numbers, or not counts; `"shape"`; or
    `"non-finite"`, naming the first bad entry. `InputError`: the call does not fit the
    signature, or the trainer does not offer the method.
    """
    expected = check_call(method, arrays, options)
    function = getattr(trainer, method, None)
    if not callable(function):
        raise InputError(f"method={method!r}: {_name_of(trainer)} does not offer it")
    positional = [np.array(arrays[name], order="C") for name in SIGNATURES[method].arrays]
    keywords = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in options.items()
    }
    try:
        value = function(*positional, **keywords)
    except (Exception, SystemExit) as error:
        raise TrainerError("raised", f"{method}() raised {summarise(error)}") from error
    if method == "operation_counts":
        return _checked_counts(method, value)
    return None if expected is None else _checked(method, value, expected)


def _checked_counts(method: str, value: Any) -> Array:
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
    return " ".join(reprlib.repr(value).split())


def _checked(method: str, value: object, expected: tuple[int, ...]) -> Array:
    array = _real_copy(method, value)
    if method == "predict" and array.shape == (*expected, 1):
        array = array.ravel()
    if array.shape != expected:
        message = f"{method}() returned an array of shape {array.shape}, expected {expected}"
        raise TrainerError("shape", message)
    finite = np.isfinite(array)
    if not finite.all():
        raise TrainerError("non-finite", _first_bad(method, array, finite))
    return array


def _first_bad(method: str, array: Array, finite: NDArray[np.bool_]) -> str:
    bad = ~finite
    index = np.unravel_index(int(np.argmax(bad)), array.shape)
    place = ", ".join(f"{axis} {i}" for axis, i in zip(SIGNATURES[method].axes, index, strict=True))
    count = f"{np.count_nonzero(bad)} of {array.size} values are not finite"
    return f"{method}() returned {array[index]} at {place} ({count})"


def _real_copy(method: str, value: object) -> Array:
    """A private C-contiguous float32 or float64 copy of what a trainer returned."""
    try:
        array = np.asarray(_on_host(value))
    except Exception as error:  # ragged lists, tensors on another device, sparse tensors
        message = f"{method}() returned {type(value).__name__}, no array: {summarise(error)}"
        raise TrainerError("dtype", message) from error
    dtype = array.dtype
    if dtype.kind not in "fiu" and dtype.name != "bfloat16":
        given = type(value).__name__ if dtype.kind == "O" else f"an array of dtype {dtype}"
        raise TrainerError("dtype", f"{method}() returned {given}, expected real numbers")
    narrow = dtype.name == "bfloat16" or (dtype.kind == "f" and dtype.itemsize <= 4)
    with np.errstate(over="ignore"):  # a long double may leave float64; it is reported below
        return np.array(array, dtype=np.float32 if narrow else np.float64, order="C")


def _on_host(value: Any) -> Any:
    """Tensors without their graph, in main memory; lists of tensors likewise."""
    if isinstance(value, (list, tuple)):
        return [_on_host(item) for item in value] if _holds_tensors(value) else value
    for name in ("detach", "cpu"):
        method = getattr(value, name, None)
        if callable(method):
            value = method()
    if str(getattr(value, "dtype", "")) == "torch.bfloat16":  # NumPy has no such type
        value = value.float()
    return value


def _holds_tensors(values: list[Any] | tuple[Any, ...]) -> bool:
    return any(callable(getattr(item, "detach", None)) for item in values)


# --- Handles --------------------------------------------------------------------------


class TrainerHandle(Protocol):
    """A trainer under trial, wherever it runs. Use from one thread at a time.

    `deadline`: a time of `time.monotonic()` that calls need not outlast, or None. Only a
    handle on another process can keep to it.
    """

    deadline: float | None

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def capabilities(self) -> Capabilities:
        """What it offers."""

    def fresh(self, random_state: int | None) -> None:
        """Forget everything: the next call meets a new trainer, seeded where it can be."""

    def call(
        self, method: str, arrays: Mapping[str, Array], options: Mapping[str, Any]
    ) -> Array | None:
        """Call a method of the current trainer: see `mimverify.handles.interface.call`."""

    def close(self) -> None:
        """Let go of whatever the handle holds. May be called again."""

    def __enter__(self) -> TrainerHandle: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class InProcessTrainer(Closing):
    """A trainer in this process: nothing between it and a debugger, no protection either.

    **Arguments**

    - `source`: what `new_trainer` takes.
    - `name`: for reports; that of the class or factory by default.

    **Raises** `TrainerError` of kind `"construct"`.
    """

    deadline: float | None = None

    def __init__(self, source: object, name: str | None = None) -> None:
        self._source = source
        self._name = _name_of(source) if name is None else name
        self._closed = False
        self._trainer: object | None = new_trainer(source)
        self._random_state: int | None = None
        self._capabilities = describe(self._trainer)

    @property
    def name(self) -> str:
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def fresh(self, random_state: int | None) -> None:
        """Replace the trainer by a new one. **Raises** `TrainerError`, `InputError`."""
        self._check_open()
        check_random_state(random_state)
        self._trainer = None  # should construction fail, no call may meet the old one
        self._random_state = random_state
        self._trainer = new_trainer(self._source, random_state)

    def call(
        self, method: str, arrays: Mapping[str, Array], options: Mapping[str, Any]
    ) -> Array | None:
        """See `mimverify.handles.interface.call`."""
        self._check_open()
        if self._trainer is None:
            self._trainer = new_trainer(self._source, self._random_state)
        return call(self._trainer, method, arrays, options)

    def close(self) -> None:
        self._closed = True
        self._trainer = None

    def _check_open(self) -> None:
        if self._closed:
            raise InputError(f"trainer={self._name!r}: its handle is closed")
