"""Configurations that Hypothesis draws for the claims. Data and seeds derive from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

from mimverify.network import symmetric_start
from mimverify.problems import MultiIndexModel, get_link
from mimverify.strategies.choices import choices
from mimverify.support.arrays import FloatArray
from mimverify.trial.claims.kinds import KINDS, ONE_STEP_KINDS, SYMMETRIC_KINDS, Kind
from mimverify.trial.reference.oracle import Option, Options, exact_step

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = [
    "KINDS",
    "ONE_STEP_KINDS",
    "SYMMETRIC_KINDS",
    "ExactCase",
    "LearningCase",
    "choices",
    "exact_cases",
    "learning_cases",
]


@dataclass(frozen=True)
class ExactCase:
    """A network and data set for claims that hold exactly, whatever the numbers.

    **Arguments**

    - `kind`: a key of `KINDS`: what is special about it.
    - `dim`, `samples`, `neurons`, `steps`: d, n, m, T.
    - `norm`: length of the initial weights.
    - `scale`: factor on the labels.
    - `link`: of the labels.
    - `key`: distinguishes cases of one shape.
    """

    kind: str
    dim: int
    samples: int
    neurons: int
    steps: int
    norm: float
    scale: float
    link: str
    key: int

    @property
    def every_dtype(self) -> bool:
        """Whether its faults depend on the dtype: see `Trial.combinations`."""
        return KINDS[self.kind].every_dtype

    def data(
        self, seed: int, dtype: str
    ) -> tuple[Float[FloatArray, "n d"], Float[FloatArray, " n"]]:
        """Inputs `(n, d)` and noisy labels `(n,)`, read-only."""
        return _data(self, seed, dtype)

    def general_network(
        self, seed: int, dtype: str
    ) -> tuple[Float[FloatArray, "m d"], Float[FloatArray, " m"], Float[FloatArray, " m"]]:
        """W `(m, d)`, a and b `(m,)`: random, or as the kind makes them of the symmetric start."""
        kind, rng = KINDS[self.kind], np.random.default_rng([seed, 1])
        b = 0.5 * rng.standard_normal(self.neurons)
        W = rng.standard_normal((self.neurons, self.dim)) * self.norm / np.sqrt(self.dim)
        a = rng.standard_normal(self.neurons) / self.neurons
        network = W.astype(dtype), a.astype(dtype), b.astype(dtype)
        if kind.start is not None:
            network = kind.start(network, self.symmetric_network(seed, dtype))
        if kind.change_network is not None:
            kind.change_network(*network)
        return network

    def options(
        self,
        network: tuple[FloatArray, FloatArray, FloatArray],
        data: tuple[FloatArray, FloatArray],
        activation: str,
        loss: str,
    ) -> Options:
        """η, β, σ and l for the general network: rates at which every term counts.

        η is halved until the exact trajectory stays bounded: with some activations and
        losses gradient descent itself diverges, which is no fault of a trainer.
        """
        eta = 0.5 * self.neurons
        while True:
            beta = KINDS[self.kind].decay / eta
            options: Options = {
                "eta": eta, "beta": beta, "activation": activation, "loss": loss,
            }  # fmt: skip
            if _stays_bounded(network, data, self.steps, **options):
                return options
            eta /= 2

    def symmetric_network(
        self, seed: int, dtype: str
    ) -> tuple[Float[FloatArray, "m d"], Float[FloatArray, " m"], Float[FloatArray, " m"]]:
        """W `(m, d)`, a and b `(m,)` of the symmetric start."""
        rng = np.random.default_rng([seed, 2])
        network = symmetric_start(self.neurons, self.dim, rng, norm=self.norm, dtype=dtype)
        return network.W, network.a, network.b


@lru_cache(maxsize=4)  # a claim asks again for every activation and loss
def _data(case: ExactCase, seed: int, dtype: str) -> tuple[FloatArray, FloatArray]:
    model = MultiIndexModel(case.link, case.dim, noise=0.3, seed=seed)
    sample = model.sample(case.samples, dtype=dtype)
    X, y = sample.X, (case.scale * sample.y).astype(dtype)
    change = KINDS[case.kind].change_data
    if change is not None:
        change(X, y)
    return frozen(X), frozen(y)


def _stays_bounded(
    network: tuple[FloatArray, FloatArray, FloatArray],
    data: tuple[FloatArray, FloatArray],
    steps: int,
    **options: Option,
) -> bool:
    """Whether no weight of the exact trajectory exceeds four times the largest initial one."""
    W: FloatArray = network[0]
    for _ in range(steps):
        W = exact_step(W, *network[1:], *data, **options)
        if not np.abs(W).max() <= 4 * np.abs(network[0]).max():
            return False
    return True


def frozen(array: FloatArray) -> FloatArray:
    """`array`, set read-only: a worker process is then sent it only once."""
    array.setflags(write=False)
    return array


def exact_cases(
    *,
    kinds: Sequence[str] = tuple(KINDS),
    without: Sequence[str] = (),
    steps: Sequence[int] = (4, 2, 3, 6),
    norms: Sequence[float] = (),
) -> tuple[st.SearchStrategy[ExactCase], ...]:
    """A strategy for each of the kinds; `steps` and `norms` replace the kind's if given."""
    chosen = [kind for kind in kinds if kind not in without]
    return tuple(_cases(kind, KINDS[kind], steps, norms) for kind in chosen)


def _cases(
    name: str, kind: Kind, steps: Sequence[int], norms: Sequence[float]
) -> st.SearchStrategy[ExactCase]:
    def build(
        dim: int, ratio: float, samples: int, neurons: int, count: int,
        norm: float, scale: float, link: str, key: int,
    ) -> ExactCase:  # fmt: skip
        rows = samples or max(int(ratio * dim), dim + 1 if ratio > 1 else 3)
        return ExactCase(name, dim, rows, neurons, count, norm, scale, link, key)

    return st.builds(
        build,
        choices(kind.dims),
        choices(kind.ratios),
        choices(kind.samples or (0,)),
        choices(kind.neurons),
        choices(kind.steps or tuple(steps)),
        choices(tuple(norms) or kind.norms),
        choices(kind.scales),
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
