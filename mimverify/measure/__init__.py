"""Measurements of what a trainer learned."""

from mimverify.measure.angles import alignment, overlaps, principal_cosines, span_recovery
from mimverify.measure.predictors import baseline_predictors, normalised_error, test_errors
from mimverify.measure.recorder import Recorder
from mimverify.measure.reduction import reduce_model

__all__ = [
    "Recorder",
    "alignment",
    "baseline_predictors",
    "normalised_error",
    "overlaps",
    "principal_cosines",
    "reduce_model",
    "span_recovery",
    "test_errors",
]
