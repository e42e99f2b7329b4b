"""`LayerwiseRegressor`: two-layer networks trained layer by layer, on anybody's data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from mimverify.network import DEFAULT_ACTIVATION, DEFAULT_LOSS, Activation, Loss, get_loss
from mimverify.sklearn.input_scaling import InputScaling, fit_input_scaling
from mimverify.sklearn.predictor_gradients import principal_gradients
from mimverify.sklearn.stage_rows import stage_rows
from mimverify.support.arrays import ArrayLike, Float64Array, FloatArray
from mimverify.support.errors import InputError
from mimverify.support.validation import choice, integer, not_constant, number
from mimverify.training import LayerwiseTrainer, default_steps

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

__all__ = ["LayerwiseRegressor"]

_FLOATS = (np.float64, np.float32)
_GRADIENTS = 1024  # rows at which the predictor's gradients are taken
# Fewer rows for each input than this get as many steps as with this many: below, T1 = log d /
# log(n/d) grows without bound, and further steps only turn all neurons to one direction.
_ROWS_PER_INPUT = 2


class LayerwiseRegressor(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc] # scikit-learn has no types
    TransformerMixin,  # type: ignore[misc]
    RegressorMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Regression by `LayerwiseTrainer`, and the subspace that its first layer learns.

    An estimator and a transformer of scikit-learn: `predict` and `score` are the network's,
    `transform` gives the inputs' coordinates in the learned subspace.

    **Arguments** (all by keyword; those that are not listed are `LayerwiseTrainer`'s)

    - `preprocess`: the inputs' map, fitted on the rows of stage 1: `"standardise"` (default),
      `"whiten"`, or `"none"`.
    - `scale_labels`: divide labels by their standard deviation for training: losses such as Huber
      change at 1.
    - `split`: `"shuffle"` (default) gives each stage its own rows at random, `"ordered"` the first
      rows to stage 1, `"reuse"` all rows to both.
    - `stage1_fraction`: of the rows, to stage 1; unused with `"reuse"`.
    - `remove_linear_part`: regress on x first; `"auto"` (default): where the loss is smooth and
      stage 1 has two rows for each input, or more.
    - `steps`: None: the trainer's default, from the rows and inputs of stage 1.
    - `n_components`: dimension k of the learned subspace: a number, or the share in (0, 1) of the
      predictor's mean squared gradient that it is to contain, or None for all directions.
    - `random_state`: None, an integer, or a `numpy.random.RandomState`, as in scikit-learn.

    **Attributes**

    - `components_`: `(k, d)`; `transform(X)` is `(X − scaling_.mean) components_ᵀ`.
    - `feature_subspace_`: `(k, d)`, orthonormal rows: a basis of the span of `components_`.
    - `gradient_shares_`: `(k,)`, falling: the share of each component in the mean squared
      gradient of the predictor.
    - `first_layer_`: `(m, d)`, or `(m + 1, d)` with a linear part: what predictions read of x.
    - `scaling_`: the inputs' map. `trainer_`: the fitted `LayerwiseTrainer`, which takes mapped
      inputs. `steps_`, `n_features_in_`, `feature_names_in_`.

    Source: theory.md §2. **Raises** on use `InputError`, a `ValueError`, for bad arguments or data
    (among them constant labels), `DivergenceError` when training leaves the finite numbers.
    """

    def __init__(
        self,
        *,
        preprocess: str = "standardise",
        scale_labels: bool = True,
        split: str = "shuffle",
        stage1_fraction: float = 0.5,
        n_components: float | None = 0.95,
        backend: str = "numpy",
        device: str = "cpu",
        dtype: str | None = None,
        neurons: int = 64,
        readout_neurons: int = 256,
        steps: int | None = None,
        activation: Activation | str = DEFAULT_ACTIVATION,
        loss: Loss | str = DEFAULT_LOSS,
        schedule: str = "scale-free",
        eta: float | None = None,
        beta: float | None = None,
        init_norm: float = 1e-2,
        output_scale: float | None = None,
        centre: bool = True,
        remove_linear_part: bool | str = "auto",
        ridge: float = 1e-3,
        readout: str = "closed-form",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.preprocess = preprocess
        self.scale_labels = scale_labels
        self.split = split
        self.stage1_fraction = stage1_fraction
        self.n_components = n_components
        self.backend = backend
        self.device = device
        self.dtype = dtype
        self.neurons = neurons
        self.readout_neurons = readout_neurons
        self.steps = steps
        self.activation = activation
        self.loss = loss
        self.schedule = schedule
        self.eta = eta
        self.beta = beta
        self.init_norm = init_norm
        self.output_scale = output_scale
        self.centre = centre
        self.remove_linear_part = remove_linear_part
        self.ridge = ridge
        self.readout = readout
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train both layers on X `(n, d)` and y `(n,)`; NaN and sparse inputs are refused."""
        X, y = _validated(
            self, X, y, dtype=_FLOATS, y_numeric=True, ensure_min_samples=2, reset=True
        )
        not_constant(y)
        seed, rng = self._randomness()
        first, second = stage_rows(self.split, self.stage1_fraction, y, rng)
        scaling = fit_input_scaling(self.preprocess, X[first])
        target, shift, scale = self._target(y, y[first])
        not_constant(target[first])
        Z1, Z2 = scaling.of(X[first]), scaling.of(X[second])
        trainer = self._trainer(len(Z1), Z1.shape[1], seed)
        trainer.fit_first_layer(Z1, target[first]).fit_readout(Z2, target[second])
        rows, sizes = principal_gradients(trainer.readout_, Z2[:_GRADIENTS])
        kept = self._dimension(sizes)
        self.scaling_: InputScaling = scaling
        self.trainer_: LayerwiseTrainer = trainer
        self.steps_: int = trainer.steps_
        self._label_shift, self._label_scale = shift, scale
        self.components_: Float64Array = scaling.in_inputs(rows[:kept])
        total = float(sizes.sum())
        self.gradient_shares_: Float64Array = sizes[:kept] / (total if total > 0 else 1.0)
        self.feature_subspace_: Float64Array = np.linalg.qr(self.components_.T)[0].T
        self._n_features_out = kept
        return self

    def predict(self, X: ArrayLike) -> Float64[Float64Array, " n"]:
        """Predictions `(n,)` for X `(n, d)`, in the units of the labels."""
        X = self._inputs(X)
        Z = self.scaling_.of(X)
        return self.trainer_.predict(Z) * self._label_scale + self._label_shift

    def transform(self, X: ArrayLike) -> Float[FloatArray, "n k"]:
        """Coordinates `(n, k)` of X `(n, d)` in the learned subspace, in the dtype of X."""
        X = self._inputs(X)
        mean, components = self.scaling_.mean, self.components_
        return np.asarray((X - mean.astype(X.dtype)) @ components.T.astype(X.dtype))

    @property
    def first_layer_(self) -> Float64[Float64Array, "m d"]:
        """What predictions read of x: W, and θ as a last row if there is one.

        **Raises** `AttributeError` before `fit`.
        """
        if "trainer_" not in self.__dict__:
            raise AttributeError("first_layer_: there is none yet; call fit first")
        return self.scaling_.in_inputs(self.trainer_.first_layer_)

    # -- parts -----------------------------------------------------------------------------

    def _inputs(self, X: ArrayLike) -> FloatArray:
        check_is_fitted(self)
        return np.asarray(_validated(self, X, dtype=_FLOATS, reset=False))

    def _randomness(self) -> tuple[int, np.random.RandomState]:
        """The trainer's seed, an integer as it is, and what shuffles rows."""
        rng = check_random_state(self.random_state)
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state), rng
        return int(rng.randint(np.iinfo(np.int32).max)), rng

    def _target(self, y: FloatArray, first: FloatArray) -> tuple[FloatArray, float, float]:
        """Labels to train on, and what undoes their scaling, from those of stage 1."""
        if not self.scale_labels:
            return y, 0.0, 1.0
        exact = np.asarray(first, dtype=np.float64)
        shift, scale = float(exact.mean()), float(exact.std())
        if not scale > 0:
            raise InputError(
                f"y: all {len(first)} labels of stage 1 are {float(first[0]):g}: expected labels "
                "that vary; give it more rows (stage1_fraction), or split='reuse'"
            )
        return np.asarray((y.astype(np.float64) - shift) / scale), shift, scale

    def _trainer(self, n: int, dim: int, seed: int) -> LayerwiseTrainer:
        """The trainer for n rows of `dim` inputs in stage 1."""
        own = self.get_params(deep=False)
        shared = LayerwiseTrainer().get_params().keys() & own.keys()
        params: dict[str, Any] = {name: own[name] for name in shared}
        params["random_state"] = seed
        if self.steps is None:
            params["steps"] = default_steps(max(n, _ROWS_PER_INPUT * dim), dim)
        if isinstance(self.remove_linear_part, str):
            choice("remove_linear_part", self.remove_linear_part, ("auto",))
            enough = n > _ROWS_PER_INPUT * (dim + 1)
            params["remove_linear_part"] = enough and get_loss(self.loss).smooth
        return LayerwiseTrainer(**params)

    def _dimension(self, sizes: Float64[Float64Array, " k"]) -> int:
        """How many components, of those with these mean squared gradients."""
        wanted, there = self.n_components, len(sizes)
        if wanted is None:
            return there
        if isinstance(wanted, (float, np.floating)):
            share = number("n_components", wanted, minimum=0.0, exclusive=True, maximum=1.0)
            reached = np.cumsum(sizes) >= share * sizes.sum() * (1 - np.finfo(float).eps * there)
            return int(np.argmax(reached)) + 1
        return integer("n_components", wanted, minimum=1, maximum=there)

    # -- what scikit-learn asks an estimator -----------------------------------------------

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _more_tags(self) -> dict[str, Any]:  # as scikit-learn before 1.6 asks
        return {"preserves_dtype": list(_FLOATS)}


def _validated(estimator: LayerwiseRegressor, *data: ArrayLike, **options: object) -> Any:
    """scikit-learn's own checks of inputs, which set what `fit` knows of their columns."""
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:  # before scikit-learn 1.6
        return estimator._validate_data(*data, **options)
    return validate_data(estimator, *data, **options)
