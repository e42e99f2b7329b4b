"""An activation with its derivatives, and which of the theorem's assumptions it meets.

Source: theory.md §2, §3 (E3), §6 (N3).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mimverify.network.fused import Fused
from mimverify.support.arrays import Array
from mimverify.support.validation import choice

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["Activation"]

PARITIES = ("even", "odd", "none")

_Function: TypeAlias = Callable[[Array], Array]


@dataclass(frozen=True)
class Activation:
    """An activation σ.

    **Arguments**

    - `name`, `formula`: for messages and command lines.
    - `value`, `first`, `second`: σ, σ', σ'' elementwise, shape and dtype kept, without side
      effects: several threads may call them at once.
    - `parity`: `"even"`, `"odd"` or `"none"`.
    - `smooth`: σ is infinitely differentiable.
    - `slope_at_zero`, `curvature_at_zero`: σ'(0), σ''(0) (ReLU's slope: the mean of both sides).
    - `curvature_bound`: sup |σ''| (0 for piecewise linear functions, without the kink).
    - `gap_order`: order in ε0 to which gradient descent follows power iteration
      (theory.md E3); `inf` where the two coincide, `None` where E3 does not apply.
    - `fused`: kernels for training, if there are faster ones than `value` and `first`.

    **Raises** `InputError` for another parity.
    """

    name: str
    formula: str
    value: _Function
    first: _Function
    second: _Function
    parity: str
    smooth: bool
    slope_at_zero: float
    curvature_at_zero: float
    curvature_bound: float
    gap_order: float | None
    fused: Fused | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "parity", choice("parity", self.parity, PARITIES))

    def to_first(self, z: Float[Array, "k m"]) -> None:
        """Replace a block z by σ'(z)."""
        if self.fused is None:
            z[...] = self.first(z)
        else:
            self.fused.first(z)

    def to_both(
        self, z: Float[Array, "k m"], value: Float[Array, "k m"], spare: Float[Array, "k m"]
    ) -> Float[Array, "k m"]:
        """Replace a block z by σ'(z) and return σ(z): in `value`, or in a new block.

        **Arguments**

        - `value`, `spare`: blocks like z, which are overwritten.
        """
        if self.fused is None:
            result = self.value(z)
            z[...] = self.first(z)
            return result
        self.fused.both(z, value, spare)
        return value

    def to_value(self, z: Float[Array, "k m"], value: Float[Array, "k m"]) -> None:
        """Write σ(z) to `value`, a block like z; z is overwritten."""
        if self.fused is None:
            value[...] = self.value(z)
        else:
            self.fused.value(z, value)

    @property
    def even(self) -> bool:
        """σ(−z) = σ(z): needed by antisymmetry (E1)."""
        return self.parity == "even"

    @property
    def assumptions(self) -> dict[str, bool]:
        """The theorem's assumptions on σ (theory.md §2) and whether σ meets them."""
        return {
            "smooth": self.smooth,
            "no slope at zero": self.slope_at_zero == 0,
            "unit curvature at zero": self.curvature_at_zero == 1,
        }

    @property
    def inside_theorem(self) -> bool:
        """Whether all of `assumptions` hold."""
        return all(self.assumptions.values())
