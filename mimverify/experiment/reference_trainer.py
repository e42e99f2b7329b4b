"""The trainer that a configuration describes."""

from __future__ import annotations

from dataclasses import fields

from mimverify.experiment.resolved import ResolvedConfig
from mimverify.training.trainer import LayerwiseTrainer


def trainer_for(config: ResolvedConfig) -> LayerwiseTrainer:
    """A `LayerwiseTrainer` with the configuration's values, yet to be fitted."""
    same = {field.name for field in fields(config)} & set(LayerwiseTrainer().get_params())
    return LayerwiseTrainer(
        random_state=config.seed, **{name: getattr(config, name) for name in same}
    )
