"""What an experiment measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimverify.pages.blocks import Column, Table
from mimverify.pages.notebook import ShownInNotebooks
from mimverify.support.arrays import Float64Array, FloatArray
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.training.trainer import LayerwiseTrainer

#: Names of the baselines, as in `baseline_predictors`.
BASELINES = ("mean", "linear", "oracle_subspace")


@dataclass(frozen=True)
class ExperimentResult(ShownInNotebooks):
    """What one run measured, possibly before it was over.

    **Arguments**

    - `configuration`: the resolved configuration, with the threads of the largest pool in
      force, the centring that was fitted (None where stage 1 did not end), and versions.
    - `alignment`, `span_recovery`, `seconds`: over t = 0 … `steps`; a step's time excludes
      measuring and is 0 at t = 0.
    - `overlaps`, `principal_cosines`: `(steps + 1, r)`.
    - `phases`: seconds that each phase of the run took, measuring included, in their order; one
      that was cut short is left out.
    - `test_error`: normalised, 1 = predicting the mean; None if it was not reached.
    - `baselines`: the same for each of `BASELINES`.
    - `interrupted`, `error`: why the run is not complete.
    - `subspace`: U `(r, d)`; `a`, `b`: `(m,)` of stage 1.
    - `weights`: `(steps + 1, m, d)` if they were to be kept, else None.
    - `trainer`: fitted as far as the run came.
    """

    configuration: Json
    alignment: list[float]
    span_recovery: list[float]
    overlaps: list[list[float]]
    principal_cosines: list[list[float]]
    seconds: list[float]
    phases: dict[str, float]
    test_error: float | None
    baselines: dict[str, float | None]
    interrupted: bool
    error: str | None
    subspace: Float64Array
    a: FloatArray
    b: FloatArray
    weights: FloatArray | None
    trainer: LayerwiseTrainer

    def html_tables(self) -> list[Table]:
        """For notebooks: the steps, then the test error beside its baselines."""
        columns = [
            Column("step"),
            *(Column(x, numeric=True) for x in ("alignment", "span recovery", "s")),
        ]
        rows = [
            [str(t), f"{aligned:.5g}", f"{span:.5g}", f"{seconds:.3g}" if t else ""]
            for t, (aligned, span, seconds) in enumerate(
                zip(self.alignment, self.span_recovery, self.seconds, strict=True)
            )
        ]
        run = "{link}: d = {dim}, n = {samples}, {neurons} neurons, loss {loss}, seed {seed}"
        tables = [Table(run.format(**self.configuration), columns, rows)]
        errors = {"this network": self.test_error, **self.baselines}
        shown = [
            [name.replace("_", " "), f"{x:.5g}"] for name, x in errors.items() if x is not None
        ]
        if self.test_error is not None:
            caption = "Test error: 1 is predicting the mean"
            tables.append(Table(caption, ["predictor", Column("test error", numeric=True)], shown))
        return tables

    @property
    def steps(self) -> int:
        """Steps that were taken: `configuration["steps"]` unless the run was cut short."""
        return max(len(self.alignment) - 1, 0)

    def to_json(self) -> Json:
        """Everything but the arrays, as a dictionary of numbers, strings and lists."""
        return {
            "alignment": self.alignment,
            "span_recovery": self.span_recovery,
            "overlaps": self.overlaps,
            "principal_cosines": self.principal_cosines,
            "seconds": self.seconds,
            "phases": self.phases,
            "test_error": self.test_error,
            "baselines": self.baselines,
            "steps": self.steps,
            "interrupted": self.interrupted,
            "error": self.error,
            "configuration": self.configuration,
        }

    def arrays(self) -> dict[str, FloatArray]:
        """The trajectory, as `--save` keeps it. **Raises** `InputError` if it was not kept."""
        if self.weights is None:
            raise InputError("the weights were not kept; run with keep_weights=True")
        return {
            "weights": self.weights,
            "a": self.a,
            "b": self.b,
            "subspace": self.subspace,
            "alignment": np.array(self.alignment),
            "span_recovery": np.array(self.span_recovery),
        }
