"""Diagnose two data sets that ship with scikit-learn, and see who predicts them best.

    python examples/diagnose_data.py            # the numbers of docs/diagnose.md
    python examples/diagnose_data.py --splits 1 # one split of each, in a few seconds

Every method is tuned on the training rows alone, over four settings by threefold
cross-validation, and tested on the third of the rows that is left.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline

import mimverify
from mimverify.sklearn import LayerwiseRegressor

COMPONENTS = {"digits, is it an 8": 40, "diabetes": 10}


def data_sets() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Names, inputs and labels."""
    digits = load_digits()
    yield "digits, is it an 8", digits.data, np.where(digits.target == 8, 1.0, 0.0)
    X, y = load_diabetes(return_X_y=True)
    yield "diabetes", X, y


def methods(steps: int | None) -> Iterator[tuple[str, Any, dict[str, list[Any]]]]:
    """Names, estimators, and the four settings of each."""
    layerwise = LayerwiseRegressor(preprocess="none", steps=steps, random_state=0)
    yield (
        "LayerwiseRegressor",
        layerwise,
        {"split": ["shuffle", "reuse"], "ridge": [1e-3, 1e-1]},
    )
    network = MLPRegressor(hidden_layer_sizes=(64,), max_iter=150, random_state=0)
    yield "MLPRegressor", network, {"alpha": [1e-4, 1.0], "learning_rate_init": [1e-3, 1e-2]}
    # Of whitened components, so that the mean squared distance of two rows is 2k.
    yield "kernel ridge", KernelRidge(kernel="rbf"), {"alpha": [0.01, 0.3], "gamma": [0.005, 0.03]}
    yield "linear ridge", Ridge(), {"alpha": [0.1, 1.0, 10.0, 100.0]}


def compare(X: np.ndarray, y: np.ndarray, k: int, steps: int | None, splits: int) -> None:
    """Print each method's mean squared error over the variance of the test labels."""
    names = [name for name, _, _ in methods(steps)]
    errors: dict[str, list[float]] = {name: [] for name in names}
    for seed in range(splits):
        parts = train_test_split(X, y, test_size=1 / 3, random_state=seed)
        X_train, X_test, y_train, y_test = parts
        for name, estimator, grid in methods(steps):
            # Labels in deviations: penalties mean the same for both data sets.
            mean, deviation = y_train.mean(), y_train.std()
            pipeline = make_pipeline(PCA(k, whiten=True), estimator)
            grid = {f"{type(estimator).__name__.lower()}__{key}": grid[key] for key in grid}
            search = GridSearchCV(pipeline, grid, cv=3, scoring="neg_mean_squared_error")
            search.fit(X_train, (y_train - mean) / deviation)
            wrong = search.predict(X_test) * deviation + mean - y_test
            errors[name].append(float(np.mean(wrong**2) / y_test.var()))
    for name in names:
        values = errors[name]
        print(f"  {name:20} {np.mean(values):.3f}  ({min(values):.3f} to {max(values):.3f})")


def main() -> None:
    """Both data sets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=3, help="into training and test rows")
    splits = parser.parse_args().splits
    warnings.simplefilter("ignore", ConvergenceWarning)  # an early end is one way to regularise
    for name, X, y in data_sets():
        found = mimverify.diagnose(X, y, components=COMPONENTS[name])
        print(f"{name}: {found.sentence}.")
        for test in found.tests():
            print(
                f"  {test.null}: p = {test.p_value:.3f}; largest eigenvalue "
                f"{test.eigenvalues[test.loss][0]:+.2f}, threshold {test.threshold():.2f} "
                f"({test.loss}), {len(test.outliers)} outliers, detectable {test.detectable:.2f}"
            )
        for note in found.notes():
            print(f"  - {note}")
        steps = None if found.advice is None else found.advice.steps
        print(f"  test error over the variance of labels, mean and range of {splits} splits:")
        compare(X, y, COMPONENTS[name], steps, splits)


if __name__ == "__main__":
    main()
