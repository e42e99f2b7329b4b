"""One number predicted and measured, and how far apart they are by chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from scipy.special import expit, ndtri_exp
from scipy.stats import norm, t

from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.strict_json import Json
from mimverify.support.validation import choice

__all__ = ["LIMIT", "Comparison", "beyond", "false_alarms", "of_runs"]

#: From the scale on which numbers are compared to the quantity itself.
SCALES: Mapping[str, Callable[[float], float]] = {
    "linear": float, "log": math.exp, "log-odds": expit,
}  # fmt: skip
#: A comparison with a larger |z| says that prediction or measurement is wrong.
LIMIT = 4.0


@dataclass(frozen=True)
class Comparison:
    """A prediction beside the mean of independent runs.

    - `at`: where, parameters by name; `quantity`: of what.
    - `prediction`, `prediction_error`: the number, and what the prediction says of its own error,
      as a standard deviation.
    - `measurement`, `standard_error`: the mean over `runs`, and its standard error by their
      scatter.
    - `scale`: one of `SCALES`: all of these are of the quantity itself, of its logarithm or of its
      log-odds, on which runs scatter nearly normally.
    """

    at: Mapping[str, object]
    quantity: str
    _: KW_ONLY
    prediction: float
    prediction_error: float
    measurement: float
    standard_error: float
    runs: int
    scale: str = "linear"

    def __post_init__(self) -> None:
        choice("scale", self.scale, SCALES)
        numbers = (self.prediction, self.prediction_error, self.measurement, self.standard_error)
        if not all(map(math.isfinite, numbers)) or self.error == 0 or self.runs < 2:
            raise InputError(
                f"{self.quantity} at {dict(self.at)}: predicted {self.prediction} ± "
                f"{self.prediction_error}, measured {self.measurement} ± {self.standard_error} in "
                f"{self.runs} runs: expected finite numbers, with an error, of two runs or more"
            )

    @property
    def error(self) -> float:
        """Standard error of measurement − prediction."""
        return math.hypot(self.standard_error, self.prediction_error)

    @property
    def ratio(self) -> float:
        """(measurement − prediction)/√(standard_error² + prediction_error²)."""
        return (self.measurement - self.prediction) / self.error

    @property
    def degrees(self) -> float:
        """Degrees of freedom of `error` (Welch): the runs' scatter is an estimate."""
        if self.standard_error == 0:
            return math.inf
        return (self.runs - 1) * (self.error / self.standard_error) ** 4

    @property
    def z(self) -> float:
        """`ratio` as a standard normal score: of as many runs Student's t exceeds the ratio with
        the probability with which a standard normal exceeds z."""
        beyond = float(t.logsf(abs(self.ratio), min(self.degrees, 1e9)))
        return math.copysign(float(-ndtri_exp(beyond)), self.ratio)

    @property
    def shown(self) -> tuple[float, float]:
        """Prediction and measurement of the quantity itself, whatever the scale."""
        back = SCALES[self.scale]
        return float(back(self.prediction)), float(back(self.measurement))

    def to_json(self) -> Json:
        """A record of plain values."""
        return {
            "at": dict(self.at),
            "quantity": self.quantity,
            "scale": self.scale,
            "predicted": self.shown[0],
            "measured": self.shown[1],
            "prediction": self.prediction,
            "prediction_error": self.prediction_error,
            "measurement": self.measurement,
            "standard_error": self.standard_error,
            "runs": self.runs,
            "ratio": self.ratio,
            "z": self.z,
        }


def of_runs(
    at: Mapping[str, object],
    quantity: str,
    values: Sequence[float] | Float64Array,
    *,
    prediction: float,
    prediction_error: float = 0.0,
    scale: str = "linear",
) -> Comparison:
    """The comparison of the mean of independent runs' values, which are on `scale`."""
    return Comparison(
        at,
        quantity,
        prediction=prediction,
        prediction_error=prediction_error,
        measurement=float(np.mean(values)),
        standard_error=float(np.std(values, ddof=1) / math.sqrt(len(values))),
        runs=len(values),
        scale=scale,
    )


def beyond(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Those with |z| > 4."""
    return [each for each in comparisons if not abs(each.z) <= LIMIT]


def false_alarms(count: int) -> float:
    """The probability, at most, that some of `count` comparisons is beyond |z| = 4 by chance
    although all predictions hold: the sum over all of them, dependent or not."""
    return min(2 * float(norm.sf(LIMIT)) * count, 1.0)
