"""Label transforms: what a loss makes of the labels, T(y) = −l'(c, y), centred.

Source: theory.md §1, §2 (centring).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mimverify.network.losses import Loss
from mimverify.support.arrays import ArrayLike, Float64Array
from mimverify.support.errors import InputError
from mimverify.support.importing import summarise
from mimverify.training.centring import Centring


@dataclass(frozen=True)
class LabelTransform:
    """T, a function of the label alone.

    **Arguments**

    - `name`: for people.
    - `function`: y `(q,)` ↦ T(y) `(q,)`.
    - `bounded`: True where sup |T| < ∞ for *every* link, False where T is known to be
      unbounded for the links it is meant for, None where that depends on the link.
    """

    name: str
    function: Callable[[Float64Array], ArrayLike]
    bounded: bool | None = None

    def __call__(self, y: Float64Array) -> Float64Array:
        """T(y) `(q,)`. **Raises** `InputError` where the function raises or returns no numbers."""
        try:
            return np.asarray(self.function(y), dtype=np.float64)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"loss {self.name}: raised {summarise(error)}") from error

    @classmethod
    def of_loss(cls, loss: Loss, centring: Centring) -> LabelTransform:
        """T(y) = −l'(c, y) + offset, as stage 1 uses it from its first step on."""
        return cls(
            loss.name,
            lambda y: loss.label_transform(y, centring.constant) + centring.offset,
            bounded=True if loss.lipschitz else None,
        )
