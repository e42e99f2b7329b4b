"""Inputs in two arrays, one for each half of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from mimverify.backends import get_backend
from mimverify.designs import Design, RowFunction, StoredDesign
from mimverify.experiment.designs.stored import stored_need
from mimverify.experiment.memory_need import MemoryNeed
from mimverify.experiment.resolved import ResolvedConfig
from mimverify.experiment.stages.drawn import DrawnStages
from mimverify.support.arrays import Array, FloatArray


class Halves(Design):
    """The rows of two designs of one backend, the first one's and then the second one's."""

    def __init__(self, first: Design, second: Design) -> None:
        self.first, self.second = first, second
        self.n_samples = first.n_samples + second.n_samples
        self.dim, self.backend = first.dim, first.backend

    def one_pass(self, V: Array, rho: RowFunction) -> Array:
        n = self.first.n_samples
        return self.first.one_pass(V, rho) + self.second.one_pass(
            V, lambda P, rows: rho(P, slice(rows.start + n, rows.stop + n))
        )

    def projections(self, V: Array) -> Iterator[tuple[slice, Array]]:
        for design, shift in ((self.first, 0), (self.second, self.first.n_samples)):
            for rows, projected in design.projections(V):
                yield slice(rows.start + shift, rows.stop + shift), projected


class HalvesStages(DrawnStages[Halves]):
    """The data of a stored run, summed in another order."""

    name: ClassVar[str] = "halves"
    summary: ClassVar[str] = "in memory, in two arrays"
    advice: ClassVar[str] = "; design='streamed' holds a few rows at a time"

    @classmethod
    def memory(cls, config: ResolvedConfig, *, ranks: int = 1) -> MemoryNeed:
        return stored_need(config, config.samples)

    def draw(self, purpose: str) -> tuple[Halves, FloatArray]:
        config = self.config
        backend = get_backend(config.backend, config.dtype, config.device)
        data = self.model.sample(self.samples, purpose=purpose, dtype=config.dtype)
        half = self.samples // 2
        parts = (StoredDesign(X, backend) for X in (data.X[:half], data.X[half:]))
        return Halves(*parts), data.y
