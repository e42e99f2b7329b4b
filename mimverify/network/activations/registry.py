"""The named activations, found in their files, and where each stands among them."""

from __future__ import annotations

from mimverify.network.activations import named
from mimverify.network.activations.activation import Activation
from mimverify.support.errors import InputError
from mimverify.support.package_files import objects_with_modules
from mimverify.support.unique_names import by_name
from mimverify.support.validation import choice

__all__ = ["ACTIVATIONS", "DEFAULT_ACTIVATION", "get_activation"]

#: The theorem's own, where none is named.
DEFAULT_ACTIVATION = "log-cosh"


def _place(found: tuple[str, Activation]) -> tuple[object, ...]:
    """The theorem's own first, the even ones inside its assumptions; then those that it says
    nothing of, then those of E3 alone. Within each, by curvature."""
    _, activation = found
    inside = activation.inside_theorem and activation.even
    return (
        activation.name != DEFAULT_ACTIVATION,
        not inside,
        activation.gap_order is not None,
        activation.curvature_bound,
        activation.name,
    )


#: Named activations, those inside the theorem's assumptions first.
ACTIVATIONS: dict[str, Activation] = by_name(
    sorted(objects_with_modules(named, Activation, in_each=True), key=_place)
)


def get_activation(activation: Activation | str) -> Activation:
    """The activation of that name (any spelling); an `Activation` is returned as it is.

    **Raises** `InputError` for an unknown name.
    """
    if isinstance(activation, Activation):
        return activation
    if not isinstance(activation, str):
        raise InputError(f"activation={activation!r}: expected an Activation or a name")
    return ACTIVATIONS[choice("activation", activation, ACTIVATIONS)]
