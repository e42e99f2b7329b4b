"""scikit-learn's MLPRegressor as a trainer: a black box with `fit` and `predict`.

An estimator is a trainer as it is. With no first layer to look into, it answers for its test
error alone; claims about gradient steps do not apply. To try it:

    mimverify check sklearn_trainer:trainer --profile quick
"""

from sklearn.neural_network import MLPRegressor


def trainer():
    """A new estimator. The trial calls this for every fit, and sets `random_state` itself."""
    # Early stopping ends the training before max_iter, which would be a ConvergenceWarning.
    return MLPRegressor(
        hidden_layer_sizes=(64,),
        alpha=1.0,
        learning_rate_init=0.01,
        early_stopping=True,
        max_iter=1000,
    )


if __name__ == "__main__":
    import numpy as np

    # y = tanh(z_1 z_2), where z_1 and z_2 are two of 64 coordinates: any U will do here, since
    # the estimator starts from an isotropic W.
    d, n = 64, 2200
    X = np.random.default_rng(0).standard_normal((n + 5000, d))
    y = np.tanh(X[:, 0] * X[:, 1])
    mlp = trainer().set_params(random_state=0).fit(X[:n], y[:n])
    error = 1 - mlp.score(X[n:], y[n:])
    print(f"tanh(z1 z2), d = {d}: test error {error:.2f} (predicting the mean: 1)")
    print("On trial:  mimverify check sklearn_trainer:trainer --profile quick")
