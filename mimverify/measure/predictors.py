"""Test error and the baselines that give it meaning. Source: theory.md §7."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from mimverify.backends import NumpyBackend
from mimverify.designs.base import Design
from mimverify.designs.stored import StoredDesign
from mimverify.network.activations import get_activation
from mimverify.network.losses import get_loss
from mimverify.problems.model import Dataset, MultiIndexModel
from mimverify.problems.streams import Stream
from mimverify.support.arrays import ArrayLike, Float64Array, FloatArray, NumpyArray
from mimverify.support.errors import InputError
from mimverify.support.validation import array, not_constant
from mimverify.training.linear_part import fit_linear_part
from mimverify.training.stage2 import train_readout

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

#: Predictions `(n,)` of inputs `(n, d)`.
Predictor = Callable[[FloatArray], ArrayLike]


def normalised_error(prediction: ArrayLike, y: ArrayLike) -> float:
    """Mean squared error over the variance of y: 1 is as good as predicting the mean.

    **Raises** `InputError` for constant y, mismatched shapes or entries that are not finite.
    """
    y = array("y", y, (None,), dtype="float64")
    not_constant(y)
    prediction = array("prediction", prediction, y.shape, dtype="float64")
    return float(np.mean((prediction - y) ** 2) / np.var(y))


def test_errors(
    model: MultiIndexModel, predictors: Mapping[str, Predictor], *, samples: int = 10_000
) -> dict[str, float]:
    """Normalised error of each predictor on one fresh test set, drawn block by block.

    **Arguments**

    - `predictors`: name → function from inputs `(n, d)` to predictions `(n,)`.
    """
    labels: list[FloatArray] = []
    outputs: dict[str, list[NumpyArray]] = {name: [] for name in predictors}
    for _, block in model.blocks(samples, purpose="test"):
        labels.append(block.y)
        for name, predict in predictors.items():
            outputs[name].append(np.array(predict(block.X)))  # a copy: it may be a view of X
    y = np.concatenate(labels)
    return {name: normalised_error(np.concatenate(blocks), y) for name, blocks in outputs.items()}


test_errors.__test__ = False  # type: ignore[attr-defined]  # pytest: not a test


def baseline_predictors(
    model: MultiIndexModel,
    stage2: Dataset | Design,
    y: ArrayLike = None,
    *,
    neurons: int = 256,
    ridge: float = 1e-3,
    seed: int = 0,
) -> dict[str, Predictor]:
    """What a trainer's test error is to be compared with, fitted on stage 2's data.

    **Arguments**

    - `model`: whose subspace the oracle uses.
    - `stage2`: a data set, or a design with labels `y` `(n,)`.
    - `neurons`, `ridge`, `seed`: of the oracle's readout.

    `mean`: the labels' mean; `linear`: `linear_regression`, left out where that has none;
    `oracle_subspace`: stage 2's readout on the true hidden features.

    **Raises** `InputError` for an empty data set, or labels that do not fit the design.
    """
    if isinstance(stage2, Dataset):
        X, y = np.asarray(stage2.X), stage2.y
        if len(X) == 0:
            raise InputError("stage2 is empty: expected at least one sample")
        design: Design = StoredDesign(
            X, NumpyBackend("float32" if X.dtype == np.float32 else "float64")
        )
    else:
        design = stage2
    y = array("y", y, (design.n_samples,), dtype="float64")
    mean = float(y.mean())
    oracle = oracle_predictor(model, design, y, neurons=neurons, ridge=ridge, seed=seed)
    predictors: dict[str, Predictor] = {
        "mean": lambda inputs: np.full(len(inputs), mean),
        "oracle_subspace": oracle,
    }
    regression = linear_regression(design, y)
    if regression is not None:
        intercept, theta = regression
        predictors["linear"] = lambda inputs: intercept + inputs @ theta
    return predictors


def oracle_predictor(
    model: MultiIndexModel,
    design: Design,
    y: Float[FloatArray, " n"],
    *,
    neurons: int = 256,
    ridge: float = 1e-3,
    seed: int = 0,
) -> Predictor:
    """Stage 2 on the true hidden features, which alone are read of the inputs. Arguments as for
    `baseline_predictors`."""
    rng = Stream(seed, 0x6F).block(0)
    # Hidden directions alone give functions of single coordinates; random ones within the span
    # give functions of all of them.
    within = rng.standard_normal((max(64, model.rank), model.rank))
    hidden = design.backend.to_numpy(design.project(design.backend.asarray(model.subspace)))
    readout = train_readout(
        StoredDesign(hidden.astype(np.float64), NumpyBackend("float64")),
        y,
        within,
        activation=get_activation("log-cosh"),
        neurons=neurons,
        rng=rng,
        ridge=ridge,
    )
    return lambda inputs: readout.predict(inputs @ model.subspace.T.astype(inputs.dtype))


def linear_regression(
    design: Design, y: Float64[Float64Array, " n"]
) -> tuple[float, Float64[Float64Array, " d"]] | None:
    """Least squares on (1, x): intercept and coefficients `(d,)`.

    A well-posed problem, n > 2(d + 1), takes ten to forty conjugate-gradient passes over the
    data; a direct solver would take O(n d²) time, more than training, and two copies of the
    data. With fewer samples the passes converge slowly or not at all: the shortest solution
    is then computed directly where the inputs are in memory, and there is none (None) elsewhere.
    """
    if design.n_samples > 2 * (design.dim + 1):
        return fit_linear_part(design, y, get_loss("squared"))
    inputs = design.stored_inputs()
    if inputs is None:
        return None
    X = inputs.astype(np.float64, copy=False)
    centre, mean = X.mean(axis=0), float(y.mean())
    theta = np.asarray(np.linalg.lstsq(X - centre, y - mean, rcond=None)[0])
    return mean - float(centre @ theta), theta
