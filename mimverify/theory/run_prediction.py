"""What is predicted of stage 1 of a run, as it is configured."""

from __future__ import annotations

from mimverify.experiment.resolved import ResolvedConfig
from mimverify.theory.trajectory import Trajectory, predict_trajectory

__all__ = ["distinct_neurons", "predict_first_layer"]


def predict_first_layer(config: ResolvedConfig) -> Trajectory:
    """D1 for the steps of a configuration. **Raises** as `predict_trajectory`."""
    return predict_trajectory(
        config.link,
        config.loss,
        dim=config.dim,
        samples=config.samples,
        steps=config.steps,
        noise=config.noise,
        linear_part_removed=config.remove_linear_part,
        seed=config.seed,
    )


def distinct_neurons(config: ResolvedConfig) -> int:
    """Neurons that a run's alignment averages over: partners of a symmetric start coincide."""
    return config.neurons // 2
