"""Rows divided over the processes of a run."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mimverify.backends import get_backend
from mimverify.designs.sharded import ShardedDesign, shard_rows
from mimverify.designs.stored import StoredDesign
from mimverify.experiment.designs.stored import stored_need
from mimverify.experiment.memory_need import MemoryNeed
from mimverify.experiment.resolved import ResolvedConfig
from mimverify.experiment.stages.drawn import DrawnStages, phase
from mimverify.problems.model import Dataset
from mimverify.support.arrays import FloatArray


class ShardedStages(DrawnStages[ShardedDesign]):
    """Each process draws and stores its own rows of the model's data sets, and all labels.

    The data is that of a stored run (labels to rounding, where a shard ends within a block); sums
    over processes are taken in another order. The linear baseline needs n > 2(d + 1), the least
    squares that passes can solve.
    """

    name: ClassVar[str] = "sharded"
    summary: ClassVar[str] = "rows divided over the processes of torchrun"
    distributed: ClassVar[bool] = True
    advice: ClassVar[str] = "; more machines hold more rows, design='streamed' a few rows at a time"

    @classmethod
    def memory(cls, config: ResolvedConfig, *, ranks: int = 1) -> MemoryNeed:
        return stored_need(config, -(-config.samples // ranks))

    def draw(self, purpose: str) -> tuple[ShardedDesign, FloatArray]:
        config, n, communicator = self.config, self.samples, self.communicator
        own = shard_rows(n, communicator.rank, communicator.ranks)
        backend = get_backend(config.backend, config.dtype, communicator.device)
        X = backend.memory_of_rows((own.stop - own.start, config.dim))
        y = np.empty(len(X), dtype=config.dtype)
        self.progress(phase(purpose), 0, len(X))
        for done in self.model.fill(Dataset(X, y), first=own.start, purpose=purpose):
            self.progress(phase(purpose), done, len(X))
        local = StoredDesign(X, backend)
        return ShardedDesign(local, own, n, communicator), self._gathered(y)

    def _gathered(self, y: FloatArray) -> FloatArray:
        """The labels `(n,)` of all processes."""
        ranks = self.communicator.ranks
        shards = [shard_rows(self.samples, rank, ranks) for rank in range(ranks)]
        sizes = [shard.stop - shard.start for shard in shards]
        padded = np.zeros(max(sizes), dtype=y.dtype)  # collectives need one shape
        padded[: len(y)] = y
        gathered = self.communicator.gather(padded)
        return np.concatenate([shard[:k] for shard, k in zip(gathered, sizes, strict=True)])
