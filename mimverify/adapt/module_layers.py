"""The two layers of a Torch module: W, b, a and the output's bias among its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mimverify.support.arrays import Array, FloatArray
from mimverify.support.errors import InputError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import nn

__all__ = ["Layers", "find_layers"]

#: The parts of the network, and their shapes: several where each of them will do.
_PARTS = ("W", "b", "a", "c")


@dataclass(frozen=True)
class Layers:
    """Parameters of a module.

    **Arguments**

    - `W`: `(m, d)`, or `(d, m)` with `transposed`.
    - `a`: of m entries.
    - `b`, `c`: biases, of m entries and of one; None where the module has none.
    """

    W: Array
    a: Array
    b: Array = None
    c: Array = None
    transposed: bool = False

    def copy_in(self, W: Array, a: Array, b: Array) -> None:
        """Set all of them, c to 0, and train W alone from now on.

        **Raises** `InputError` for b ≠ 0 where the module has no such bias.
        """
        import torch

        if self.b is None and bool((b != 0).any()):
            raise InputError(
                "make_module: the first layer has no bias, and the trial sets one; expected "
                "nn.Linear(d, m) with bias=True"
            )
        with torch.no_grad():
            self.W.copy_(W.T if self.transposed else W)
            self.a.copy_(a.reshape(self.a.shape))
            if self.b is not None:
                self.b.copy_(b.reshape(self.b.shape))
            if self.c is not None:
                self.c.zero_()
        for part in (self.a, self.b, self.c):
            if part is not None:
                part.requires_grad_(False)
        self.W.requires_grad_(True)

    def weights(self) -> Float[FloatArray, "m d"]:
        """A copy of W `(m, d)` as it is now."""
        W = self.W.detach().cpu().numpy()
        return np.array(W.T if self.transposed else W, order="C")


def find_layers(module: nn.Module, d: int, m: int, names: Mapping[str, str] | None) -> Layers:
    """The layers of a module of d inputs and m neurons.

    **Arguments**

    - `names`: of the parameters by part, those that the user gave; or None. Then the module's only
      two `nn.Linear` are taken, in their order, or else the only parameters of the shapes.

    **Raises** `InputError` where they cannot be told, or there are others.
    """
    parameters: dict[str, Array] = dict(module.named_parameters())
    found = _named(parameters, names) if names is not None else _linear(module, parameters)
    if found is None:
        found = _by_shape(parameters, d, m)
    return _checked(found, parameters, d, m)


def _named(parameters: Mapping[str, Array], names: Mapping[str, str]) -> dict[str, str]:
    for part, name in names.items():
        if part not in _PARTS:
            raise InputError(f"parameters: {part!r}: expected parts among {', '.join(_PARTS)}")
        if name not in parameters:
            raise InputError(
                f"parameters[{part!r}]={name!r}: the module has {', '.join(parameters) or 'none'}"
            )
    for part in ("W", "a"):
        if part not in names:
            raise InputError(f"parameters: {part!r} is missing: expected its name in the module")
    return dict(names)


def _linear(module: nn.Module, parameters: Mapping[str, Array]) -> dict[str, str] | None:
    from torch import nn

    layers = [part for part in module.modules() if isinstance(part, nn.Linear)]
    if len(layers) != 2:
        return None
    names = {id(parameter): name for name, parameter in parameters.items()}
    parts = {
        "W": layers[0].weight, "b": layers[0].bias, "a": layers[1].weight, "c": layers[1].bias
    }  # fmt: skip
    return {part: names[id(tensor)] for part, tensor in parts.items() if id(tensor) in names}


def _by_shape(parameters: Mapping[str, Array], d: int, m: int) -> dict[str, str]:
    shapes = {"W": ((m, d), (d, m)), "a": ((1, m), (m, 1)), "b": ((m,),), "c": ((1,), ())}
    found: dict[str, str] = {}
    for part, possible in shapes.items():
        fitting = [
            name
            for name, parameter in parameters.items()
            if tuple(parameter.shape) in possible and name not in found.values()
        ]
        if len(fitting) > 1:
            raise InputError(
                f"make_module: {' and '.join(fitting)} could all be {part} at d = {d}, m = {m}; "
                "expected their names: parameters={'W': …, 'b': …, 'a': …}"
            )
        if fitting:
            found[part] = fitting[0]
    return found


def _checked(found: dict[str, str], parameters: Mapping[str, Array], d: int, m: int) -> Layers:
    listed = ", ".join(f"{name} {tuple(each.shape)}" for name, each in parameters.items())
    has = f"at d = {d}, m = {m} the module has {listed or 'no parameters'}"
    if "W" not in found or "a" not in found:
        raise InputError(
            f"make_module: expected two linear layers, W ({m}, {d}) and a (1, {m}); {has}; if "
            "these are among them, name them: parameters={'W': …, 'b': …, 'a': …}"
        )
    others = [name for name in parameters if name not in found.values()]
    if others:
        raise InputError(
            f"make_module: {', '.join(others)}: in neither of the two layers; {has}; expected "
            "f(x) = Σ_j a_j σ(w_j·x + b_j) and no more"
        )
    parts = {part: parameters[name] for part, name in found.items()}
    transposed = tuple(parts["W"].shape) == (d, m) != (m, d)
    if not transposed and tuple(parts["W"].shape) != (m, d):
        raise InputError(f"make_module: {found['W']}: expected the shape ({m}, {d}); {has}")
    for part, size in (("a", m), ("b", m), ("c", 1)):
        if part in parts and parts[part].numel() != size:
            raise InputError(f"make_module: {found[part]}: expected {size} entries; {has}")
    return Layers(**parts, transposed=transposed)
