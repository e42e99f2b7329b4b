"""Inputs drawn anew at every pass: the same numbers in the memory of a few rows."""

from __future__ import annotations

from typing import ClassVar

from mimverify.backends import Backend, NumpyBackend, get_backend
from mimverify.designs.base import Design
from mimverify.designs.rows import ModelRows
from mimverify.designs.streamed import OnRows, StreamedDesign, streamed_bytes
from mimverify.experiment.memory_need import MemoryItem, MemoryNeed
from mimverify.experiment.resolved import ResolvedConfig
from mimverify.experiment.stages import memory_items
from mimverify.experiment.stages.drawn import DrawnStages, phase
from mimverify.support.arrays import FloatArray
from mimverify.support.threads import available_cores


class _Redrawn(StreamedDesign):
    """A streamed design that keeps its source of rows."""

    def __init__(
        self, rows: ModelRows, backend: Backend, *, threads: int, on_progress: OnRows
    ) -> None:
        super().__init__(rows, backend, threads=threads, on_progress=on_progress)
        self.rows = rows


class StreamedStages(DrawnStages[_Redrawn]):
    """The results of a stored run, bit for bit, at the price of drawing the rows at every pass.

    The linear baseline needs n > 2(d + 1), the least squares that passes can solve.
    """

    name: ClassVar[str] = "streamed"
    summary: ClassVar[str] = "drawn anew at every pass, the same numbers as stored"
    advice: ClassVar[str] = "; design='lazy' takes less where inputs are many, threads=1 always"

    @classmethod
    def memory(cls, config: ResolvedConfig, *, ranks: int = 1) -> MemoryNeed:
        d, threads = config.dim, _threads(config)
        backend = get_backend(config.backend, config.dtype, config.device)
        read = streamed_bytes(d, backend, threads, config.neurons)
        regression = config.baselines or config.remove_linear_part
        passes = MemoryNeed(
            (
                MemoryItem("rows read ahead", read, f"{threads} threads"),
                memory_items.drawing(config.samples, d, threads),
                memory_items.labels(config, regression=regression),
                memory_items.weights(config),
                memory_items.projections(config, config.dim),
                memory_items.output_layer(config),
            )
        )
        return MemoryNeed.largest([passes, MemoryNeed(memory_items.test(config, config.dim))])

    def draw(self, purpose: str) -> tuple[_Redrawn, FloatArray]:
        config = self.config
        rows = ModelRows(self.model, self.samples, purpose=purpose)
        self.progress(phase(purpose), 0, None)
        y = rows.labels(config.dtype, threads=_threads(config))
        backend = get_backend(config.backend, config.dtype, config.device)
        return self._design(rows, backend), y

    def for_baselines(self, design: _Redrawn) -> Design:
        # On NumPy for every backend, as for stored inputs.
        return self._design(design.rows, NumpyBackend(self.config.dtype))

    def _design(self, rows: ModelRows, backend: Backend) -> _Redrawn:
        stage = f"{rows.purpose[:-1]} {rows.purpose[-1]}"

        def on_rows(done: int, total: int) -> None:
            self.progress(f"{stage}: rows of a pass", done, total)

        return _Redrawn(rows, backend, threads=_threads(self.config), on_progress=on_rows)


def _threads(config: ResolvedConfig) -> int:
    """Threads that draw: as many as the libraries have, or one for each core."""
    return available_cores() if config.threads is None else config.threads
