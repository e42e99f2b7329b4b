"""Torch's automatic differentiation and its own gradient descent."""

from __future__ import annotations

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


TORCH_AUTOGRAD = Competitor(
    "torch autograd",
    "Torch's automatic differentiation, then torch.optim.SGD with weight decay",
    _autograd,
    modules=("torch",),
    products="torch products",
)
