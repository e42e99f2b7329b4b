"""Arguments that lie in memory otherwise than in C order, read or written as if they did.

Each rule lays the arguments out once more as the call's were: what a trainer that ignores strides
reads is then in that memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np

from mimverify.handles.memory_forms import PLAIN, lay_out
from mimverify.support.arrays import NumpyArray
from mimverify.trial.diagnosis.rule import Prediction, changed, given, rule
from mimverify.trial.diagnosis.trainer_step import Step

__all__ = ["READ_IN_C_ORDER", "RULES", "read_in_c_order"]

READ_IN_C_ORDER = "{} read as if contiguous in C order"
_ARGUMENTS = ("W", "a", "b", "X", "y")


def read_in_c_order(arrays: Mapping[str, NumpyArray], form: str) -> dict[str, NumpyArray]:
    """What lies in memory from the first entry of each array on, taken for its rows.

    **Arguments**

    - `arrays`: of a call, in the order of its signature.
    - `form`: of `MEMORY_FORMS`, in which they lay.

    **Returns** those that this changes, by name; none of an array that is no block of memory.
    """
    found = {}
    for name, array in lay_out(arrays, form).items():
        memory = array
        while isinstance(memory.base, np.ndarray):
            memory = memory.base
        if memory.dtype != array.dtype:  # a misaligned view of bytes
            continue
        flat = memory.ravel(order="K")
        begins = array.__array_interface__["data"][0] - memory.__array_interface__["data"][0]
        first = begins // array.itemsize
        block = flat[first : first + array.size]
        if block.size == array.size and not np.array_equal(block, array.ravel()):
            found[name] = block.reshape(array.shape)
    return found


def _laid_out(step: Step) -> dict[str, NumpyArray]:
    return {name: getattr(step, name) for name in _ARGUMENTS}


@rule(READ_IN_C_ORDER)
def read(step: Step) -> Iterator[Prediction]:
    """Strides are left out of account. Of the weights those handed over alone can be."""
    misread = {} if step.form == PLAIN else read_in_c_order(_laid_out(step), step.form)
    if step.t:
        misread.pop("W", None)
    for size in range(1, len(misread) + 1):
        for names in combinations(misread, size):
            chosen = {name: misread[name] for name in names}
            yield changed(step, **chosen).named(" and ".join(names))


@rule("new weights written as if contiguous in C order")
def written(step: Step) -> Iterator[Prediction]:
    """Into memory that is laid out as the weights handed over were (`empty_like`)."""
    if step.form == PLAIN:
        return
    W = lay_out(_laid_out(step), step.form)["W"]
    if W.flags.f_contiguous and not W.flags.c_contiguous:
        shape = W.shape[::-1]
        yield given(step.right.reshape(shape).T, step.envelope.reshape(shape).T)


@rule("biases scaled with the output weights in the same memory {}")
def scaled_together(step: Step) -> Iterator[Prediction]:
    """Where a and b are one array, what is done to a in place is done to b."""
    if step.form == PLAIN:
        return
    arrays = lay_out(_laid_out(step), step.form)
    if not np.shares_memory(arrays["a"], arrays["b"]):
        return
    n, m = len(step.y), len(step.a)
    divisors = {"by 1/n": n, "by 1/m": m, "by 1/√m": np.sqrt(m), "by η": 1 / (step.eta or 1.0)}
    for name, divisor in divisors.items():
        if divisor != 1:
            yield changed(step, b=step.b / divisor).named(name)


RULES = (read, written, scaled_together)
