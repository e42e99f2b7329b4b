"""The theory's prediction for an experiment, to be compared with its measurements."""

from __future__ import annotations

from dataclasses import dataclass

from mimverify.experiment import ResolvedConfig
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.theory import predict_trajectory

#: For larger initial weights more of the activation matters than its curvature at zero.
_SMALL = 0.1


@dataclass(frozen=True)
class Forecast:
    """The alignment of one run: its mean and the central 95 % of runs, `(T + 1,)` each."""

    mean: Float64Array
    low: Float64Array
    high: Float64Array

    def to_json(self) -> dict[str, list[float]]:
        """Plain lists."""
        return {
            "mean": self.mean.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
        }


def forecast(config: ResolvedConfig) -> Forecast:
    """Predict the alignment of a configuration.

    **Raises** `InputError` where the theory does not cover it, and says why.
    """
    _check_covered(config)
    trajectory = predict_trajectory(
        config.link,
        config.loss,
        dim=config.dim,
        samples=config.samples,
        steps=config.steps,
        noise=config.noise,
        linear_part_removed=config.remove_linear_part,
        seed=config.seed,
    )
    neurons = config.neurons // 2  # partners of a symmetric start coincide
    return Forecast(trajectory.run_mean(neurons), *trajectory.run_interval(neurons))


def _check_covered(config: ResolvedConfig) -> None:
    activation = config.activation
    if config.schedule != "scale-free":
        raise InputError(
            f"--predict, schedule={config.schedule!r}: expected 'scale-free'; `mimverify predict "
            "--decay --rate` covers other decays where the network's output stays small"
        )
    if not config.centre:
        raise InputError("--predict, centre=False: the prediction is for centred labels")
    if activation.slope_at_zero and not config.remove_linear_part:
        raise InputError(
            f"--predict, activation={activation.name!r}: its slope at zero is outside the theory "
            "unless the linear part is removed"
        )
    if config.init_norm > _SMALL:
        raise InputError(
            f"--predict, init_norm={config.init_norm:g}: expected at most {_SMALL:g}: the theory "
            "is for small initial weights"
        )
