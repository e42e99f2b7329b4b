"""Stage 1 by the trainer under trial, as the statistical claims run it, and its log-odds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mimverify.backends import NumpyBackend
from mimverify.designs import StoredDesign
from mimverify.measure import alignment, normalised_error, reduce_model
from mimverify.network import get_activation, get_loss, symmetric_start
from mimverify.problems import Link, MultiIndexModel
from mimverify.support.arrays import ArrayLike, Float64Array, FloatArray
from mimverify.training import default_samples, fit_constant, train_readout
from mimverify.trial.claims.cases import frozen
from mimverify.trial.claims.functions import CURVED_ACTIVATIONS, LIPSCHITZ_LOSSES, STEP_LOSSES
from mimverify.trial.decisions import Observed, above, below, near
from mimverify.trial.decisions.event import Number
from mimverify.trial.reference.oracle import Option, label_covariance
from mimverify.trial.trainer.adapter import TrainerUnderTrial

if TYPE_CHECKING:
    from jaxtyping import Float, Float64


__all__ = [
    "DEVIATIONS",
    "WELL_CONDITIONED",
    "error_after_fit",
    "first_layer",
    "fit_dtype",
    "log_odds",
    "loss_used",
    "mean_log_odds",
    "near_odds",
    "odds_above",
    "odds_below",
    "readout_error",
    "training_data",
]

#: Links with r = 2, |λ_1/λ_2| ≤ 2 and no linear part.
WELL_CONDITIONED = ("he2-mix", "z1z2", "quadratic:1,-0.8")
#: Predicted standard deviations within which a nearly normal variable has P > 0.999.
DEVIATIONS = 3.5

_START, _READOUT, _SHUFFLE = 3, 4, 7  # purposes of the seeds drawn here
_READOUT_NEURONS = 128
_TEST_SAMPLES = 4096


class _Trial(Protocol):
    """What is used of a `Trial`."""

    trainer: TrainerUnderTrial

    def seed_of(self, *what: object) -> int: ...


@dataclass(frozen=True)
class _Used:
    """What a trainer is asked to train with."""

    activation: str
    loss: str
    dtype: str


def _used(
    trainer: TrainerUnderTrial,
    loss: str,
    activations: Sequence[str] = CURVED_ACTIVATIONS,
    *,
    only: bool = False,
) -> _Used:
    """The configuration's loss if the trainer has it, else (unless `only`) another."""
    others = () if only else (*LIPSCHITZ_LOSSES, *STEP_LOSSES)
    losses = tuple(dict.fromkeys((loss, *others)))
    return _Used(*next(iter(trainer.supported(activations, losses, ("float64", "float32")))))


def loss_used(
    trainer: TrainerUnderTrial, loss: str, activations: Sequence[str] = CURVED_ACTIVATIONS
) -> str:
    """The loss that `first_layer` trains with when asked for `loss` and one of the activations."""
    return _used(trainer, loss, activations).loss


def first_layer(
    trainer: TrainerUnderTrial,
    model: MultiIndexModel,
    n: int,
    *,
    loss: str,
    steps: int,
    neurons: int,
    seed: int,
    labels: ArrayLike | None = None,
    activations: Sequence[str] = CURVED_ACTIVATIONS,
    only: bool = False,
    output_scale: float | None = None,
) -> Float[FloatArray, "steps_1 m d"]:
    """The trajectory `(steps + 1, m, d)` of stage 1 from the symmetric start.

    Labels are centred by the loss's own M-estimate; β = 1/η and η |a| = 1/‖H‖, with H of
    the same data, so that the largest neuron neither grows nor shrinks.

    **Arguments**

    - `labels`: `(n,)`, to train on other labels than the model's (the null claims).
    - `activations`: the first of them that the trainer has is used.
    - `only`: use no other loss if the trainer lacks `loss`.
    - `output_scale`: |a_j|, 1/m by default.

    **Raises** `NotApplicable` if the trainer has no such activation or loss.
    """
    used = _used(trainer, loss, activations, only=only)
    X, y = training_data(model, n, loss=used.loss, seed=seed, labels=labels)
    rng = np.random.default_rng([seed, _START])
    start = symmetric_start(neurons, model.dim, rng, output_scale=output_scale, dtype=used.dtype)
    # H is symmetric: its eigenvalues cost a fraction of a singular value decomposition.
    largest = np.abs(np.linalg.eigvalsh(label_covariance(X, y, loss=used.loss))).max()
    eta = float(1 / (np.abs(start.a).max() * largest))
    return trainer.trajectory(
        start.W,
        start.a,
        start.b,
        frozen(X.astype(used.dtype)),
        frozen(y.astype(used.dtype)),
        steps=steps,
        eta=eta,
        beta=1 / eta,
        activation=used.activation,
        loss=used.loss,
    )


def training_data(
    model: MultiIndexModel, n: int, *, loss: str, seed: int, labels: ArrayLike | None = None
) -> tuple[Float64[FloatArray, "n d"], Float64[FloatArray, " n"]]:
    """Inputs `(n, d)` and centred labels `(n,)` of `first_layer`, in float64.

    **Arguments**

    - `loss`: the one trained with (`loss_used`), whose M-estimate centres the labels.
    """
    data = model.sample(n, seed=seed)
    y = data.y if labels is None else labels
    return data.X, y - fit_constant(get_loss(loss), y).constant


def log_odds(W: Float[FloatArray, "m d"], subspace: Float[FloatArray, "r d"]) -> float:
    """log(A/(1 − A)) of the alignment of weights `(m, d)` with a subspace `(r, d)`.

    A is clipped so that A = 0 and 1 are finite, and still far from any prediction.
    """
    aligned = float(np.clip(alignment(W, subspace), 1e-300, 1 - 1e-16))
    return float(np.log(aligned / (1 - aligned)))


def near_odds(odds: Number, expected: float, allowed: float) -> Observed:
    """The event that log-odds are within `allowed` of what is expected, shown as alignments."""
    return _as_alignments(near(odds, expected, allowed))


def odds_above(odds: Number, low: float) -> Observed:
    """The event that log-odds exceed `low`, shown as alignments."""
    return _as_alignments(above(odds, low))


def odds_below(odds: Number, high: float) -> Observed:
    """The event that log-odds stay below `high`, shown as alignments."""
    return _as_alignments(below(odds, high))


def _as_alignments(seen: Observed) -> Observed:
    """The same event, with its numbers shown as alignments."""
    from scipy.special import expit

    def alignment_of(odds: float | None) -> float | None:
        return None if odds is None else float(expit(odds))

    return replace(
        seen,
        value=float(expit(seen.value)),
        low=alignment_of(seen.low),
        high=alignment_of(seen.high),
        expected=alignment_of(seen.expected),
    )


def mean_log_odds(
    trial: _Trial,
    link: Link | str,
    dim: int,
    n: int,
    *,
    seed: int,
    batch: int,
    noise: float = 0.0,
    **options: Option,
) -> Float64[Float64Array, " steps_1"]:
    """Mean log-odds `(steps + 1,)` over `batch` independent runs, a fresh trainer for each.

    **Arguments**

    - `options`: those of `first_layer`.
    """
    total: float | Float64Array = 0.0
    for k in range(batch):
        run = trial.seed_of(seed, dim, n, k)
        trial.trainer.fresh(run)
        model = MultiIndexModel(link, dim, noise=noise, seed=run)
        weights = first_layer(trial.trainer, model, n, seed=run, **options)
        total = total + np.array([log_odds(W, model.subspace) for W in weights])
    return np.asarray(total / batch)


def error_after_fit(
    trial: _Trial, link: Link | str, dim: int, seed: int, *, shuffled: str = ""
) -> float:
    """Normalised test error after `fit` on both stages' data, stacked, d log² d rows each.

    **Arguments**

    - `shuffled`: `"stage1"` or `"stage2"`: the stage whose labels are permuted at random.
    """
    dtype = fit_dtype(trial.trainer)
    model = MultiIndexModel(link, dim, seed=seed)
    n = default_samples(dim)
    data = model.sample(2 * n, dtype=dtype)
    y = data.y.copy()
    if shuffled:
        part = {"stage1": y[:n], "stage2": y[n:]}[shuffled]
        np.random.default_rng([seed, _SHUFFLE]).shuffle(part)
    trial.trainer.fresh(seed)
    trial.trainer.fit(data.X, y)
    return error_of(trial.trainer.predict, model, dtype)


def fit_dtype(trainer: TrainerUnderTrial) -> str:
    """The dtype of `fit`'s data: float64, if the trainer declares it."""
    return next(name for name in ("float64", "float32") if name in trainer.dtypes)


def error_of(
    predict: Callable[[FloatArray], ArrayLike], model: MultiIndexModel, dtype: str
) -> float:
    """Normalised test error on the model's test samples, which are the same at every call."""
    test = model.sample(_TEST_SAMPLES, purpose="test", dtype=dtype)
    return normalised_error(predict(test.X), test.y)


def readout_error(
    model: MultiIndexModel, W: Float[FloatArray, "m d"], n: int, *, seed: int
) -> float:
    """Normalised test error of the reference stage 2 on weights W `(m, d)`, n fresh samples."""
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
