"""Checks of arguments, shared by every public entry point.

Each function returns the checked value in its canonical form or raises
[`InputError`][mimverify.InputError] naming the argument, its value and what was
expected.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable
from typing import Literal, overload

import numpy as np
from numpy.typing import DTypeLike

from mimverify.support.arrays import ArrayLike, Float64Array, FloatArray
from mimverify.support.errors import InputError

#: Of counts: more rows or columns than any machine holds.
LARGEST = 10**15

#: Of steps of gradient descent: a record is kept of each, and the theorem is about few.
STEP_LIMIT = 10**6
#: Of threads of a pool, and of processes side by side.
PARALLEL_LIMIT = 1024
#: Of seconds that one call may take: four months.
SECONDS_LIMIT = 1e7

DTYPES = ("float32", "float64")

_LISTED = 40  # names in a message
_READABLE = 10**100  # Python refuses to print integers of thousands of digits


def canonical(name: str) -> str:
    """Key under which spellings of one name agree: `"Log-Cosh"`, `"logcosh"`, `"log_cosh"`.

    Only what separates words is dropped: `"z1/z2"` is not `"z1z2"`.
    """
    return re.sub(r"[-_\s]", "", name.lower())


def choice(argument: str, value: object, allowed: Iterable[str]) -> str:
    """The member of `allowed` that `value` spells.

    **Raises** `InputError` with the nearest name and what is allowed: all of it, or how many names
    and the first few where there are very many.
    """
    names = list(allowed)
    if isinstance(value, str):
        for name in names:
            if canonical(name) == canonical(value):
                return name
        near = difflib.get_close_matches(value, names, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
    else:
        hint = ""
    these = ", ".join(names)
    if len(names) > _LISTED:
        these = f"{len(names)} names, such as {', '.join(names[:3])}"
    raise InputError(f"{argument}={value!r}: expected one of {these}{hint}")


def integer(argument: str, value: object, *, minimum: int, maximum: int | None = None) -> int:
    """A true integer in [minimum, maximum]; booleans and floats are refused."""
    upper = "" if maximum is None else f" and at most {maximum}"
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise InputError(f"{argument}={value!r}: expected an integer of at least {minimum}{upper}")
    if abs(int(value)) > _READABLE:
        raise InputError(f"{argument}: has hundreds of digits: expected an integer of few")
    if value < minimum or (maximum is not None and value > maximum):
        raise InputError(f"{argument}={value}: expected an integer of at least {minimum}{upper}")
    return int(value)


def size(argument: str, value: object, *, minimum: int = 1) -> int:
    """A count of at most 10¹⁵."""
    count = integer(argument, value, minimum=minimum)
    if count > LARGEST:
        raise InputError(f"{argument}={count}: too large for any machine")
    return count


def step_count(argument: str, value: object, *, minimum: int = 0) -> int:
    """Steps of gradient descent, at most `STEP_LIMIT`."""
    return integer(argument, value, minimum=minimum, maximum=STEP_LIMIT)


def parallel_count(argument: str, value: object) -> int:
    """Threads of a pool, or processes side by side: at least one, at most `PARALLEL_LIMIT`."""
    return integer(argument, value, minimum=1, maximum=PARALLEL_LIMIT)


def seconds(argument: str, value: object) -> float:
    """A time that one call may take: positive, at most `SECONDS_LIMIT`."""
    return number(argument, value, minimum=0.0, exclusive=True, maximum=SECONDS_LIMIT)


def number(
    argument: str,
    value: object,
    *,
    minimum: float = -math.inf,
    exclusive: bool = False,
    maximum: float = math.inf,
) -> float:
    """A finite real number, at least (or, `exclusive`, above) `minimum`, at most `maximum`."""
    bound = (
        "" if minimum == -math.inf else f" {'above' if exclusive else 'of at least'} {minimum:g}"
    )
    if maximum != math.inf:
        bound += f"{' and' if bound else ' of'} at most {maximum:g}"
    expected = f"expected a finite number{bound}"
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InputError(f"{argument}={value!r}: {expected}")
    try:
        result = float(value)
    except OverflowError:  # of an integer
        raise InputError(f"{argument}: has hundreds of digits: {expected}") from None
    within = minimum <= result <= maximum and not (exclusive and result == minimum)
    if not math.isfinite(result) or not within:
        raise InputError(f"{argument}={value!r}: {expected}")
    return result


def shortest(value: float) -> str:
    """The shortest text that reads back as exactly this number."""
    return text if float(text := f"{value:g}") == value else repr(float(value))


def dtype_name(argument: str, value: DTypeLike) -> str:
    """`"float32"` or `"float64"`, from a name or anything that `numpy.dtype` takes."""
    try:
        name = str(np.dtype(value).name)
    except TypeError:
        name = str(value)
    if name not in DTYPES:
        raise InputError(f"{argument}={value!r}: expected one of {', '.join(DTYPES)}")
    return name


@overload
def array(
    argument: str, value: ArrayLike, shape: tuple[int | None, ...], *, dtype: Literal["float64"]
) -> Float64Array: ...
@overload
def array(
    argument: str, value: ArrayLike, shape: tuple[int | None, ...], *, dtype: str | None = None
) -> FloatArray: ...
def array(
    argument: str, value: ArrayLike, shape: tuple[int | None, ...], *, dtype: str | None = None
) -> FloatArray:
    """A finite real array of the given shape (`None` leaves an axis free).

    Without `dtype`, float32 stays float32 and everything else becomes float64. Raises
    `InputError` on a wrong shape, a dtype that is not real, or a NaN or infinite entry.
    """
    if hasattr(value, "detach"):  # a torch tensor, possibly on a device or with a graph
        value = value.detach().cpu()
    try:
        result = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise InputError(f"{argument}: expected an array of numbers, got {error}") from None
    wanted = "(" + ", ".join("*" if k is None else str(k) for k in shape) + ")"
    if result.dtype.kind not in "fiu":
        raise InputError(f"{argument} has dtype {result.dtype}: expected real numbers")
    if result.ndim != len(shape) or any(
        k is not None and k != size for k, size in zip(shape, result.shape, strict=True)
    ):
        raise InputError(f"{argument} has shape {result.shape}: expected {wanted}")
    if result.size == 0:
        raise InputError(f"{argument} has shape {result.shape}: expected at least one entry")
    if dtype is None:
        dtype = "float32" if result.dtype == np.float32 else "float64"
    with np.errstate(over="ignore"):  # overflow is reported below
        result = result.astype(dtype, copy=False)
    if not np.isfinite(result).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(result))[0])
        raise InputError(
            f"{argument}[{', '.join(map(str, where))}]={result[where]}: "
            "expected finite entries only"
        )
    return result


def data(X: ArrayLike, y: ArrayLike, *, dtype: str | None = None) -> tuple[FloatArray, FloatArray]:
    """Inputs `(n, d)` and labels `(n,)` in one dtype, that of X unless given."""
    X = array("X", X, (None, None), dtype=dtype)
    return X, array("y", y, (X.shape[0],), dtype=X.dtype.name)


def not_constant(y: FloatArray) -> None:
    """**Raises** `InputError` for constant labels: their transform vanishes identically."""
    if np.ptp(y) == 0:
        raise InputError(f"y is constant ({y.flat[0]:g}): expected labels that vary")
