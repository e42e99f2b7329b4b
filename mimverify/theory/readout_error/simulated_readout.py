"""Stage 2 itself on a drawn first layer, in r + m/2 coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimverify.backends import NumpyBackend
from mimverify.designs.stored import StoredDesign
from mimverify.network.activations import Activation
from mimverify.problems.links import Link
from mimverify.support.arrays import Float64Array
from mimverify.theory.readout_error.label_expansion import LabelExpansion
from mimverify.training.features import Moments
from mimverify.training.stage2 import Readout, train_readout


@dataclass(frozen=True)
class ReadoutSettings:
    """Stage 2 as `LayerwiseTrainer` is told: p, ridge, σ, and the labels' noise."""

    features: int
    ridge: float
    activation: Activation
    noise: float


def population_error(
    moments: Moments, weights: Float64Array, constant: float, labels: LabelExpansion, noise: float
) -> float:
    """Mean squared error of an output layer over the population, in units of Var y."""
    variance = labels.variance + noise**2
    offset = constant + float(moments.mean @ weights) - labels.mean
    explained = 2 * float(moments.cross @ weights) - float(weights @ moments.gram @ weights)
    return (variance - explained + offset**2) / variance


def simulated_readout(
    rows: Float64Array,
    link: Link,
    samples: int,
    settings: ReadoutSettings,
    rng: np.random.Generator,
) -> Readout:
    """Stage 2 on `samples` fresh inputs, of which only the coordinates along `rows` are drawn."""
    x, y = fresh(rows.shape[1], link, samples, settings.noise, rng)
    return train_readout(
        StoredDesign(x, NumpyBackend("float64")),
        y,
        rows,
        activation=settings.activation,
        neurons=settings.features,
        rng=rng,
        ridge=settings.ridge,
    )


def fresh(
    dim: int, link: Link, samples: int, noise: float, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array]:
    """Inputs `(n, dim)`, the hidden features first, and their labels `(n,)`."""
    x = rng.standard_normal((samples, dim))
    y = link(x[:, : link.rank])
    return x, y + noise * rng.standard_normal(samples) if noise else y


def log_error_variance(
    readout: Readout,
    link: Link,
    samples: int,
    noise: float,
    rng: np.random.Generator,
) -> float:
    """Variance of the logarithm of the normalised test error, times the number of test samples,
    by `samples` of them."""
    x, y = fresh(readout.directions.shape[1], link, samples, noise, rng)
    squared = (readout.predict(x) - y) ** 2
    spread = (y - y.mean()) ** 2
    return float(np.var(squared / squared.mean() - spread / spread.mean()))
