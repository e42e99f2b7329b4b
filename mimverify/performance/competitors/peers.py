"""Other libraries' ways to take the step."""

from __future__ import annotations

import numpy as np

from mimverify.performance.competitors.competitor import Competitor, Run
from mimverify.performance.competitors.problem import Task
from mimverify.support.arrays import Array


def _autograd(task: Task) -> Run:
    import torch
    from torch.nn import functional

    X, y, W, a = (torch.as_tensor(array) for array in (task.X, task.y, task.W, task.a))
    b = torch.as_tensor(task.b)
    V = torch.nn.Parameter(W.clone())
    optimiser = torch.optim.SGD([V], lr=task.eta, weight_decay=task.beta)

    def call() -> Array:
        with torch.no_grad():
            V.copy_(W)  # m d numbers: little beside the n d that a step reads
        optimiser.zero_grad()
        output = torch.log(torch.cosh(X @ V.T + b)) @ a
        functional.huber_loss(output, y).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return V.detach()

    return Run(call)


def _sklearn(task: Task) -> Run:
    from sklearn.neural_network import MLPRegressor

    # A learning rate so small that all timed epochs do the same work.
    model = MLPRegressor(
        hidden_layer_sizes=(task.problem.neurons,),
        activation="tanh",
        solver="sgd",
        batch_size=task.problem.samples,
        learning_rate_init=1e-9,
        alpha=task.beta,
        momentum=0.0,
        nesterovs_momentum=False,
        shuffle=False,
        random_state=0,
    )
    return Run(lambda: model.partial_fit(task.X, task.y))


def _jax(task: Task) -> Run:
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


TORCH_AUTOGRAD = Competitor(
    "torch autograd",
    "Torch's automatic differentiation, then torch.optim.SGD with weight decay",
    _autograd,
    modules=("torch",),
    products="torch products",
)
SKLEARN = Competitor(
    "sklearn",
    "an epoch of MLPRegressor in one batch (partial_fit): tanh for log-cosh, squared loss, both "
    "layers trained",
    _sklearn,
    modules=("sklearn",),
    extra="sklearn",
    products="numpy products",
    computes_step=False,
)
JAX = Competitor(
    "jax",
    "JAX: grad of the loss and the update, compiled together by jit",
    _jax,
    modules=("jax",),
    extra="jax",
)
