"""Inputs held in memory, one stage at a time."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mimverify.backends import NumpyBackend, get_backend
from mimverify.designs.base import Design
from mimverify.designs.stored import StoredDesign
from mimverify.experiment.memory_need import MemoryItem, MemoryNeed
from mimverify.experiment.resolved import ResolvedConfig
from mimverify.experiment.stages import memory_items
from mimverify.experiment.stages.drawn import DrawnStages, phase
from mimverify.problems.model import Dataset
from mimverify.support.arrays import FloatArray
from mimverify.support.threads import current_threads


class _Stored(StoredDesign):
    """A stored design that also keeps its inputs `(n, d)` as a NumPy array."""

    def __init__(self, X: FloatArray, config: ResolvedConfig) -> None:
        super().__init__(X, get_backend(config.backend, config.dtype, config.device))
        self.inputs = X


class StoredStages(DrawnStages[_Stored]):
    """Inputs `(n, d)` in one array."""

    name: ClassVar[str] = "stored"
    summary: ClassVar[str] = "in memory"
    one_array: ClassVar[bool] = True
    advice: ClassVar[str] = (
        "; design='streamed' holds a few rows at a time, design='lazy' only what training asks for"
    )

    _spent: FloatArray | None = None

    @classmethod
    def memory(cls, config: ResolvedConfig, *, ranks: int = 1) -> MemoryNeed:
        n, d = config.samples, config.dim
        needs = [stored_need(config, n)]
        if config.baselines and n <= 2 * (d + 1):
            # `linear_regression` solves directly, on copies.
            copies = 2 if config.dtype == "float64" else 3
            direct = MemoryItem("least squares", copies * 8 * n * d)
            needs.append(MemoryNeed((_inputs(config, n), direct, *memory_items.test(config, 0))))
        return MemoryNeed.largest(needs)

    def draw(self, purpose: str) -> tuple[_Stored, FloatArray]:
        """`MultiIndexModel.sample`, reporting progress.

        Stage 2's inputs overwrite stage 1's: the first access to new memory takes longer than
        drawing does.
        """
        config, n = self.config, self.samples
        X = self._spent if purpose == "stage2" else None
        if X is None:
            backend = get_backend(config.backend, config.dtype, config.device)
            X = backend.memory_of_rows((n, config.dim))
        self._spent = X if purpose == "stage1" else None
        y = np.empty(n, dtype=config.dtype)
        self.progress(phase(purpose), 0, n)
        for done in self.model.fill(Dataset(X, y), purpose=purpose):
            self.progress(phase(purpose), done, n)
        return _Stored(X, config), y

    def for_baselines(self, design: _Stored) -> Design:
        # On NumPy for every backend: the baselines are not part of the measurement.
        return StoredDesign(design.inputs, NumpyBackend(self.config.dtype))


def stored_need(config: ResolvedConfig, rows: int) -> MemoryNeed:
    """The memory of a process with `rows` of a stage's rows, and all labels."""
    d = config.dim
    threads = current_threads() if config.threads is None else config.threads
    inputs = _inputs(config, rows)
    regression = config.baselines or config.remove_linear_part
    return MemoryNeed.largest(
        [
            MemoryNeed(
                (inputs, memory_items.drawing(rows, d, threads), memory_items.labels(config))
            ),
            MemoryNeed(
                (
                    inputs,
                    memory_items.labels(config, regression=regression),
                    memory_items.weights(config),
                    memory_items.projections(config, d),
                    memory_items.output_layer(config),
                )
            ),
            MemoryNeed(memory_items.test(config, d)),
        ]
    )


def _inputs(config: ResolvedConfig, rows: int) -> MemoryItem:
    d = config.dim
    return MemoryItem(
        "inputs", rows * d * memory_items.itemsize(config), f"{rows} x {d}, a stage at a time"
    )
