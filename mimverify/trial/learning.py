"""Stage 1 by the trainer under trial, as the statistical claims run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimverify.backends import NumpyBackend
from mimverify.designs import StoredDesign
from mimverify.measure import normalised_error, reduce_model
from mimverify.network import get_activation, get_loss, symmetric_start
from mimverify.problems import MultiIndexModel
from mimverify.training import fit_constant, train_readout
from mimverify.trial.adapter import TrainerUnderTrial
from mimverify.trial.cases import frozen
from mimverify.trial.oracle import label_covariance

__all__ = ["EVEN_ACTIVATIONS", "first_layer", "loss_used", "readout_error"]

Array = NDArray[np.floating[Any]]

#: Activations inside the theorem's assumptions, the theorem's own first.
EVEN_ACTIVATIONS = ("log-cosh", "pseudo-huber", "quadratic")

_START, _READOUT = 3, 4  # purposes of the seeds drawn here
_READOUT_NEURONS = 128
_TEST_SAMPLES = 4096


@dataclass(frozen=True)
class _Recipe:
    activation: str
    loss: str
    dtype: str


def _recipe(trainer: TrainerUnderTrial, loss: str) -> _Recipe:
    """The configuration's loss where the trainer has it, else the nearest that it has."""
    losses = (loss, "huber", "pseudo-huber", "log-cosh", "squared")
    return _Recipe(*next(iter(trainer.supported(EVEN_ACTIVATIONS, losses, ("float64", "float32")))))


def loss_used(trainer: TrainerUnderTrial, loss: str) -> str:
    """The loss that `first_layer` trains with when it is asked for `loss`."""
    return _recipe(trainer, loss).loss


def first_layer(
    trainer: TrainerUnderTrial,
    model: MultiIndexModel,
    n: int,
    *,
    loss: str,
    steps: int,
    neurons: int,
    seed: int,
    labels: Array | None = None,
) -> Array:
    """The trajectory `(steps + 1, m, d)` of stage 1 from the symmetric start.

    Labels are centred by the loss's own M-estimate; β = 1/η and η |a| = 1/‖H‖, with H of
    the very data handed over, so that the largest neuron neither grows nor shrinks.

    **Arguments**

    - `labels`: `(n,)`, to train on other labels than the model's (the null claims).
    """
    recipe = _recipe(trainer, loss)
    data = model.sample(n, seed=seed)
    y = data.y if labels is None else labels
    y = y - fit_constant(get_loss(recipe.loss), y).constant
    rng = np.random.default_rng([seed, _START])
    start = symmetric_start(neurons, model.dim, rng, dtype=recipe.dtype)
    largest = np.linalg.norm(label_covariance(data.X, y, loss=recipe.loss), 2)
    eta = float(1 / (np.abs(start.a).max() * largest))
    return trainer.features(
        start.W,
        start.a,
        start.b,
        frozen(data.X.astype(recipe.dtype)),
        frozen(y.astype(recipe.dtype)),
        steps=steps,
        eta=eta,
        beta=1 / eta,
        activation=recipe.activation,
        loss=recipe.loss,
    )


def readout_error(model: MultiIndexModel, W: Array, n: int, *, seed: int) -> float:
    """Normalised test error of the reference stage 2 on frozen weights W, n fresh samples."""
    reduced, directions = reduce_model(model, W)
    fresh = reduced.sample(n, purpose="stage2", seed=seed)
    readout = train_readout(
        StoredDesign(fresh.X, NumpyBackend("float64")),
        fresh.y,
        directions,
        activation=get_activation("log-cosh"),
        neurons=_READOUT_NEURONS,
        rng=np.random.default_rng([seed, _READOUT]),
    )
    test = reduced.sample(_TEST_SAMPLES, purpose="test", seed=seed)
    return normalised_error(readout.predict(test.X), test.y)
