"""One null hypothesis and its test: outliers of H_n against those of permuted labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mimverify.given_data.predicted_power import (
    WEAK_SPREAD,
    detectable_strength,
    predicted_power,
)
from mimverify.pages.notebook import ShownInNotebooks
from mimverify.support.arrays import Float64Array
from mimverify.support.strict_json import Json

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["SpectrumTest"]

# Two sums of the same numbers in another order: a tie counts against the finding.
_TIE = 1e-10
#: The power at which `detectable` is stated.
STATED_POWER = 0.9


@dataclass(frozen=True)
class SpectrumTest(ShownInNotebooks):
    """The eigenvalues of H_n and those of permuted labels, by loss.

    **Arguments**

    - `null`: the hypothesis that the p-value speaks of.
    - `level`: what is known of the p-value's level under it; `exact`: whether P(p ≤ a) ≤ a.
    - `alpha`: level at which directions are counted.
    - `samples`, `components`: n and k.
    - `eigenvalues`: of each loss `(k,)`, largest modulus first; T has variance 1.
    - `edges`: of each loss, the unit in which its eigenvalues are compared (`bulk_edge`).
    - `null_spectra`: of each loss `(B, k)`, largest modulus first, of the permutations.
    """

    null: str
    level: str
    exact: bool
    alpha: float
    samples: int
    components: int
    eigenvalues: dict[str, Float64Array]
    edges: dict[str, float]
    null_spectra: dict[str, Float64Array]
    null_edges: dict[str, Float64Array]
    null_largest: Float64[Float64Array, " B"] = field(init=False)
    loss: str = field(init=False)

    def __post_init__(self) -> None:
        # The maximum over losses inside every permutation pays for the choice of a loss.
        scores = [
            np.abs(self.null_spectra[name][:, 0]) / self.null_edges[name]
            for name in self.eigenvalues
        ]
        object.__setattr__(self, "null_largest", np.max(scores, axis=0))
        most = max(
            self.eigenvalues,
            key=lambda name: (
                int(np.sum(self.p_values(name) <= self.alpha)),
                abs(self.eigenvalues[name][0]) / self.edges[name],
            ),
        )
        object.__setattr__(self, "loss", most)

    @property
    def permutations(self) -> int:
        """B."""
        return len(self.null_largest)

    @property
    def p_value(self) -> float:
        """(1 + #{null ≥ observed})/(1 + B) of the largest modulus over all losses."""
        return min(float(self.p_values(name)[0]) for name in self.eigenvalues)

    @property
    def shown(self) -> bool:
        """Whether the hypothesis is rejected at `alpha`."""
        return self.p_value <= self.alpha

    def p_values(self, loss: str | None = None) -> Float64[Float64Array, " k"]:
        """Of each eigenvalue, against the null's *largest*: adjusted for all k and all losses."""
        name = self.loss if loss is None else loss
        scores = np.abs(self.eigenvalues[name]) / self.edges[name]
        ordered = np.sort(self.null_largest)
        reached = len(ordered) - np.searchsorted(ordered, scores * (1 - _TIE), side="left")
        return np.asarray((1 + reached) / (1 + len(ordered)))

    @property
    def outliers(self) -> Float64[Float64Array, " j"]:
        """Eigenvalues of the leading loss with p ≤ `alpha`, largest modulus first."""
        return self.eigenvalues[self.loss][self.p_values() <= self.alpha]

    @property
    def directions(self) -> int:
        """A lower bound: the outliers of the more numerous sign (docs/diagnose.md says why)."""
        found = self.outliers
        return int(max(np.sum(found > 0), np.sum(found < 0)))

    def threshold(self, loss: str | None = None) -> float:
        """The modulus from which on an eigenvalue of the loss has p ≤ `alpha`."""
        name = self.loss if loss is None else loss
        allowed = int(np.floor(self.alpha * (1 + self.permutations) + 1e-9))
        return float(np.sort(self.null_largest)[-allowed]) * self.edges[name]

    @property
    def detectable(self) -> float:
        """The weakest |λ| that is found with probability .9 (theory: `predicted_power`)."""
        return detectable_strength(
            self.threshold(),
            components=self.components,
            samples=self.samples,
            power=STATED_POWER,
        )

    def predicted_power(
        self,
        strength: float,
        *,
        loss: str | None = None,
        second: float = 1.0,
        spread: float = WEAK_SPREAD,
    ) -> float:
        """The probability that a direction of strength λ is found in such data, from theory.

        Arguments as for `mimverify.given_data.predicted_power.predicted_power`.
        """
        return predicted_power(
            self.threshold(loss),
            strength,
            components=self.components,
            samples=self.samples,
            second=second,
            spread=spread,
        )

    def to_json(self) -> Json:
        """A record of plain numbers; the null by loss as quantiles of its largest modulus."""
        levels = (0.5, 0.9, 0.95, 1.0)
        return {
            "null": self.null,
            "exact": self.exact,
            "level": self.level,
            "p_value": self.p_value,
            "shown": self.shown,
            "loss": self.loss,
            "directions": self.directions,
            "outliers": self.outliers.tolist(),
            "p_values": self.p_values()[: max(len(self.outliers) + 1, 5)].tolist(),
            "detectable": self.detectable,
            "permutations": self.permutations,
            "by_loss": [
                {
                    "loss": name,
                    "largest": float(values[0]),
                    "threshold": self.threshold(name),
                    "outliers": int(np.sum(self.p_values(name) <= self.alpha)),
                    "p_value": float(self.p_values(name)[0]),
                    "gaussian_edge": self.edges[name],
                    **{
                        f"null_{level:g}": float(
                            np.quantile(np.abs(self.null_spectra[name][:, 0]), level)
                        )
                        for level in levels
                    },
                    "eigenvalues": values.tolist(),
                }
                for name, values in self.eigenvalues.items()
            ],
        }
