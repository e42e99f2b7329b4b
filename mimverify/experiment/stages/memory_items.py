"""Items of the memory estimate that runs on different designs share, fitted to measurements."""

from __future__ import annotations

import numpy as np

from mimverify.backends import get_backend
from mimverify.experiment.memory_need import MemoryItem
from mimverify.experiment.resolved import ResolvedConfig
from mimverify.problems.model import CHUNK_ENTRIES, blocks_at_once
from mimverify.problems.streams import BLOCK_ROWS
from mimverify.support.threads import current_threads
from mimverify.training.features import FEATURE_BLOCK_ROWS, FEATURE_CHUNK_ROWS

# Directions of the features of `oracle_predictor`.
_ORACLE = 64


def itemsize(config: ResolvedConfig) -> int:
    """Bytes of a number of the configuration's dtype."""
    return int(np.dtype(config.dtype).itemsize)


def weights(config: ResolvedConfig) -> MemoryItem:
    """The first layer: start, weights and gradient, and float64 copies to measure it."""
    size = config.neurons * config.dim
    return MemoryItem("weights", size * (3 * itemsize(config) + 4 * 8), f"{config.neurons} neurons")


def labels(config: ResolvedConfig, *, regression: bool = False) -> MemoryItem:
    """Labels and the vectors `(n,)` computed from them, of which a regression holds more."""
    vectors = 9 if regression else 3
    return MemoryItem("labels", config.samples * (2 * itemsize(config) + 8 * vectors))


def drawing(rows: int, dim: int, threads: int) -> MemoryItem:
    """Buffers in which `threads` draw rows of inputs."""
    threads = min(threads, -(-rows // BLOCK_ROWS))
    buffer = 8 * max(min(CHUNK_ENTRIES, rows * dim), dim)
    return MemoryItem("rows being drawn", threads * buffer, f"{threads} threads")


def projections(config: ResolvedConfig, dim: int) -> MemoryItem:
    """Projections on neurons or on the oracle's directions, with the results of them: residuals of
    a block of stage 1, or features of stage 2's blocks.
    """
    backend = get_backend(config.backend, config.dtype, config.device)
    rows = min(backend.rows_per_block(dim), config.samples)
    gathered = min(rows + FEATURE_CHUNK_ROWS, config.samples)
    directions = max(config.neurons, _ORACLE if config.baselines else 0)
    block = min(rows, FEATURE_BLOCK_ROWS)
    features = 8 * 2 * block * config.readout_neurons * current_threads()
    held = max(2 * rows, gathered) * directions * itemsize(config)
    return MemoryItem("projections", held + features)


def output_layer(config: ResolvedConfig) -> MemoryItem:
    """Stage 2's moments, with the copies of its solver."""
    return MemoryItem("output layer", 8 * 4 * config.readout_neurons**2)


def test(config: ResolvedConfig, dim: int) -> tuple[MemoryItem, ...]:
    """The test's blocks, labels and predictions, and the weights."""
    weights = 2 * itemsize(config) * config.neurons * config.dim
    held = blocks_at_once(config.test_samples) * BLOCK_ROWS
    return (
        MemoryItem("test inputs", 8 * min(held, config.test_samples) * dim),
        MemoryItem("test", 8 * 8 * config.test_samples),
        MemoryItem("weights", weights, f"{config.neurons} neurons"),
    )
