"""Tests with stated error bounds. Nothing here depends on training."""

from mimverify.statistics.binomial import SequentialBinomial
from mimverify.statistics.bounded_mean import SequentialMean
from mimverify.statistics.two_sample import SequentialTwoSample
from mimverify.statistics.uniformity import (
    UniformityTest,
    dkw_radius,
    null_overlap_cdf,
    uniformity_test,
)

__all__ = [
    "SequentialBinomial",
    "SequentialMean",
    "SequentialTwoSample",
    "UniformityTest",
    "dkw_radius",
    "null_overlap_cdf",
    "uniformity_test",
]
