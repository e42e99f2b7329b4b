"""scikit-learn's regressors as trainers: they are trainers without changes."""

from __future__ import annotations

from typing import TypeVar

from mimverify.support.errors import InputError

__all__ = ["sklearn"]

_Estimator = TypeVar("_Estimator")


def sklearn(estimator: _Estimator) -> _Estimator:
    """The estimator, after a look at whether the trial can use it.

    A regressor needs no adapter: any object with `fit(X, y)` and `predict(X)` is a trainer, also
    a pipeline or a search. The trial clones it for every fit, as `sklearn.base.clone` does, and
    sets every `random_state` among its parameters, those of nested estimators included. The claims
    on test error apply; those on the first layer do where a fitted estimator shows `first_layer_`.

    **Arguments**

    - `estimator`: an instance.

    **Raises** `InputError` for a class, a classifier, or what lacks one of the methods.
    """
    if isinstance(estimator, type):
        raise InputError(
            f"estimator={estimator.__name__}: is a class: expected an instance, "
            f"{estimator.__name__}(…)"
        )
    lacking = [
        name
        for name in ("fit", "predict", "get_params", "set_params")
        if not callable(getattr(estimator, name, None))
    ]
    kind = type(estimator).__name__
    if lacking:
        raise InputError(f"estimator={kind}: has no {', '.join(lacking)}: expected a regressor")
    if callable(getattr(estimator, "predict_proba", None)) or hasattr(
        estimator, "decision_function"
    ):
        raise InputError(
            f"estimator={kind}: is a classifier: expected a regressor, labels are real"
        )
    return estimator
