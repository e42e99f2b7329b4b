"""Layer-wise gradient descent: the reference trainer and its parts."""

from mimverify.training.centring import Centring, fit_constant
from mimverify.training.gradient import first_layer_gradient
from mimverify.training.linear_part import fit_linear_part
from mimverify.training.objective import Objective
from mimverify.training.on_backend import trainer_on
from mimverify.training.schedules import (
    ConstantRate,
    ScaleFree,
    Schedule,
    default_samples,
    default_steps,
)
from mimverify.training.stage1 import train_first_layer
from mimverify.training.stage2 import Readout, train_readout
from mimverify.training.trainer import LayerwiseTrainer, numpy_trainer, torch_trainer

__all__ = [
    "Centring",
    "ConstantRate",
    "LayerwiseTrainer",
    "Objective",
    "Readout",
    "ScaleFree",
    "Schedule",
    "default_samples",
    "default_steps",
    "first_layer_gradient",
    "fit_constant",
    "fit_linear_part",
    "numpy_trainer",
    "torch_trainer",
    "train_first_layer",
    "train_readout",
    "trainer_on",
]
