"""Writing and resuming from a run's checkpoint: the recorder's side."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mimverify.experiment.checkpoint import (
    Checkpoint,
    check_resumable,
    load_checkpoint,
    save_checkpoint,
)
from mimverify.experiment.resolved import ResolvedConfig
from mimverify.measure.recorder import Recorder
from mimverify.support.arrays import FloatArray
from mimverify.support.errors import InputError
from mimverify.support.files import check_place
from mimverify.support.output_lock import hold
from mimverify.support.strict_json import brief
from mimverify.training.stage1 import FirstLayerState
from mimverify.training.trainer import LayerwiseTrainer

if TYPE_CHECKING:
    from jaxtyping import Float

#: Fields that a resumed run may change: the number of steps, and all that concerns later stages.
#: Other threads may round differently.
MAY_DIFFER = (
    "steps", "baselines", "ridge", "readout", "readout_neurons", "test_samples",
    "threads", "checkpoint", "resume",
)  # fmt: skip

_COLUMNS = ("alignment", "span_recovery", "overlaps", "cosines", "seconds")
_VECTORS = ("overlaps", "cosines")  # r numbers for each step


def keep_step(
    path: str,
    config: ResolvedConfig,
    recorder: Recorder,
    trainer: LayerwiseTrainer,
    step: int,
    W: Float[FloatArray, "m d"],
) -> None:
    """Write the run's checkpoint after a step; until the last, the file is this run's.

    **Raises** as `save_checkpoint`, and `InputError` where another run writes it.
    """
    claim_checkpoint(path, recorder)
    state = FirstLayerState(step, W, trainer.centring_, trainer.linear_part_)
    record = {column: list(getattr(recorder, column)) for column in _COLUMNS}
    save_checkpoint(path, Checkpoint(config.to_json(), state, record))
    if step == config.steps:
        _give_back((id(recorder), path))


_claims: dict[tuple[int, str], Callable[[], None]] = {}


def claim_checkpoint(path: str, recorder: Recorder) -> None:
    """Claim the file until the last step, or until the run's recorder is gone.

    **Raises** `InputError` where another run has it, or no file can be written there.
    """
    key = id(recorder), path
    if key not in _claims:
        check_place("checkpoint", path)
        _claims[key] = hold("checkpoint", path)
        weakref.finalize(recorder, _give_back, key)


def _give_back(key: tuple[int, str]) -> None:
    release = _claims.pop(key, None)
    if release is not None:
        release()


def resume_run(path: str, config: ResolvedConfig, recorder: Recorder) -> FirstLayerState:
    """Fill the recorder with the checkpoint's record, and return the state to continue from.

    **Raises** `InputError` for a file that is no checkpoint of this run: one of another
    configuration, or of more steps than are to be taken.
    """
    checkpoint = load_checkpoint(path)
    check_resumable(checkpoint, config.to_json(), may_differ=MAY_DIFFER)
    state, record = checkpoint.state, checkpoint.record
    if any(len(record.get(column, ())) != state.step + 1 for column in _COLUMNS):
        raise InputError(f"{path}: its record is not that of {state.step} steps")
    if state.W.shape != (config.neurons, config.dim):
        raise InputError(
            f"{path}: its weights have shape {state.W.shape}: expected "
            f"{(config.neurons, config.dim)}"
        )
    rank = len(recorder.subspace)
    for column in _COLUMNS:
        _check_column(path, column, record[column], rank if column in _VECTORS else None)
    if state.step > config.steps:
        raise InputError(
            f"steps={config.steps}: the run of the checkpoint has taken {state.step} already"
        )
    for column in _COLUMNS:
        values = record[column]
        if column in _VECTORS:
            values = [np.array(value, dtype=np.float64) for value in values]
        getattr(recorder, column)[:] = values
    return state


def _check_column(path: str, column: str, values: list[object], rank: int | None) -> None:
    """Numbers, or lists of `rank` of them. **Raises** `InputError` naming the first that is not."""
    for step, value in enumerate(values):
        numbers = [value] if rank is None else value
        if (
            not isinstance(numbers, list)
            or len(numbers) != (1 if rank is None else rank)
            or any(isinstance(x, bool) or not isinstance(x, (int, float)) for x in numbers)
        ):
            expected = "a number" if rank is None else f"{rank} numbers"
            raise InputError(
                f"{path}: its record has {column}[{step}]={brief(value)}: expected {expected}"
            )
