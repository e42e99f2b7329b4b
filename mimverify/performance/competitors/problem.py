"""One step of stage 1 as a problem, the same for every competitor."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np

from mimverify.network.initialisation import Network, symmetric_start
from mimverify.network.losses import get_loss
from mimverify.problems.model import MultiIndexModel
from mimverify.problems.streams import Stream
from mimverify.support.arrays import Float64Array, FloatArray
from mimverify.support.strict_json import Json
from mimverify.support.validation import choice, dtype_name, integer
from mimverify.training.centring import fit_constant

#: How the network starts: without structure, or with neurons in mirrored pairs (theory.md E1).
STARTS = ("general", "symmetric")

ACTIVATION, LOSS, LINK = "log-cosh", "huber", "cos2z"

_NORM = 1e-2  # ‖w_j‖, the reference trainer's ε0
_START, _SIGNS = 0x63, 0x64  # keys of the random streams


@dataclass(frozen=True)
class Problem:
    """The shape of a step, and the seed of its data.

    **Arguments**

    - `dim`, `neurons`, `samples`: d, m, n.
    - `dtype`: `"float32"` or `"float64"`.
    - `start`: one of `STARTS`.
    - `seed`: of data and start.

    **Raises** `InputError` for what is none of these, and for a symmetric start of an odd m.
    """

    dim: int
    neurons: int
    samples: int
    dtype: str = "float32"
    start: str = "general"
    seed: int = 0

    def __post_init__(self) -> None:
        integer("dim", self.dim, minimum=2)
        integer("neurons", self.neurons, minimum=1)
        integer("samples", self.samples, minimum=2)
        integer("seed", self.seed, minimum=0, maximum=2**32 - 1)
        object.__setattr__(self, "dtype", dtype_name("dtype", self.dtype))
        object.__setattr__(self, "start", choice("start", self.start, STARTS))
        if self.start == "symmetric":  # which refuses odd numbers
            symmetric_start(self.neurons, 1, np.random.default_rng(0))

    @property
    def flops(self) -> int:
        """Operations of the two products of a step: 4 n m d, or half of that with the symmetric
        start, where one neuron of each pair determines the other."""
        whole = 4 * self.samples * self.neurons * self.dim
        return whole // 2 if self.start == "symmetric" else whole

    @property
    def nbytes(self) -> int:
        """Bytes of X, which a step has to read once."""
        return self.samples * self.dim * np.dtype(self.dtype).itemsize

    def to_json(self) -> Json:
        """The arguments of this problem."""
        return asdict(self)


@dataclass(frozen=True)
class Task:
    """The arrays of a problem: W − η (∇_W L(W) + β W) is to be computed.

    **Arguments**

    - `X`, `y`: inputs `(n, d)` and labels `(n,)`, centred for the loss.
    - `W`, `a`, `b`: the network, `(m, d)`, `(m,)` and `(m,)`; b = 0.
    - `eta`, `beta`: learning rate, and weight decay 1/η.
    - `activation`, `loss`: names.
    - `subspace`: U `(r, d)`, for alignments.
    """

    problem: Problem
    X: FloatArray
    y: FloatArray
    W: FloatArray
    a: FloatArray
    b: FloatArray
    eta: float
    beta: float
    activation: str
    loss: str
    subspace: Float64Array


def make_task(problem: Problem) -> Task:
    """The arrays of `problem`, the same in every process."""
    X, y, subspace = _data(problem.dim, problem.samples, problem.dtype, problem.seed)
    network = _network(problem)
    eta = float(problem.neurons)  # |a_j| = 1/m: the step keeps the weights' order of magnitude
    return Task(
        problem, X, y, network.W, network.a, network.b, eta, 1.0 / eta, ACTIVATION, LOSS, subspace
    )


# Consecutive problems often differ in the network alone, and share their data.
@lru_cache(maxsize=1)
def _data(
    dim: int, samples: int, dtype: str, seed: int
) -> tuple[FloatArray, FloatArray, Float64Array]:
    model = MultiIndexModel(LINK, dim, seed=seed)
    sample = model.sample(samples, dtype=dtype)
    y = sample.y - np.asarray(fit_constant(get_loss(LOSS), sample.y).constant, sample.y.dtype)
    return sample.X, y, model.subspace


def _network(problem: Problem) -> Network:
    rng = Stream(problem.seed, _START).block(0)
    m, d, dtype = problem.neurons, problem.dim, problem.dtype
    if problem.start == "symmetric":
        return symmetric_start(m, d, rng, norm=_NORM, dtype=dtype)
    W = rng.standard_normal((m, d))
    W *= _NORM / np.linalg.norm(W, axis=1, keepdims=True)
    a = Stream(problem.seed, _SIGNS).block(0).choice([-1.0, 1.0], m) / m
    return Network(W.astype(dtype), a.astype(dtype), np.zeros(m, dtype))
