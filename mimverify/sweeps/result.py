"""What a run of a sweep came to."""

from __future__ import annotations

from dataclasses import dataclass

from mimverify.pages.notebook import ShownInNotebooks
from mimverify.support.strict_json import Json
from mimverify.sweeps.row import Row
from mimverify.sweeps.sweep import Sweep
from mimverify.sweeps.threshold_search import Threshold

__all__ = ["SweepResult"]


@dataclass(frozen=True)
class SweepResult(ShownInNotebooks):
    """A sweep as its store has it at the end of a run.

    **Arguments**

    - `rows`: its finished trials, in the sweep's order.
    - `thresholds`: of its searches, one for each point of the grid.
    - `missing`: trials that have not been run.
    - `computed`: trials that ended in this run, those of other sweeps in it included.
    - `seconds`: of this run.
    """

    sweep: Sweep
    rows: list[Row]
    thresholds: list[Threshold]
    missing: int
    computed: int
    seconds: float

    @property
    def done(self) -> int:
        """Trials that are done."""
        return sum(row.status == "done" for row in self.rows)

    @property
    def failed(self) -> int:
        """Trials that failed."""
        return sum(row.status == "failed" for row in self.rows)

    def to_json(self) -> Json:
        """A record of plain values, each trial's among them."""
        return {
            "sweep": self.sweep.to_json(),
            "done": self.done, "failed": self.failed, "missing": self.missing,
            "computed": self.computed, "seconds": self.seconds,
            "thresholds": [threshold.to_json() for threshold in self.thresholds],
            "trials": [
                {
                    "key": row.key, "parameters": row.parameters, "status": row.status,
                    "result": row.result, "error": row.error, "seconds": row.seconds,
                    "finished": row.finished, "environment": row.environment,
                }
                for row in self.rows
            ],
        }  # fmt: skip
