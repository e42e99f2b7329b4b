"""Tests with stated error bounds. Nothing here depends on training."""

from mimverify.statistics.binomial import SequentialBinomial
from mimverify.statistics.two_sample import SequentialTwoSample
from mimverify.statistics.uniformity import (
    UniformityTest,
    dkw_radius,
    null_overlap_cdf,
    uniformity_test,
)

__all__ = [
    "SequentialBinomial",
    "SequentialTwoSample",
    "UniformityTest",
    "dkw_radius",
    "null_overlap_cdf",
    "uniformity_test",
]
