"""The reference trainer as an estimator of scikit-learn, for data that are not of a model.

scikit-learn is optional: everything else works without it. docs/estimator.md has a worked example.
"""

from importlib.util import find_spec

if find_spec("sklearn") is None:
    raise ModuleNotFoundError(
        "mimverify.sklearn needs scikit-learn: pip install 'mimverify[sklearn]'", name="sklearn"
    )

from mimverify.sklearn.input_scaling import PREPROCESSING, InputScaling
from mimverify.sklearn.layerwise_regressor import LayerwiseRegressor
from mimverify.sklearn.stage_rows import SPLITS

__all__ = ["PREPROCESSING", "SPLITS", "InputScaling", "LayerwiseRegressor"]
