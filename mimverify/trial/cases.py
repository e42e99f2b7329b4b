"""Configurations that Hypothesis draws. Data and seeds derive from them.

Everything is drawn from booleans: Hypothesis mixes constants that it finds in the source
code of local modules into integers, floats and text, and would draw other configurations
from an installed wheel than from a checkout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from mimverify.network import symmetric_start
from mimverify.problems import MultiIndexModel, get_link
from mimverify.trial.oracle import exact_step

__all__ = ["ExactCase", "LearningCase", "choices", "exact_cases", "learning_cases"]

T = TypeVar("T")
Array = NDArray[np.floating[Any]]

# Beyond what the number of options needs, so that the remainder is nearly uniform.
_SPARE_BITS = 6


def choices(options: Sequence[T]) -> st.SearchStrategy[T]:
    """One of `options`, shrinking to the first; the same in every installation."""
    options = tuple(options)
    bits = max(1, (len(options) - 1).bit_length()) + _SPARE_BITS

    def pick(flags: tuple[bool, ...]) -> T:
        return options[sum(flag << place for place, flag in enumerate(flags)) % len(options)]

    return st.tuples(*[st.booleans()] * bits).map(pick)


@dataclass(frozen=True)
class ExactCase:
    """A small network and data set for claims that hold exactly, whatever the numbers.

    **Arguments**

    - `dim`, `samples`, `neurons` (even), `steps`: d, n, m, T.
    - `norm`: length of the initial weights.
    - `link`: of the labels.
    - `key`: distinguishes cases of one shape.
    """

    dim: int
    samples: int
    neurons: int
    steps: int
    norm: float
    link: str
    key: int

    def data(self, seed: int, dtype: str) -> tuple[Array, Array]:
        """Inputs `(n, d)` and noisy labels `(n,)`, read-only."""
        model = MultiIndexModel(self.link, self.dim, noise=0.3, seed=seed)
        sample = model.sample(self.samples, dtype=dtype)
        return frozen(sample.X), frozen(sample.y)

    def general_network(self, seed: int, dtype: str) -> tuple[Array, Array, Array]:
        """Any W `(m, d)`, a and b `(m,)`: no symmetry, biases included."""
        rng = np.random.default_rng([seed, 1])
        W = rng.standard_normal((self.neurons, self.dim)) * self.norm / np.sqrt(self.dim)
        a = rng.standard_normal(self.neurons) / self.neurons
        b = 0.5 * rng.standard_normal(self.neurons)
        return W.astype(dtype), a.astype(dtype), b.astype(dtype)

    def options(
        self,
        network: tuple[Array, Array, Array],
        data: tuple[Array, Array],
        activation: str,
        loss: str,
    ) -> dict[str, Any]:
        """η, β, σ and l for the general network: rates at which every term counts.

        η is halved until the exact trajectory keeps its size: with some activations and
        losses gradient descent itself diverges, which is no fault of a trainer.
        """
        options = {"beta": 0.3 / self.neurons, "activation": activation, "loss": loss}
        eta = 0.5 * self.neurons
        while not _keeps_its_size(network, data, self.steps, eta=eta, **options):
            eta /= 2
        return {"eta": eta, **options}

    def symmetric_network(self, seed: int, dtype: str) -> tuple[Array, Array, Array]:
        """W, a and b of the symmetric start."""
        rng = np.random.default_rng([seed, 2])
        network = symmetric_start(self.neurons, self.dim, rng, norm=self.norm, dtype=dtype)
        return network.W, network.a, network.b


def _keeps_its_size(
    network: tuple[Array, Array, Array], data: tuple[Array, Array], steps: int, **options: Any
) -> bool:
    W = network[0]
    for _ in range(steps):
        W = exact_step(W, *network[1:], *data, **options)
        if not np.abs(W).max() <= 4 * np.abs(network[0]).max():
            return False
    return True


def frozen(array: Array) -> Array:
    """`array`, read-only: an isolated trainer then receives it only once."""
    array.setflags(write=False)
    return array


def exact_cases(
    *, steps: Sequence[int] = (3, 1, 2, 4), norms: Sequence[float] = (0.1, 0.01, 1.0)
) -> st.SearchStrategy[ExactCase]:
    """Cases of 3 ≤ d ≤ 24 and d < n ≤ 8 d, of every oddity in between."""
    dims, ratios = (8, 3, 4, 5, 7, 12, 17, 24), (4.0, 1.1, 1.5, 2.0, 3.0, 8.0)

    def build(
        dim: int, ratio: float, neurons: int, count: int, norm: float, link: str, key: int
    ) -> ExactCase:
        return ExactCase(dim, max(dim + 1, int(ratio * dim)), neurons, count, norm, link, key)

    return st.builds(
        build,
        choices(dims),
        choices(ratios),
        choices((4, 2, 6, 10, 32)),
        choices(steps),
        choices(norms),
        choices(("z1z2", "he2", "cos2z", "abs", "relu-sum", "tanh3")),
        choices(range(256)),
    )


@dataclass(frozen=True)
class LearningCase:
    """A learning problem: link, loss and dimension(s); everything else derives from them."""

    link: str
    loss: str
    dim: int

    @property
    def rank(self) -> int:
        """r of the link."""
        return get_link(self.link).rank


def learning_cases(
    *, links: Sequence[str], dims: Sequence[int], losses: Sequence[str] = ("huber", "squared")
) -> st.SearchStrategy[LearningCase]:
    """Learning problems over the product of the given links, losses and dimensions."""
    return st.builds(LearningCase, choices(links), choices(losses), choices(dims))
