"""Memory that runs on different designs have in common. Estimates of what was measured."""

from __future__ import annotations

import numpy as np

from mimverify.backends import get_backend
from mimverify.designs.base import rows_per_block
from mimverify.experiment.memory_need import Part
from mimverify.experiment.resolved import ResolvedConfig
from mimverify.problems.model import STRIP, blocks_at_once
from mimverify.problems.streams import BLOCK_ROWS
from mimverify.support.threads import current_threads
from mimverify.training.features import FEATURE_CHUNK_ROWS, FEATURE_BLOCK_ROWS

# Directions that `oracle_readout` gives its features.
_ORACLE = 64


def itemsize(config: ResolvedConfig) -> int:
    """Bytes of a number of the configuration's dtype."""
    return int(np.dtype(config.dtype).itemsize)


def weights(config: ResolvedConfig) -> Part:
    """The first layer: start, weights and gradient, and float64 copies to measure it."""
    size = config.neurons * config.dim
    return Part("weights", size * (3 * itemsize(config) + 4 * 8), f"{config.neurons} neurons")


def labels(config: ResolvedConfig, *, regression: bool = False) -> Part:
    """Labels and the vectors `(n,)` computed from them, of which a regression holds more."""
    vectors = 9 if regression else 3
    return Part("labels", config.samples * (2 * itemsize(config) + 8 * vectors))


def drawing(rows: int, dim: int, threads: int) -> Part:
    """What `threads` draw some rows of inputs in before they are put where they belong."""
    threads = min(threads, -(-rows // BLOCK_ROWS))
    strip = 8 * max(min(STRIP, rows * dim), dim)
    return Part("rows being drawn", threads * strip, f"{threads} threads")


def projections(config: ResolvedConfig, dim: int) -> Part:
    """Projections on neurons or on the oracle's directions, with what follows from them: a block's
    residuals of stage 1, or the features of stage 2's strips.
    """
    backend = get_backend(config.backend, config.dtype, config.device)
    rows = min(rows_per_block(dim, backend), config.samples)
    gathered = min(rows + FEATURE_CHUNK_ROWS, config.samples)
    directions = max(config.neurons, _ORACLE if config.baselines else 0)
    strip = min(rows, FEATURE_BLOCK_ROWS)
    features = 8 * 2 * strip * config.readout_neurons * current_threads()
    held = max(2 * rows, gathered) * directions * itemsize(config)
    return Part("projections", held + features)


def output_layer(config: ResolvedConfig) -> Part:
    """Stage 2's moments, with what its solver adds."""
    return Part("output layer", 8 * 4 * config.readout_neurons**2)


def test(config: ResolvedConfig, dim: int) -> tuple[Part, ...]:
    """The test's blocks, labels and predictions, and what else is left by then."""
    weights = 2 * itemsize(config) * config.neurons * config.dim
    held = blocks_at_once(config.test_samples) * BLOCK_ROWS
    return (
        Part("test inputs", 8 * min(held, config.test_samples) * dim),
        Part("test", 8 * 8 * config.test_samples),
        Part("weights", weights, f"{config.neurons} neurons"),
    )
