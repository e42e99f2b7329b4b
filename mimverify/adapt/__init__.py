"""Trainers out of the code that people have."""

from typing import TYPE_CHECKING

from mimverify.support.lazy_package import lazy_names

if TYPE_CHECKING:
    from mimverify.adapt.estimator_trainer import sklearn
    from mimverify.adapt.jax_trainer import jax
    from mimverify.adapt.module_trainer import torch
    from mimverify.adapt.program import process

__all__ = ["jax", "process", "sklearn", "torch"]

__getattr__, __dir__ = lazy_names(__name__, __file__)
