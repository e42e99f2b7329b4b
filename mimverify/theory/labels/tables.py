"""Functions of a label that is known at knots, and looked up at atoms; units of labels.

An atom is a label of positive probability: no interpolation leads to its value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimverify.support.arrays import Float64Array

if TYPE_CHECKING:
    from jaxtyping import Float64


def nearest(
    labels: Float64[Float64Array, " A"], y: Float64[Float64Array, " k"]
) -> tuple[NDArray[np.intp], Float64Array]:
    """Index of, and distance to, the member of sorted `labels` nearest to each y."""
    right = np.clip(np.searchsorted(labels, y), 0, len(labels) - 1)
    left = np.maximum(right - 1, 0)
    index = np.where(np.abs(y - labels[left]) <= np.abs(labels[right] - y), left, right)
    return index, np.abs(y - labels[index])


_LARGEST = 1e300


@dataclass(frozen=True)
class Units:
    """Labels without their common offset, in a unit of their spread: y ↦ y/unit − offset.

    Tolerances are relative to the label or to the spread; they presume an offset of the
    spread's order. `unit` is a power of two, so that standardising adds no rounding of its own.
    """

    offset: float = 0.0
    unit: float = 1.0

    @property
    def blur(self) -> float:
        """Absolute error of a standardised label, from its rounding before standardising."""
        return float(np.finfo(np.float64).eps * abs(self.offset))

    def standard(self, y: Float64Array) -> Float64Array:
        """Standardised labels; next to infinite ones are cut off."""
        with np.errstate(over="ignore"):
            return np.asarray(np.clip(y / self.unit, -_LARGEST, _LARGEST) - self.offset)

    def original(self, y: Float64Array) -> Float64Array:
        """Labels in the user's units."""
        return np.asarray((y + self.offset) * self.unit)


#: Labels as they are.
STANDARD = Units()


@dataclass(frozen=True)
class Tabulated:
    """A function of the label: linear between knots, looked up at atoms.

    **Arguments**

    - `knots`: labels `(k,)`, ascending, and `values` `(k, …)` there; the outermost values hold
      beyond the outermost knots.
    - `atoms`: labels of positive probability `(A,)`, ascending, and `atom_values` `(A, …)`.
      They hold up to float32 rounding of the label, and beyond the knots where an atom is
      nearer than a knot.
    - `units`: of the labels; distances are taken in them.
    """

    knots: Float64Array
    values: Float64Array
    atoms: Float64Array
    atom_values: Float64Array
    units: Units = STANDARD

    def __call__(self, y: Float64Array) -> Float64Array:
        """Values `(n, …)` at labels `(n,)`."""
        y, knots, atoms = (
            self.units.standard(np.asarray(labels, dtype=np.float64))
            for labels in (y, self.knots, self.atoms)
        )
        if not len(knots):
            return np.asarray(self.atom_values[nearest(atoms, y)[0]])
        last = len(knots) - 1
        right = np.minimum(np.clip(np.searchsorted(knots, y), 1, None), last)
        left = np.maximum(right - 1, 0)
        width = np.where(right > left, knots[right] - knots[left], 1.0)
        weight = np.clip((y - knots[left]) / width, 0, 1)
        weight = weight.reshape(-1, *(1,) * (self.values.ndim - 1))
        result = (1 - weight) * self.values[left] + weight * self.values[right]
        outside = np.maximum(np.maximum(knots[0] - y, y - knots[last]), 0)
        return override(y, result, outside, atoms, self.atom_values)


def override(
    y: Float64Array,
    result: Float64Array,
    outside: Float64Array,
    atoms: Float64Array,
    values: Float64Array,
) -> Float64Array:
    """`result` with the atoms' values where y is one, or is nearer to one than to the rest.

    `outside` is the distance from y to the labels that `result` covers, zero within.
    """
    if len(atoms):
        index, distance = nearest(atoms, y)
        hit = distance <= 2e-7 * np.abs(atoms[index])
        hit |= (outside > 0) & (distance <= outside * (1 + 1e-9))
        result[hit] = values[index[hit]]
    return result
