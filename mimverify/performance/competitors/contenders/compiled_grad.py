"""A step as a user of JAX writes it: `jit` of the update, with `grad` of the loss."""

from __future__ import annotations

import numpy as np

from mimverify.performance.competitors.competitor import Competitor, Run
from mimverify.performance.competitors.problem import Task
from mimverify.support.arrays import Array


def _grad(task: Task) -> Run:
    import jax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", task.problem.dtype == "float64")
    X, y, W, a, b = (jnp.asarray(v) for v in (task.X, task.y, task.W, task.a, task.b))
    eta, beta = (np.asarray(v, task.problem.dtype) for v in (task.eta, task.beta))

    def objective(W: Array, a: Array, b: Array, X: Array, y: Array) -> Array:
        z = X @ W.T + b
        u = jnp.log(jnp.cosh(z)) @ a - y
        size = jnp.abs(u)
        return jnp.mean(jnp.where(size <= 1, u * u / 2, size - 0.5))

    def step(W: Array, a: Array, b: Array, X: Array, y: Array) -> Array:
        return W - eta * (jax.grad(objective)(W, a, b, X, y) + beta * W)

    compiled = jax.jit(step)

    def call() -> Array:
        return compiled(W, a, b, X, y).block_until_ready()

    return Run(call, facts={"device": str(X.devices())})


#: Not "jax", the name of our own step on that backend.
JAX_GRAD = Competitor(
    "jax grad",
    "JAX: grad of the loss and the update, compiled together by jit",
    _grad,
    modules=("jax",),
    extra="jax",
    products="jax products",
)
