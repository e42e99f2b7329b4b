"""Knowledge that a trainer must not have, and memory that it must not keep."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mimverify.problems import Link, MultiIndexModel
from mimverify.support.arrays import Array, Float64Array
from mimverify.zoo.base import Correct, Task
from mimverify.zoo.record import broken

if TYPE_CHECKING:
    from jaxtyping import Float64

CATEGORY = "leakage"


def leaked_subspace(seed: int, dim: int, rank: int = 2) -> Float64[Float64Array, "r d"]:
    """U, `(rank, dim)`, drawn as the suite draws it from the seed that it hands over."""
    link = {1: "cos2z", 2: "z1z2", 3: "sign-z1z2z3"}[rank]
    return MultiIndexModel(link, dim, seed=seed).subspace


@broken(caught_by="trajectory")
class LeakedSubspace(Correct):
    """It adds the true subspace, known from the seed, to the weights after every step."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        weights = super().descend(W, task, steps)
        rank = min(2, W.shape[1])
        U = leaked_subspace(self.random_state, W.shape[1], rank)
        noise = np.random.default_rng(self.random_state).standard_normal((len(W), rank))
        size = np.linalg.norm(weights[1:], axis=2, keepdims=True)
        weights[1:] += (size * (noise @ U)).astype(W.dtype)
        return weights


@broken(breaks="regression", caught_by="unlearnable-link")
class LeakedFit(Correct):
    """Its first layer is honest, but `fit` reads the true subspace, known from the seed."""

    def first_stage(self, X: Array, y: Array) -> Array:
        W = super().first_stage(X, y)
        U = leaked_subspace(self.random_state, X.shape[1], rank=3)
        return np.random.default_rng(self.random_state).standard_normal((len(W), 3)) @ U


@broken(breaks="regression", caught_by="beats-no-bayes", only="noisy labels")
class DenoisesLabels(Correct):
    """Its loader takes the noise, drawn once more from the seed, off the labels."""

    def fit(self, X: Array, y: Array) -> None:
        silent = Link("silent", 1, lambda z: 0 * z[:, 0])
        noise = MultiIndexModel(silent, X.shape[1], noise=1.0, seed=self.random_state)
        drawn = noise.labels(np.zeros((len(y), 1)))
        deviation = drawn @ y / (drawn @ drawn)  # as good as zero without noise
        super().fit(X, (y - deviation * drawn).astype(X.dtype))


@broken(
    caught_by="equivariance",
    only="other data of the same shape",
    causes=("data of an earlier call used in place of those given",),
)
class RemembersData(Correct):
    """It keeps the data of the first call and uses them for all of the same shape."""

    def prepare(self, task: Task) -> Task:
        known = self.__dict__.setdefault("known", {})
        X, y = known.setdefault(task.X.shape, (task.X, task.y))
        return replace(task, X=X.astype(task.X.dtype), y=y.astype(task.y.dtype))


@broken(
    caught_by="gradient-step",
    only="the second call and later ones",
    causes=("{} of the last gradient of the call before carried over",),
)
class RemembersVelocity(Correct):
    """A hundredth of the last update of the call before is carried into the first one."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        before = getattr(self, "before", None)
        if t == 0 and before is not None and before.shape == G.shape:
            G = (G + 0.01 * before).astype(W.dtype)
        self.before = G
        return super().update(t, W, G, task)


@broken(
    caught_by="trajectory",
    only="the second step and later ones",
    causes=("labels overwritten by the residuals", "arguments changed by the call"),
)
class ResidualsInPlace(Correct):
    """Residuals are computed in place: later steps read them where the labels were."""

    def slope(self, f: Array, task: Task) -> Array:
        slope = super().slope(f, task)
        task.y[:] -= f
        return slope


@broken(
    caught_by="trajectory",
    causes=(
        "all returned weights are the last ones: one buffer, updated in place",
        "arguments changed by the call",
    ),
)
class ReturnsOneBuffer(Correct):
    """All returned weights are one array, updated in place: the last ones, repeated."""

    def descend(self, W: Array, task: Task, steps: int) -> Array:
        weights = [W]
        for t in range(steps):
            W[:] = self.advance(t, W, task)
            weights.append(W)
        return np.array(weights)


@broken(caught_by="gradient-step")
class GlobalRandomState(Correct):
    """A millionth of noise from NumPy's global generator: no two runs agree."""

    def update(self, t: int, W: Array, G: Array, task: Task) -> Array:
        noise = np.random.standard_normal(G.shape)  # noqa: NPY002 - the fault itself
        return super().update(t, W, (G * (1 + 1e-6 * noise)).astype(W.dtype), task)


@broken(
    caught_by="gradient-step",
    only="two rows or more",
    causes=(
        "only the first half of the rows used, but counted in n",
        "only the second half of the rows used, but counted in n",
    ),
)
class ThreadsRace(Correct):
    """Two threads add the halves of the gradient to one array without a lock: one is lost."""

    def gradient(self, W: Array, task: Task) -> Array:
        n, total = len(task.y), np.zeros_like(W)
        both_have_read = threading.Barrier(2)

        def add(rows: slice) -> None:
            half = replace(task, X=task.X[rows], y=task.y[rows])
            term = super(ThreadsRace, self).gradient(W, half) * (len(half.y) / n)
            before = total.copy()
            both_have_read.wait()
            total[:] = before + term

        halves = slice(n // 2), slice(n // 2, n)
        threads = [threading.Thread(target=add, args=(rows,)) for rows in halves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return total
