"""Predicted against simulated runs: their mean, and how many lie in the predicted intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array
from mimverify.support.strict_json import Json

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64

#: Coverage of the predicted intervals.
COVERAGE = 0.95
#: A prediction that gives its own error as more than this share of it calls itself uncertain.
UNCERTAIN = 0.1
# Means are asked to hold to 1 % beside the prediction's own error and chance.
_RELATIVE = 0.01


@dataclass(frozen=True)
class RunComparison:
    """Runs of m independent neurons, one on each data set; arrays over t = 1 … T.

    - `neurons`, `runs`: m, and how many runs.
    - `predicted`, `simulated`: mean of A_t; `standard_error`: of `simulated` − `predicted`.
    - `doubt`: what the prediction itself gives as its error, absolute.
    - `inside`: runs whose A_t lies in the predicted central 95 %.
    - `inside_span`: the same of span recovery; None where it was not predicted.
    """

    neurons: int
    runs: int
    predicted: Float64Array
    simulated: Float64Array
    standard_error: Float64Array
    doubt: Float64Array
    inside: NDArray[np.int_]
    inside_span: NDArray[np.int_] | None

    @property
    def uncertain(self) -> Bool[NDArray[np.bool_], " T"]:
        """Where the prediction calls itself uncertain."""
        # Without a number, too.
        return np.asarray(~(self.doubt <= UNCERTAIN * self.predicted))

    @property
    def coverage(self) -> Float64[Float64Array, " T"]:
        """Share of the runs whose A_t lies in its interval."""
        return np.asarray(self.inside / self.runs)

    @property
    def span_coverage(self) -> Float64[Float64Array, " T"] | None:
        """Share of the runs whose span recovery lies in its interval."""
        return None if self.inside_span is None else np.asarray(self.inside_span / self.runs)

    def contradicts(self, alpha: float) -> tuple[str, ...]:
        """Which of "mean", "interval" and "span interval" the runs contradict at some step at
        which the prediction does not call itself uncertain, each with false-alarm probability at
        most `alpha`.

        A mean by Student's t beyond 1 % and the prediction's own error; an interval if so few
        runs lie in it have probability below `alpha` under a coverage of 95 %.
        """
        from scipy.special import bdtr, stdtrit

        sure = ~self.uncertain
        if not sure.any():
            return ()
        level = alpha / int(sure.sum())
        found = []
        quantile = float(-stdtrit(self.runs - 1, level / 2))
        allowed = _RELATIVE * self.predicted + self.doubt + quantile * self.standard_error
        if (~(np.abs(self.simulated - self.predicted) <= allowed))[sure].any():
            found.append("mean")
        for name, inside in (("interval", self.inside), ("span interval", self.inside_span)):
            if inside is not None and (bdtr(inside, self.runs, COVERAGE) < level)[sure].any():
                found.append(name)
        return tuple(found)

    def to_json(self) -> Json:
        """A record of plain numbers."""
        span = self.span_coverage
        return {
            "independent_neurons": self.neurons,
            "runs": self.runs,
            "predicted_mean": self.predicted.tolist(),
            "simulated_mean": self.simulated.tolist(),
            "standard_error": self.standard_error.tolist(),
            "doubt": self.doubt.tolist(),
            "uncertain": self.uncertain.tolist(),
            "coverage": self.coverage.tolist(),
            "span_coverage": None if span is None else span.tolist(),
        }
