"""Where the predictions, which are for Gaussian inputs, hold for others. Source: theory.md §11."""

from __future__ import annotations

from mimverify.problems.inputs import InputLaw
from mimverify.support.errors import InputError

__all__ = ["universality_note"]

_EDGE_MOMENT = 4  # below it the largest eigenvalue of XᵀX/n diverges (Bai and Yin)


def universality_note(inputs: InputLaw, *, axes: bool) -> str:
    """What is to be said of a Gaussian prediction for these inputs; "" for Gaussian ones.

    **Arguments**

    - `axes`: whether the hidden directions are coordinate axes; otherwise they are spread out.

    **Raises** `InputError` where the law is known to be outside, or not known to be inside.
    """
    name = inputs.name
    if name == "gaussian":
        return ""
    outside = _outside(inputs, axes)
    if outside:
        raise InputError(
            f"inputs={name!r}: the theory's prediction is for Gaussian inputs, and here {outside}"
        )
    note = (
        f"the theory's prediction is for Gaussian inputs; universality says that {name} ones come "
        "near it as d grows"
    )
    if inputs.moments < 2 * _EDGE_MOMENT:
        note += f", slowly where moments from the order {inputs.moments:g} on are infinite"
    return note


def _outside(inputs: InputLaw, axes: bool) -> str:
    """Which condition of universality is not met; "": none."""
    if not inputs.isotropic:
        return "the covariance of the inputs is not known to be the identity"
    if inputs.rotation_invariant:
        return ""
    if not inputs.independent:
        return "entries are not known to be independent"
    if axes:
        return (
            "a hidden feature along a coordinate axis is a single entry, which is not normal; only "
            "sums over many entries are nearly so"
        )
    if inputs.moments <= _EDGE_MOMENT:
        return (
            "the fourth moment is infinite, so that single large entries have eigenvalues of H of "
            "their own"
        )
    return ""
