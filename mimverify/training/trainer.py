"""The reference trainer: the theorem's algorithm with scikit-learn's interface."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mimverify.backends import BACKENDS, Backend, get_backend
from mimverify.designs.base import Design
from mimverify.designs.counted import CountedDesign, OperationCounts
from mimverify.designs.stored import StoredDesign
from mimverify.network.activations import (
    ACTIVATIONS,
    DEFAULT_ACTIVATION,
    Activation,
    get_activation,
)
from mimverify.network.initialisation import Network, symmetric_start
from mimverify.network.losses import DEFAULT_LOSS, LOSSES, Loss, get_loss
from mimverify.problems.streams import Stream
from mimverify.support.arrays import Array, ArrayLike, Float64Array, FloatArray
from mimverify.support.errors import InputError
from mimverify.support.former_names import no_attribute
from mimverify.support.validation import (
    array,
    choice,
    data,
    dtype_name,
    not_constant,
    number,
    step_count,
)
from mimverify.training.centring import Centring, fit_constant
from mimverify.training.linear_part import fit_linear_part
from mimverify.training.objective import Objective
from mimverify.training.schedules import ConstantRate, ScaleFree, Schedule, default_steps
from mimverify.training.stage1 import FirstLayerState, Observer, train_first_layer
from mimverify.training.stage2 import READOUTS, Readout, train_readout, unit_rows

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

SCHEDULES = ("scale-free", "constant")

_START, _BIASES = 0x57, 0x62  # purposes of the trainer's random streams


class LayerwiseTrainer:
    """A two-layer network trained layer by layer with plain gradient descent.

    `fit(X, y)` takes the data of both stages stacked: the first half trains the first
    layer, the second half, which stage 1 does not use, the output weights.

    **Arguments** (all by keyword)

    - `backend`, `device`: a backend's name, `"torch"` say, and a device that it takes.
    - `dtype`: `"float32"`, `"float64"`, or None for that of X.
    - `neurons`: m, even unless `start` is given.
    - `readout_neurons`: p, random features of the second stage.
    - `steps`: T1; None for ceil(log d / log(n/d)) + 2 (needs n > d).
    - `activation`, `loss`: names or objects. Squared loss is (f − y)²/2.
    - `schedule`: `"scale-free"` (β = 1/η, the largest neuron keeps norm `init_norm`), or
      `"constant"` with `eta` and `beta`.
    - `init_norm`, `output_scale`: ε0 and |a_j| (1/m by default) of the symmetric start.
    - `start`: a `Network` to start from instead of the symmetric one.
    - `centre`: fit the constant output first (theory.md §2, Centring).
    - `remove_linear_part`: regress on x first, with the same loss (theory.md N3).
    - `ridge`, `readout`: stage 2's penalty, and `"closed-form"` or `"gradient-descent"`.
    - `random_state`: seed of the start and of stage 2's biases.

    Parameters are checked on use, as in scikit-learn. `step` and `trajectory`
    run *plain* gradient descent on any given network and ignore every argument but
    `backend` and `device`.

    Source: theory.md §2. **Raises** `InputError` for bad arguments or data,
    `DivergenceError` when the weights leave the finite numbers.
    """

    activations = tuple(ACTIVATIONS)
    losses = tuple(LOSSES)
    dtypes = ("float32", "float64")

    def __init__(
        self,
        *,
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
        start: Network | None = None,
        centre: bool = True,
        remove_linear_part: bool = False,
        ridge: float = 1e-3,
        readout: str = "closed-form",
        random_state: int = 0,
    ) -> None:
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
        self.start = start
        self.centre = centre
        self.remove_linear_part = remove_linear_part
        self.ridge = ridge
        self.readout = readout
        self.random_state = random_state

    if not TYPE_CHECKING:  # a type checker knows which attributes there are

        def __getattr__(self, name):
            no_attribute(self, name)

    # -- scikit-learn's conventions ------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name."""
        names = inspect.signature(type(self).__init__).parameters
        return {name: getattr(self, name) for name in names if name != "self"}

    def set_params(self, **params: object) -> Self:
        """Set constructor arguments. **Raises** `InputError` for an unknown one."""
        known = self.get_params()
        for name, value in params.items():
            setattr(self, choice("parameter", name, known), value)
        return self

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value is not defaults[name].default and value != defaults[name].default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    # -- the two stages -----------------------------------------------------------------

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train both layers on stacked data `(n, d)`, `(n,)`: half a stage each."""
        X, y = data(X, y, dtype=self._dtype(X))
        half = len(y) // 2
        if half == 0:
            raise InputError(f"n={len(y)}: expected at least one sample for each of two stages")
        return self.fit_stages(X[:half], y[:half], X[half:], y[half:])

    def fit_stages(
        self,
        X1: ArrayLike,
        y1: ArrayLike,
        X2: ArrayLike,
        y2: ArrayLike,
        *,
        observe: Observer | None = None,
    ) -> Self:
        """Train the first layer on `(X1, y1)` and the output weights on `(X2, y2)`.

        `observe(t, W)` is called with the first layer `(m, d)` at t = 0 … T1.
        """
        return self.fit_first_layer(X1, y1, observe=observe).fit_readout(X2, y2)

    @property
    def first_layer_(self) -> Float[FloatArray, "m d"]:
        """What predictions read of x: the trained W `(m, d)`, and θ as a last row if there is one.

        **Raises** `AttributeError` before `fit_first_layer`.
        """
        if not hasattr(self, "network_"):
            raise AttributeError("first_layer_: there is none yet; call fit first")
        W, linear = self.network_.W, self.linear_part_
        return W if linear is None else np.vstack([W, linear.astype(W.dtype)])

    def fit_readout(self, X: ArrayLike | Design, y: ArrayLike) -> Self:
        """Stage 2 alone, after `fit_first_layer` and on other data: sets `readout_`.

        `X` is an array or a design, as there.
        """
        if not hasattr(self, "network_"):
            raise InputError("fit_readout: there is no first layer yet; call fit_first_layer first")
        design, y = self._design(X, y, self.network_.W.dtype.name)
        if design.dim != self.n_features_in_:
            raise InputError(f"X has {design.dim} columns: expected d={self.n_features_in_}")
        self.readout_ = self._trained_readout(
            self._counted(design), y, self.network_.W, self.linear_part_
        )
        return self

    def fit_reduced_readout(
        self, X: ArrayLike | Design, y: ArrayLike, coordinates: ArrayLike
    ) -> Readout:
        """Stage 2 on inputs in coordinates of a span that contains the first layer's rows.

        **Arguments**

        - `X`, `y`: as for `fit_readout`, but X is `(n, q)`: the inputs' coordinates in an
          orthonormal basis of the span.
        - `coordinates`: those of `unit_rows(network_.W)` and then, if there is one, of
          `linear_part_`: `(k, q)` or `(k + 1, q)`.

        Sets `readout_`, which takes inputs `(n, d)` as ever, and returns the same readout for
        inputs in coordinates. `operation_counts`, of passes over `(n, d)`, is left as it is.

        **Raises** `InputError` before `fit_first_layer`, or for coordinates of another shape.
        """
        if not hasattr(self, "network_"):
            raise InputError(
                "fit_reduced_readout: there is no first layer yet; call fit_first_layer first"
            )
        dtype = self.network_.W.dtype.name
        directions, linear = unit_rows(self.network_.W), self.linear_part_
        k = len(directions)
        design, y = self._design(X, y, dtype)
        rows = k if linear is None else k + 1
        coordinates = array("coordinates", coordinates, (rows, design.dim), dtype="float64")
        readout = self._trained_readout(
            design,
            y,
            coordinates[:k].astype(dtype),  # as any first layer
            None if linear is None else coordinates[k],
        )
        self.readout_ = replace(readout, directions=directions, linear=linear)
        return readout

    def fit_first_layer(
        self,
        X: ArrayLike | Design,
        y: ArrayLike,
        *,
        observe: Observer | None = None,
        resume: FirstLayerState | None = None,
    ) -> Self:
        """Stage 1 alone: sets `network_`, `centring_`, `linear_part_` and `steps_`.

        **Arguments**

        - `X`, `y`: inputs and all labels `(n,)`. X is an array `(n, d)` or a `Design`, which
          brings its own backend and dtype.
        - `observe(t, W)`: called with the weights at t = 0 … T1; `centring_` and `linear_part_`
          are set before.
        - `resume`: continue from this state; `observe` is called after later steps only.
        """
        design, y = self._design(X, y, self._dtype(X))
        design = self._counted(design, reset=True)
        not_constant(y)
        n, d, backend = design.n_samples, design.dim, design.backend
        activation, loss, schedule = self._components()
        steps = default_steps(n, d) if self.steps is None else self.steps
        steps = step_count("steps", steps)
        network = self._start(d, backend.dtype)
        if resume is None:
            self.centring_, self.linear_part_ = self._baseline(design, y, loss)
        else:
            self.centring_, self.linear_part_ = resume.centring, resume.linear_part
        linear = self.linear_part_
        objective = Objective(
            loss,
            backend.asarray(y),
            self.centring_.constant,
            self.centring_.offset,
            None if linear is None else backend.asarray(linear),
        )
        W = train_first_layer(
            design,
            objective,
            backend.asarray(network.W if resume is None else resume.W),
            backend.asarray(network.a),
            backend.asarray(network.b),
            activation=activation,
            schedule=schedule,
            steps=steps,
            first_step=None if resume is None else resume.step,
            observe=observe,
        )
        self.network_ = Network(backend.to_numpy(W), network.a, network.b)
        self.__dict__.pop("readout_", None)  # it was that of another first layer
        self.steps_ = steps
        self.n_features_in_ = d
        return self

    def predict(self, X: ArrayLike) -> Float64[Float64Array, " n"]:
        """Predictions `(n,)` for inputs `(n, d)`."""
        if not hasattr(self, "readout_"):
            raise InputError("predict: this trainer is not fitted; call fit first")
        X = array("X", X, (None, self.n_features_in_), dtype=self.network_.W.dtype.name)
        return self.readout_.predict(X)

    # -- plain gradient descent, step by step ------------------------------------------------

    def step(
        self,
        W: ArrayLike,
        a: ArrayLike,
        b: ArrayLike,
        X: ArrayLike,
        y: ArrayLike,
        *,
        eta: float,
        beta: float = 0.0,
        activation: Activation | str = DEFAULT_ACTIVATION,
        loss: Loss | str = DEFAULT_LOSS,
    ) -> Float[FloatArray, "m d"]:
        """W − η (∇_W L(W) + β W), shape `(m, d)`: one full-batch step on the first layer."""
        weights = self.trajectory(
            W, a, b, X, y, steps=1, eta=eta, beta=beta, activation=activation, loss=loss
        )
        return np.asarray(weights[1])

    def trajectory(
        self,
        W0: ArrayLike,
        a: ArrayLike,
        b: ArrayLike,
        X: ArrayLike,
        y: ArrayLike,
        *,
        steps: int,
        eta: float,
        beta: float = 0.0,
        activation: Activation | str = DEFAULT_ACTIVATION,
        loss: Loss | str = DEFAULT_LOSS,
    ) -> Float[FloatArray, "steps_1 m d"]:
        """The weights `(steps + 1, m, d)` of plain full-batch gradient descent from W0.

        No centring, no symmetric start: any W0 `(m, d)`, a and b `(m,)`, activation, loss,
        learning rate η and weight decay β.
        """
        X, y = data(X, y)
        steps = step_count("steps", steps)
        network = Network.check(W0, a, b, dim=X.shape[1], dtype=X.dtype.name)
        backend = self._backend(X.dtype.name)
        weights = np.empty((steps + 1, *network.W.shape), dtype=X.dtype)

        def observe(t: int, W: Array) -> None:
            weights[t] = backend.to_numpy(W)

        train_first_layer(
            self._counted(StoredDesign(X, backend), reset=True),
            Objective(get_loss(loss), backend.asarray(y)),
            backend.asarray(network.W),
            backend.asarray(network.a),
            backend.asarray(network.b),
            activation=get_activation(activation),
            schedule=ConstantRate(eta, beta),
            steps=steps,
            observe=observe,
            zero_allowed=True,
        )
        return weights

    def operation_counts(self) -> dict[str, int]:
        """Operations of the last `trajectory`, `step` or `fit`: see `OperationCounts`.

        Of stage by stage training: all since the last `fit_first_layer`, each stage's passes
        over its own rows. **Raises** `InputError` where nothing was trained yet.
        """
        if not hasattr(self, "_counts"):
            raise InputError("operation_counts: nothing was trained yet; call fit first")
        return self._counts.to_json()

    # -- parts -----------------------------------------------------------------------------

    def _trained_readout(
        self, design: Design, y: FloatArray, W: FloatArray, linear: Float64Array | None
    ) -> Readout:
        """Stage 2 with the trainer's parameters, on these W and θ."""
        return train_readout(
            design,
            y,
            W,
            activation=get_activation(self.activation),
            neurons=self.readout_neurons,
            rng=Stream(self.random_state, _BIASES).block(0),
            ridge=self.ridge,
            method=choice("readout", self.readout, READOUTS),
            linear=linear,
        )

    def _dtype(self, X: ArrayLike) -> str | None:
        if self.dtype is not None:
            return dtype_name("dtype", self.dtype)
        return "float32" if str(getattr(X, "dtype", "")).endswith("float32") else "float64"

    def _design(
        self, X: ArrayLike | Design, y: ArrayLike, dtype: str | None
    ) -> tuple[Design, FloatArray]:
        if isinstance(X, Design):
            return X, array("y", y, (X.n_samples,), dtype=X.backend.dtype)
        X, y = data(X, y, dtype=dtype)
        return StoredDesign(X, self._backend(X.dtype.name)), y

    def _counted(self, design: Design, *, reset: bool = False) -> Design:
        """`design`, whose passes add to `operation_counts`; `reset` starts at zero."""
        if reset or not hasattr(self, "_counts"):
            self._counts = OperationCounts()
        return CountedDesign(design, self._counts)

    def _backend(self, dtype: str) -> Backend:
        return get_backend(choice("backend", self.backend, BACKENDS), dtype, self.device)

    def _components(self) -> tuple[Activation, Loss, Schedule]:
        activation, loss = get_activation(self.activation), get_loss(self.loss)
        schedule: Schedule
        if choice("schedule", self.schedule, SCHEDULES) == "constant":
            if self.eta is None:
                raise InputError("schedule='constant': needs eta, the learning rate")
            schedule = ConstantRate(self.eta, 0.0 if self.beta is None else self.beta)
        elif self.eta is not None or self.beta is not None:
            raise InputError(
                f"eta={self.eta}, beta={self.beta}: the scale-free schedule sets both itself; "
                "use schedule='constant'"
            )
        else:
            schedule = ScaleFree(number("init_norm", self.init_norm, minimum=0, exclusive=True))
        return activation, loss, schedule

    def _start(self, d: int, dtype: str) -> Network:
        if self.start is not None:
            if not isinstance(self.start, Network):
                raise InputError(f"start={type(self.start).__name__}: expected a Network or None")
            return Network.check(self.start.W, self.start.a, self.start.b, dim=d, dtype=dtype)
        return symmetric_start(
            self.neurons,
            d,
            Stream(self.random_state, _START).block(0),
            norm=self.init_norm,
            output_scale=self.output_scale,
            dtype=dtype,
        )

    def _baseline(
        self, design: Design, y: FloatArray, loss: Loss
    ) -> tuple[Centring, Float64Array | None]:
        """The constant output and, if it is to be removed, the linear part."""
        if self.remove_linear_part:
            constant, linear = fit_linear_part(design, y, loss)
            return Centring(constant), linear
        if self.centre:
            return fit_constant(loss, y), None
        return Centring(), None


def numpy_trainer(**params: Any) -> LayerwiseTrainer:
    """The reference trainer on NumPy; `params` as for `LayerwiseTrainer`."""
    return LayerwiseTrainer(backend="numpy", **params)


def torch_trainer(**params: Any) -> LayerwiseTrainer:
    """The reference trainer on Torch; `params` as for `LayerwiseTrainer`."""
    return LayerwiseTrainer(backend="torch", **params)
