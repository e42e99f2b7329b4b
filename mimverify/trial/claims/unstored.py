"""Stage 1 by the trainer under trial on inputs too many to be stored (theory.md §8).

A trainer is handed arrays, and one of 10⁴ columns and d log² d rows takes 68 GB. But descent stays
in the span of W_0, …, W_T. So the inputs are drawn lazily, the reference trainer descends on them,
and the trainer under trial is handed their coordinates in a subspace that contains U and that
span: the steps of a correct trainer there are those in all d dimensions, to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.backends import NumpyBackend
from mimverify.designs import Design, LazyGaussianDesign
from mimverify.network import Network, get_loss, symmetric_start
from mimverify.problems import MultiIndexModel
from mimverify.support.arrays import Array, Float64Array, FloatArray
from mimverify.training import LayerwiseTrainer, fit_constant
from mimverify.trial.claims.cases import frozen
from mimverify.trial.claims.functions import EVEN_ACTIVATIONS
from mimverify.trial.claims.learning import loss_used
from mimverify.trial.reference.oracle import Options, label_covariance
from mimverify.trial.trainer.adapter import TrainerUnderTrial

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

__all__ = ["UnstoredRun", "first_layer_unstored"]

_START, _OTHERS = 3, 8  # purposes of the seeds drawn here
#: Directions beside those that a correct trainer visits.
_OTHER_DIRECTIONS = 8


@dataclass(frozen=True)
class UnstoredRun:
    """Weights that a trainer learned, in coordinates of a subspace of the inputs.

    - `model`: the model in these coordinates; fresh inputs have the same law as in all d.
    - `weights`: `(steps + 1, m, k)`.
    """

    model: MultiIndexModel
    weights: Float[FloatArray, "steps_1 m k"]


def first_layer_unstored(
    trainer: TrainerUnderTrial,
    model: MultiIndexModel,
    n: int,
    *,
    loss: str,
    steps: int,
    neurons: int,
    seed: int,
) -> UnstoredRun:
    """Stage 1 as `first_layer` runs it, in law, without the inputs `(n, d)` in memory.

    The array that is handed over has r + (m/2)(steps + 1) + 8 columns and n rows, and is that of a
    Gaussian design in d dimensions on a subspace: U, the neurons W_0, …, W_T of the reference
    trainer, and 8 random directions. A correct trainer does not move in the last ones, since
    its gradient is orthogonal to them. They stand for all D others: lengthened by (D/8)^(1/4),
    they give stray weights the length, and their part of H the radius of the bulk, that D
    directions would.

    A trainer whose gradient is wrong is thus shown its noise approximately; one that combines
    right gradients in a wrong way stays in the subspace, and is shown what it does exactly.

    **Arguments**

    - as of `first_layer`; float32, where the trainer has it, for the memory.

    **Raises** `NotApplicable` if the trainer has no such activation or loss.
    """
    losses = (loss_used(trainer, loss, EVEN_ACTIVATIONS),)
    activation, loss, dtype = next(
        iter(trainer.supported(EVEN_ACTIVATIONS, losses, ("float32", "float64")))
    )
    half, r, d = neurons // 2, model.rank, model.dim
    backend = NumpyBackend(dtype)
    design = LazyGaussianDesign(
        n, d, backend, seed=seed,
        right=r + half * (steps + 1) + _OTHER_DIRECTIONS, left=half * steps,
    )  # fmt: skip
    hidden = design.project(backend.asarray(model.subspace.astype(dtype))).astype(np.float64)
    y = model.labels(hidden, purpose="stage1", seed=seed)
    y -= fit_constant(get_loss(loss), y).constant
    labels = frozen(y.astype(dtype))
    start = symmetric_start(neurons, d, np.random.default_rng([seed, _START]), dtype=dtype)
    # H's largest eigenvalue, but for the noise of n samples in d dimensions.
    largest = np.abs(np.linalg.eigvalsh(label_covariance(hidden, y, loss=loss))).max()
    eta = float(1 / (np.abs(start.a).max() * largest))
    options: Options = {"eta": eta, "beta": 1 / eta, "activation": activation, "loss": loss}
    visited = _visited(design, labels, start, steps, options)
    rows, lengths = _directions(model, visited, seed)
    inputs = design.project(backend.asarray(rows.astype(dtype)))
    first = visited[0] @ rows.T
    first[:, lengths != 1] = 0.0  # but for rounding
    weights = trainer.trajectory(
        # One half twice: a product with both may round them differently.
        np.concatenate([first, first]).astype(dtype), start.a, start.b,
        frozen(np.ascontiguousarray(inputs * lengths.astype(dtype))), labels,
        steps=steps, **options,
    )  # fmt: skip
    reduced = MultiIndexModel(
        model.link, len(rows), subspace=model.subspace @ rows.T, noise=model.noise, seed=seed
    )
    return UnstoredRun(reduced, weights * lengths)


def _visited(
    design: Design, labels: FloatArray, start: Network, steps: int, options: Options
) -> Float64[Float64Array, "steps_1 half d"]:
    """W_0, …, W_T of the reference trainer, without the mirrored half of the neurons."""
    weights: list[Float64Array] = []

    def keep(t: int, W: Array) -> None:
        weights.append(np.array(W[: len(start.a) // 2], dtype=np.float64))

    LayerwiseTrainer(
        dtype=start.W.dtype.name, start=start, steps=steps, schedule="constant", centre=False,
        **options,
    ).fit_first_layer(design, labels, observe=keep)  # fmt: skip
    return np.array(weights)


def _directions(
    model: MultiIndexModel, visited: Float64[Float64Array, "steps_1 half d"], seed: int
) -> tuple[Float64[Float64Array, "k d"], Float64[Float64Array, " k"]]:
    """Orthonormal rows, the last of them beside U and all neurons, and the length of each."""
    neurons = visited.reshape(-1, model.dim)
    neurons = neurons / np.linalg.norm(neurons, axis=1, keepdims=True)
    spanned = np.concatenate([model.subspace, neurons])
    others = np.random.default_rng([seed, _OTHERS]).standard_normal((_OTHER_DIRECTIONS, model.dim))
    rows = np.linalg.qr(np.concatenate([spanned, others]).T)[0].T
    lengths = np.ones(len(rows))
    lengths[len(spanned) :] = ((model.dim - len(spanned)) / _OTHER_DIRECTIONS) ** 0.25
    return rows, lengths
