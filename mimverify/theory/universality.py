"""Inputs that are not Gaussian: where the predictions hold for them, and by how much they differ.

Source: theory.md §11; the difference is derived in docs/inputs.md. With spread-out directions and
independent standardised entries the alignment tends to that of Gaussian inputs. At finite d it
differs by terms of order 1/d, of which the fourth cumulant κ of an entry is the only one that does
not vanish for symmetric laws. It enters in three places, to first order in κ/d:

- the hidden features: z is nearly normal, with the fourth cumulants κ/d (δδ + δδ + δδ);
- the norms: ‖x‖²/d has the variance (2 + κ)/d, where a Gaussian has 2/d;
- both together: E[‖x‖² | z] − d is (1 + κ/2)(‖z‖² − r), where a Gaussian has ‖z‖² − r.

A row enters H as T x xᵀ, and what depends on d − r coordinates of x does so through T ‖x‖². So
the last two are a factor on T for the noise, but not on the signal T z zᵀ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logit

from mimverify.network.losses import DEFAULT_LOSS, Loss, get_loss
from mimverify.problems.inputs import InputLaw
from mimverify.problems.links import Link, get_link
from mimverify.support.arrays import Float64Array
from mimverify.support.errors import InputError
from mimverify.support.validation import integer, number, step_count
from mimverify.theory.labels.label_law import LabelLaw, label_law
from mimverify.theory.labels.label_measure import label_measure
from mimverify.theory.trajectory import alignments
from mimverify.training.centring import fit_constant

if TYPE_CHECKING:
    from jaxtyping import Float64

__all__ = ["kurtosis_shift", "universality_note"]

_EDGE_MOMENT = 4  # below it the largest eigenvalue of XᵀX/n diverges (Bai and Yin)
# The step of the difference quotient in κ/d: its square root is a factor's change, and rounding
# is 1e-12 of the quotient's terms.
_STEP = 1e-4


def kurtosis_shift(
    link: Link | str,
    loss: Loss | str = DEFAULT_LOSS,
    *,
    excess_kurtosis: float,
    dim: int,
    samples: int,
    steps: int,
    noise: float = 0.0,
) -> Float64[Float64Array, " steps_1"]:
    """What the log-odds of A_t, t = 0 … `steps`, are more than those of Gaussian inputs.

    To first order in κ/d, and independent of what else the entries' law is. The constant c is
    fitted to the labels that these inputs give.

    **Arguments**

    - `link`, `loss`, `noise`: as in `label_law`.
    - `excess_kurtosis`: κ, E x_k⁴ − 3 of an entry.
    - `dim`, `samples`, `steps`: d, n and T of stage 1.

    **Raises** `InputError` for a T that is not bounded.
    """
    link, loss = get_link(link), get_loss(loss)
    kurtosis = number("excess_kurtosis", excess_kurtosis, minimum=-2.0)
    dim = integer("dim", dim, minimum=link.rank + 1)
    samples, steps = integer("samples", samples, minimum=1), step_count("steps", steps)
    law = label_law(link, loss, noise=noise)
    if not law.deterministic_limit:
        raise InputError(
            f"loss={loss.name!r}: T(y) of link {link.name} has no deterministic limit, by which "
            "the effect of the inputs' law is predicted; a smooth Lipschitz loss such as 'huber' "
            "has one"
        )
    odds = [
        logit(
            alignments(label_measure(one, fourth_moments=False), dim, samples, steps, natural=True)
        )
        for one in (law, _with_kurtosis(law, loss, _STEP))
    ]
    return np.asarray((odds[1] - odds[0]) * (kurtosis / (_STEP * dim)))


def _with_kurtosis(law: LabelLaw, loss: Loss, step: float) -> LabelLaw:
    """The law of (z, T) of inputs with κ/d = `step`, as one of Gaussian rows: T is multiplied by
    ‖x‖²/d relative to its Gaussian value, and z zᵀ divided by the same."""
    r, squared = law.rank, (law.z**2).sum(axis=1)
    # Edgeworth: the contraction δ_ab δ_cd of He_abcd, whose coefficient is 3 κ/(24 d).
    hermite = squared**2 - 2 * (r + 2) * squared + r * (r + 2)
    weights = law.weights * (1 + step / 8 * hermite)
    weights = weights / weights.sum()
    constant = fit_constant(loss, law.y, weights).constant
    T = -loss.derivative(np.full_like(law.y, constant), law.y)
    T = T - weights @ T
    norms = [1 + step / 2 * (squared - r) + sign * np.sqrt(step) for sign in (-1, 1)]
    return replace(
        law,
        z=np.concatenate([law.z / np.sqrt(norm)[:, None] for norm in norms]),
        y=np.concatenate([law.y, law.y]),
        T=np.concatenate([T * norm for norm in norms]),
        weights=np.concatenate([weights, weights]) / 2,
        check=None,
        replicates=1,
    )


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
        note += (
            f", slowly, since moments of order {inputs.moments:g} are infinite: single large "
            "entries make runs scatter more than is predicted"
        )
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
