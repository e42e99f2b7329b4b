"""Checks that refuse a run before any data is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mimverify.backends import get_backend
from mimverify.experiment.reference_trainer import trainer_for
from mimverify.experiment.resolved import ResolvedConfig
from mimverify.experiment.stages import stages_for
from mimverify.problems.model import MultiIndexModel
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError, MimverifyError
from mimverify.support.importing import summarise
from mimverify.training.trainer import LayerwiseTrainer

_PROBE_ROWS = 16


def check_combinations(config: ResolvedConfig) -> None:
    """Values that do not go together. Raises `InputError`."""
    _check_removal(config)
    _check_checkpoint(config)
    _check_inputs(config)
    if config.samples == 1:
        raise InputError("samples=1: a single label is constant; expected at least 2")


def _check_inputs(config: ResolvedConfig) -> None:
    reason = stages_for(config.design).gaussian_only
    if reason and config.inputs.name != "gaussian":
        raise InputError(f"inputs={config.inputs.name!r}, design={config.design!r}: {reason}")


def _check_checkpoint(config: ResolvedConfig) -> None:
    if config.checkpoint is None:
        if config.resume:
            raise InputError("resume=True: needs checkpoint, the file to go on from")
        return
    path = Path(config.checkpoint)
    reason = stages_for(config.design).not_resumable
    if reason:
        raise InputError(f"checkpoint={config.checkpoint!r}, design={config.design!r}: {reason}")
    if path.suffix != ".npz":
        raise InputError(f"checkpoint={config.checkpoint!r}: expected a name that ends in .npz")
    if not config.resume and path.exists():
        raise InputError(
            f"checkpoint={config.checkpoint!r}: exists already; give resume to go on from it, or "
            "another name"
        )
    if not path.resolve().parent.is_dir():
        raise InputError(f"checkpoint={config.checkpoint!r}: its folder does not exist")


def _check_removal(config: ResolvedConfig) -> None:
    """The conditions of the regression, before the data is drawn. Raises `InputError`."""
    if not config.remove_linear_part:
        return
    if not config.centre:
        raise InputError(
            "centre=False, remove_linear_part=True: the regression fits the constant too; "
            "give one of the two"
        )
    if not config.loss.smooth:
        raise InputError(
            f"loss={config.loss.name!r}: its regression does not remove the linear part; "
            "use a smooth loss such as 'huber'"
        )
    if config.samples <= config.dim + 1:
        raise InputError(
            f"samples={config.samples}: removing the linear part needs more than "
            f"dim + 1 = {config.dim + 1}"
        )


def rehearse(config: ResolvedConfig, model: MultiIndexModel) -> LayerwiseTrainer:
    """Zero steps on a few rows: errors show before the data is drawn.

    Returns the trainer at its start, `network_`. **Raises** `InputError`, also for a
    user's link or loss that raises.
    """
    try:
        X = model.block(0, _PROBE_ROWS).X
    except MimverifyError:
        raise
    except Exception as error:
        raise InputError(f"link {model.link.name}: raised {summarise(error)}") from error
    y = np.linspace(-1.0, 1.0, len(X))
    _probe_loss(config, y)
    rehearsal = trainer_for(config).set_params(steps=0, centre=False, remove_linear_part=False)
    return rehearsal.fit_first_layer(X, y)


def _probe_loss(config: ResolvedConfig, y: Float64Array) -> None:
    loss = config.loss
    labels = get_backend(config.backend, config.dtype, config.device).asarray(y)
    try:
        shape = tuple(loss.derivative(0 * labels, labels).shape)
    except Exception as error:
        raise InputError(f"loss {loss.name}: raised {summarise(error)}") from error
    if shape != y.shape:
        raise InputError(
            f"loss {loss.name}: l'(f, y) returned shape {shape} for f and y of shape {y.shape}"
        )
