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
        """W `(m, d)`, a and b `(m,)`: random, or with the halves of a symmetric start.

        A trainer may use the symmetric start only where it helps exactly (theory.md E1): not
        with biases, with σ that is not even, with β ≠ 1/η, or where a alone is antisymmetric.
        """
        rng = np.random.default_rng([seed, 1])
        b = 0.5 * rng.standard_normal(self.neurons)
        if self.kind in ("mirrored", "mirrored-with-biases"):
            W, a, zero = self.symmetric_network(seed, dtype)
            return W, a, zero if self.kind == "mirrored" else b.astype(dtype)
        if self.kind == "half-mirrored":
            _, a, zero = self.symmetric_network(seed, dtype)
            W = rng.standard_normal((self.neurons, self.dim)) * self.norm / np.sqrt(self.dim)
            return W.astype(dtype), a, zero
        W = rng.standard_normal((self.neurons, self.dim)) * self.norm / np.sqrt(self.dim)
        a = rng.standard_normal(self.neurons) / self.neurons
        return W.astype(dtype), a.astype(dtype), b.astype(dtype)

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
    if case.kind == "repeated":
        third = len(y) // 3  # repeating every row would change no mean
        X[-third:], y[-third:] = X[:third], y[:third]
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


@dataclass(frozen=True)
class _Kind:
    """Values that one kind of case takes; the first of each is the simplest case."""

    dims: tuple[int, ...] = (8, 3, 4, 5, 7, 12, 17, 24)
    ratios: tuple[float, ...] = (4.0, 1.1, 1.5, 2.0, 3.0, 8.0)
    samples: tuple[int, ...] = ()
    neurons: tuple[int, ...] = (4, 2, 6, 10, 32)
    steps: tuple[int, ...] = ()
    norms: tuple[float, ...] = (0.1, 0.01, 1.0)
    scales: tuple[float, ...] = (1.0,)
    decay: float = 0.15  # η β
    every_dtype: bool = False  # try each combination in all dtypes


#: Kinds of cases, each with faults that only it reveals. Row counts are primes: no block
#: size divides them. Those that most claims try come first, so that they are tried with the same
#: activations, losses and dtypes in all (`covering_blocks`).
KINDS: dict[str, _Kind] = {
    "small": _Kind(),
    "tall": _Kind(dims=(12, 24), samples=(1543, 1031, 2053), neurons=(6, 10)),  # blocks of rows
    "odd": _Kind(neurons=(3, 1, 7, 131)),  # pairs and blocks of neurons
    # Clipping, overflow; enough entries that some lie in every range of the nonlinearities. Where
    # a function overflows depends on the dtype, and clipping at ±10 shows in float64 alone.
    "large-magnitude": _Kind(
        dims=(12, 8, 17, 24),
        ratios=(8.0, 4.0),
        neurons=(10, 6, 32),
        norms=(10.0, 30.0),
        scales=(20.0, 100.0),
        every_dtype=True,
    ),
    "mirrored": _Kind(decay=1.0),  # symmetric start and β = 1/η, but σ of any parity
    "wide": _Kind(dims=(24, 40, 60), ratios=(0.5, 1.0), neurons=(132, 4, 10)),  # n ≤ d
    "long": _Kind(steps=(12, 17, 40)),  # schedules, early stops
    "mirrored-with-biases": _Kind(),  # symmetric start with biases and another β
    "half-mirrored": _Kind(decay=1.0),  # antisymmetric a and β = 1/η, but any W
    "square": _Kind(dims=(6,), neurons=(6,)),  # m = d: transposed arrays fit
    "undecayed": _Kind(decay=0.0),  # β = 0 is a value like any other
    "overdecayed": _Kind(decay=1.5),  # 1 − η β < 0
    "repeated": _Kind(ratios=(4.0, 2.0, 8.0)),  # rows that occur twice
    "few-rows": _Kind(samples=(1, 2)),  # hardly any rows
    "many-rows": _Kind(dims=(3,), samples=(20011,), neurons=(2,), steps=(2,)),  # blocks of 4096
}

#: Kinds that reveal a fault in the first step as well as in any later one.
ONE_STEP_KINDS = (
    "half-mirrored", "square", "undecayed", "overdecayed", "repeated", "few-rows", "many-rows"
)  # fmt: skip

#: Kinds that the theorem's own setting, the symmetric start, allows.
SYMMETRIC_KINDS = ("small", "tall", "large-magnitude", "wide", "long")


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
    name: str, kind: _Kind, steps: Sequence[int], norms: Sequence[float]
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
