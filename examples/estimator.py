"""The estimator on a multi-index problem, beside MLPRegressor and kernel ridge.

    python estimator.py [dim]

The inputs are correlated and in different units; labels are tanh(z1 z2) + cos z1 of two hidden
directions, with noise. Each method is one pipeline with its settings chosen by cross-validation on
the training rows. Needs scikit-learn: pip install "mimverify[sklearn]".
"""

import sys
import time

import numpy as np
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline

from mimverify import default_samples, span_recovery
from mimverify.sklearn import LayerwiseRegressor

NOISE, TEST_ROWS = 0.1, 4000


def problem(dim: int, rows: int, seed: int = 0):
    """Inputs `(rows, dim)`, labels, and the two directions that the labels read, `(2, dim)`."""
    rng = np.random.default_rng(seed)
    mixing = np.eye(dim) + 0.5 * rng.standard_normal((dim, dim)) / np.sqrt(dim)
    units = 10.0 ** rng.uniform(-2, 2, dim)
    hidden = np.linalg.qr(rng.standard_normal((dim, 2)))[0].T
    G = rng.standard_normal((rows, dim))
    z1, z2 = (G @ hidden.T).T
    y = np.tanh(z1 * z2) + np.cos(z1) + NOISE * rng.standard_normal(rows)
    A = units[:, None] * mixing  # x = A g, so that z = U A⁻¹ x
    return G @ A.T, y, hidden, A


def contenders():
    """Name, pipeline with a search, of every method."""
    whiten = PCA(whiten=True)
    layerwise = LayerwiseRegressor(preprocess="whiten", random_state=0)
    grid = {"split": ["shuffle", "reuse"], "ridge": [1e-3, 1e-2]}
    yield "layer-wise", GridSearchCV(layerwise, grid, cv=3)
    mlp = MLPRegressor(hidden_layer_sizes=(64,), early_stopping=True, max_iter=1000, random_state=0)
    grid = {"mlpregressor__alpha": [1e-2, 1.0], "mlpregressor__learning_rate_init": [3e-3, 2e-2]}
    yield "MLPRegressor", GridSearchCV(make_pipeline(whiten, mlp), grid, cv=3)
    kernel = KernelRidge(kernel="rbf")
    grid = {"kernelridge__alpha": [1e-2, 1e-1, 1.0], "kernelridge__gamma": [1e-3, 1e-2, 3e-2]}
    yield "kernel ridge", GridSearchCV(make_pipeline(whiten, kernel), grid, cv=3)
    yield "linear", make_pipeline(whiten, RidgeCV())


def main() -> None:
    """Print one line for each method."""
    dim = int(sys.argv[1]) if len(sys.argv) > 1 else 48
    rows = 2 * default_samples(dim)
    X, y, hidden, A = problem(dim, rows + TEST_ROWS)
    print(f"d = {dim}, {rows} training rows; R² on {TEST_ROWS} others (noise allows about 0.98)")
    for name, method in contenders():
        begin = time.perf_counter()
        method.fit(X[:rows], y[:rows])
        seconds = time.perf_counter() - begin
        score = method.score(X[rows:], y[rows:])
        print(f"{name:<13} {score:6.3f}   {seconds:5.1f} s with its search")
        if name == "layer-wise":
            best = method.best_estimator_.set_params(n_components=2).fit(X[:rows], y[:rows])
            print(f"    chosen: {method.best_params_}")

    # What the others do not give: the subspace. In the coordinates g, where U is orthonormal.
    recovered = span_recovery(best.feature_subspace_ @ A, hidden)
    print(f"span recovery of feature_subspace_ (1 = both directions found): {recovered:.3f}")
    # As a transformer: two coordinates instead of d, and a kernel on these.
    low = [best.transform(part) for part in (X[:rows], X[rows:])]
    scale = low[0].std(axis=0)
    kernel = KernelRidge(kernel="rbf", gamma=0.5, alpha=0.1).fit(low[0] / scale, y[:rows])
    print(f"kernel ridge on its transform: R² {kernel.score(low[1] / scale, y[rows:]):.3f}")


if __name__ == "__main__":
    main()
