"""The built-in competitors by name, and users' own."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from mimverify.performance.competitors.competitor import Competitor
from mimverify.performance.competitors.ours import NUMPY, TORCH, torch_on
from mimverify.performance.competitors.peers import JAX, SKLEARN, TORCH_AUTOGRAD
from mimverify.performance.competitors.products import (
    NUMPY_PRODUCTS,
    TORCH_PRODUCTS,
    torch_products_on,
)
from mimverify.performance.competitors.spectral import EIGSH
from mimverify.support.errors import InputError
from mimverify.support.importing import load_attribute
from mimverify.support.validation import choice
from mimverify.training.on_device import check_device_name

#: In the table's order: our backends, the bare products, other libraries, the eigen-solver.
COMPETITORS: dict[str, Competitor] = {
    competitor.name: competitor
    for competitor in (
        NUMPY, TORCH, NUMPY_PRODUCTS, TORCH_PRODUCTS, TORCH_AUTOGRAD, SKLEARN, JAX, EIGSH,
    )
}  # fmt: skip

#: Those that run on a Torch device that is named: "torch on cuda".
ON_DEVICE: dict[str, Callable[[str], Competitor]] = {
    TORCH.name: torch_on,
    TORCH_PRODUCTS.name: torch_products_on,
}


def get_competitor(spec: str) -> Competitor:
    """The competitor of that name, one on a device, `"torch on cuda"`, or a user's own,
    `"module:attribute"`.

    **Raises** `InputError` for an unknown name, or an attribute that is no `Competitor`.
    """
    name, _, device = spec.partition(" on ")
    if device and name in ON_DEVICE:
        return ON_DEVICE[name](check_device_name(device))
    if ":" not in spec:
        return COMPETITORS[choice("contender", spec, COMPETITORS)]
    found = load_attribute("contender", spec)
    if not isinstance(found, Competitor):
        kind = "a class" if isinstance(found, type) else type(found).__name__
        raise InputError(f"contender={spec!r}: expected a Competitor, got {kind}")
    return found


def missing_packages(competitor: Competitor) -> str | None:
    """A message that names the packages to install; None if all are there."""
    missing = [name for name in competitor.modules if find_spec(name) is None]
    if not missing:
        return None
    hint = f" (pip install 'mimverify[{competitor.extra}]')" if competitor.extra else ""
    return f"needs {', '.join(missing)}{hint}"
