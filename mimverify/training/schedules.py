"""Step sizes of stage 1, and how many steps it takes. Source: theory.md §2."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from array_api_compat import array_namespace

from mimverify.support.arrays import Array
from mimverify.support.errors import InputError
from mimverify.support.validation import number

if TYPE_CHECKING:
    from jaxtyping import Float


class Schedule(ABC):
    """Maps weights and gradient to the next weights: W − η (G + β W)."""

    @abstractmethod
    def update(self, W: Float[Array, "m d"], G: Float[Array, "m d"]) -> Float[Array, "m d"]:
        """The next weights `(m, d)`."""


@dataclass(frozen=True)
class ConstantRate(Schedule):
    """Fixed learning rate `eta` and weight decay `beta` (coupled: both multiply η).

    **Raises** `InputError` for a rate that is negative or not finite.
    """

    eta: float
    beta: float = 0.0

    def __post_init__(self) -> None:
        number("eta", self.eta, minimum=0.0)
        number("beta", self.beta, minimum=0.0)

    def update(self, W: Float[Array, "m d"], G: Float[Array, "m d"]) -> Float[Array, "m d"]:
        return (1.0 - self.eta * self.beta) * W - self.eta * G


@dataclass(frozen=True)
class ScaleFree(Schedule):
    """β = 1/η with η such that the largest neuron keeps norm `norm` (ε0).

    The decay then cancels the old weights exactly: a step is −η G, a multiple of power
    iteration, whatever the scale of labels, loss and output weights.
    """

    norm: float = 1e-2

    def __post_init__(self) -> None:
        number("norm", self.norm, minimum=0.0, exclusive=True)

    def update(self, W: Float[Array, "m d"], G: Float[Array, "m d"]) -> Float[Array, "m d"]:
        xp = array_namespace(G)
        # Divide by the largest entry first: squares of tiny gradients would underflow.
        scale = float(xp.max(xp.abs(G)))
        if not 0 < scale < math.inf:
            return -G  # the caller's check names the step and the reason
        G = G / scale
        largest = float(xp.max(xp.sum(G * G, axis=1))) ** 0.5
        return (-self.norm / largest) * G


def default_steps(n: int, d: int) -> int:
    """T1 without knowledge of link or loss: ceil(log d / log(n/d)) + 2 (theory.md §2).

    Enough for well-conditioned links. **Raises** `InputError` for n ≤ d, where no number
    of steps is known to suffice.
    """
    if n <= d:
        raise InputError(
            f"n={n}, d={d}: the default number of steps needs n > d; give the steps explicitly"
        )
    return math.ceil(math.log(d) / math.log(n / d)) + 2


def default_samples(dim: int) -> int:
    """n = ⌊d log² d⌋, the Õ(d) of theory.md §7.

    **Raises** `InputError` where that is below one sample (d ≤ 2).
    """
    samples = int(dim * math.log(dim) ** 2)
    if samples < 1:
        raise InputError(
            f"dim={dim}: the default number of samples, d log² d, is below 1; "
            "give the samples explicitly"
        )
    return samples
