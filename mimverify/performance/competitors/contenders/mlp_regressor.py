"""scikit-learn's network of one hidden layer."""

from __future__ import annotations

from mimverify.performance.competitors.competitor import Competitor, Run
from mimverify.performance.competitors.problem import Task


def _epoch(task: Task) -> Run:
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


SKLEARN = Competitor(
    "sklearn",
    "an epoch of MLPRegressor in one batch (partial_fit): tanh for log-cosh, squared loss, both "
    "layers trained",
    _epoch,
    modules=("sklearn",),
    extra="sklearn",
    products="numpy products",
    computes_step=False,
)
