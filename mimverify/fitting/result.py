"""What a run on files measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mimverify.pages.notebook import ShownInNotebooks
from mimverify.support.arrays import Float64Array, FloatArray
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.training.trainer import LayerwiseTrainer


@dataclass(frozen=True)
class FitResult(ShownInNotebooks):
    """What one run on files measured, possibly before it was over.

    **Arguments**

    - `configuration`: what was run, with numbers for defaults, the rows of each part, the
      memory estimate, and versions.
    - `singular_values`: of W, `(min(m, d),)` at each of t = 0 … `steps`, largest first.
    - `seconds`: of each step, without measuring; 0 at t = 0.
    - `test_error`: normalised, 1 = predicting the mean; None without a test or where it was
      not reached.
    - `baselines`: the same for `"mean"`, the mean of stage 2's labels.
    - `interrupted`, `error`: why the run is not complete.
    - `trainer`: fitted as far as the run came; `trainer.predict(X)` of a complete one.
    """

    configuration: Json
    singular_values: list[Float64Array]
    seconds: list[float]
    test_error: float | None
    baselines: dict[str, float | None]
    interrupted: bool
    error: str | None
    trainer: LayerwiseTrainer

    @property
    def steps(self) -> int:
        """Steps that were taken: `configuration["steps"]` unless the run was cut short."""
        return max(len(self.singular_values) - 1, 0)

    @property
    def shares(self) -> list[Float64Array]:
        """Fractions of ‖W‖² in W's singular directions, largest first, at t = 0, 1, …"""
        squares = [
            (values / max(values[0], np.finfo(float).tiny)) ** 2 for values in self.singular_values
        ]
        return [values / values.sum() for values in squares]

    def to_json(self) -> Json:
        """Everything but the network, as a dictionary of numbers, strings and lists."""
        return {
            "singular_values": [values.tolist() for values in self.singular_values],
            "shares": [values.tolist() for values in self.shares],
            "seconds": self.seconds,
            "test_error": self.test_error,
            "baselines": self.baselines,
            "steps": self.steps,
            "interrupted": self.interrupted,
            "error": self.error,
            "configuration": self.configuration,
        }

    def arrays(self) -> dict[str, FloatArray]:
        """The trained network, as `--save` keeps it.

        W `(m, d)`, a and b `(m,)` of stage 1; of stage 2 the unit rows `directions` `(k, d)` that
        its features read, `readout_biases` and `readout_weights` `(p,)`, `readout_constant`
        `()` and, where it was removed, `linear_part` `(d,)`.

        **Raises** `InputError` where stage 2 was not reached.
        """
        if not hasattr(self.trainer, "readout_"):
            raise InputError("arrays: stage 2 was not reached; there are no output weights")
        network, readout = self.trainer.network_, self.trainer.readout_
        arrays: dict[str, FloatArray] = {
            "W": network.W,
            "a": network.a,
            "b": network.b,
            "directions": readout.directions,
            "readout_biases": readout.biases,
            "readout_weights": readout.weights,
            "readout_constant": np.array(readout.constant),
        }
        if readout.linear is not None:
            arrays["linear_part"] = readout.linear
        return arrays
