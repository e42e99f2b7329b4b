"""The eigenvectors that steps of gradient descent approach, by an eigen-solver.

From a small start the steps are power iterations with H_n = (1/n) Σ_i T_i x_i x_iᵀ, T_i = −l'(0,
y_i). Source: theory.md §2, §3 (E3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mimverify.backends import get_backend
from mimverify.designs.stored import StoredDesign
from mimverify.measure.angles import alignment
from mimverify.network.activations import get_activation
from mimverify.network.losses import get_loss
from mimverify.performance.competitors.competitor import Competitor, Run
from mimverify.performance.competitors.problem import Task
from mimverify.support.arrays import FloatArray
from mimverify.training.objective import Objective
from mimverify.training.schedules import ScaleFree, default_steps
from mimverify.training.stage1 import train_first_layer

if TYPE_CHECKING:
    from jaxtyping import Float

# Settings of the solver, cheapest first: Lanczos vectors, and tolerance. The first whose result is
# accurate enough is timed.
_SETTINGS = (
    *((vectors, 1.0) for vectors in (3, 4, 5, 6, 8, 10, 12, 16, 20)),
    *((20, tolerance) for tolerance in (0.1, 1e-2, 1e-3, 1e-4)),
)


def _eigsh(task: Task) -> Run:
    from scipy.sparse.linalg import LinearOperator, eigsh

    X, n, d = task.X, task.problem.samples, task.problem.dim
    T = get_loss(task.loss).label_transform(task.y) / np.asarray(n, X.dtype)
    v0 = np.random.default_rng(task.problem.seed).standard_normal(d).astype(X.dtype)
    count = 0

    def matvec(v: FloatArray) -> Float[FloatArray, " d"]:
        nonlocal count
        count += 1
        return np.asarray((T * (X @ v.ravel())) @ X)

    operator = LinearOperator((d, d), matvec=matvec, dtype=X.dtype)
    rank = len(task.subspace)

    def solve(vectors: int, tolerance: float) -> Float[FloatArray, "r d"]:
        _, found = eigsh(operator, k=rank, which="LM", v0=v0, ncv=vectors, tol=tolerance)
        return np.asarray(found.T)

    steps, wanted = default_steps(n, d), _trained(task)
    reached, used = 0.0, 0
    vectors, tolerance = 0, 0.0
    for vectors, tolerance in _SETTINGS:
        vectors = min(max(vectors, 2 * rank + 1), d)
        count = 0
        reached, used = alignment(solve(vectors, tolerance), task.subspace), count
        if reached >= wanted:
            break
    facts = {
        "steps": steps, "alignment": reached, "alignment_after_steps": wanted,
        "lanczos_vectors": vectors, "tolerance": tolerance, "products_with_H": used,
    }  # fmt: skip
    note = (
        f"{used} products with H_n, alignment {reached:.3f}; {steps} steps: {wanted:.3f}. "
        f"Its time stands divided by {steps}"
    )
    return Run(lambda: solve(vectors, tolerance), steps, facts, note)


def _trained(task: Task) -> float:
    """The alignment after as many steps as the reference trainer takes, on NumPy."""
    backend = get_backend("numpy", task.problem.dtype)
    W = train_first_layer(
        StoredDesign(task.X, backend),
        Objective(get_loss(task.loss), task.y),
        task.W, task.a, task.b,
        activation=get_activation(task.activation),
        schedule=ScaleFree(),
        steps=default_steps(task.problem.samples, task.problem.dim),
    )  # fmt: skip
    return alignment(W, task.subspace)


EIGSH = Competitor(
    "eigsh",
    "scipy.sparse.linalg.eigsh on H_n as an operator, to the alignment that T steps reach; its "
    "time divided by T",
    _eigsh,
    group="eigen-solvers",
    products="numpy products",
    computes_step=False,
)
