"""All contenders by name."""

from __future__ import annotations

from importlib.util import find_spec

from mimverify.performance.competitors.competitor import Contender
from mimverify.performance.competitors.ours import NUMPY, TORCH
from mimverify.performance.competitors.peers import JAX, SKLEARN, TORCH_AUTOGRAD
from mimverify.performance.competitors.products import NUMPY_PRODUCTS, TORCH_PRODUCTS
from mimverify.performance.competitors.spectral import EIGSH
from mimverify.support.errors import InputError
from mimverify.support.importing import load_attribute
from mimverify.support.validation import choice

#: In the order of the table: ours, the bare products, other libraries, the eigen-solver.
CONTENDERS: dict[str, Contender] = {
    contender.name: contender
    for contender in (
        NUMPY, TORCH, NUMPY_PRODUCTS, TORCH_PRODUCTS, TORCH_AUTOGRAD, SKLEARN, JAX, EIGSH,
    )
}  # fmt: skip


def get_contender(spec: str) -> Contender:
    """The contender of that name, or a user's own, `"module:attribute"`.

    **Raises** `InputError` for an unknown name, or an attribute that is no `Contender`.
    """
    if ":" not in spec:
        return CONTENDERS[choice("contender", spec, CONTENDERS)]
    found = load_attribute("contender", spec)
    if not isinstance(found, Contender):
        kind = "a class" if isinstance(found, type) else type(found).__name__
        raise InputError(f"contender={spec!r}: expected a Contender, got {kind}")
    return found


def missing_packages(contender: Contender) -> str | None:
    """What has to be installed first, for people; None if nothing has."""
    missing = [name for name in contender.modules if find_spec(name) is None]
    if not missing:
        return None
    hint = f" (pip install 'mimverify[{contender.extra}]')" if contender.extra else ""
    return f"needs {', '.join(missing)}{hint}"
