"""A Torch module with two layers, and any optimiser, as a trainer with `step` and `trajectory`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from mimverify.adapt.module_layers import find_layers
from mimverify.adapt.offers import Function, Offered, offered, takes
from mimverify.adapt.step_of_a_trajectory import StepOfATrajectory
from mimverify.network import ACTIVATIONS, LOSSES, get_loss
from mimverify.support.arrays import Array, FloatArray
from mimverify.support.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from mimverify.network.activations import Activation
    from mimverify.network.losses import Loss

__all__ = ["TorchTrainer", "torch"]

_ROWS = 8  # of which the module's scale is seen


def torch(
    make_module: Callable[..., nn.Module],
    make_optimiser: Callable[..., Optimizer] | None = None,
    *,
    train_step: Callable[..., object] | None = None,
    activations: Offered = None,
    losses: Offered = None,
    dtypes: tuple[str, ...] = ("float64", "float32"),
    device: str = "cpu",
    parameters: Mapping[str, str] | None = None,
    output_scale: float | Callable[[int], float] = 1.0,
) -> TorchTrainer:
    """A trainer whose steps are those of your module and your optimiser.

        trainer = mimverify.adapt.torch(make_module, torch.optim.SGD)

    in a module is tried by `mimverify check module:trainer`.

    The trial hands over W `(m, d)`, b and a `(m,)`. They are copied into the module: W and b are
    weight and bias of its first layer, a the weight of its second, whose bias is 0. W alone is
    trained; the second layer and b are frozen. Before that everything in the module's state dict
    is as `make_module` left it. The module returns f(x) = Σ_j a_j σ(w_j·x + b_j), and the loss is
    the mean (1/n) Σ_i l(f(x_i), y_i), with l as in mimverify's README: `squared` is half of what
    Torch's `MSELoss` is.

    **Arguments**

    - `make_module`: called as `make_module(d, m, activation)`, or `make_module(d, m)` if the
      module has an activation of its own, which `activations` then names. Returns an `nn.Module` of
      inputs `(n, d)` and outputs `(n, 1)` or `(n,)`. `activation` is a module without parameters.
    - `make_optimiser`: called as `make_optimiser([W], lr=eta, weight_decay=beta)`; by default
      `torch.optim.SGD`. A trajectory is taken by one optimiser, each single step by a new one.
    - `train_step`: your own step, called as `train_step(module, optimiser, criterion, X, y)`.
      By default: gradients of `criterion(module(X), y)`, then the optimiser's step.
    - `activations`, `losses`: the names that the trial may ask for, all by default; or a dictionary
      of names and functions of yours. A loss is called as `loss(outputs, y)`, both `(n,)`, and
      returns the mean. Without functions of yours, they are mimverify's, by value and derivative.
    - `dtypes`, `device`: of the module and all data; results return to the CPU.
    - `parameters`: names in the module's state dict, where they cannot be told by shapes:
      `{"W": "encoder.weight", "b": "encoder.bias", "a": "head.weight", "c": "head.bias"}`, c that
      of the output's bias.
    - `output_scale`: the factor s, or s(m), of a module that returns s Σ_j a_j σ(…): a / s is
      copied in, then.

    **Raises** `InputError` for what cannot be called so, unknown names, or a device that Torch
    does not have. Its methods raise it for a module without two such layers, or of another scale.
    """
    from mimverify.backends import TorchBackend

    for argument, function in (
        ("make_module", make_module),
        ("make_optimiser", make_optimiser),
        ("train_step", train_step),
    ):
        if not callable(function) and (argument == "make_module" or function is not None):
            raise InputError(f"{argument}={function!r}: expected a function")
    if not takes(make_module, 3) and activations is None:
        raise InputError(
            "make_module: takes no third argument, the activation; expected make_module(d, m, "
            "activation), or the name of the one that it has: activations=['relu']"
        )
    TorchBackend("float32", device)  # refuses a device that cannot be used
    return TorchTrainer(
        make_module, make_optimiser, train_step, activations, losses, dtypes, device,
        parameters, output_scale,
    )  # fmt: skip


class TorchTrainer(StepOfATrajectory):
    """What `mimverify.adapt.torch` returns."""

    def __init__(
        self,
        make_module: Callable[..., nn.Module],
        make_optimiser: Callable[..., Optimizer] | None,
        train_step: Callable[..., object] | None,
        activations: Offered,
        losses: Offered,
        dtypes: tuple[str, ...],
        device: str,
        parameters: Mapping[str, str] | None,
        output_scale: float | Callable[[int], float],
    ) -> None:
        self._make_module, self._make_optimiser = make_module, make_optimiser
        self._train_step = train_step or _gradient_step
        self._activations = offered("activations", activations, ACTIVATIONS, _activation)
        known = {name: get_loss(name) for name in LOSSES}
        self._losses = offered("losses", losses, known, _loss)
        self._own_losses = isinstance(losses, Mapping)
        self.activations, self.losses = tuple(self._activations), tuple(self._losses)
        self.dtypes, self._device = dtypes, device
        self._parameters, self._output_scale = parameters, output_scale
        self._modules: dict[tuple[int, int, str, str], tuple[nn.Module, dict[str, Array]]] = {}
        self._scaled: set[tuple[object, ...]] = set()  # modules whose scale was seen to be right

    def trajectory(
        self,
        W0: Float[FloatArray, "m d"],
        a: Float[FloatArray, " m"],
        b: Float[FloatArray, " m"],
        X: Float[FloatArray, "n d"],
        y: Float[FloatArray, " n"],
        *,
        steps: int,
        eta: float,
        beta: float,
        activation: str,
        loss: str,
    ) -> Float[FloatArray, "steps_1 m d"]:
        """The weights `(steps + 1, m, d)` along steps of one optimiser."""
        from torch.optim import SGD

        m, d = W0.shape
        key = (d, m, activation, W0.dtype.name)
        tensors = [_tensor(array, W0.dtype, self._device) for array in (W0, a, b, X, y)]
        module = self._module(key)
        layers = find_layers(module, d, m, self._parameters)
        scale = self._output_scale(m) if callable(self._output_scale) else self._output_scale
        layers.copy_in(tensors[0], tensors[1] / scale, tensors[2])
        if key not in self._scaled and self._has_scale(module, activation, tensors):
            self._scaled.add(key)
        optimiser = (self._make_optimiser or SGD)([layers.W], lr=eta, weight_decay=beta)
        criterion = self._criterion(loss)
        weights = [np.array(W0)]
        for _ in range(steps):
            self._train_step(module, optimiser, criterion, tensors[3], tensors[4])
            weights.append(layers.weights())
        return np.stack(weights)

    def _module(self, key: tuple[int, int, str, str]) -> nn.Module:
        """The module for these sizes, in the state in which it was made."""
        import torch

        if key not in self._modules:
            d, m, activation, dtype = key
            sizes: tuple[object, ...] = (d, m)
            if takes(self._make_module, 3):
                sizes = (d, m, copy.deepcopy(self._activations[activation]))
            module = self._make_module(*sizes)
            if not isinstance(module, torch.nn.Module):
                raise InputError(
                    f"make_module(d={d}, m={m}, …) returned {type(module).__name__}: expected an "
                    "nn.Module"
                )
            module = module.to(device=self._device, dtype=getattr(torch, dtype))
            self._modules[key] = module, copy.deepcopy(module.state_dict())
        module, state = self._modules[key]
        module.load_state_dict(state)
        module.zero_grad(set_to_none=True)
        return module

    def _criterion(self, name: str) -> Function:
        function = self._losses[name]
        if self._own_losses:
            _check_loss(name, function)

        def criterion(outputs: Tensor, y: Tensor) -> object:
            """(1/n) Σ_i l(f(x_i), y_i) of outputs `(n, 1)` or `(n,)`."""
            return function(_as_vector(outputs, len(y)), y)

        return criterion

    def _has_scale(self, module: nn.Module, activation: str, tensors: list[Array]) -> bool:
        """Whether the module's outputs are those of the formula; False if they do not tell.

        **Raises** `InputError` where they are a constant multiple. Outputs that differ otherwise
        are for the trial to find.
        """
        import torch

        W, a, b, X, _ = tensors
        X = X[:_ROWS]
        with torch.no_grad():
            outputs = _as_vector(module(X), len(X)).double()
            P = (X @ W.T + b).double()
            expected = ACTIVATIONS[activation].value(P) @ a.double()
        factor = _factor(outputs.cpu().numpy(), expected.cpu().numpy(), W.dtype == torch.float32)
        if factor is None:
            return False
        if factor != 1.0:
            raise InputError(
                f"module(X) is {factor:.6g} times Σ_j a_j σ(w_j·x + b_j) at m = {len(W)} neurons, "
                f"with the activation {activation!r}; if that is its convention, expected "
                "output_scale= this factor, or a function of m"
            )
        return True


def _gradient_step(
    module: nn.Module, optimiser: Optimizer, criterion: Function, X: Tensor, y: Tensor
) -> None:
    def closure() -> Array:  # the form that L-BFGS, too, takes
        optimiser.zero_grad()
        loss: Array = criterion(module(X), y)
        loss.backward()
        return loss

    optimiser.step(closure)


def _as_vector(outputs: Tensor, n: int) -> Tensor:
    if outputs.shape not in ((n, 1), (n,)):
        raise InputError(
            f"module(X) has the shape {tuple(outputs.shape)} for {n} rows: expected ({n}, 1) or "
            f"({n},)"
        )
    return outputs.reshape(n)  # (n, 1) − (n,) would be (n, n)


def _tensor(array: FloatArray, dtype: DTypeLike, device: str) -> Array:
    import torch

    # A copy: the module and its optimiser may write to it.
    return torch.from_numpy(np.array(array, dtype=dtype, order="C")).to(device)


def _factor(measured: FloatArray, expected: FloatArray, single: bool) -> float | None:
    """c ≠ 1 with measured = c expected; 1 where the two agree or differ in more; None: no telling.

    Numbers agree that half of a number's digits cannot tell apart.
    """
    near = float(np.sqrt(np.finfo(np.float32 if single else np.float64).eps))
    size = float(expected @ expected)
    if not np.isfinite(size) or size == 0 or not np.isfinite(measured).all():
        return None
    factor = float(measured @ expected) / size
    apart = float(np.linalg.norm(measured - factor * expected))
    if factor == 0 or len(expected) < 2 or apart > near * abs(factor) * np.sqrt(size):
        return 1.0
    return 1.0 if abs(factor - 1) <= near else factor


def _check_loss(name: str, function: Function) -> None:
    """**Raises** `InputError` where a user's loss is a constant multiple of the mean."""
    import torch

    value = get_loss(name).value
    if value is None:
        return
    for n in (3, 7):  # a sum is another multiple for each
        f = torch.linspace(-2.0, 2.5, n, dtype=torch.float64)
        y = 0.3 * f.flip(0)
        measured: Array = function(f, y)
        if not isinstance(measured, torch.Tensor) or measured.ndim:
            raise InputError(
                f"losses[{name!r}]: returned {measured!r}: expected the mean, a scalar"
            )
        factor = float(measured) / float(value(f, y).mean())
        if abs(factor - 1) > 1e-6:
            raise InputError(
                f"losses[{name!r}]: is {factor:.6g} times (1/n) Σ_i l(f_i, y_i) for n = {n}; "
                "expected that mean, with l as README.md has it (half the square, say)"
            )


def _activation(activation: Activation) -> Function:
    return _elementwise(activation.value, activation.first)


def _loss(loss: Loss) -> Function:
    """The mean of l(f, y), with its derivative in f."""

    def mean(outputs: Tensor, y: Tensor) -> object:
        value = loss.value or loss.derivative
        function: Array = _elementwise(lambda f: value(f, y), lambda f: loss.derivative(f, y))
        result: Array = function(outputs)
        return result.mean()

    return mean


def _elementwise(value: Callable[[Array], Array], derivative: Callable[[Array], Array]) -> Function:
    """An `nn.Module` without parameters, differentiated by this derivative."""
    from mimverify.adapt.elementwise import Elementwise

    return Elementwise(value, derivative)
