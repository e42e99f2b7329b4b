"""Inputs held in memory, one stage at a time."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mimverify.backends import NumpyBackend, get_backend
from mimverify.designs.base import Design
from mimverify.designs.stored import StoredDesign
from mimverify.experiment.memory_need import MemoryNeed, Part
from mimverify.experiment.resolved import ResolvedConfig
from mimverify.experiment.stages import parts
from mimverify.experiment.stages.drawn import DrawnStages, phase
from mimverify.problems.model import Dataset
from mimverify.support.threads import current_threads


class _Stored(StoredDesign):
    """A stored design that keeps its NumPy inputs `(n, d)`, wherever the backend has its own."""

    def __init__(self, X: NDArray[np.floating[Any]], config: ResolvedConfig) -> None:
        super().__init__(X, get_backend(config.backend, config.dtype, config.device))
        self.inputs = X


class StoredStages(DrawnStages[_Stored]):
    """Inputs `(n, d)` in one array."""

    advice: ClassVar[str] = (
        "; design='streamed' holds a few rows at a time, design='lazy' only what training asks for"
    )

    _spent: NDArray[np.floating[Any]] | None = None

    @classmethod
    def memory(cls, config: ResolvedConfig, *, ranks: int = 1) -> MemoryNeed:
        n, d = config.samples, config.dim
        needs = [stored_need(config, n)]
        if config.baselines and n <= 2 * (d + 1):
            # What `linear_regression` solves directly, on copies.
            copies = 2 if config.dtype == "float64" else 3
            direct = Part("least squares", copies * 8 * n * d)
            needs.append(MemoryNeed((_inputs(config, n), direct, *parts.test(config, 0))))
        return MemoryNeed.largest(needs)

    def draw(self, purpose: str) -> tuple[_Stored, NDArray[np.floating[Any]]]:
        """`MultiIndexModel.sample`, telling how far it is.

        Stage 2's inputs are written over stage 1's, which nobody needs any more: memory that is
        touched for the first time takes longer than drawing does.
        """
        config, n = self.config, self.samples
        X = self._spent if purpose == "stage2" else None
        if X is None:
            X = np.empty((n, config.dim), dtype=config.dtype)
        self._spent = X if purpose == "stage1" else None
        y = np.empty(n, dtype=config.dtype)
        self.progress(phase(purpose), 0, n)
        for done in self.model.fill(Dataset(X, y), purpose=purpose):
            self.progress(phase(purpose), done, n)
        return _Stored(X, config), y

    def for_baselines(self, design: _Stored) -> Design:
        # On NumPy whatever the backend: the baselines are no part of what is measured.
        return StoredDesign(design.inputs, NumpyBackend(self.config.dtype))


def stored_need(config: ResolvedConfig, rows: int) -> MemoryNeed:
    """What a process takes that holds `rows` of a stage's rows, and all labels."""
    d = config.dim
    threads = current_threads() if config.threads is None else config.threads
    inputs = _inputs(config, rows)
    regression = config.baselines or config.remove_linear_part
    return MemoryNeed.largest(
        [
            MemoryNeed((inputs, parts.drawing(rows, d, threads), parts.labels(config))),
            MemoryNeed(
                (
                    inputs,
                    parts.labels(config, regression=regression),
                    parts.weights(config),
                    parts.projections(config, d),
                    parts.output_layer(config),
                )
            ),
            MemoryNeed(parts.test(config, d)),
        ]
    )


def _inputs(config: ResolvedConfig, rows: int) -> Part:
    d = config.dim
    return Part("inputs", rows * d * parts.itemsize(config), f"{rows} x {d}, a stage at a time")
