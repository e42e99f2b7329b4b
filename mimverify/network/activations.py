"""Activations with their derivatives, and which of the theorem's assumptions they meet.

Every formula serves NumPy and Torch arrays alike through the array API namespace and is
written to keep relative accuracy near zero, where stage 1 operates. Source: theory.md §2,
§3 (E3), §6 (N3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from array_api_compat import array_namespace

from mimverify.backends.registry import special_functions
from mimverify.network.fused import LOG_COSH, PSEUDO_HUBER, QUADRATIC, Fused
from mimverify.support.arrays import Array
from mimverify.support.errors import InputError
from mimverify.support.validation import choice

if TYPE_CHECKING:
    from jaxtyping import Float

_Function = Callable[[Array], Array]


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


def _log_cosh(z: Array) -> Array:
    xp = array_namespace(z)
    size = xp.abs(z)
    # log cosh z = log(1 + 2 sinh²(z/2)) has no cancellation near 0 but overflows for large |z|.
    near = xp.log1p(2 * xp.sinh(xp.where(size < 1, size, 0 * size) / 2) ** 2)
    return xp.where(size < 1, near, size + xp.log1p(xp.exp(-2 * size)) - math.log(2))


def _tanh(z: Array) -> Array:
    return array_namespace(z).tanh(z)


def _sech2(z: Array) -> Array:
    xp = array_namespace(z)
    decay = xp.exp(-2 * xp.abs(z))
    return 4 * decay / (1 + decay) ** 2


def _identity(z: Array) -> Array:
    return 1 * z


def _ones(z: Array) -> Array:
    return array_namespace(z).ones_like(z)


def _zeros(z: Array) -> Array:
    return array_namespace(z).zeros_like(z)


def _pseudo_huber(z: Array) -> Array:
    return z**2 / (1 + array_namespace(z).sqrt(1 + z**2))  # √(1+z²) − 1 without cancellation


def _pseudo_huber_first(z: Array) -> Array:
    return z / array_namespace(z).sqrt(1 + z**2)


def _pseudo_huber_second(z: Array) -> Array:
    return (1 + z**2) ** -1.5


def _relu(z: Array) -> Array:
    return array_namespace(z).where(z > 0, z, 0 * z)


def _step(z: Array) -> Array:
    xp = array_namespace(z)
    return xp.where(z > 0, xp.ones_like(z), xp.zeros_like(z))


def _softplus(z: Array) -> Array:
    xp = array_namespace(z)
    return _relu(z) + xp.log1p(xp.exp(-xp.abs(z)))


def _sigmoid(z: Array) -> Array:
    return (1 + array_namespace(z).tanh(z / 2)) / 2


def _special(name: str, z: Array) -> Array:
    """A function that the libraries have under one name, apart from the array API."""
    return getattr(special_functions(z), name)(z)


def _normal_cdf(z: Array) -> Array:
    return _special("ndtr", z)


def _erf(z: Array) -> Array:
    return _special("erf", z)


def _normal_pdf(z: Array) -> Array:
    return array_namespace(z).exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def _expm1_minus(z: Array) -> Array:
    # e^z − 1 − z; near zero the series, since expm1(z) − z cancels.
    xp = array_namespace(z)
    near = xp.abs(z) < 0.5
    small = xp.where(near, z, 0 * z)  # powers of large z would overflow
    series = 1 + small / 16
    for k in range(15, 2, -1):  # the first term left out is below 2⁻⁵³ of the sum
        series = 1 + small / k * series
    return xp.where(near, small**2 / 2 * series, xp.expm1(z) - z)


def _sech2_half(z: Array) -> Array:
    return _sech2(z / 2) / 4


def _tanh_second(z: Array) -> Array:
    return -2 * _tanh(z) * _sech2(z)


def _gelu_first(z: Array) -> Array:
    return _normal_cdf(z) + z * _normal_pdf(z)


def _gelu_second(z: Array) -> Array:
    return (2 - z**2) * _normal_pdf(z)


_SQRT2 = math.sqrt(2)
_GELU_CURVATURE = 2 / math.sqrt(2 * math.pi)
_TANH_CURVATURE = 4 / (3 * math.sqrt(3))  # 2 t (1 − t²) at t = 1/√3

_ALL = (
    Activation("log-cosh", "log cosh z", _log_cosh, _tanh, _sech2,
               "even", True, 0.0, 1.0, 1.0, 2.0, LOG_COSH),
    Activation("quadratic", "z²/2", lambda z: z**2 / 2, _identity, _ones,
               "even", True, 0.0, 1.0, 1.0, math.inf, QUADRATIC),
    Activation("pseudo-huber", "√(1 + z²) − 1", _pseudo_huber, _pseudo_huber_first,
               _pseudo_huber_second, "even", True, 0.0, 1.0, 1.0, 2.0, PSEUDO_HUBER),
    Activation("relu", "max(z, 0)", _relu, _step, _zeros,
               "none", False, 0.5, 0.0, 0.0, None),
    Activation("softplus", "log(1 + e^z)", _softplus, _sigmoid, _sech2_half,
               "none", True, 0.5, 0.25, 0.25, None),
    Activation("gelu", "z Φ(z)", lambda z: z * _normal_cdf(z), _gelu_first, _gelu_second,
               "none", True, 0.5, _GELU_CURVATURE, _GELU_CURVATURE, None),
    Activation("tanh", "tanh z", _tanh, _sech2, _tanh_second,
               "odd", True, 1.0, 0.0, _TANH_CURVATURE, None),
    # Variants without the linear term, for which E3 holds (theory.md §3).
    Activation("softplus-centred", "log(1 + e^z) − z/2 − log 2",
               lambda z: _log_cosh(z / 2), lambda z: _tanh(z / 2) / 2, _sech2_half,
               "even", True, 0.0, 0.25, 0.25, 2.0),
    Activation("gelu-centred", "z Φ(z) − z/2",
               lambda z: z * _erf(z / _SQRT2) / 2,
               lambda z: _erf(z / _SQRT2) / 2 + z * _normal_pdf(z), _gelu_second,
               "even", True, 0.0, _GELU_CURVATURE, _GELU_CURVATURE, 2.0),
    Activation("exp-centred", "e^z − 1 − z", _expm1_minus,
               lambda z: array_namespace(z).expm1(z), lambda z: array_namespace(z).exp(z),
               "none", True, 0.0, 1.0, math.inf, 1.0),
)  # fmt: skip

#: Named activations.
ACTIVATIONS: dict[str, Activation] = {activation.name: activation for activation in _ALL}


def get_activation(activation: Activation | str) -> Activation:
    """The activation of that name (any spelling); an `Activation` is returned as it is.

    **Raises** `InputError` for an unknown name.
    """
    if isinstance(activation, Activation):
        return activation
    if not isinstance(activation, str):
        raise InputError(f"activation={activation!r}: expected an Activation or a name")
    return ACTIVATIONS[choice("activation", activation, ACTIVATIONS)]
