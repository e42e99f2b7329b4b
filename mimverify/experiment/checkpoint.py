"""Checkpoints of a run: the state of stage 1 and the record up to it, in one file.

The file is an `Archive`, read without pickle: the weights, the linear part if there is one,
and a JSON text with everything else. JSON keeps every float64 to the bit, so that a resumed run
gives the results of an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mimverify.support.archive import Archive, json_text
from mimverify.support.arrays import NumpyArray
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json, brief, parse_json
from mimverify.support.validation import DTYPES, STEP_LIMIT
from mimverify.training.centring import Centring
from mimverify.training.stage1 import FirstLayerState

# 2 and 3: data sets come from another generator; an earlier run would continue with other data.
_FILE = Archive(
    "checkpoint", 3, "its seed has stood for other data since: start the run from the beginning"
)


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run.

    **Arguments**

    - `configuration`: what is run, as JSON values; a run that resumes must be the same.
    - `state`: stage 1 after some steps.
    - `record`: what was measured so far, one list for each quantity.
    """

    configuration: Json
    state: FirstLayerState
    record: dict[str, list[Any]]


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write the file in one step: an interruption leaves the last one as it was.

    Tuples and arrays of the configuration and the record come back as lists.

    **Raises** `InputError` for a path that cannot be written, or what JSON cannot hold.
    """
    state = checkpoint.state
    description = {
        "step": state.step,
        "centring": {"constant": state.centring.constant, "offset": state.centring.offset},
        "configuration": checkpoint.configuration,
        "record": checkpoint.record,
    }
    arrays: Json = {"W": state.W}
    if state.linear_part is not None:
        arrays["linear_part"] = state.linear_part
    text = json_text(_FILE.noun, description)
    try:  # nothing is written that could not be read again
        _checkpoint(parse_json(text.encode(), _FILE.noun, finite=False), arrays)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"checkpoint: {error}") from None
    _FILE.write(path, description, arrays)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote, to the bit.

    **Raises** `InputError`, naming the path and the reason, for a file that cannot be read, is
    something else, was cut off or changed, or comes from a later version.
    """
    description, arrays = _FILE.read(path)
    try:
        return _checkpoint(description, arrays)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(f"{path}: not a valid checkpoint ({brief(error)})") from None


def check_resumable(
    checkpoint: Checkpoint, configuration: Mapping[str, object], *, may_differ: Collection[str] = ()
) -> None:
    """Refuse to resume a run with another configuration.

    **Arguments**

    - `configuration`: of the run to resume, compared field by field, in its order.
    - `may_differ`: fields that may differ, such as the number of threads.

    **Raises** `InputError` naming the first field that differs, and both values.
    """
    # As read from a file: tuples are lists, NumPy's numbers are Python's.
    requested, saved = (
        parse_json(json_text("configuration", dict(one)).encode(), "configuration", finite=False)
        for one in (configuration, checkpoint.configuration)
    )
    for field in [*requested, *(field for field in saved if field not in requested)]:
        if field in may_differ:
            continue
        if field not in saved or field not in requested:
            side = "the new one" if field in saved else "the checkpoint's"
            raise InputError(f"{field}: expected in both configurations, missing in {side}")
        if requested[field] != saved[field]:
            raise InputError(
                f"{field}={brief(requested[field])}: the run of the checkpoint had "
                f"{brief(saved[field])}; "
                "expected the same"
            )


# -- the file ----------------------------------------------------------------------------------


def _checkpoint(description: Json, arrays: dict[str, NumpyArray]) -> Checkpoint:
    """**Raises** `ValueError`, `KeyError` or `TypeError` where an entry is missing or invalid."""
    W, linear = arrays["W"], arrays.get("linear_part")
    step, configuration, record = (description[k] for k in ("step", "configuration", "record"))
    given = [description["centring"][k] for k in ("constant", "offset")]
    if any(isinstance(k, bool) or not isinstance(k, (int, float)) for k in given):
        raise TypeError(f"centring={brief(given)}")
    centring = Centring(*(float(k) for k in given))
    if W.ndim != 2 or W.dtype.name not in DTYPES or not np.isfinite(W).all():
        raise ValueError(f"W of shape {W.shape} and dtype {W.dtype}")
    if linear is not None and (
        linear.shape != W.shape[1:] or linear.dtype != np.float64 or not np.isfinite(linear).all()
    ):
        raise ValueError(f"linear_part of shape {linear.shape} and dtype {linear.dtype}")
    if type(step) is not int or not 0 <= step <= STEP_LIMIT:
        raise ValueError(f"step={brief(step)}")
    if not (math.isfinite(centring.constant) and math.isfinite(centring.offset)):
        raise ValueError(f"{centring}")
    if not isinstance(configuration, dict) or not isinstance(record, dict):
        raise TypeError("configuration and record: expected objects")
    if not all(isinstance(column, list) for column in record.values()):
        raise TypeError("record: expected lists")
    return Checkpoint(configuration, FirstLayerState(step, W, centring, linear), record)
